"""What has been counted at one camera so far: crossings by line, class and direction; zones by entry, exit, presence.

Every line and zone stands in it from the start, with zeroes, so that "nothing passed" can be told from "not watched".
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from vedette.contracts.event import Direction

_ARROWS = {Direction.A_TO_B: "a→b", Direction.B_TO_A: "b→a"}


class Counts:
    """Counters of one camera. They only grow, but for `inside`."""

    def __init__(self, lines: Iterable[str], zones: Iterable[str]) -> None:
        self._lines: dict[str, dict[str, dict[Direction, int]]] = {name: {} for name in lines}
        self._zones = {name: {"inside": 0, "entered": 0, "exited": 0, "dwelled": 0} for name in zones}

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
        """Add what was counted before, given as by `to_json`; what is watched no more is left out."""
        for line in before["lines"].keys() & self._lines.keys():
            for class_name, figures in before["lines"][line].items():
                by_direction = self._lines[line].setdefault(class_name, dict.fromkeys(Direction, 0))
                for direction in Direction:
                    by_direction[direction] += figures.get(direction.value, 0)
        for zone in before["zones"].keys() & self._zones.keys():
            for name in ("entered", "exited", "dwelled"):
                self._zones[zone][name] += before["zones"][zone].get(name, 0)

    def watch(self, lines: Iterable[str], zones: Iterable[str], going_on: Container[str]) -> None:
        """Count at these lines and zones from now on; old names go on; who is inside stays so if `going_on`."""
        fresh = {"inside": 0, "entered": 0, "exited": 0, "dwelled": 0}
        self._lines = {name: self._lines.get(name, {}) for name in lines}
        self._zones = {
            name: fresh | self._zones.get(name, {}) | ({} if name in going_on else {"inside": 0}) for name in zones
        }

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
