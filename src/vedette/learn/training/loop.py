"""A whole training run: prepare, learn epoch by epoch, validate, keep checkpoints, leave a report.

A kill at any moment loses at most the steps since the last checkpoint: `train(..., resume=True)` takes up weights,
optimiser, random state, schedule and history there, and the batches that follow are those that would have followed
(`loading`). Validation judges the averaged weights; the best by the mean of mAP50 and mAP50-95 become best.weights.

Several processes (`peers`) go through all of it alike, by the clock of the first; it alone writes and speaks.
"""

import time
from pathlib import Path
from typing import Any

from vedette.contracts.ports import Progress
from vedette.learn.data.errors import DataError
from vedette.learn.data.split_files import read_split_file
from vedette.learn.training.arithmetic import Arithmetic, choose_arithmetic
from vedette.learn.training.batch_size import settle_batch, settled_before
from vedette.learn.training.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, mend_checkpoints
from vedette.learn.training.data_check import CHECK_FILE
from vedette.learn.training.determinism import check_repeatable, facts_of, repeatable
from vedette.learn.training.errors import ResumeError
from vedette.learn.training.event_files import check_available
from vedette.learn.training.intake import take_in
from vedette.learn.training.memory import keep_freed_memory
from vedette.learn.training.peers import ALONE, Peers
from vedette.learn.training.prepare import FROZEN, Prepared, check_same_run, prepare
from vedette.learn.training.recipe_file import RECIPE_FILE, recipe_text
from vedette.learn.training.recipe_parts import learner_for
from vedette.learn.training.recipes import changed_recipe, followed_of_cfg, length_line, recipe_lines, with_length_for
from vedette.learn.training.run_folder import CLASS_MAP_FILE, SPLIT_FILE, RunFolder
from vedette.learn.training.series import Series
from vedette.learn.training.settings import TrainSettings, differences
from vedette.learn.training.shared_run import check_alike, check_shares, own_folder
from vedette.learn.training.training_run import TrainingRun, TrainResult, go_on


def train(settings: TrainSettings, run_folder: Path, progress: Progress, resume: bool = False) -> TrainResult:
    """Train to the end of the schedule. Blocks; Ctrl-C stops after the step at hand, with a checkpoint.

    Raises:
        InputError: settings, data, weights or the run folder cannot be used.
        DivergedError: the loss is not finite.
        KeyboardInterrupt: after Ctrl-C, the checkpoint written.
    """
    result = train_together(ALONE, settings, run_folder, progress, resume=resume)
    assert result is not None  # the first process, which this is, gets one
    return result


def train_together(
    peers: Peers,
    settings: TrainSettings,
    run_folder: Path,
    progress: Progress,
    *,
    resume: bool,
    series: Series | None = None,
) -> TrainResult | None:
    """`train` as one of several processes, each of which calls this; they end with the same weights.

    The run folder and `resume` are the first one's, and so is the result; there is none for the others. `series` says
    where the run stands among others.

    Raises:
        PeerError: another process has failed, is gone, or has other data; what else, `train` says.
    """
    began = time.monotonic()
    check_shares(settings, peers)
    resume = bool(peers.sum([float(resume and peers.is_first)])[0])
    check_available(settings.tensorboard and peers.is_first)
    mended = peers.together(lambda: mend_checkpoints(run_folder) if resume and peers.is_first else None)
    if mended is not None:
        progress.say(mended)
    with own_folder(run_folder, peers, resume=resume) as folder:
        run = RunFolder(folder)
        begun = peers.together(lambda: run.read_settings() if resume else {})
        settings = settled_before(settings, begun)
        if begun:
            settings = with_length_for(settings, max(len(begun.get("classes", [])), 1))
        with repeatable(settings.deterministic, begun):
            arithmetic, prepared, checkpoint = peers.together(lambda: _prepare(settings, run, progress, begun, peers))
            prepared, chosen = settle_batch(prepared, arithmetic, peers)
            settings = prepared.settings
            for line in (chosen, None if resume else length_line(settings, len(prepared.train))):
                if line is not None:
                    progress.say(line)
            check_alike(settings, prepared, arithmetic, peers)
            if not resume:
                facts: dict[str, Any] = dict(facts_of(arithmetic, peers)) if settings.deterministic else {}
                facts |= {} if chosen is None else {"batch_chosen": chosen}
                peers.together(lambda: _write_beginning(run, settings, prepared, facts))
            learner = learner_for(prepared.network, settings, prepared.class_weights, arithmetic, peers)
            training = TrainingRun(run, prepared, learner, progress)
            training.take_up(checkpoint, began, series)
            with run.written(go_on(run.path, series)):
                return training.run_to_end()


def _prepare(
    settings: TrainSettings, run: RunFolder, progress: Progress, begun: dict[str, Any], peers: Peers
) -> tuple[Arithmetic, Prepared, Checkpoint | None]:
    """All that can be refused before anything is written. `begun` are the settings of a run that is to be resumed."""
    resume = bool(begun)
    # a run that died before its first checkpoint starts again at its beginning
    checkpoint = load_checkpoint(run.path) if resume and has_checkpoint(run.path) else None
    if resume and (
        found := differences({k: v for k, v in begun.items() if k in settings.to_flat()}, settings.to_flat())
    ):
        raise ResumeError(f"{run.path} was begun with other settings: {'; '.join(found)}")
    if not resume:
        run.check_free()
    arithmetic = choose_arithmetic(settings.device, settings.precision)
    intake = take_in(settings, run, resume=resume)  # before anything is said: what is refused is refused alone
    progress.say(arithmetic.reason)
    for line in [changed_recipe(run.path, settings)] if resume else recipe_lines(intake.settings):
        if line is not None:
            progress.say(line)
    if arithmetic.device.type == "cpu":
        keep_freed_memory()
    if settings.deterministic:
        check_repeatable(arithmetic, peers, begun)
    splits = _begun_splits(run) if resume else {}
    prepared = prepare(intake, run, progress, processes=peers.local_count)
    if resume:
        check_same_run(begun, splits, prepared)
        run.remove_leftovers()
    return arithmetic, prepared, checkpoint


def _begun_splits(run: RunFolder) -> dict[str, tuple[str, ...]]:
    try:
        return read_split_file(run.path / SPLIT_FILE)
    except DataError as error:
        raise ResumeError(f"{error}; bring it back, or train anew in another folder") from error


def _write_beginning(run: RunFolder, settings: TrainSettings, prepared: Prepared, facts: dict[str, Any]) -> None:
    run.create()
    with run.written(""):
        _write_documents(run, settings, prepared, facts)


def _write_documents(run: RunFolder, settings: TrainSettings, prepared: Prepared, facts: dict[str, Any]) -> None:
    run.write_network(prepared.cfg_text, prepared.data.classes, prepared.splits)
    run.write_document(CHECK_FILE, prepared.check.as_document())
    if settings.single_class is not None:
        run.write_document(CLASS_MAP_FILE, dict.fromkeys(prepared.named, settings.single_class))
    run.write_text(RECIPE_FILE, recipe_text(settings))
    facts |= {**followed_of_cfg(settings), FROZEN: prepared.frozen_layers}
    facts |= {
        "classes": list(prepared.data.classes),
        "data_digest": prepared.data_digest,
        "train_pictures": len(prepared.train),
        "val_pictures": len(prepared.val),
    }
    run.write_settings({**settings.to_flat(), **facts})
