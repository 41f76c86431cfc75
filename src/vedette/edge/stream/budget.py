"""`--detect-fps auto` in a run: looks about once a second at what the machine did, and asks each camera for its share.

The policy is `schedule`'s; here is what it is told. For the thread that hands results on: `look` after every batch.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from vedette.edge.stream.mailbox import Mailbox
from vedette.edge.stream.schedule import Observed, RateControl, demand_per_s, fair_rates
from vedette.edge.stream.statistics import CameraCounters, CameraState

PERIOD_S = 1.0
START_FPS = 2.0  # of each camera, until something was measured


class Asked(Protocol):
    """A camera that can be told how many detections a second it may ask for."""

    counters: CameraCounters

    @property
    def decoder_pid(self) -> int | None:
        """The process that decodes, where that is another."""
        ...

    def ask_fps(self, fps: float) -> None: ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """One camera's counters at one moment."""

    frames: int  # decoded or not
    detected: int
    given_up: int  # slots lost and frames skipped, for whatever reason

    @classmethod
    def of(cls, counters: CameraCounters) -> "_Seen":
        frames = counters.frames + counters.skipped + counters.gated
        return cls(frames, counters.detected, counters.drops + counters.overtaken + counters.skipped)


class DetectionBudget:
    """Asks cameras; each starts with `START_FPS`."""

    def __init__(self, cameras: Sequence[Asked], boxes: Sequence[Mailbox]) -> None:
        self._cameras = cameras
        self._boxes = boxes
        self._control = RateControl(len(cameras), START_FPS * len(cameras))
        self._asked = [START_FPS] * len(cameras)
        self._look_s: float | None = None  # when was looked last; None before the first batch
        self._seen: list[_Seen] = []
        self._overtaken = 0
        self._machine = (0.0, 0.0)
        self._cpu_s = 0.0
        self._decoders_s: dict[int, float] = {}  # processor seconds of each that lives

    def look(self, now_s: float) -> None:
        """Measure and ask anew when it is time; `now_s` is on the monotonic clock."""
        if self._look_s is not None and now_s - self._look_s < PERIOD_S:
            return
        seen = [_Seen.of(camera.counters) for camera in self._cameras]
        machine, cpu_s, decoders_s = _machine_times(), time.process_time(), self._decoder_times()
        overtaken = sum(box.overtaken for box in self._boxes)
        if self._look_s is not None:
            steps = list(zip(seen, self._seen, strict=True))
            spent_s = now_s - self._look_s
            detected = sum(now.detected - then.detected for now, then in steps)
            lost = overtaken - self._overtaken
            given_up = sum(now.given_up - then.given_up for now, then in steps)
            busy_s, all_s = (now - then for now, then in zip(machine, self._machine, strict=True))
            ours_s = cpu_s - self._cpu_s
            ours_s += sum(spent - self._decoders_s[pid] for pid, spent in decoders_s.items() if pid in self._decoders_s)
            self._control.update(
                Observed(
                    busy_share=busy_s / all_s if all_s > 0 else 0.0,
                    our_share=ours_s / all_s if all_s > 0 else 0.0,
                    processors=len(_our_processors()),
                    cpu_s_per_detection=(cpu_s - self._cpu_s) / detected if detected else 0.0,
                    detected_per_s=detected / spent_s,
                    overtaken_per_s=lost / spent_s,
                    decoders_late=given_up > lost,
                )
            )
            self._share_out([((now.frames - then.frames) / spent_s, (now.detected - then.detected) / spent_s)
                             for now, then in steps])  # fmt: skip
        self._look_s, self._seen, self._machine, self._cpu_s = now_s, seen, machine, cpu_s
        self._overtaken, self._decoders_s = overtaken, decoders_s

    def _decoder_times(self) -> dict[int, float]:
        spent_s = {}
        for camera in self._cameras:
            if camera.decoder_pid is not None:
                with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended; its camera says so
                    times = psutil.Process(camera.decoder_pid).cpu_times()
                    spent_s[camera.decoder_pid] = times.user + times.system
        return spent_s

    def _share_out(self, rates: Sequence[tuple[float, float]]) -> None:
        """Ask each camera for its share, by the frames and detections a second that it had."""
        wanted = [
            demand_per_s(frames_per_s, asked, detected_per_s) if camera.counters.state is CameraState.RUNNING else 0.0
            for camera, asked, (frames_per_s, detected_per_s) in zip(self._cameras, self._asked, rates, strict=True)
        ]
        for number, share in enumerate(fair_rates(self._control.total_per_s, wanted)):
            if share > 0:
                self._asked[number] = share
                self._cameras[number].ask_fps(share)


def _our_processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _machine_times() -> tuple[float, float]:
    """Busy and all seconds of our processors since the machine started.

    What others do at a lower priority (nice) is time that we could have. Linux counts guests in user time already.
    """
    ours, every = _our_processors(), psutil.cpu_times(percpu=True)
    chosen = [times for number, times in enumerate(every) if number in ours] or every
    busy_s = all_s = 0.0
    for times in chosen:
        counted = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy_s += counted - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "nice", 0.0)
        all_s += counted
    return busy_s, all_s
