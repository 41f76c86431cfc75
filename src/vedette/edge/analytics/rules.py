"""All lines and zones of one camera over its tracks: what happened in this frame.

Geometry given in per cent is worked out when the first frame tells the picture's size, and again when the size changes
(a camera was switched over); objects then start afresh, as their tracks' coordinates mean something else. Objects
unseen for `LOST_AFTER_S` are forgotten and leave their zones. Pure: time comes with the frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vedette.contracts.detections import Tracks
from vedette.contracts.event import Direction, EventType
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Anchor, Line, Point, Zone
from vedette.contracts.status import PlacedLine, PlacedZone
from vedette.edge.analytics.counts import Counts
from vedette.edge.analytics.errors import GeometryError
from vedette.edge.analytics.line import CountingLine, Passage, PointPx
from vedette.edge.analytics.zone import LOST_AFTER_S, Change, Stay, WatchedZone

_ZONE_EVENTS = {
    Change.ENTERED: EventType.ZONE_ENTERED,
    Change.EXITED: EventType.ZONE_EXITED,
    Change.DWELLED: EventType.ZONE_DWELLED,
}
EDGE_PX = 0.5  # the middle of the outermost pixel
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something happened in the frame `stamp`, to the object that stood, when last seen, at `box_xyxy_px`."""

    type: EventType
    stamp: FrameStamp
    track_id: int
    class_name: str
    score: float
    box_xyxy_px: Box
    line: str | None = None
    zone: str | None = None
    direction: Direction | None = None
    dwell_s: float | None = None


@dataclass(slots=True)
class _Object:
    """One track as the rules know it; `stays` by zone index, `passages` by line index."""

    track_id: int
    class_name: str
    score: float
    box_xyxy_px: Box
    seen_s: float
    passages: list[Passage] = field(default_factory=list)
    stays: dict[int, Stay] = field(default_factory=dict)


