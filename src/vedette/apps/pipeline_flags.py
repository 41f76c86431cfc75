"""The flags of `vedette run` say what a pipeline file says; this is their grammar.

`[NAME=]URL`, `[NAME=]x1,y1,x2,y2`, `NAME=x,y;x,y;...`, `FILE`, `mqtt[s]://host[:port]/topic` or
`kafka[s]://host[:port]/topic`, `[HOST]:PORT`. Names left out are made up: a camera's from its file or host, a line's by
number. Every mistake of every flag is reported at once. Pure: nothing is opened.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from vedette.apps.durations import parse_duration
from vedette.apps.pipeline_errors import PipelineError, check_pipeline
from vedette.apps.video_flags import take_video_flags
from vedette.contracts.camera_url import check_camera_url, hide_query_secrets, is_live_url
from vedette.contracts.errors import UsageError
from vedette.contracts.pipeline import Pipeline

_NAMED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)=(.*)$", re.DOTALL)
_COORDINATE = re.compile(r"^-?\d+(\.\d+)?%?$")
# What a mistake in a flag without grammar of its own begins with
_DETECT_PATH = re.compile(r"^detect\.|^(?=anchor:|isolation:)")
_FLAGS_OF_PATHS = {
    "detect.fps:": "--detect-fps:",
    "detect:": "--every, --detect-fps:",
    "publish:": "--publish:",
    "publish.url:": "--publish:",
}
MQTT_PORT, MQTTS_PORT, KAFKA_PORT = 1883, 8883, 9092
_PLACES = "a FILE, mqtt://host:port/topic or kafka://host:port/topic"
Parsed = TypeVar("Parsed")


class _FlagError(ValueError):
    """One flag's mistake; collected, never shown alone."""


def flags_to_pipeline(
    *,
    bundle: PurePath | str | None = None,
    cameras: Sequence[str] = (),
    lines: Sequence[str] = (),
    zones: Sequence[str] = (),
    events: Sequence[str] = (),
    show: str | None = None,
    tls: str | None = None,
    record: PurePath | str | None = None,
    **settings: Any,
) -> Pipeline:
    """The pipeline that flags describe.

    `settings`: anchor, counts (a path or `off`), isolation, give_up_after (a duration), those of `video_flags`, every
    field of `detect`, and, for files, loop and realtime.

    Raises:
        UsageError: lists every mistake, each with its flag.
    """
    mistakes: list[str] = []
    document: dict[str, Any] = {
        "cameras": _each("--camera", cameras, parse_camera, mistakes),
        "lines": _each("--line", lines, parse_line, mistakes),
        "zones": _each("--zone", zones, parse_zone, mistakes),
        "events": _each("--events", events, parse_events, mistakes),
    }
    if bundle is None:
        mistakes.append("--bundle: name the packed detector, or give a pipeline file")
    if not cameras:
        mistakes.append("--camera: give at least one, as [NAME=]URL")
    if show is not None:
        document["show"] = next(iter(_each("--show", [show], parse_show, mistakes)), None)
    if tls is not None and document.get("show"):
        document["show"]["tls"] = parse_tls(tls)
    elif tls is not None:
        mistakes.append("--tls: is for the live page; give --show as well")
    _make_up_names(document["cameras"], "camera")
    _make_up_names(document["lines"], "line")
    loop, realtime = settings.pop("loop", False), settings.pop("realtime", False)
    files = [camera for camera in document["cameras"] if not is_live_url(camera["url"])]
    for camera in files or document["cameras"]:  # live cameras beside files need neither; alone, they are refused below
        if loop or realtime:
            camera.update(loop=loop, realtime=realtime)
    for name in ("anchor", "counts", "isolation"):
        if name in settings:
            value = settings.pop(name)
            document[name] = False if (name, value) == ("counts", "off") else value
    if (give_up_after := settings.pop("give_up_after", None)) is not None:
        document["reconnect"] = {"give_up_after_s": _seconds("--give-up-after", give_up_after, mistakes)}
    document |= take_video_flags(settings, mistakes)
    document |= {"bundle": str(bundle or "?"), "detect": settings}
    if record is not None:
        document["record"] = str(record)
    if not document["cameras"]:
        document["cameras"] = [{"name": "camera", "url": "?"}]  # that there is none is a mistake noted already
    try:
        pipeline = check_pipeline(document, "flags")
    except PipelineError as error:
        mistakes += [_name_flag(mistake) for mistake in error.mistakes]
    if mistakes:
        raise UsageError("\n  ".join(["the flags cannot be used:", *mistakes]))
    return pipeline


