"""Sources of a deepstream-app file as cameras: files, RTSP, HTTP, USB and CSI. Passwords are named, never copied."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vedette.edge.deepstream.import_settings import Group, Imported, camera_name, group_of, groups_of
from vedette.edge.deepstream.key_file import KeyFile

MOST_SOURCES = 1024  # of one group; a board decodes a few dozen
_KINDS = {6: "an audio file", 7: "audio", 8: "a sound card", 9: "another process"}
_CARRIED = {
    "enable", "type", "uri", "num-sources", "camera-v4l2-dev-node", "camera-csi-sensor-id", "gpu-id", "latency",
    "cudadec-memtype", "nvbuf-memory-type", "num-decode-surfaces", "num-extra-surfaces", "camera-width",
    "camera-height",
    "camera-fps-n", "camera-fps-d", "rtsp-reconnect-interval-sec", "rtsp-reconnect-attempts", "select-rtp-protocol",
    "init-rtsp-reconnect-interval-sec", "camera-id", "source-id", "udp-buffer-size", "drop-on-latency",
}  # fmt: skip


def import_cameras(file: KeyFile, sensor_names: dict[int, str], imported: Imported) -> list[dict[str, Any]]:
    """The cameras in the order in which deepstream-app numbers its streams."""
    looped = _loops(file)
    cameras: list[dict[str, Any]] = []
    taken: set[str] = set()
    for url, group, key in _urls(file, imported):
        number = len(cameras)
        given = sensor_names.get(number) or _name_of(url, number)
        camera: dict[str, Any] = {"name": camera_name(given, taken), "url": url}
        _take_secret(camera, group, key, imported)
        if "://" not in camera["url"] and not re.match(r"(usb|csi):", camera["url"]):
            if looped:
                camera["loop"] = True
            if _is_paced(file):
                camera["realtime"] = True
        cameras.append(camera)
    return cameras


def _urls(file: KeyFile, imported: Imported) -> list[tuple[str, Group, str]]:
    found = []
    listed = group_of(file, "source-list")
    if listed is not None:
        found += [(_address(uri, file), listed, "list") for uri in listed.words("list") if uri]
    for group in groups_of(file, r"source\d+"):
        if not group.is_on:
            continue
        kind, uri = group.integer("type"), group.text("uri")
        left = sorted(set(group.entries) - _CARRIED)
        if left:
            imported.leave(file, group.line, f"[{group.name}]: {', '.join(left)} left out")
        if kind == 1:
            found.append((f"usb:{group.integer('camera-v4l2-dev-node') or 0}", group, "camera-v4l2-dev-node"))
        elif kind == 5:
            found.append((f"csi:{group.integer('camera-csi-sensor-id') or 0}", group, "camera-csi-sensor-id"))
        elif kind in {2, 3, 4} and uri is not None:
            count = max(group.integer("num-sources") or 1, 1) if kind == 3 else 1
            if count > MOST_SOURCES:
                imported.leave(
                    file, group.line_of("num-sources"), f"[{group.name}]: {count} sources are too many; left out"
                )
                continue
            uris = [re.sub(r"%0?\d*d", str(number), uri) for number in range(count)]
            found += [(_address(one, file), group, "uri") for one in uris]
        else:
            what = _KINDS.get(kind or 0, "nothing that is known")
            imported.leave(file, group.line, f"[{group.name}] reads {what}: left out")
    return found


def _address(uri: str, file: KeyFile) -> str:
    """A path for what is a file (relative ones lie beside the configuration), else the address as it is."""
    if not uri.startswith("file:"):
        return uri if "://" in uri else str((Path(file.source).parent / uri).absolute())
    path = unquote(uri.removeprefix("file:").removeprefix("//"))
    return str((Path(file.source).parent / path).absolute())


def _take_secret(camera: dict[str, Any], group: Group, key: str, imported: Imported) -> None:
    """Move user and password out of an address; the password itself is not kept anywhere."""
    try:
        parts = urlsplit(camera["url"]) if "://" in camera["url"] else None
    except ValueError:  # whoever checks the pipeline says so, without the address
        return
    if parts is None or (parts.username is None and parts.password is None):
        return
    camera["url"] = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    camera["username"] = unquote(parts.username or "")
    if parts.password is not None:
        variable = re.sub(r"[^A-Z0-9]", "_", camera["name"].upper()) + "_PASSWORD"
        camera["password_env"] = variable
        imported.leave(
            group.file, group.line_of(key), f"the password in the address was not copied: put it into ${variable}"
        )


def _name_of(url: str, number: int) -> str:
    if "://" in url or re.match(r"(usb|csi):", url):
        return f"camera-{number}"
    return Path(url).stem


def _loops(file: KeyFile) -> bool:
    tests = group_of(file, "tests")
    return tests is not None and tests.integer("file-loop") not in {None, 0}


def _is_paced(file: KeyFile) -> bool:
    """A sink that keeps to the video's own clock holds the whole pipeline to it."""
    return any(sink.is_on and sink.integer("sync") == 1 for sink in groups_of(file, r"sink\d+"))
