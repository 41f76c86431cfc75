"""Follows a training job elsewhere: its states and log drive the bar, the curves and the page as a local run does.

Leaves the job alone whatever happens here: Ctrl-C, a broken network, a full disk end the following only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from vedette.apps.console import ConsoleProgress
from vedette.apps.followed_run import FollowedRun
from vedette.apps.progress_lines import ProgressLine, read_progress_line

if TYPE_CHECKING:
    from vedette.learn.sagemaker.job_logs import JobLogs, LogLine
    from vedette.learn.sagemaker.job_service import JobService, JobState

QUIET_LOOKS = 2  # without a new line, after the end
MOST_FAILURES = 120  # looks one after the other; each was tried several times
Told = TypeVar("Told")
LEAD = "algo-1"  # the host that tells of all of them, and draws the bar
_EPOCH = re.compile(r"epoch ([0-9]{1,7})/([0-9]{1,7})")


class JobView:
    """What a person sees of a job."""

    def __init__(self, progress: ConsoleProgress, run: FollowedRun) -> None:
        self._progress, self._run = progress, run
        self._shown = 0  # transitions
        self._at: ProgressLine | None = None

    def catch_up(self, state: JobState, lines: list[LogLine]) -> None:
        """Take up a job that has been running for a while: its figures, not everything it ever said."""
        self._shown = max(len(state.transitions) - 1, 0)
        last = None
        for line in lines:
            if not self._take_figures(line):
                last = self._progress_of(line) or last
        self._progress.say(f"{state.name}: {state.status}, {self._run.epochs} epochs done")
        if last is not None:
            self._advance(last)

    def show(self, state: JobState, lines: list[LogLine]) -> None:
        """What is new."""
        for status, _, message in state.transitions[self._shown :]:
            self._progress.say(f"{status}{f': {message}' if message else ''}")
        self._shown = len(state.transitions)
        for line in lines:
            if self._take_figures(line):
                continue
            found = self._progress_of(line)
            if found is not None:
                self._advance(found)
            elif line.text.strip():
                self._progress.say(line.text if line.host == LEAD else f"[{line.host}] {line.text}")

    def _take_figures(self, line: LogLine) -> bool:
        from vedette.learn.sagemaker.metrics import read_metrics_line

        figures = read_metrics_line(line.text)
        if figures.get("epoch", 0) >= 1:
            self._run.add(figures)
        return bool(figures)

    def _progress_of(self, line: LogLine) -> ProgressLine | None:
        found = read_progress_line(line.text)
        if found is None or line.host != LEAD:
            return None
        epoch = _EPOCH.fullmatch(found.stage)
        if epoch is not None:
            self._run.expect(int(epoch[2]))
        return found

    def _advance(self, line: ProgressLine) -> None:
        if not self._progress.has_bar:
            self._progress.say(line.text)
            return
        before = self._at
        if before is None or before.stage != line.stage or before.total != line.total or before.done > line.done:
            self._progress.start(line.stage, line.total, line.unit, line.spent_s)
            before = None
        self._at = line
        self._progress.advance(line.done - (before.done if before is not None else 0), **line.figures)


def follow_job(
    service: JobService,
    logs: JobLogs,
    state: JobState,
    run: FollowedRun,
    *,
    pause: Callable[[], None],
) -> JobState:
    """Show a job until it has ended; returns how. `state` is what is known of it at the beginning.

    Raises:
        JobError: AWS has not answered for very long, or does not let us look.
        KeyboardInterrupt: Ctrl-C; the job goes on.
    """
    settings = {**state.hyperparameters, "instance": state.instance, "instances": state.instances}
    epochs = state.hyperparameters.get("epochs", "0")
    run.begin(settings, int(epochs) if epochs.isdigit() else 0)
    with ConsoleProgress() as progress:
        view = JobView(progress, run)
        looks = _Looks(service, logs, progress)
        lines = looks.lines()
        if lines:
            view.catch_up(state, lines)
        quiet, had_ended = 0, state.has_ended
        while True:
            view.show(state, [])
            finished = state.has_ended and (had_ended or quiet >= QUIET_LOOKS)
            run.write(state.checkpoints, state.secondary_status, progress, finished=finished)
            if finished:
                return state
            pause()
            state, lines = looks.state(state), looks.lines()
            view.show(state, lines)
            quiet = quiet + 1 if state.has_ended and not lines else 0


class _Looks:
    """Asks AWS, and bears with it: a job of a day is not lost sight of for a minute without a network."""

    def __init__(self, service: JobService, logs: JobLogs, progress: ConsoleProgress) -> None:
        self._service, self._logs, self._progress = service, logs, progress
        self._failures = {"state": 0, "lines": 0}  # one after the other

    def state(self, before: JobState) -> JobState:
        return self._patiently("state", lambda: self._service.describe(before.name), before)

    def lines(self) -> list[LogLine]:
        return self._patiently("lines", self._logs.new_lines, [])

    def _patiently(self, what: str, ask: Callable[[], Told], instead: Told) -> Told:
        from vedette.learn.sagemaker.errors import ServiceUnreachableError

        try:
            told = ask()
        except ServiceUnreachableError as error:
            self._failures[what] += 1
            if self._failures[what] >= MOST_FAILURES:
                raise
            if self._failures[what] == 1:
                self._progress.say(f"{error}; the job goes on, and so does looking for it")
            return instead
        self._failures[what] = 0
        return told