class CameraRules:
    """The lines and zones of one camera. Give it every frame that was detected on, also when it holds no track."""

    def __init__(
        self,
        camera: str,
        lines: Sequence[Line],
        zones: Sequence[Zone],
        anchor: Anchor = Anchor.BOTTOM_CENTRE,
        *,
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        """Width and height in pixels, where they are known already, place everything (and refuse what is wrong) now.

        Raises:
            GeometryError: a line has no length in a picture of that size.
        """
        self.camera = camera
        self._line_settings, self._zone_settings = tuple(lines), tuple(zones)
        self._anchor = anchor
        self._size_px = (0, 0)
        self._lines: tuple[CountingLine, ...] = ()
        self._zones: tuple[WatchedZone, ...] = ()
        self._objects: dict[int, _Object] = {}
        self.counts = Counts([line.name for line in lines], [zone.name for zone in zones])
        if width is not None and height is not None:
            self._place((width, height))

    @property
    def placed_lines(self) -> tuple[PlacedLine, ...]:
        """The lines in source pixels; none before the picture's size is known."""
        return tuple(PlacedLine(line.name, line.start_xy_px, line.end_xy_px) for line in self._lines)

    @property
    def placed_zones(self) -> tuple[PlacedZone, ...]:
        """The zones in source pixels; none before the picture's size is known."""
        return tuple(PlacedZone(zone.name, zone.polygon_xy_px) for zone in self._zones)

    def change(self, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        """Watch other lines and zones from now on. What stays as it was goes on, with its objects and their counts.

        Raises:
            GeometryError: a line has no length in a picture of this size; nothing is changed.
        """
        going_on = self.unchanged(zones)
        old_lines = {line: number for number, line in enumerate(self._line_settings)}
        old_zones = {zone: number for number, zone in enumerate(self._zone_settings)}
        before = self._line_settings, self._zone_settings
        self._line_settings, self._zone_settings = tuple(lines), tuple(zones)
        try:
            if self._size_px != (0, 0):
                self._place(self._size_px)
        except GeometryError:
            self._line_settings, self._zone_settings = before
            raise
        for known in self._objects.values():
            anchor = self._anchor_of(known.box_xyxy_px)
            known.passages = [
                known.passages[old_lines[line]] if line in old_lines else placed.begin(*anchor)
                for line, placed in zip(self._line_settings, self._lines, strict=True)
            ]
            known.stays = {
                number: known.stays[old_zones[zone]]
                for number, zone in enumerate(self._zone_settings)
                if old_zones.get(zone) in known.stays
            }
        self.counts.watch([line.name for line in lines], [zone.name for zone in zones], going_on)

    def unchanged(self, zones: Sequence[Zone]) -> set[str]:
        """The names of those of these zones that are watched already, as they are."""
        return {zone.name for zone in zones if zone in self._zone_settings}

    def hold(self, still_s: float) -> None:
        """Before `update`: nothing moved for so long since the frame before, and nobody looked; nobody left by it."""
        for known in self._objects.values():
            known.seen_s += still_s

    def update(self, stamp: FrameStamp, tracks: Tracks) -> list[Occurrence]:
        """What happened between the frame before and this one, in a stable order: tracks by id, then who left.

        Raises:
            GeometryError: a line has no length in a picture of this size.
        """
        found: list[Occurrence] = []
        if (stamp.width_px, stamp.height_px) != self._size_px:
            for gone in self._objects.values():
                self._leave_all(gone, stamp, found)
            self._objects.clear()
            self._place((stamp.width_px, stamp.height_px))
        if not self._lines and not self._zones:
            return found
        before = tracks.boxes_xyxy_px if tracks.previous_boxes_xyxy_px is None else tracks.previous_boxes_xyxy_px
        track_ids, class_ids = tracks.track_ids.tolist(), tracks.class_ids.tolist()
        boxes, scores = tracks.boxes_xyxy_px.tolist(), tracks.scores.tolist()
        now_s = stamp.media_time_s
        for number in tracks.track_ids.argsort().tolist():
            track_id, box, score = track_ids[number], tuple(boxes[number]), scores[number]
            class_name = tracks.class_names[class_ids[number]]
            known = self._objects.get(track_id)
            if known is None:
                known = _Object(track_id, class_name, score, box, now_s)
                known.passages = self._begin_passages(before[number].tolist())
                self._objects[track_id] = known
            known.class_name, known.score, known.box_xyxy_px, known.seen_s = class_name, score, box, now_s
            self._follow(known, stamp, found)
        self._forget_lost(stamp, found)
        return found

    def _begin_passages(self, box: list[float]) -> list[Passage]:
        x_px, y_px, size_px = self._anchor_of(box)
        return [line.begin(x_px, y_px, size_px) for line in self._lines]

    def _follow(self, known: _Object, stamp: FrameStamp, found: list[Occurrence]) -> None:
        """One object is seen at its new place."""
        x_px, y_px, size_px = self._anchor_of(known.box_xyxy_px)
        for line, passage in zip(self._lines, known.passages, strict=True):
            for direction in line.move(passage, x_px, y_px, size_px):
                self.counts.cross(line.name, known.class_name, direction)
                found.append(_occurrence(EventType.LINE_CROSSED, stamp, known, line=line.name, direction=direction))
        for number, zone in enumerate(self._zones):
            stay, change = zone.see(known.stays.get(number), zone.contains(x_px, y_px), stamp.media_time_s)
            if stay is not None:
                known.stays[number] = stay
                if change is not None:
                    self._tell(change, number, known, stamp, found)

    def _tell(self, change: Change, number: int, known: _Object, stamp: FrameStamp, found: list[Occurrence]) -> None:
        """Count a zone's change, and say it."""
        zone, stay = self._zones[number], known.stays[number]
        if change is Change.ENTERED:
            self.counts.enter(zone.name)
        elif change is Change.DWELLED:
            self.counts.dwell(zone.name)
        else:
            self.counts.leave(zone.name)
            del known.stays[number]
        dwell_s = None if change is Change.ENTERED else stay.dwell_s
        found.append(_occurrence(_ZONE_EVENTS[change], stamp, known, zone=zone.name, dwell_s=dwell_s))

    def _leave_all(self, known: _Object, stamp: FrameStamp, found: list[Occurrence]) -> None:
        for number in sorted(known.stays):
            self._tell(Change.EXITED, number, known, stamp, found)

    def _forget_lost(self, stamp: FrameStamp, found: list[Occurrence]) -> None:
        lost = [known for known in self._objects.values() if stamp.media_time_s - known.seen_s > LOST_AFTER_S]
        for known in lost:
            self._leave_all(known, stamp, found)
            del self._objects[known.track_id]

    def _anchor_of(self, box: Sequence[float]) -> tuple[float, float, float]:
        """Anchor x, anchor y, and the mean side of a box. Boxes reach beyond the picture; their anchors do not.

        So somebody whose feet the lower edge cuts off does not pass below a line, or a zone, that ends there.
        """
        x1, y1, x2, y2 = box
        width_px, height_px = self._size_px
        x_px, y_px = (x1 + x2) / 2, y2 if self._anchor is Anchor.BOTTOM_CENTRE else (y1 + y2) / 2
        x_px = min(max(x_px, EDGE_PX), width_px - EDGE_PX)
        return x_px, min(max(y_px, EDGE_PX), height_px - EDGE_PX), (x2 - x1 + y2 - y1) / 2

    def _place(self, size_px: tuple[int, int]) -> None:
        """Work out all geometry for a picture size."""
        self._size_px = size_px
        lines = []
        for line in self._line_settings:
            start, end = place_point(line.start, size_px), place_point(line.end, size_px)
            if start == end:
                raise GeometryError(
                    f"camera '{self.camera}', line '{line.name}': start and end are the same point in a picture of "
                    f"{size_px[0]}x{size_px[1]}; move one of them"
                )
            lines.append(CountingLine(line.name, start, end))
        self._lines = tuple(lines)
        self._zones = tuple(
            WatchedZone(zone.name, tuple(place_point(point, size_px) for point in zone.polygon), zone.dwell_s)
            for zone in self._zone_settings
        )


def place_point(point: Point, size_px: tuple[int, int]) -> PointPx:
    """A point of the pipeline file, pixels or per cent (`"40%"`), in source pixels."""
    x_px, y_px = (
        float(value[:-1]) / 100 * side if isinstance(value, str) else float(value)
        for value, side in zip(point, size_px, strict=True)
    )
    return x_px, y_px


def _occurrence(
    event_type: EventType,
    stamp: FrameStamp,
    known: _Object,
    *,
    line: str | None = None,
    zone: str | None = None,
    direction: Direction | None = None,
    dwell_s: float | None = None,
) -> Occurrence:
    return Occurrence(
        event_type,
        stamp,
        known.track_id,
        known.class_name,
        known.score,
        known.box_xyxy_px,
        line=line,
        zone=zone,
        direction=direction,
        dwell_s=dwell_s,
    )
