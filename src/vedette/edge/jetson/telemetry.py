"""How the box fares while a run goes on: /sys, and tegrastats where a Jetson has it, as one `BoxHealth`.

/sys tells what throttles; tegrastats adds the video engines and GPU loads that /sys does not tell. Looked at most
every `LOOK_EVERY_S`, whoever asks; a counter of throttling that has grown is told for `TELL_FOR_S`.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from vedette.contracts.box_health import BoxHealth
from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.sensors import Sensors, read_sensors
from vedette.edge.jetson.tegrastats import TegraStats, parse_tegrastats

LOOK_EVERY_S = 2.0
TELL_FOR_S = 60.0
STALE_S = 10.0  # a line of tegrastats that is older says nothing of now
LONGEST_LINE = 4096


class Telemetry:
    """Thread-safe. `line` gives tegrastats' newest line."""

    def __init__(
        self,
        files: BoxFiles,
        line: Callable[[], TegraStats | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files, self._line, self._clock = files, line, clock
        self._lock = threading.Lock()
        self._looked_s = float("-inf")
        self._health: BoxHealth | None = None
        self._counts: dict[str, int] | None = None
        self._grown_s: dict[str, float] = {}

    def health(self) -> BoxHealth | None:
        """The look of at most `LOOK_EVERY_S` ago; None where the box has no sensor at all."""
        with self._lock:
            now_s = self._clock()
            if now_s - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = now_s
                self._health = self._look(now_s)
            return self._health

    def _look(self, now_s: float) -> BoxHealth | None:
        sensors, line = read_sensors(self._files), self._line()
        health = _put_together(
            sensors, line, (*sensors.too_hot, *self._held_back(sensors), *self._grown(sensors, now_s))
        )
        return None if health == BoxHealth() else health

    def _held_back(self, sensors: Sensors) -> tuple[str, ...]:
        return tuple(f"{name} holds it back" for name in sensors.cooling)

    def _grown(self, sensors: Sensors, now_s: float) -> tuple[str, ...]:
        """Counters that grew lately; what they stood at in the beginning says nothing."""
        if self._counts is not None:
            for name, count in sensors.throttle_counts.items():
                if count > self._counts.get(name, count):
                    self._grown_s[name] = now_s
        self._counts = dict(sensors.throttle_counts)
        return tuple(name for name, at_s in self._grown_s.items() if now_s - at_s < TELL_FOR_S)


def _put_together(sensors: Sensors, line: TegraStats | None, throttled: tuple[str, ...]) -> BoxHealth:
    told = line or TegraStats()
    temperatures = {name: one.celsius for name, one in sensors.temperatures.items()} or dict(told.temperatures_c)
    return BoxHealth(
        throttled=throttled,
        temperatures_c=temperatures,
        rails_mw=sensors.rails_mw or dict(told.rails_mw),
        total_mw=told.total_mw if sensors.total_mw is None else sensors.total_mw,
        gpu_percent=sensors.gpu_load_percent if told.gpu_percent is None else float(told.gpu_percent),
        gpu_mhz=sensors.gpu_mhz if told.gpu_mhz is None else float(told.gpu_mhz),
        cpu_mhz=sensors.cpu_mhz,
        memory_used_mb=told.ram_used_mb,
        memory_mb=told.ram_mb,
        engines_mhz=dict(told.engines_mhz),
    )


class TegraStatsReader:
    """Runs a program that prints tegrastats' lines and keeps the newest; use as a context manager.

    A program that cannot be started, ends, or prints something else leaves nothing to tell: that is all that happens.
    """

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._command, self._clock = command, clock
        self._newest: tuple[float, TegraStats] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def newest(self) -> TegraStats | None:
        """The newest line, unless it is stale."""
        kept = self._newest
        return None if kept is None or self._clock() - kept[0] > STALE_S else kept[1]

    def __enter__(self) -> "TegraStatsReader":
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the run, which then ends this
            )
        except OSError:
            return self
        self._thread = threading.Thread(target=self._read, name="vedette-tegrastats", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None or self._thread is None or self._process.stdout is None:
            return
        with contextlib.suppress(ProcessLookupError):  # all of it may have gone already
            os.killpg(self._process.pid, signal.SIGKILL)  # a script's children hold the pipe, too
        self._process.wait()
        self._thread.join()
        self._process.stdout.close()

    def _read(self) -> None:
        stdout = self._process.stdout if self._process is not None else None
        with contextlib.suppress(ValueError):  # closed under our hands
            while stdout is not None and (line := stdout.readline(LONGEST_LINE)):
                parsed = parse_tegrastats(line)
                if parsed is not None:
                    self._newest = (self._clock(), parsed)