def parse_camera(text: str) -> dict[str, Any]:
    """`[NAME=]URL`. A file whose name begins like `name=` is written with its folder: `./name=1.mp4`."""
    name, url = _split_name(text)
    if not url:
        raise _FlagError("give [NAME=]URL: a file, rtsp(s)://, http(s)://, usb:N or csi:N")
    try:
        check_camera_url(url)
    except ValueError as error:
        raise _FlagError(str(error)) from error
    if is_live_url(url) and hide_query_secrets(url) != url:
        raise _FlagError(
            f"{hide_query_secrets(url)}: a password in a URL can be seen by every process of the machine; write this "
            "URL into a pipeline file that only this user can read"
        )
    return {"name": name or _name_of_url(url), "url": url, "made_up": name is None}


def parse_line(text: str) -> dict[str, Any]:
    """`[NAME=]x1,y1,x2,y2`, source pixels or per cent."""
    name, rest = _split_name(text)
    values = [_coordinate(part) for part in rest.split(",")]
    if len(values) != 4:
        raise _FlagError("give [NAME=]x1,y1,x2,y2 in source pixels or per cent, for example gate=50%,0%,50%,100%")
    if values[:2] == values[2:]:
        raise _FlagError("the line starts and ends at the same point")
    return {"name": name or "line", "start": values[:2], "end": values[2:], "made_up": name is None}


def parse_zone(text: str) -> dict[str, Any]:
    """`NAME=x,y;x,y;x,y;...`, source pixels or per cent."""
    name, rest = _split_name(text)
    points = [[_coordinate(part) for part in point.split(",")] for point in rest.strip(";").split(";")]
    if name is None or len(points) < 3 or any(len(point) != 2 for point in points):
        raise _FlagError("give NAME=x,y;x,y;x,y with three points or more, in source pixels or per cent")
    return {"name": name, "polygon": points}


def parse_events(text: str) -> dict[str, Any]:
    """`FILE`, `mqtt://host[:port]/topic` or `kafka://host[:port][,host[:port]]/topic`; `mqtts`, `kafkas` with TLS."""
    if "://" not in text:
        if not text:
            raise _FlagError(f"give {_PLACES}")
        return {"kind": "file", "path": text}
    scheme, _, rest = text.partition("://")
    if scheme not in {"mqtt", "mqtts", "kafka", "kafkas"}:
        raise _FlagError(f"'{scheme}://' is no place for events; give {_PLACES}")
    netloc, _, path = rest.partition("/")
    if "@" in netloc:
        raise _FlagError(
            f"{scheme}://{netloc.rpartition('@')[2]}: a user name or password in a URL can be seen by every process of "
            "the machine; use a pipeline file with 'username' and 'password_file' or 'password_env'"
        )
    topic = unquote(path)
    if scheme.startswith("kafka"):
        return _kafka_target(netloc, topic, tls=scheme == "kafkas")
    parts = _split_url(text)
    if not parts.hostname or not topic:
        raise _FlagError("give a host and a topic: mqtt://host:port/topic")
    if "#" in text or "+" in topic:
        raise _FlagError("a topic to publish to has no '#' or '+'")
    tls = scheme == "mqtts"
    port = parts.port or (MQTTS_PORT if tls else MQTT_PORT)
    return {"kind": "mqtt", "host": parts.hostname, "port": port, "topic": topic, "tls": tls}


