"""How every command speaks: JSON or plain text on standard output, progress and messages on standard error.

Exit codes: 0 good, 1 the input or result is bad, 2 wrong usage, 130 Ctrl-C (`vedette.apps.cli.main` maps them).
"""

import json
import sys
import time
from types import TracebackType
from typing import IO, Any

PLAIN_LINE_INTERVAL_S = 5.0
SHOWN_STAGES = 5  # bars at once: the one at hand, and those before it


def print_json(document: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    """Write one line of a report to standard output."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on standard output; numbers (cells of digits, dots, signs, per cent) are set flush right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        numeric = bool(cells) and all(not cell.strip("0123456789.,+-% –") for cell in cells)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)


class ConsoleProgress:
    """`contracts.ports.Progress` on standard error: a bar with rate and ETA on a terminal, else a line now and then.

    Use as a context manager, so that the cursor comes back after an error.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self.has_bar = self._stream.isatty()
        self._bar = _RichBar(self._stream) if self.has_bar else _PlainLines(self._stream)

    def start(self, stage: str, total: int, unit: str, spent_s: float = 0.0) -> None:
        """`spent_s`: for how long the stage has been going on, where it is work of another machine."""
        self._bar.start(stage, total, unit, spent_s)

    def advance(self, count: int = 1, **figures: float) -> None:
        self._bar.advance(count, figures)

    def say(self, line: str) -> None:
        self._bar.say(line)

    def __enter__(self) -> "ConsoleProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close(failed=kind is not None)


class _PlainLines:
    """One line every few seconds and one at the end of each stage, for logs and pipes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._stage = ""
        self._unit = ""
        self._total = self._done = 0
        self._began = self._last = time.monotonic()
        self._figures: dict[str, float] = {}

    def start(self, stage: str, total: int, unit: str, spent_s: float) -> None:
        self.close()
        self._stage, self._total, self._unit, self._done, self._figures = stage, total, unit, 0, {}
        self._last = time.monotonic()
        self._began = self._last - spent_s

    def advance(self, count: int, figures: dict[str, float]) -> None:
        self._done += count
        self._figures.update(figures)
        now = time.monotonic()
        if now - self._last >= PLAIN_LINE_INTERVAL_S and self._done < self._total:
            self._last = now
            self._write(now)

    def say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self, failed: bool = False) -> None:
        if self._stage:
            self._write(time.monotonic(), over=True)
            self._stage = ""

    def _write(self, now: float, over: bool = False) -> None:
        spent = max(now - self._began, 1e-9)
        rate = self._done / spent
        left = (self._total - self._done) / rate if rate > 0 else float("nan")
        tail = f" in {clock(spent)}" if over or rate <= 0 else f", {clock(left)} left"
        self.say(
            f"{self._stage}: {self._done}/{self._total} {self._unit}, {rate:.1f}/s{tail}{format_figures(self._figures)}"
        )


class _RichBar:
    """rich's bar on a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),  # the words of others, when a job is followed
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[figures]}", markup=False),
            console=Console(file=stream, highlight=False),
        )
        self._task: Any = None
        self._unit = ""
        self._began = 0.0
        self._done = 0

    def start(self, stage: str, total: int, unit: str, spent_s: float) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)
        for over in self._progress.task_ids[: 1 - SHOWN_STAGES]:  # bars that do not fit the screen would hide this one
            self._progress.remove_task(over)
        self._unit, self._began, self._done = unit, time.monotonic() - spent_s, 0
        self._task = self._progress.add_task(stage, total=total, rate="", figures="")
        self._progress.start()

    def advance(self, count: int, figures: dict[str, float]) -> None:
        self._done += count
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        fields: dict[str, Any] = {"rate": f"{rate:.1f} {self._unit}/s"}
        if figures:
            fields["figures"] = format_figures(figures).strip(", ")
        self._progress.update(self._task, advance=count, **fields)

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, emoji=False)

    def close(self, failed: bool = False) -> None:
        self._progress.stop()


def format_figures(figures: dict[str, float]) -> str:
    """`, loss 1.23, map50 0.812`"""
    return "".join(f", {name} {value:.4g}" for name, value in figures.items())


def clock(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
