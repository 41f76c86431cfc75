"""Many cameras, one detector: each camera decodes by itself, the caller's thread detects and hands results on.

By itself means in a process of its own (`Isolation.PROCESSES`, the default where the system can), so that a fault in a
native decoder ends that process alone, or in a thread. Both give the same slots in the same order.

Unpaced files are lossless: cameras wait for the detector, nothing is dropped, and when all cameras are such files two
runs give the same batches and results. Live and paced cameras never wait: the newest frame wins and what is lost is
counted. No queue is unbounded. A file that fails is reported once and the others go on; a live camera that does is
`offline` and opened again until it comes back (`reconnect`), so a run with one ends when it is stopped. Memory held per
camera: at most `room` slots (a decoded frame and a fitted picture each).

A read that blocks inside FFmpeg cannot be broken off: a process reports its last counts all the same and ends; a thread
ends by itself after the read timeout, and `run` does not wait for it longer than `ASK_S`: such a thread is a daemon and
holds but its connection. A process that does not answer a stop within `ASK_S` is killed; one that does may, on a busy
machine, take up to `ANSWERED_S` for its last messages.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from vedette.contracts.detections import Detections
from vedette.contracts.gate import GateMode
from vedette.contracts.pipeline import Isolation
from vedette.contracts.ports import BatchResultHandler, Detector, ResultHandler
from vedette.edge.stream.batcher import AsReady, Batch, Batcher, InTurn
from vedette.edge.stream.budget import START_FPS, DetectionBudget
from vedette.edge.stream.camera_spec import OPEN_TIMEOUT_S, READ_TIMEOUT_S, CameraSpec
from vedette.edge.stream.feeding import Feeder
from vedette.edge.stream.isolation import resolve_isolation
from vedette.edge.stream.mailbox import Arrivals, LosslessQueue, Mailbox, NewestWins
from vedette.edge.stream.packet_taps import PacketTaps
from vedette.edge.stream.spawner import Spawner
from vedette.edge.stream.statistics import CameraCounters, CameraState, CameraStatistics
from vedette.edge.stream.witness import Answer, StillnessWitness

ASK_S = 1.0  # for a camera to end by itself, or to show that it has heard
ANSWERED_S = 5.0  # for one that has
KILLED_S = 1.0  # for one that was killed
LOOK_S = 0.05
LIVE_BATCH, FILES_BATCH = 4, 8  # boxes and tracks of more pictures at once take less time, where nobody waits for them


class Worker(Protocol):
    """One camera, in a thread (`threaded_camera.ThreadedCamera`) or behind one (`isolated_camera.IsolatedCamera`)."""

    spec: CameraSpec
    counters: CameraCounters
    crash: BaseException | None

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def try_now(self, spec: CameraSpec) -> None: ...

    @property
    def decoder_pid(self) -> int | None: ...

    def ask_fps(self, fps: float) -> None: ...

    def tell_found(self, media_time_s: float, answer: Answer) -> None: ...


class StreamPipeline:
    """Runs once. `stop` and `snapshot` may be called from any thread."""

    def __init__(  # noqa: PLR0913 - settings with defaults, by name
        self,
        cameras: Sequence[CameraSpec],
        detector: Detector,
        handler: ResultHandler,
        every: int = 5,
        batch: int | None = None,
        *,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        isolation: Isolation | None = None,
        spawner: Spawner | None = None,
        pictures: bool | Callable[[str], bool] = True,
        fps: float | Literal["auto"] | None = None,
        taps: PacketTaps | None = None,
        give_up_after_s: float | None = None,
    ) -> None:
        """`isolation` is by processes where the system can, unless told otherwise.

        A `spawner` started earlier saves its start-up time and stays the caller's. Without `pictures` (of any camera,
        or of those that the function, asked before each frame, is false for) the handler gets no full picture, which
        saves copying them between processes. With `fps` that many detections a second of media time are due of each
        camera instead of every Nth frame; `auto` shares what the machine gives, and needs live or paced cameras.
        `taps` hand the cameras' own packets on to whoever wants them.
        A live camera that is away for longer than `give_up_after_s` has failed; None: never, 0: at once.
        """
        names = [camera.name for camera in cameras]
        lossless = all(camera.is_lossless for camera in cameras)
        if batch is None:
            batch = FILES_BATCH if lossless else LIVE_BATCH
        if not names or len(set(names)) < len(names) or every < 1 or batch < 1:
            raise ValueError(
                f"need cameras with different names, every >= 1, batch >= 1; got {names}, {every}, {batch}"
            )
        if fps == "auto" and any(camera.is_lossless for camera in cameras):
            raise ValueError("files that are not paced take all that the machine gives: fps='auto' is not for them")
        self._detector = detector
        self._taps = taps
        self._handler = handler
        self._batch_handler = handler if isinstance(handler, BatchResultHandler) else None
        self._batch = batch
        self._arrivals = Arrivals()
        room = max(2, -(-2 * batch // len(cameras)))  # the next batch can be decoded while this one is detected on
        boxes: list[Mailbox] = [
            LosslessQueue(self._arrivals, room, waits_for_answers=camera.gating is not GateMode.OFF)
            if camera.is_lossless
            else NewestWins(self._arrivals)
            for camera in cameras
        ]
        self._batcher: Batcher = (InTurn if lossless else AsReady)(self._arrivals, boxes)
        self._spawner, self._owns_spawner = spawner, spawner is None
        self._give_up_after_s = give_up_after_s
        timeouts_s = (open_timeout_s, read_timeout_s)
        counters = [CameraCounters(camera.name) for camera in cameras]
        self._fps = START_FPS if fps == "auto" else fps
        self._around: AbstractContextManager[None] = contextlib.nullcontext()  # what a run needs of its process
        make = self._isolated if resolve_isolation(isolation) is Isolation.PROCESSES else self._threaded
        wanted = pictures if callable(pictures) else lambda _: bool(pictures)
        self._workers = make(list(zip(cameras, boxes, counters, strict=True)), every, timeouts_s, wanted)
        self._counters = {worker.spec.name: worker.counters for worker in self._workers}
        self._witnessed = {
            worker.spec.name: (StillnessWitness(), worker)
            for worker in self._workers
            if worker.spec.gating is not GateMode.OFF
        }
        self._budget = DetectionBudget(self._workers, boxes) if fps == "auto" else None

    def run(self) -> tuple[CameraStatistics, ...]:
        """Watch until every camera is over or `stop` is called; the last statistics, in the order of the cameras.

        Every camera gets exactly one `on_camera_end` (at a stop without an error). When every camera failed, each
        result has the state `failed` (see `statistics.all_failed`). What the detector or the handler raises is raised
        here, after the cameras were stopped.
        """
        threads = [
            threading.Thread(target=worker.run, name=f"camera-{worker.spec.name}", daemon=True)
            for worker in self._workers
        ]
        waiting = dict(enumerate(self._workers))
        feeder = Feeder(self._batcher, self._detector, self._batch)
        if self._owns_spawner and self._spawner is not None:
            self._spawner.start()
        with self._around:
            self._run(threads, feeder, waiting)
        for worker in waiting.values():
            self._report_end(worker)
        return self.snapshot()

    def _run(self, threads: Sequence[threading.Thread], feeder: Feeder, waiting: dict[int, Worker]) -> None:
        """From the first camera's start to the last one's end; cameras that are over leave `waiting`."""
        try:
            for thread in threads:
                thread.start()
            for batch, found in feeder.results():
                self._hand_on(batch, found)
                if self._budget is not None:
                    self._budget.look(time.monotonic())
                for number in batch.ended:
                    self._report_end(waiting.pop(number))
        finally:
            self.stop()
            feeder.close()
            self._join(threads)
            if self._owns_spawner and self._spawner is not None:
                self._spawner.close()

    def stop(self) -> None:
        """End the run soon: no further batch is begun."""
        self._arrivals.close()
        for worker in self._workers:
            worker.stop()

    def try_now(self, spec: CameraSpec) -> None:
        """Open this camera again at once if it is away, with the password in `spec`; from any thread."""
        for worker in self._workers:
            if worker.spec.name == spec.name:
                worker.try_now(spec)

    def snapshot(self) -> tuple[CameraStatistics, ...]:
        """How every camera is doing now, in their order."""
        now = time.monotonic()
        return tuple(worker.counters.snapshot(now) for worker in self._workers)

    def decoder_pids(self) -> list[int]:
        """The processes that decode at the moment; none where cameras are threads."""
        return [worker.decoder_pid for worker in self._workers if worker.decoder_pid is not None]

    def _hand_on(self, batch: Batch, found: Sequence[Detections]) -> None:
        results = [(slot.frame, slot.picture, one) for slot, one in zip(batch.slots, found, strict=True)]
        for frame, _, detections in results:
            stamp = frame.stamp
            counters = self._counters[stamp.camera]
            counters.detected += 1
            counters.objects += len(detections)
            if stamp.camera in self._witnessed:
                witness, worker = self._witnessed[stamp.camera]
                worker.tell_found(stamp.media_time_s, witness.compare(detections, after_stillness=stamp.still_s > 0))
        if self._batch_handler is not None:
            self._batch_handler.on_results(results)
        else:
            for result in results:
                self._handler.on_result(*result)
        for slot in batch.slots:
            if slot.done is not None:
                slot.done()

    def _report_end(self, worker: Worker) -> None:
        if worker.crash is not None:
            raise worker.crash
        self._handler.on_camera_end(worker.spec.name, worker.counters.error)

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        began = time.monotonic()
        for thread, worker in zip(threads, self._workers, strict=True):
            while thread.is_alive() and time.monotonic() < began + _patience_s(worker.counters):
                thread.join(LOOK_S)
        for thread, worker in zip(threads, self._workers, strict=True):
            if thread.is_alive():
                worker.kill()
        killed = time.monotonic()
        for thread, worker in zip(threads, self._workers, strict=True):
            if thread.is_alive() and worker.decoder_pid is not None:
                thread.join(max(killed + KILLED_S - time.monotonic(), 0.0))
            if thread.is_alive():
                worker.counters.finish(CameraState.STOPPED, None, time.monotonic())

    def _isolated(
        self, parts: "Sequence[Parts]", every: int, timeouts_s: tuple[float, float], pictures: "Pictures"
    ) -> Sequence[Worker]:
        from vedette.edge.stream.isolated_camera import IsolatedCamera, IsolationSettings

        if self._spawner is None:
            self._spawner = Spawner()
        settings = IsolationSettings(
            self._detector.manifest.input,
            every,
            *timeouts_s,
            pictures,
            self._spawner,
            self._fps,
            self._taps,
            self._give_up_after_s,
        )
        return [IsolatedCamera(camera, settings, box, counters) for camera, box, counters in parts]

    def _threaded(
        self, parts: "Sequence[Parts]", every: int, timeouts_s: tuple[float, float], _pictures: "Pictures"
    ) -> Sequence[Worker]:
        from vedette.edge.stream.camera import CameraSettings
        from vedette.edge.stream.packet_tap import PacketTap
        from vedette.edge.stream.threaded_camera import ThreadedCamera, one_opencv_thread

        self._around = one_opencv_thread()
        settings = CameraSettings(
            self._detector.manifest.input, every, *timeouts_s, threading.Event(), self._fps, self._give_up_after_s
        )
        workers = [ThreadedCamera(camera, settings, box, counters) for camera, box, counters in parts]
        if self._taps is not None:
            for worker in workers:
                worker.tap = PacketTap(self._taps.local(worker.spec.name))
        return workers


def _patience_s(counters: CameraCounters) -> float:
    """How long to wait for a camera that was asked to stop; its last messages may already say that it does."""
    return ANSWERED_S if counters.state is CameraState.STOPPED else ASK_S


Pictures = Callable[[str], bool]
Parts = tuple[CameraSpec, Mailbox, CameraCounters]
