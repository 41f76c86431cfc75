"""What has been counted at one camera so far: crossings by line, class and direction; zones by entry, exit, presence.

Every line and zone stands in it from the start, with zeroes, so that "nothing passed" can be told from "not watched".
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from vedette.contracts.event import Direction

_FRESH = {"inside": 0, "entered": 0, "exited": 0, "dwelled": 0}
_ARROWS = {Direction.A_TO_B: "a→b", Direction.B_TO_A: "b→a"}


class Counts:
    """Counters of one camera. They only grow, but for `inside`."""

    def __init__(self, lines: Iterable[str], zones: Iterable[str]) -> None:
        self._lines: dict[str, dict[str, dict[Direction, int]]] = {name: {} for name in lines}
        self._zones = {name: dict(_FRESH) for name in zones}
        # Those that are watched no more, or not yet: drawn again under its name, a line or zone goes on
        self._other_lines: dict[str, dict[str, dict[Direction, int]]] = {}
        self._other_zones: dict[str, dict[str, int]] = {}

    def cross(self, line: str, class_name: str, direction: Direction) -> None:
        """One object of a class has crossed a line."""
        by_direction = self._lines[line].setdefault(class_name, dict.fromkeys(Direction, 0))
        by_direction[direction] += 1

    def enter(self, zone: str) -> None:
        self._zones[zone]["entered"] += 1
        self._zones[zone]["inside"] += 1

    def leave(self, zone: str) -> None:
        self._zones[zone]["exited"] += 1
        self._zones[zone]["inside"] -= 1

    def dwell(self, zone: str) -> None:
        self._zones[zone]["dwelled"] += 1

    def go_on_from(self, before: Mapping[str, Any]) -> None:
        """Add what was counted before, given as by `to_json`; what is not watched now waits until it is."""
        for line, classes in before["lines"].items():
            by_class = self._lines[line] if line in self._lines else self._other_lines.setdefault(line, {})
            for class_name, figures in classes.items():
                by_direction = by_class.setdefault(class_name, dict.fromkeys(Direction, 0))
                for direction in Direction:
                    by_direction[direction] += figures.get(direction.value, 0)
        for zone, figures in before["zones"].items():
            counted = self._zones[zone] if zone in self._zones else self._other_zones.setdefault(zone, dict(_FRESH))
            for name in ("entered", "exited", "dwelled"):
                counted[name] += figures.get(name, 0)

    def watch(self, lines: Iterable[str], zones: Iterable[str], going_on: Container[str]) -> None:
        """Count at these lines and zones from now on; old names go on; who is inside stays so if `going_on`."""
        all_lines, all_zones = self._other_lines | self._lines, self._other_zones | self._zones
        self._lines = {name: all_lines.pop(name, {}) for name in lines}
        watched = {name: all_zones.pop(name, dict(_FRESH)) for name in zones}
        self._zones = {name: one if name in going_on else one | {"inside": 0} for name, one in watched.items()}
        self._other_lines, self._other_zones = all_lines, all_zones

    def crossings(self, line: str, class_name: str, direction: Direction) -> int:
        """How many of a class have crossed a line that way."""
        return self._lines[line].get(class_name, {}).get(direction, 0)

    def inside(self, zone: str) -> int:
        """How many objects are inside a zone now."""
        return self._zones[zone]["inside"]

    def to_json(self) -> dict[str, Any]:
        """`{"lines": {line: {class: {direction: n}}}, "zones": {zone: {"inside", "entered", ...}}}`."""
        return {
            "lines": {
                line: {
                    class_name: {direction.value: count for direction, count in by_direction.items()}
                    for class_name, by_direction in sorted(by_class.items())
                }
                for line, by_class in self._lines.items()
            },
            "zones": {zone: dict(figures) for zone, figures in self._zones.items()},
        }

    def labels(self) -> dict[str, int]:
        """The same for a person: `gate a→b`: 12 (all classes), `gate a→b bolt`: 7, `yard inside`: 3."""
        labels: dict[str, int] = {}
        for line, by_class in self._lines.items():
            for direction, arrow in _ARROWS.items():
                labels[f"{line} {arrow}"] = sum(figures[direction] for figures in by_class.values())
            for class_name, figures in sorted(by_class.items()):
                for direction, arrow in _ARROWS.items():
                    if figures[direction]:
                        labels[f"{line} {arrow} {class_name}"] = figures[direction]
        for zone, figures_of_zone in self._zones.items():
            labels[f"{zone} inside"] = figures_of_zone["inside"]
        return labels
