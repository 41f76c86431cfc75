"""Cameras that are away are opened again at once when somebody says so: by SIGUSR1, or on the page.

Passwords are read again first, so that one that was wrong can be put right in its file. Without it a camera that
refuses its password is asked only now and then (`edge.stream.reconnect`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vedette.contracts.errors import VedetteError

if TYPE_CHECKING:
    from vedette.contracts.pipeline import Pipeline
    from vedette.edge.live.page import LivePage
    from vedette.edge.stream.camera_spec import CameraSpec


class TryingNow:
    """Of one run; from any thread."""

    def __init__(self, settings: Pipeline, try_now: Callable[[CameraSpec], None]) -> None:
        self._settings, self._try_now = settings, try_now

    def one(self, camera: str) -> bool:
        """Whether there is such a camera.

        Raises:
            VedetteError: a password cannot be read.
        """
        from vedette.apps.pipeline_file import camera_specs

        cameras = [one for one in self._settings.cameras if one.name == camera]
        for spec in camera_specs(self._settings.model_copy(update={"cameras": tuple(cameras)})):
            self._try_now(spec)
        return bool(cameras)

    def all(self) -> None:
        """What cannot be read is said, and the others are tried."""
        from vedette.apps.console import warn

        for camera in self._settings.cameras:
            try:
                self.one(camera.name)
            except VedetteError as error:
                warn(str(error))


@contextmanager
def tried_now(settings: Pipeline, try_now: Callable[[CameraSpec], None], page: LivePage | None) -> Iterator[None]:
    """Within the block SIGUSR1 tries all cameras that are away, the page one."""
    trying = TryingNow(settings, try_now)
    with ExitStack() as closing:
        if page is not None:
            from vedette.edge.live.retry_routes import retry_routes

            closing.enter_context(page.serving(retry_routes(trying.one)))
        closing.enter_context(_by_signal(trying.all))
        yield


@contextmanager
def _by_signal(work: Callable[[], None]) -> Iterator[None]:
    number = getattr(signal, "SIGUSR1", None)
    if number is None:  # Windows
        yield
        return

    def begin(*_: object) -> None:
        threading.Thread(target=work, name="vedette-try-now", daemon=True).start()

    before = signal.signal(number, begin)
    try:
        yield
    finally:
        signal.signal(number, before)
