"""Runs a program and says what it and everything it started cost: wall time, CPU seconds, memory, first result.

CPU seconds come from the kernel's own account of the program and all its descendants, also of those that outlive their
parent (this process adopts and reaps them). Memory is the sum of the proportional set sizes (PSS) of all of them, each
shared page counted once, sampled every quarter second; the peak is the largest sum. Linux only.
"""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
POLL_S, MEMORY_EVERY_S = 0.01, 0.25
ORPHANS_TIMEOUT_S = 10.0
MARK = "first_result_monotonic_s"  # a program prints {MARK: time.monotonic()} once, when it has its first result


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a program took, and the JSON document that it printed last."""

    wall_s: float
    cpu_s: float
    peak_pss_mib: float
    first_result_s: float | None
    said: dict[str, Any]


class ProgramError(RuntimeError):
    """The program ended with an error; the message holds the end of what it wrote."""


def run_measured(command: Sequence[str], environment: dict[str, str], first_result: Path | None = None) -> Cost:
    """Run a program to its end.

    Args:
        environment: added to this process's.
        first_result: the time at which this file gets its first byte is that of the first result; without it, the
            program says it (MARK).

    Raises:
        ProgramError: with the program's own last words.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphans, whose CPU seconds would be lost")
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        cpu_before, began = _reaped_cpu_s(), time.monotonic()
        program = subprocess.Popen(
            command, env=os.environ | environment, stdout=output, stderr=errors, stdin=subprocess.DEVNULL
        )
        first_at, peak_kib, sample_at = None, 0, began
        while program.poll() is None:
            now = time.monotonic()
            if first_at is None and first_result is not None and _size(first_result) > 0:
                first_at = now
            if now >= sample_at:
                peak_kib = max(peak_kib, sum(_pss_kib(pid) for pid in _descendants(program.pid)))
                sample_at = now + MEMORY_EVERY_S
            time.sleep(POLL_S)
        wall_s = time.monotonic() - began
        _reap_orphans()
        cpu_s = _reaped_cpu_s() - cpu_before
        output.seek(0)
        errors.seek(0)
        written = output.read()
        if program.returncode != 0:
            last = (written + errors.read())[-3000:]
            raise ProgramError(f"{' '.join(command)}: exit code {program.returncode}\n{last}")
    documents = _documents(written)
    if first_at is None and MARK in documents:
        first_at = documents[MARK]
    return Cost(wall_s, cpu_s, peak_kib / 1024, None if first_at is None else first_at - began, documents)


def _documents(written: str) -> dict[str, Any]:
    """All JSON objects that stand on lines of their own, or the one that is everything, as one."""
    with contextlib.suppress(json.JSONDecodeError):
        whole = json.loads(written)
        if isinstance(whole, dict):
            return whole
    found: dict[str, Any] = {}
    for line in written.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                found |= json.loads(line)
    return found


def _reaped_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap_orphans() -> None:
    """Wait for descendants that became ours.

    Raises:
        ProgramError: some go on; their CPU seconds cannot be known.
    """
    until = time.monotonic() + ORPHANS_TIMEOUT_S
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(POLL_S)
    left = _descendants(os.getpid())[1:]
    raise ProgramError(f"processes that the program started have not ended with it: {left}")


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(pid := waiting.pop())
        waiting += children.get(pid, [])
    return found


def _pss_kib(pid: int) -> int:
    with contextlib.suppress(OSError):  # it ended while we looked
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
