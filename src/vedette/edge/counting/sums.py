"""Quarters of an hour put together to hours and days of this machine's time zone. Pure but for that time zone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vedette.edge.counting.store import CountRow


@dataclass(frozen=True, slots=True)
class CountSum:
    """How often something happened in an hour or a day, or in all; `since` is its beginning, RFC 3339 with offset."""

    since: str | None
    camera: str
    kind: str
    place: str
    class_name: str
    what: str
    count: int
    mean_stay_s: float | None  # of those that left a zone

    def to_json(self) -> dict[str, Any]:
        """Keys in the order of the columns of a CSV."""
        return {
            "since": self.since,
            "camera": self.camera,
            "kind": self.kind,
            "name": self.place,
            "class": self.class_name,
            "what": self.what,
            "count": self.count,
            "mean_stay_s": None if self.mean_stay_s is None else round(self.mean_stay_s, 3),
        }


def sum_rows(rows: Iterable[CountRow], by: str | None) -> list[CountSum]:
    """Summed by `hour`, by `day`, or all; in the order of time, then of the rows' names."""
    sums: dict[tuple[str, str, str, str, str, str], tuple[int, float]] = {}
    began: dict[int, str] = {}
    for row in rows:
        if by is not None and row.slot_unix_s not in began:
            began[row.slot_unix_s] = begin_of(row.slot_unix_s, by)
        since = "" if by is None else began[row.slot_unix_s]
        key = (since, row.camera, row.kind, row.place, row.class_name, row.what)
        count, seconds = sums.get(key, (0, 0.0))
        sums[key] = (count + row.count, seconds + row.seconds)
    return [
        CountSum(key[0] or None, *key[1:], count, seconds / count if key[5] == "exited" else None)
        for key, (count, seconds) in sorted(sums.items(), key=lambda one: (_unix_s(one[0][0]), one[0][1:]))
    ]


def begin_of(unix_s: float, by: str) -> str:
    """When the local hour or day of a moment began."""
    local = datetime.fromtimestamp(unix_s).astimezone()
    if by == "day":
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        return day.astimezone().isoformat(timespec="minutes")  # its own offset, where the clock was changed that day
    return local.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")


def _unix_s(since: str) -> float:
    return datetime.fromisoformat(since).timestamp() if since else 0.0
