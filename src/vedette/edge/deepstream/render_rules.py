"""nvdsanalytics' file: counting lines and zones in pixels of the cameras' own pictures.

A line is counted in both directions: two keys, whose direction is the way across the line (`a_to_b`: from the left of
start -> end to its right, y growing downward). nvdsanalytics takes no coordinate below 0 and integers only.
"""

from math import hypot

from vedette.contracts.pipeline import Camera, Coordinate, Line, Zone
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.key_file_text import Value, write_key_file
from vedette.edge.deepstream.render_settings import Rendering

ARROW_PX = 100

PointPx = tuple[int, int]


def render_rules(rendering: Rendering) -> bytes:
    """`config_nvdsanalytics.txt`.

    Raises:
        DeepStreamError: a line or zone leaves the picture.
    """
    width, height = rendering.demand.camera_size_px
    groups: list[tuple[str, dict[str, Value | None]]] = [
        ("property", {"enable": 1, "config-width": width, "config-height": height, "osd-mode": 2})
    ]
    for number, camera in enumerate(rendering.pipeline.cameras):
        lines = (*rendering.pipeline.lines, *camera.lines)
        zones = (*rendering.pipeline.zones, *camera.zones)
        if zones:
            keys: dict[str, Value | None] = {"enable": 1}
            keys |= {f"roi-{zone.name}": _corners(zone, camera, (width, height)) for zone in zones}
            groups.append((f"roi-filtering-stream-{number}", {**keys, "inverse-roi": 0, "class-id": -1}))
        if lines:
            keys = {"enable": 1}
            for line in lines:
                keys |= _both_ways(line, camera, (width, height))
            groups.append(
                (f"line-crossing-stream-{number}", {**keys, "class-id": -1, "extended": 0, "mode": "balanced"})
            )
    comment = "nvdsanalytics: lines and zones of the pipeline file; written by vedette, see README.md"
    return write_key_file(comment, groups)


def _both_ways(line: Line, camera: Camera, size_px: tuple[int, int]) -> dict[str, Value | None]:
    start, end = (_point(point, f"line '{line.name}'", camera, size_px) for point in (line.start, line.end))
    if start == end:
        raise DeepStreamError(f"camera '{camera.name}': line '{line.name}' is less than a pixel long")
    tail, head = _arrow(start, end, size_px)
    return {
        f"line-crossing-{line.name}-a_to_b": (*tail, *head, *start, *end),
        f"line-crossing-{line.name}-b_to_a": (*head, *tail, *start, *end),
    }


def _arrow(start: PointPx, end: PointPx, size_px: tuple[int, int]) -> tuple[PointPx, PointPx]:
    """An arrow across the line from side a to side b, pushed into the picture; only its direction counts."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = min(ARROW_PX, min(size_px) - 1) / hypot(along_x, along_y)
    across = (round(-along_y * length), round(along_x * length))
    tail = []
    for axis in (0, 1):
        middle = (start[axis] + end[axis]) / 2
        least, most = max(0, -across[axis]), size_px[axis] - 1 - max(0, across[axis])
        tail.append(min(max(round(middle - across[axis] / 2), least), most))
    return (tail[0], tail[1]), (tail[0] + across[0], tail[1] + across[1])


def _corners(zone: Zone, camera: Camera, size_px: tuple[int, int]) -> tuple[int, ...]:
    points = [_point(point, f"zone '{zone.name}'", camera, size_px) for point in zone.polygon]
    return tuple(number for point in points for number in point)


def _point(point: tuple[Coordinate, Coordinate], what: str, camera: Camera, size_px: tuple[int, int]) -> PointPx:
    x, y = (
        side * float(value[:-1]) / 100 if isinstance(value, str) else value
        for value, side in zip(point, size_px, strict=True)
    )
    if not (0 <= x <= size_px[0] and 0 <= y <= size_px[1]):
        raise DeepStreamError(
            f"camera '{camera.name}': {what} leaves the picture of {size_px[0]}x{size_px[1]} (--camera-size) at "
            f"({x:g}, {y:g}); nvdsanalytics refuses that"
        )
    return min(round(x), size_px[0] - 1), min(round(y), size_px[1] - 1)
