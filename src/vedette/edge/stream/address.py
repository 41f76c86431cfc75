"""A camera's URL -> what FFmpeg is given: address, options, closed protocol list.

Credentials enter the URL only here, in memory. A file may open nothing but files and a network camera nothing but the
protocols of its own kind, so that a playlist or redirect in hostile data cannot reach elsewhere (FFmpeg's
`protocol_whitelist` also holds for what a demuxer opens later). Opens nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from vedette.contracts.camera_url import check_camera_url
from vedette.edge.stream.camera_spec import CameraSpec, SourceKind
from vedette.edge.stream.errors import CameraHopelessError

PROTOCOLS = {
    SourceKind.FILE: "file",
    SourceKind.RTSP: "rtsp,rtsps,tcp,tls",  # pictures come in the connection itself: nothing opens a port here
    SourceKind.HTTP: "http,https,tcp,tls,crypto",  # crypto: encrypted HLS segments
}
ANALYSE_LIVE_US = 2_000_000  # FFmpeg's own 5 s of looking at a live stream would use up the time to open it


@dataclass(frozen=True, slots=True)
class Address:
    """`url` may hold a password and must be shown to nobody; `shown` is what people see."""

    url: str = field(repr=False)
    shown: str
    options: dict[str, str]
    demuxer: str | None = None


def resolve_address(spec: CameraSpec) -> Address:
    """What to give FFmpeg for a file, rtsp(s), http(s) or usb camera.

    Raises:
        CameraHopelessError: when the URL is none that Vedette opens.
    """
    try:
        check_camera_url(spec.url)
    except ValueError as error:
        raise CameraHopelessError(f"camera '{spec.name}': {error}") from error
    kind = spec.kind
    if kind is SourceKind.USB:
        device = f"/dev/video{spec.url.partition(':')[2]}"
        return Address(device, device, {}, demuxer="v4l2")
    if kind is SourceKind.FILE:
        # With "file:" a name such as "concat:a|b" is a file of that name and nothing else
        return Address(f"file:{Path(spec.url).absolute()}", spec.url, {"protocol_whitelist": PROTOCOLS[kind]})
    options = {
        "protocol_whitelist": PROTOCOLS[kind],
        "analyzeduration": str(ANALYSE_LIVE_US),
        "fpsprobesize": "0",  # do not watch a second of video to guess a rate that time stamps tell
    }
    if kind is SourceKind.RTSP:
        options |= {"rtsp_transport": "tcp", "allowed_media_types": "video"}
    return Address(_with_credentials(spec), spec.shown, options)


def _with_credentials(spec: CameraSpec) -> str:
    parts = urlsplit(spec.url)
    host = parts.netloc
    if spec.username is not None:
        password = "" if spec.password is None else f":{quote(spec.password, safe='')}"
        host = f"{quote(spec.username, safe='')}{password}@{host}"
    return urlunsplit((parts.scheme.lower(), host, parts.path, parts.query, parts.fragment))
