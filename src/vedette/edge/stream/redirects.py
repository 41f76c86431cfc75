"""An RTSP camera that sends its clients to another host is refused before FFmpeg shows that host the password.

FFmpeg follows redirects (RFC 2326, 11.3) with the user and password of before and has no option against it; but it says
so in its log first, in the thread that opens the camera. Whoever is told of it there must not return: a decoder's
process ends itself. A camera without password may redirect as it likes, and any camera within its host; but from rtsps
to rtsp is elsewhere, too.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import av.logging

from vedette.edge.stream.camera_spec import CameraSpec, SourceKind

SAID = re.compile(r"Status 3\d\d: Redirecting to (\S+)")

Refuse = Callable[[str], object]


@contextmanager
def redirects_refused(spec: CameraSpec, refuse: Refuse | None) -> Iterator[None]:
    """Within the block `refuse` is called with a sentence when the camera redirects elsewhere; None: it may.

    Not for two threads at once: FFmpeg has one log.
    """
    if refuse is None or spec.kind is not SourceKind.RTSP or spec.password is None:
        yield
        return
    log, listener, level = logging.getLogger("libav"), _Listener(spec, refuse), av.logging.get_level()
    propagate, log.propagate = log.propagate, False  # what FFmpeg says may hold the password
    python_level = log.level
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    av.logging.set_level(av.logging.INFO)
    try:
        yield
    finally:
        av.logging.set_level(level)
        log.setLevel(python_level)
        log.removeHandler(listener)
        log.propagate = propagate


def explain_redirect(spec: CameraSpec, target: str) -> str | None:
    """Why a camera may not send its client there, in a sentence; None when it may."""
    try:
        before, after = urlsplit(spec.url), urlsplit(target)
        host = after.hostname or "nowhere"
    except ValueError:
        return f"camera '{spec.name}': {spec.shown} sends its clients on to an address that is none; check the camera"
    start = f"camera '{spec.name}': {spec.shown} sends its clients on to"
    if host != before.hostname:
        return (
            f"{start} another host, {host}, which is not shown the password; give that address itself, if it is right"
        )
    if before.scheme.lower() == "rtsps" and after.scheme.lower() != "rtsps":
        return f"{start} a connection that is not encrypted; give an rtsp:// address, if that is right"
    return None


class _Listener(logging.Handler):
    def __init__(self, spec: CameraSpec, refuse: Refuse) -> None:
        super().__init__()
        self._spec, self._refuse = spec, refuse

    def emit(self, record: logging.LogRecord) -> None:
        found = SAID.search(record.getMessage())
        if found is not None and (why := explain_redirect(self._spec, found.group(1))) is not None:
            self._refuse(why)
