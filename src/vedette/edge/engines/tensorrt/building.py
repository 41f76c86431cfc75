"""Lets `builder_program` build: in a process of its own, watched, told of, and ended when it takes too long."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue

from vedette.contracts.ports import Progress
from vedette.edge.engines.errors import EngineError

PROGRAM = "vedette.edge.engines.tensorrt.builder_program"
TELL_EVERY_S = 15.0
LAST_WORDS = 3

OnLine = Callable[[str], None]


def run_builder(recipe: Path, time_limit_s: float, progress: Progress) -> None:
    """Build what a recipe's file says. Blocks.

    Raises:
        EngineError: it cannot be built, the process died, or the time is over.
    """
    steps = _Steps(progress)
    watch([sys.executable, "-m", PROGRAM, str(recipe)], time_limit_s, progress, steps.take)
    if steps.error is not None:
        raise EngineError(steps.error)


def watch(command: list[str], time_limit_s: float, progress: Progress, on_line: OnLine) -> None:
    """Run a program that builds, line by line, saying now and then for how long; it and its children end with it.

    Raises:
        EngineError: it failed without saying why through `on_line` raising first, or takes longer than it may.
    """
    began_s = time.monotonic()
    told_s = began_s
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True
        )
        lines: Queue[str | None] = Queue(maxsize=1000)
        reader = threading.Thread(target=_read, args=(process, lines), name="vedette-builder", daemon=True)
        reader.start()
        try:
            while True:
                now_s = time.monotonic()
                if now_s - began_s > time_limit_s:
                    raise EngineError(
                        f"building the engine took longer than {time_limit_s:.0f} s and was stopped; a smaller model, "
                        "swap on the disk or nothing running beside it make it faster"
                    )
                if now_s - told_s > TELL_EVERY_S:
                    told_s = now_s
                    progress.say(f"building the engine, {now_s - began_s:.0f} s")
                try:
                    line = lines.get(timeout=min(1.0, max(0.01, began_s + time_limit_s - now_s)))
                except Empty:
                    continue
                if line is None:
                    break
                on_line(line)
            code = process.wait()
        finally:
            _end(process, lines, reader)
        if code:
            complaints.seek(0)
            _require_reason(code, complaints.read().decode("utf-8", "replace"), on_line)


class _Steps:
    """Turns the program's lines into progress."""

    def __init__(self, progress: Progress) -> None:
        self.error: str | None = None
        self._progress = progress
        self._phase, self._done = "", 0

    def take(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return  # a library that writes to standard output
        if not isinstance(said, dict):
            return
        if "error" in said:
            raise EngineError(str(said["error"]))
        if "phase" in said:
            phase, done, steps = str(said["phase"]), int(said["done"]), int(said["steps"])
            if done == 0:
                self._phase, self._done = phase, 0
                self._progress.start(phase.lower(), steps, "steps")
            elif phase == self._phase and done > self._done:
                self._progress.advance(done - self._done)
                self._done = done


def _read(process: "subprocess.Popen[bytes]", lines: "Queue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.decode("utf-8", "replace").rstrip("\n"))
    lines.put(None)


def _end(process: "subprocess.Popen[bytes]", lines: "Queue[str | None]", reader: threading.Thread) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while reader.is_alive():  # it may wait for room
        try:
            lines.get(timeout=0.05)
        except Empty:
            continue
    assert process.stdout is not None
    process.stdout.close()


def _require_reason(code: int, complaints: str, on_line: OnLine) -> None:
    words = "; ".join([line.strip() for line in complaints.splitlines() if line.strip()][-LAST_WORDS:])
    if code == -signal.SIGKILL:
        reason = "it was killed, most likely for want of memory: add swap on the disk, or close what runs beside it"
    elif code < 0:
        reason = f"it died of signal {-code}"
    else:
        reason = f"it ended with {code}"
    raise EngineError(f"the process that builds the engine did not: {reason}{'. It said: ' + words if words else ''}")
