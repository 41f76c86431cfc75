"""Events for the tests of counts; run as a program, it counts events for ever and says which were committed."""

import sys
from pathlib import Path

from vedette.contracts.event import BundleReference, Direction, Event, EventData, EventType
from vedette.edge.counting.keeper import CountsKeeper
from vedette.edge.counting.store import CountsStore


def counted_event(
    number: int, *, kind: EventType = EventType.LINE_CROSSED, run: str = "r1-0", when: str = "2026-11-22T10:07:00.000Z",
    camera: str = "gate", place: str = "in", class_: str = "bolt", direction: Direction = Direction.A_TO_B,
    dwell_s: float | None = None,
) -> Event:  # fmt: skip
    is_line = kind is EventType.LINE_CROSSED
    return Event(
        id=f"{run}-{number:06d}",
        source=f"vedette/box/{camera}",
        type=kind,
        time=when,
        data=EventData(
            camera=camera,
            media_time_s=number / 10,
            wall_time=when,
            track_id=number,
            class_=class_,
            score=0.9,
            box_xyxy_px=(1, 2, 3, 4),
            line=place if is_line else None,
            zone=None if is_line else place,
            direction=direction if is_line else None,
            dwell_s=dwell_s,
            bundle=BundleReference(name="parts", digest="0" * 64),
        ),
    )


def count_for_ever(path: Path) -> None:
    """Events 1, 2, 3, ...; a line `given N` before a few are given, `written N` when they were committed."""
    keeper = CountsKeeper(CountsStore(path), commit_every_s=0.001)
    number = 0
    while True:
        sys.stdout.write(f"given {number + 7}\n")
        sys.stdout.flush()
        for _ in range(7):
            number += 1
            keeper.add(counted_event(number))
        if keeper.flush(60):
            sys.stdout.write(f"written {number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    count_for_ever(Path(sys.argv[1]))
