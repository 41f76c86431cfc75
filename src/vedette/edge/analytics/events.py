"""Occurrences become events on the wire: CloudEvents 1.0 (`contracts.event`).

`source` is `vedette/<box>/<camera>`; `id` is `<run>-<number>`, the number counting that camera's events from 1. So ids
are unique with their source, and the events of a lossless file come out the same in every run but for the run's name
and the wall clock, however the cameras' work was interleaved. CloudEvents 1.0.2, section 3.1.
"""

from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache

from vedette.contracts.event import BundleReference, Event, EventData
from vedette.contracts.frame import FrameStamp
from vedette.edge.analytics.rules import Occurrence

ClipOf = Callable[[FrameStamp, str], str | None]


class EventMaker:
    """Numbers and wraps the occurrences of one run. `run` names it: something that no other run of this box has had."""

    def __init__(self, box: str, bundle: BundleReference, run: str, clip_of: ClipOf | None = None) -> None:
        """`clip_of` names the clip that is cut for an event, by its frame and id; None: there is none."""
        self._box, self._bundle, self._run, self._clip_of = box, bundle, run, clip_of
        self._numbers: dict[str, int] = {}

    def make(self, occurrence: Occurrence) -> Event:
        """The event of one occurrence; call in the order that things happened."""
        camera = occurrence.stamp.camera
        self._numbers[camera] = number = self._numbers.get(camera, 0) + 1
        event_id = f"{self._run}-{number:06d}"
        clip = None if self._clip_of is None else self._clip_of(occurrence.stamp, event_id)
        return make_event(occurrence, box=self._box, bundle=self._bundle, event_id=event_id, clip=clip)


def make_event(
    occurrence: Occurrence, *, box: str, bundle: BundleReference, event_id: str, clip: str | None = None
) -> Event:
    """One occurrence as an event; times with milliseconds, boxes with 1/100 pixel, scores with 4 decimals."""
    stamp = occurrence.stamp
    wall_time = format_utc(stamp.captured_unix_s)
    x1, y1, x2, y2 = occurrence.box_xyxy_px
    data = EventData(
        camera=stamp.camera,
        media_time_s=round(stamp.media_time_s, 3),
        wall_time=wall_time,
        track_id=occurrence.track_id,
        score=round(occurrence.score, 4),
        box_xyxy_px=(round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2)),
        line=occurrence.line,
        zone=occurrence.zone,
        direction=occurrence.direction,
        dwell_s=None if occurrence.dwell_s is None else round(occurrence.dwell_s, 3),
        clip=clip,
        bundle=bundle,
        **{"class": occurrence.class_name},
    )
    return Event(
        id=event_id,
        source=f"vedette/{box}/{stamp.camera}",
        type=occurrence.type,
        time=wall_time,
        subject=occurrence.line or occurrence.zone,
        data=data,
    )


@lru_cache(maxsize=64)  # a frame's events are told one after the other
def format_utc(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-22T14:49:00.123Z`."""
    moment = datetime.fromtimestamp(round(unix_s, 3), tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
