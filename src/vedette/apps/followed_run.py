"""A RUN folder of a job that trains elsewhere: curves, pictures and report kept up to date while it is followed.

Rows come from the job's log, pictures and the rest from its checkpoints in S3. The marker `job.json` says whose folder
it is; the run that the job leaves takes the folder's place in the end (`job_fetching`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from vedette.contracts.errors import InputError, VedetteError
from vedette.contracts.ports import Progress

MARKER = "job.json"
DOCUMENTS = ("settings.json", "split.json", "names.txt", "model.cfg", "evaluation.json", "labels.png")
PICTURES = ("train_batch*.jpg", "val_batch*.jpg")
WRITTEN = (*DOCUMENTS, *PICTURES, MARKER, "results.csv", "results.png", "report.html")
MOST_FILE_BYTES = 32 << 20
WRITE_EVERY_S = 2.0  # results.csv and report.html; a few milliseconds
DRAW_EVERY_S = 15.0  # results.png, a second of a processor, and the pictures in S3


def job_of(run: Path) -> str | None:
    """The job that a folder follows; None when it is no such folder, or holds anything that following has not written.

    Raises:
        InputError: it cannot be looked into.
    """
    try:
        names = [path.name for path in run.iterdir()] if run.is_dir() else []
        document = json.loads((run / MARKER).read_text("utf-8")) if MARKER in names else {}
    except OSError as error:
        raise InputError(f"{run} cannot be looked into: {error.strerror or error}") from error
    except ValueError:
        return None
    known = all(name.startswith(".") or any(PurePosixPath(name).match(one) for one in WRITTEN) for name in names)
    job = document.get("job") if isinstance(document, dict) and known else None
    return job if isinstance(job, str) else None


def check_folder(run: Path, job: str | None) -> None:
    """Refuse a place where something else lies than what following `job` has written; makes nothing.

    Raises:
        InputError: it does.
    """
    followed = job_of(run)
    if followed is not None and followed != job:
        raise InputError(
            f"{run} follows {followed}; come back to that with: vedette jobs follow {followed} --out {run}; "
            "or choose another folder"
        )
    if followed is None and run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise InputError(f"{run} is not empty; choose another folder")


class FollowedRun:
    """Writes into one run folder what is heard of a job."""

    def __init__(self, folder: Path, job: str) -> None:
        """Make the folder, or take up that of the same job.

        Raises:
            InputError: something else lies there, or it cannot be written.
        """
        from vedette.learn.training.run_folder import Row, RunFolder

        self.folder, self._job = folder, job
        self._run = RunFolder(folder)
        self._rows: list[Row] = []
        self._expected = 0  # epochs
        self._tags: dict[str, tuple[int, str | None]] = {}  # of what was brought from S3
        self._written_at = self._drawn_at = float("-inf")
        self._changed = False
        check_folder(folder, job)
        self._run.create()
        self._write(MARKER, {"job": job})

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self._rows)

    def begin(self, settings: Mapping[str, Any], epochs: int) -> None:
        """What the job was asked for; replaced by the run's own settings once they are in S3."""
        self._expected = epochs
        self._write("settings.json", settings)
        self._changed = True

    def expect(self, epochs: int) -> None:
        """How many epochs there will be, once the job has said it."""
        self._expected = max(self._expected, epochs)

    def add(self, figures: Mapping[str, float]) -> None:
        """The figures of an epoch. A resumed run repeats epochs: what it says now counts."""
        from vedette.learn.training.report import RESULTS_COLUMNS

        epoch = figures["epoch"]
        self._rows = [row for row in self._rows if (row["epoch"] or 0) < epoch]
        self._rows.append({name: figures.get(name) for name in RESULTS_COLUMNS})
        self._changed = True

    def write(self, checkpoints: str | None, state: str, progress: Progress, *, finished: bool = False) -> None:
        """results.csv, results.png and report.html, if anything is new.

        Raises:
            InputError: the folder cannot be written.
        """
        now = time.monotonic()
        if not (self._changed and (finished or now - self._written_at >= WRITE_EVERY_S)):
            return
        self._changed, self._written_at = False, now
        draw = bool(self._rows) and (finished or now - self._drawn_at >= DRAW_EVERY_S)
        if draw:
            self._drawn_at = now
            self._bring(checkpoints, progress)
        try:
            self._write_curves(state, draw=draw, finished=finished)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {error.strerror or error}") from error

    def _write_curves(self, state: str, *, draw: bool, finished: bool) -> None:
        from vedette.learn.training.plots import write_results_plot
        from vedette.learn.training.report import RESULTS_FILE, write_report

        if self._rows:
            self._run.write_results(self._rows)
        if draw:
            write_results_plot(self.folder / RESULTS_FILE, self.folder / "results.png")
        facts = {"job": self._job, "state": state, "last heard of": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        write_report(self.folder, epochs=max(self._expected, self.epochs), finished=finished, facts=facts)

    def _bring(self, checkpoints: str | None, progress: Progress) -> None:
        """The run's own small files, as far as they have reached S3. Without them there are the curves."""
        if checkpoints is None:
            return
        from vedette.apps.object_storage import open_place

        try:
            store = open_place(f"{checkpoints.rstrip('/')}/run")
            for one in store.list():
                wanted = any(PurePosixPath(one.name).match(name) for name in (*DOCUMENTS, *PICTURES))
                if "/" in one.name or not wanted or self._tags.get(one.name) == (one.size_bytes, one.etag):
                    continue
                store.download(one.name, self.folder / one.name, MOST_FILE_BYTES)
                self._tags[one.name] = (one.size_bytes, one.etag)
        except VedetteError as error:
            progress.say(f"pictures of the run cannot be brought: {error}")

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        from vedette.learn.training.atomic import write_atomically

        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        try:
            write_atomically(self.folder / name, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {error.strerror or error}") from error
