"""What `vedette run` says while it runs, on standard error.

Files that end have a length: a bar with rate and time left, or plain lines when standard error is no terminal. A run
with a live or looped camera has none: a line now and then says how it goes. Drops and events are in both.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from vedette.apps.beside import working_beside
from vedette.apps.console import ConsoleProgress
from vedette.apps.watching import Watch
from vedette.contracts.ports import Progress
from vedette.edge.stream.statistics import CameraState, CameraStatistics

LOOK_EVERY_S = 0.25
SAY_EVERY_S = 60.0  # a run without an end may go on for months


@contextmanager
def shown_progress(watch: Watch) -> Iterator[None]:
    """Show how a run goes, from a thread of its own, until the block is left."""
    with ConsoleProgress() as progress, working_beside(partial(_follow, watch, progress), "vedette-progress"):
        yield


def _follow(watch: Watch, progress: Progress, over: threading.Event) -> None:
    while any(one.state is CameraState.OPENING for one in watch.statistics()):
        if over.wait(LOOK_EVERY_S):
            return
    total = frames_to_come(watch.statistics())
    if total is None:
        while not over.wait(SAY_EVERY_S):
            progress.say(describe(watch.statistics(), watch.status().events))
        return
    if total == 0:
        return
    progress.start("watching", total, "frames")
    shown, ended = 0, False
    while not ended:
        ended = over.wait(LOOK_EVERY_S)
        statistics = watch.statistics()
        frames = sum(one.frames + one.skipped + one.gated for one in statistics)
        drops = sum(one.drops for one in statistics)
        progress.advance(frames - shown, events=watch.status().events, drops=drops)
        shown = frames


def frames_to_come(statistics: Sequence[CameraStatistics]) -> int | None:
    """How many frames all cameras will give; None when one of them does not say, or has no end."""
    total = 0
    for one in statistics:
        if one.state is CameraState.FAILED:
            continue
        if one.expected_frames is None:
            return None
        total += one.expected_frames
    return total


def describe(statistics: Sequence[CameraStatistics], events: int) -> str:
    """`watching: 7 of 8 cameras, 210.2 frames/s, 42.0 detected on/s (5.9 to 6.1 a camera), 0 drops, 12 events`"""
    rates = [one.detections_per_s for one in statistics if one.state is CameraState.RUNNING]
    running, each = len(rates), f" ({min(rates):.1f} to {max(rates):.1f} a camera)" if len(rates) > 1 else ""
    fps, detected = sum(one.fps for one in statistics), sum(one.detections_per_s for one in statistics)
    drops = sum(one.drops for one in statistics)
    away = sum(one.state is CameraState.OFFLINE for one in statistics)
    offline = f" ({away} offline)" if away else ""
    return (
        f"watching: {running} of {len(statistics)} cameras{offline}, {fps:.1f} frames/s, "
        f"{detected:.1f} detected on/s{each}, {drops} drops, {events} events"
    )
