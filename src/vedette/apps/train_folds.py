"""`vedette train --folds K`: one run after another, each validated on another part of the pictures, then summed up.

Everything about splits is checked before the first fold. What has ended is in RUN/folds.json, what is under way in its
own run folder: `--resume` goes on with both. A time budget is shared out among the folds.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import InputError, UsageError, VedetteError

if TYPE_CHECKING:
    from vedette.learn.training.folds import Document, FoldsFolder
    from vedette.learn.training.peers import Peers
    from vedette.learn.training.settings import TrainSettings

MOST_FOLDS = 50


def train_folds(asked: dict[str, Any], out: Path, count: int | None, *, resume: bool, json: bool) -> int:
    """Train them all, or go on; the exit code.

    Raises:
        VedetteError: they cannot be begun, gone on with, or trained.
    """
    from vedette.apps.console import warn
    from vedette.learn.training.errors import PeerError
    from vedette.learn.training.joining import join_peers
    from vedette.storage.address import is_s3_address

    if is_s3_address(out):
        raise UsageError("--folds trains into a folder on this computer, not into S3")
    if count is not None and not 2 <= count <= MOST_FOLDS:
        raise UsageError(f"--folds must be 2 to {MOST_FOLDS}, not {count}")
    speaks = True
    again = f"vedette train --out {out} --resume"
    try:
        with join_peers(os.environ) as peers:
            speaks = peers.local_rank == 0
            document = _train_all(asked, out, count, resume, peers)
    except KeyboardInterrupt:
        if speaks and out.is_dir():
            warn(f"to go on with the folds: {again}")
        raise
    except VedetteError as error:
        if speaks or isinstance(error, PeerError):
            raise
        return error.exit_code
    if document is not None:
        _show(document, out, json)
    return 0


def _train_all(asked: dict[str, Any], out: Path, count: int | None, resume: bool, peers: Peers) -> Document | None:
    """All folds that have not ended yet, in their order; the document, for the first process."""
    from vedette.apps.console import warn
    from vedette.apps.train_here import set_up_determinism, settings_for, train_as
    from vedette.learn.training.folds import FoldsFolder
    from vedette.learn.training.series import Series

    folder = FoldsFolder(out)
    settings = settings_for(asked, lambda: _flat(asked, folder, count, resume), peers)
    set_up_determinism(settings)
    told = dumps(peers.together(lambda: _begin(settings, folder, count, resume, peers)))
    document = loads(peers.share(told.encode()))
    total, done = document["folds"], {one["fold"]: one for one in document["done"]}
    for number in (number for number in range(1, total + 1) if number not in done):
        budget_s = None if settings.time_budget_s is None else settings.time_budget_s / total
        mine = replace(settings, fold=(number, total), time_budget_s=budget_s)
        spent = [one["elapsed_s"] for one in done.values()]
        again = f"vedette train --out {out} --resume"
        series = Series(number, total, again, sum(spent) / len(spent) if spent else None)
        goes_on = peers.is_first and _is_begun(folder.fold(number))
        if peers.is_first:
            warn(f"fold {number} of {total}: {folder.fold(number)}")
        result = train_as(mine, folder.fold(number), goes_on, peers, series)
        if result is not None:
            figures = {
                "epochs": result.epochs,
                "best_epoch": result.best_epoch,
                "elapsed_s": round(result.elapsed_s, 1),
            }
            done[number] = {"fold": number, **figures, "evaluation": result.evaluation.to_json()}
            document = folder.add(done[number])
        peers.wait()
    return document if peers.is_first else None


def _flat(asked: dict[str, Any], folder: FoldsFolder, count: int | None, resume: bool) -> dict[str, Any]:
    """The settings of all folds, for the first process."""
    from vedette.apps.train_here import new_settings
    from vedette.learn.training.recipes import resumed_settings
    from vedette.learn.training.settings import FREE_ON_RESUME

    if not resume:
        return new_settings(asked)
    document = folder.read()
    if count is not None and count != document["folds"]:
        raise UsageError(f"--folds {count}: {folder.path} was begun with {document['folds']}")
    begun = document["settings"]
    now = resumed_settings(begun, asked).to_flat()
    changed = sorted(key for key in {*begun, *now} - FREE_ON_RESUME if begun.get(key) != now.get(key))
    if changed:
        raise UsageError(f"{folder.path} was begun with another {', '.join(changed)}; leave out what --resume knows")
    return dict(now)


def _begin(settings: TrainSettings, folder: FoldsFolder, count: int | None, resume: bool, peers: Peers) -> Document:
    """The document as it is; begun, if nothing was."""
    from vedette.learn.training.run_folder import RunFolder

    if not peers.is_first:
        return {}
    if resume:
        return folder.read()
    assert count is not None
    RunFolder(folder.path).check_free()
    _check_folds(settings, folder, count)
    folder.begin(count, settings.to_flat())
    return folder.read()


def _check_folds(settings: TrainSettings, folder: FoldsFolder, count: int) -> None:
    """See that every fold can be learnt, before any picture is read.

    Raises:
        InputError: too few pictures, a class that all is in one fold, a network that does not fit.
    """
    from vedette.learn.training.intake import check_network
    from vedette.learn.training.run_folder import RunFolder
    from vedette.learn.training.split_classes import check_classes
    from vedette.learn.training.training_data import choose_splits, read_training_data

    data, _ = read_training_data(settings)
    for number in range(1, count + 1):
        try:
            check_classes(data, choose_splits(data, settings.seed, (number, count)), settings.unjudged)
        except InputError as error:
            raise InputError(f"fold {number} of {count}: {error}") from error
    check_network(settings, RunFolder(folder.fold(1)), data.classes, resume=False)


def _is_begun(run: Path) -> bool:
    """Whether there is something to go on with; what was not even begun is cleared away."""
    from vedette.learn.training.report import SETTINGS_FILE

    if (run / SETTINGS_FILE).is_file():
        return True
    shutil.rmtree(run, ignore_errors=True)
    return False


def _show(document: Document, out: Path, json: bool) -> None:
    from vedette.apps.console import print_json, print_line, print_table
    from vedette.learn.training.folds import FIGURES, spread_text

    if json:
        print_json({**document, "run": str(out)})
        return
    rows = [
        [f"fold {one['fold']}", *(f"{one['evaluation'][key]:.3f}" for key in FIGURES), str(one["best_epoch"])]
        for one in document["done"]
    ]
    rows.append(["mean", *(spread_text(document["summary"][key]) for key in FIGURES), ""])
    print_table(f"{document['folds']} folds", ["", *FIGURES.values(), "best epoch"], rows)
    print_line(f"report: {out}/report.html")
    print_line(f"next:   vedette train --data {document['settings']['data']} --out RUN   # on all of it, to be packed")
