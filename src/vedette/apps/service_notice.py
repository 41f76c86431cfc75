"""Tells systemd how a run fares: ready, alive while it makes progress, stopping; nothing where nobody asked.

The watchdog is fed only when detection goes on, or rightly does not: a hung engine or stream is killed and started
again, a run whose cameras are all away is not. Source: sd_notify(3), sd_watchdog_enabled(3): datagrams to
NOTIFY_SOCKET, WATCHDOG_USEC for the process that WATCHDOG_PID names.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from vedette.apps.beside import working_beside

if TYPE_CHECKING:
    from vedette.edge.stream.statistics import CameraStatistics

FEEDS_IN_TIME = 4  # how often the watchdog is fed in the time that it allows
FEW_S = 5.0  # how often the status line is renewed where there is no watchdog


class Progress:
    """Judges from one look to the next whether a run does what it should."""

    def __init__(self) -> None:
        self._before: dict[str, CameraStatistics] = {}

    def goes_on(self, cameras: Sequence[CameraStatistics]) -> bool:
        """Whether detection went on since the last look, or nothing was due, or no camera runs."""
        before, self._before = self._before, {camera.camera: camera for camera in cameras}
        running = [camera for camera in cameras if camera.state.value == "running"]
        if not running or not before:
            return True
        pairs = [(camera, before[camera.camera]) for camera in running if camera.camera in before]
        if any(now.detected + now.gated_slots > then.detected + then.gated_slots for now, then in pairs):
            return True
        nothing_lost = all(now.drops == then.drops for now, then in pairs)
        return nothing_lost and any(now.frames + now.gated > then.frames + then.gated for now, then in pairs)


@contextmanager
def service_notices(
    statistics: Callable[[], Sequence[CameraStatistics]], environment: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Tell systemd about a run, from here to the end of the block."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        yield
        return
    watchdog_s = _watchdog_s(environment)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)  # a supervisor that does not listen must not hold up a run
        place = f"\0{address[1:]}" if address.startswith("@") else address
        _tell(line, place, "READY=1", f"STATUS={_status(statistics())}")
        try:
            with working_beside(partial(_feed, line, place, statistics, watchdog_s), "vedette-watchdog"):
                yield
        finally:
            _tell(line, place, "STOPPING=1")


def _feed(
    line: socket.socket,
    place: str,
    statistics: Callable[[], Sequence[CameraStatistics]],
    watchdog_s: float | None,
    over: threading.Event,
) -> None:
    progress = Progress()
    while not over.wait(FEW_S if watchdog_s is None else watchdog_s / FEEDS_IN_TIME):
        cameras = statistics()
        fed = ("WATCHDOG=1",) if progress.goes_on(cameras) and watchdog_s is not None else ()
        _tell(line, place, *fed, f"STATUS={_status(cameras)}")


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """How long the watchdog waits; None where there is none for this process."""
    asked = environment.get("WATCHDOG_USEC", "")
    if not asked.isdecimal() or int(asked) == 0:
        return None
    meant = environment.get("WATCHDOG_PID", str(os.getpid()))
    return int(asked) / 1e6 if meant == str(os.getpid()) else None


def _status(cameras: Sequence[CameraStatistics]) -> str:
    running = sum(camera.state.value == "running" for camera in cameras)
    rate = sum(camera.detections_per_s for camera in cameras)
    return f"{running} of {len(cameras)} cameras running, {rate:.1f} detections/s"


def _tell(line: socket.socket, place: str, *messages: str) -> None:
    try:
        line.sendto("\n".join(messages).encode(), place)
    except OSError:  # nobody listens any more, or not now: the next message comes soon, and the watchdog judges
        return
