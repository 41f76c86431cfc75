"""What one event adds to the counts, and which event it is. Pure.

Counts are kept by quarters of an hour in UTC: every time zone of the world is a whole number of quarters away from it,
so hours and days of any of them can be put together exactly (India and Nepal are not whole hours away).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vedette.contracts.event import Event, EventType

SLOT_S = 900
_ZONE_FIGURES = {
    EventType.ZONE_ENTERED: "entered",
    EventType.ZONE_EXITED: "exited",
    EventType.ZONE_DWELLED: "dwelled",
}
Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tally:
    """One event as it is counted. `source`, `run` and `number` say which event it is, the rest where it is added."""

    source: str
    run: str
    number: int
    camera: str
    kind: str  # line or zone
    place: str  # its name
    class_name: str
    what: str  # a_to_b, b_to_a; entered, exited, dwelled
    slot_unix_s: int
    seconds: float  # in the zone, of those that left


def tally_of(event: Event) -> Tally:
    """What this event adds; ids are `<run>-<number>`, and an id of another form is a run of its own."""
    data = event.data
    run, _, number = event.id.rpartition("-")
    counted = bool(run) and number.isascii() and number.isdigit() and len(number) <= 18
    unix_s = datetime.fromisoformat(event.time.replace("Z", "+00:00")).timestamp()
    is_line = event.type is EventType.LINE_CROSSED
    direction = "" if data.direction is None else data.direction.value
    return Tally(
        source=event.source,
        run=run if counted else event.id,
        number=int(number) if counted else 0,
        camera=data.camera,
        kind="line" if is_line else "zone",
        place=(data.line if is_line else data.zone) or "",
        class_name=data.class_,
        what=direction if is_line else _ZONE_FIGURES[event.type],
        slot_unix_s=int(unix_s // SLOT_S) * SLOT_S,
        seconds=(data.dwell_s or 0.0) if event.type is EventType.ZONE_EXITED else 0.0,
    )


def add_to_ranges(ranges: Sequence[tuple[int, int]], number: int) -> Ranges | None:
    """Sorted ranges (first, last) with one number more; None when it lies in one of them already."""
    joined: Ranges = []
    first = last = number
    for low, high in ranges:
        if low <= number <= high:
            return None
        if high == number - 1:
            first = low
        elif low == number + 1:
            last = high
        else:
            joined.append((low, high))
    return sorted([*joined, (first, last)])
