"""nvdsanalytics' lines and zones as those of a pipeline file, in per cent of the picture.

A line there has an arrow for the way that counts; here it has a direction, and `a_to_b` is from its left to its right.
It is drawn so that the arrow goes from a to b. Lines that Vedette rendered come back as the one line they were.
"""

import re
from typing import Any

from vedette.edge.deepstream.import_settings import Group, Imported, groups_of
from vedette.edge.deepstream.key_file import Entry, KeyFile
from vedette.edge.deepstream.key_values import read_integer_list

_OTHER = {"overcrowding": "crowding", "direction-detection": "direction"}


def import_rules(file: KeyFile, cameras: list[dict[str, Any]], imported: Imported) -> None:
    """Add lines and zones to the cameras that the streams are."""
    size = [_size(file, key) for key in ("config-width", "config-height")]
    for group in groups_of(file, r"(roi-filtering|overcrowding|line-crossing|direction-detection)-stream-\d{1,9}"):
        kind, _, number = group.name.rpartition("-stream-")
        if not group.is_on:
            continue
        if int(number) >= len(cameras):
            imported.leave(file, group.line, f"[{group.name}]: there is no such stream; left out")
            continue
        camera = cameras[int(number)]
        if group.text("class-id") not in {None, "-1", "-1;"}:
            imported.leave(file, group.line_of("class-id"), f"[{group.name}]: counts all classes here, not only some")
        if kind in _OTHER:
            imported.leave(file, group.line, f"[{group.name}]: Vedette has no rule for {_OTHER[kind]}; left out")
        elif kind == "line-crossing":
            _add_lines(group, camera, (size[0], size[1]), imported)
        else:
            _add_zones(group, camera, (size[0], size[1]), imported)


def _add_lines(group: Group, camera: dict[str, Any], size_px: tuple[int, int], imported: Imported) -> None:
    for key, entry in group.entries.items():
        name = key.removeprefix("line-crossing-")
        numbers = _numbers(entry)
        if name == key or len(numbers) != 8:
            continue
        backward = name.endswith("-b_to_a") and f"{key.removesuffix('-b_to_a')}-a_to_b" in group.entries
        if backward:
            continue  # the other direction of a line that is there already
        tail_x, tail_y, head_x, head_y, *ends = numbers
        start, end = (ends[0], ends[1]), (ends[2], ends[3])
        turn = (end[0] - start[0]) * (head_y - tail_y) - (end[1] - start[1]) * (head_x - tail_x)
        if turn < 0:  # the arrow goes from right to left: the line is drawn the other way round
            start, end = end, start
        if turn == 0 or start == end:
            imported.leave(group.file, entry.line, f"{key}: its arrow does not lead across it; left out")
            continue
        line = {
            "name": _rule_name(name.removesuffix("-a_to_b"), camera),
            "start": _per_cent(start, size_px),
            "end": _per_cent(end, size_px),
        }
        camera.setdefault("lines", []).append(line)


def _add_zones(group: Group, camera: dict[str, Any], size_px: tuple[int, int], imported: Imported) -> None:
    if group.integer("inverse-roi") == 1 or group.text("inverse-roi") == "true":
        imported.leave(group.file, group.line_of("inverse-roi"), f"[{group.name}]: the zone is the inside here")
    for key, entry in group.entries.items():
        numbers = _numbers(entry)
        if not key.startswith("roi-") or len(numbers) < 6 or len(numbers) % 2:
            continue
        corners = list(zip(numbers[::2], numbers[1::2], strict=True))
        zone = {
            "name": _rule_name(key.removeprefix("roi-"), camera),
            "polygon": [_per_cent(corner, size_px) for corner in corners],
        }
        camera.setdefault("zones", []).append(zone)
        imported.leave(
            group.file, entry.line, f"{key}: entering and leaving become events; objects outside are kept, not dropped"
        )


def _numbers(entry: Entry) -> list[int]:
    try:
        return read_integer_list(entry.value)
    except ValueError:
        return []


def _per_cent(point: tuple[int, int], size_px: tuple[int, int]) -> list[str]:
    return [f"{round(value * 100 / side, 4):g}%" for value, side in zip(point, size_px, strict=True)]


def _rule_name(text: str, camera: dict[str, Any]) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:56] or "rule"
    taken = {rule["name"] for kind in ("lines", "zones") for rule in camera.get(kind, [])}
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def _size(file: KeyFile, key: str) -> int:
    number = next((group.integer(key) for group in groups_of(file, "property")), None)
    return number if number is not None and number > 0 else {"config-width": 1920, "config-height": 1080}[key]
