"""Runs one program for the stream benchmarks and weighs it: wall, processor time and memory with all its children.

Processor time is what the system charges to the program and everything it waited for. Memory is the largest sum of the
proportional set sizes (PSS: shared pages are counted once) of the program and everything below it, sampled twice a
second; a sample of ten processes takes the kernel 27 ms of a processor, so seconds that are compared with another
program's are taken without. `floor` is a program of its own: bare decoding of the same clips (one PyAV thread a clip,
frames thrown away), then bare inference (the engine alone, as asynchronous as in a run) on as many pictures as a run
detects on, the first 64 of them over and over. Fitting those, starting and loading lie outside what is measured. It
decodes every frame; a run leaves out what no due frame builds on, so `needed_share` says how much of the decoding a run
of this kind needs.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compiled import compile_sources

ROOT = Path(__file__).parent.parent
EVERY = 5
PICTURES = 64
SOURCE_PX = (1920, 1080)
SAMPLE_S = 0.5


def weigh(arguments: Sequence[object], timeout_s: float = 3600.0, *, memory: bool = True) -> dict[str, Any]:
    """Run `python ARGUMENTS`: its last JSON document as `said`, wall_s, cpu_s and, with `memory`, pss_mib.

    Raises:
        SystemExit: the program failed.
    """
    compile_sources()
    command = [sys.executable, *map(str, arguments)]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        watcher = _Memory(program.pid) if memory else None
        out, err = b"", b""
        reader = threading.Thread(target=lambda: errors.append(program.stderr.read() if program.stderr else b""))
        errors: list[bytes] = []
        reader.start()
        assert program.stdout is not None
        killer = threading.Timer(timeout_s, program.kill)
        killer.start()
        out = program.stdout.read()
        reader.join()
        killer.cancel()
        _, status, usage = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - began
        if watcher is not None:
            watcher.stop()
        err = errors[0]
    if program.returncode != 0:
        raise SystemExit(f"{command} failed with {program.returncode}: {err.decode()[-2000:]}")
    weights = {"said": _last_json(out.decode()), "wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime}
    if watcher is not None:
        weights |= {"pss_mib": watcher.peak_kib / 1024, "pss_mib_over_time": watcher.over_time}
    return weights


def _last_json(text: str) -> Any:
    """The document that a program printed, alone or behind lines of text."""
    start = 0 if text.startswith("{") else text.rfind("\n{") + 1
    return json.loads(text[start:])


class _Memory:
    """Samples in a thread."""

    def __init__(self, pid: int) -> None:
        self.peak_kib = 0
        self.over_time: list[tuple[float, int]] = []  # seconds, MiB
        self._pid = pid
        self._done = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_S):
            try:
                top = psutil.Process(self._pid)
                total = sum(_pss_kib(process.pid) for process in (top, *top.children(recursive=True)))
            except psutil.NoSuchProcess:
                continue
            self.peak_kib = max(self.peak_kib, total)
            self.over_time.append((round(time.monotonic() - self._began, 1), total // 1024))


def _pss_kib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123 - no path to think about
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def floor(bundle: Path, precision: str, clips: Sequence[Path]) -> dict[str, Any]:
    """What the machine can do at most with these clips: frames, wall_s and cpu_s without starting or loading."""
    figures: dict[str, Any] = weigh(["-m", "benchmarks.stream_measuring", bundle, precision, *clips], memory=False)[
        "said"
    ]
    return figures


def _floor(bundle: str, precision: str, clips: Sequence[str]) -> dict[str, float]:
    from vedette.bundle_folder import open_bundle
    from vedette.contracts.bundle import Precision
    from vedette.edge.engines.submitting import open_async_detector
    from vedette.edge.stream.time_slices import lengthen_time_slices

    lengthen_time_slices()  # as a run does: on a machine with other work it decides what one gets of it
    detector = open_async_detector(open_bundle(bundle), precision=Precision(precision))
    pictures = _pictures(clips, detector.manifest.input)
    detector.submit(pictures[:1], [detector.place(*SOURCE_PX)])
    detector.take()
    counted = [0] * len(clips)
    began, cpu = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=_decode, args=(clip, number, counted)) for number, clip in enumerate(clips)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decoded, decoded_cpu = time.perf_counter(), time.process_time()
    count = sum(-(-frames // EVERY) for frames in counted)
    _infer(detector, pictures, count)
    return {
        "frames": sum(counted),
        "pictures": count,
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "decode_cpu_ms": 1e3 * (decoded_cpu - cpu) / sum(counted),
        "infer_cpu_ms": 1e3 * (time.process_time() - decoded_cpu) / count,
        "decode_wall_s": decoded - began,
        "needed_share": sum(map(_needed, clips)) / sum(counted),
    }


def _decode(clip: str, number: int, counted: list[int]) -> None:
    import av

    with av.open(clip) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        counted[number] = sum(1 for _ in container.decode(stream))


def _needed(clip: str) -> int:
    """How many frames lie between a keyframe and the last due frame of its group."""
    import av

    needed = group = 0
    with av.open(clip) as container:
        packets = (packet for packet in container.demux(video=0) if packet.size)
        for number, packet in enumerate(packets):
            group = 0 if packet.is_keyframe else group
            group += 1
            if number % EVERY == 0:
                needed, group = needed + group, 0
    return needed


def _infer(detector: Any, pictures: Sequence[Any], count: int) -> None:
    started: list[Any] = []
    for number in range(count):
        started.append(detector.start(pictures[number % len(pictures)][None]))
        if len(started) > detector.in_flight:
            oldest = started.pop(0)
            oldest.wait()
            oldest.release()
    for one in started:
        one.wait()


def _pictures(clips: Sequence[str], spec: Any) -> list[Any]:
    """The first frames that a run detects on, fitted; too many for the processor's own cache, as in a run."""
    import itertools

    import av

    from vedette.edge.stream.fitting import FrameFitter

    pictures = []
    for clip in dict.fromkeys(clips):
        fitter = FrameFitter(spec)
        with av.open(clip) as container:
            frames = itertools.islice(container.decode(video=0), 0, EVERY * PICTURES // len(set(clips)), EVERY)
            pictures += [fitter.fit(frame)[0] for frame in frames]
    return pictures


if __name__ == "__main__":
    print(json.dumps(_floor(sys.argv[1], sys.argv[2], sys.argv[3:])))
