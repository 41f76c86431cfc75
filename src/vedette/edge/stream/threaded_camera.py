"""One camera decoded in a thread of this process, opened again when a live camera comes back.

What `isolated_camera` does for a process, without its isolation: a fault in a native decoder ends the whole run, and a
read inside FFmpeg cannot be broken off before its own timeout.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import cv2

from vedette.edge.stream.camera import CameraSettings, CameraWorker, Ending
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.mailbox import Mailbox
from vedette.edge.stream.masking import without_secrets
from vedette.edge.stream.packet_tap import PacketTap
from vedette.edge.stream.position import NEW, Start
from vedette.edge.stream.reconnect import Comeback
from vedette.edge.stream.statistics import CameraCounters, CameraState
from vedette.edge.stream.witness import Answer


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own.

    They wait for more work by spinning, which took 3 % of all processor time of a gated camera, and each camera has a
    thread already.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class ThreadedCamera:
    """Runs one camera; `run` is the body of its thread."""

    def __init__(self, spec: CameraSpec, settings: CameraSettings, mailbox: Mailbox, counters: CameraCounters) -> None:
        self.spec = spec
        self.counters = counters
        self.crash: BaseException | None = None
        self._settings = settings
        self._mailbox = mailbox
        self._hurry = threading.Event()
        self._comeback = Comeback(spec, counters, self._hurry, settings.give_up_after_s)
        self._lock = threading.Lock()
        self.tap: PacketTap | None = None  # set before it runs, where somebody may want the packets
        self._asked_fps: float | None = None
        self._worker = CameraWorker(spec, settings, mailbox, counters, NEW)

    def run(self) -> None:
        """Watch until the end, the stop or the death of the camera. Never raises."""
        self.counters.begin(time.monotonic())
        ending = self._watch()
        self.counters.finish(ending.state, ending.error, time.monotonic())
        self._mailbox.finish()

    def stop(self) -> None:
        """Let `run` end soon; from any thread."""
        self._settings.stop.set()
        self._hurry.set()

    def kill(self) -> None:
        """Nothing to do: a thread cannot be ended from outside."""

    @property
    def decoder_pid(self) -> int | None:
        """None: it decodes in this process."""
        return None

    def try_now(self, spec: CameraSpec) -> None:
        """Open the camera again at once if it is away, with this password; from any thread."""
        with self._lock:
            self.spec = spec
        if self.counters.offline_since_unix_s is not None:
            self._hurry.set()

    def ask_fps(self, fps: float) -> None:
        """Another rate of detections, for a run by rate; from any thread."""
        with self._lock:
            self._asked_fps = fps
            self._worker.ask_fps(fps)

    def tell_found(self, media_time_s: float, answer: Answer) -> None:
        """What the detection at this time says to the gate; from any thread."""
        with self._lock:
            self._worker.tell_found(media_time_s, answer)

    def _watch(self) -> Ending:
        while True:
            self._worker.tap = self.tap
            ending = self._worker.watch()
            if self._worker.crash is not None:
                self.crash = without_secrets(self._worker.crash, self.spec)
                return ending
            if ending.state is not CameraState.FAILED or ending.error is None:
                return ending
            if self._settings.stop.is_set():
                return Ending(CameraState.STOPPED)
            given_up = self._comeback.wait(ending.error, ending.retry, ending.seen_s)
            if self._settings.stop.is_set():
                return Ending(CameraState.STOPPED)
            if given_up is not None:
                return Ending(CameraState.FAILED, given_up)
            self._begin_anew(ending)

    def _begin_anew(self, ending: Ending) -> None:
        start = Start(self._worker.position, ending.seen_s, away=True)
        self.counters.state = CameraState.OPENING
        with self._lock:
            self._worker = CameraWorker(self.spec, self._settings, self._mailbox, self.counters, start)
            if self._asked_fps is not None:
                self._worker.ask_fps(self._asked_fps)
