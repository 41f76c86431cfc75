"""Small events to send."""

from vedette.contracts.event import BundleReference, Event, EventData, EventType


def make_events(count):
    """`count` small events with ids e-0, e-1, ..."""
    data = EventData(
        camera="door",
        media_time_s=1.5,
        wall_time="2026-11-22T12:00:00.000Z",
        track_id=4,
        score=0.5,
        box_xyxy_px=(1, 2, 3, 4),
        line="gate",
        bundle=BundleReference(name="parts", digest="00" * 32),
        **{"class": "bolt"},
    )
    return [
        Event(id=f"e-{n}", source="vedette/box/door", type=EventType.LINE_CROSSED, time=data.wall_time, data=data)
        for n in range(count)
    ]