def _kafka_target(netloc: str, topic: str, *, tls: bool) -> dict[str, Any]:
    brokers = [one if re.search(r":\d+$", one) else f"{one}:{KAFKA_PORT}" for one in netloc.split(",") if one]
    if not brokers or not topic:
        raise _FlagError("give brokers and a topic: kafka://host:port,host:port/topic")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
        raise _FlagError("a Kafka topic has letters, digits, '.', '_' and '-' only")
    return {"kind": "kafka", "brokers": brokers, "topic": topic, "tls": tls}


def parse_show(text: str) -> dict[str, Any]:
    """`[HOST]:PORT`; without a host the page is for this machine alone."""
    match = re.match(r"^(?:\[([0-9A-Fa-f:.]+)\]:|([^:\[\]]*):)?(\d{1,5})$", text)
    if match is None or int(match.group(3)) > 65535:
        raise _FlagError("give [HOST]:PORT, for example :8080 (this machine only) or 0.0.0.0:8080 (every network)")
    host = match.group(1) or match.group(2)
    return {"port": int(match.group(3)), **({"host": host} if host else {})}


def _seconds(flag: str, text: str, mistakes: list[str]) -> float | None:
    """A duration, which may be 0."""
    try:
        return 0.0 if re.fullmatch(r"\s*0+\s*[smh]?\s*", text) else parse_duration(text)
    except UsageError as error:
        mistakes.append(f"{flag}: {error}; 0 means at once")
        return None


def parse_tls(text: str) -> Any:
    """`CERT,KEY`, one file with both, or `self-signed`."""
    cert, comma, key = text.partition(",")
    return text if text == "self-signed" else {"cert": cert, "key": key if comma else cert}


def _name_flag(mistake: str) -> str:
    """A mistake of a pipeline's, with the flag in the place of the path."""
    path, space, rest = mistake.partition(" ")
    return _FLAGS_OF_PATHS.get(path, _DETECT_PATH.sub("--", path)) + space + rest


def _each(
    flag: str, texts: Iterable[str], parse: Callable[[str], dict[str, Any]], mistakes: list[str]
) -> list[dict[str, Any]]:
    """Parse every value of a flag; note the mistakes."""
    parsed = []
    for number, text in enumerate(texts, start=1):
        try:
            parsed.append(parse(text.strip()))
        except _FlagError as error:
            mistakes.append(f"{flag} ({number}.): {error}")
    return parsed


def _split_name(text: str) -> tuple[str | None, str]:
    match = _NAMED.match(text)
    return (None, text) if match is None else (match.group(1), match.group(2).strip())


def _split_url(text: str) -> Any:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _FlagError(f"no address: {error}") from error
    return parts


def _coordinate(text: str) -> float | str:
    text = text.strip()
    if not _COORDINATE.match(text):
        raise _FlagError(f"'{text}' is no coordinate; write source pixels or per cent, as 640 or 50%")
    return text if text.endswith("%") else float(text)


def _name_of_url(url: str) -> str:
    """A name that says which camera it is: the file's, the host's, or the device's."""
    if re.match(r"^(usb|csi):", url):
        name = url.replace(":", "-")
    elif is_live_url(url):
        name = urlsplit(url).hostname or "camera"
    else:
        name = PurePath(url).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:48] or "camera"


def _make_up_names(items: list[dict[str, Any]], fallback: str) -> None:
    """Number the made-up names that are taken: `busy`, `busy-2`, `busy-3`."""
    taken = {item["name"] for item in items if not item["made_up"]}
    for item in items:
        if item.pop("made_up"):
            stem = name = item["name"] or fallback
            number = 1
            while name in taken:
                number += 1
                name = f"{stem}-{number}"
            item["name"] = name
            taken.add(name)
