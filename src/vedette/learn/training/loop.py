"""A whole training run: prepare, learn epoch by epoch, validate, keep checkpoints, leave a report.

A kill at any moment loses at most the steps since the last checkpoint: `train(..., resume=True)` takes up weights,
optimiser, random state, schedule and history there, and the batches that follow are those that would have followed
(`loading`). Validation judges the averaged weights; the best by the mean of mAP50 and mAP50-95 become best.weights.

Several processes (`peers`) go through all of it alike, by the clock of the first; it alone writes and speaks.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vedette.contracts.detections import Detections
from vedette.contracts.ports import Progress
from vedette.learn.data.split_files import read_split_file
from vedette.learn.training.arithmetic import Arithmetic, choose_arithmetic, full_precision
from vedette.learn.training.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint
from vedette.learn.training.errors import ResumeError, RunFolderError
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.interrupt import StopRequest, stop_between_steps
from vedette.learn.training.learner import Learner, StepLosses
from vedette.learn.training.loading import Batch, BatchMaker, batch_stream
from vedette.learn.training.peers import ALONE, Peers
from vedette.learn.training.pictures_of_run import RunPictures
from vedette.learn.training.prepare import Prepared, check_same_run, prepare
from vedette.learn.training.run_folder import BEST_FILE, LAST_FILE, SPLIT_FILE, Row, RunFolder
from vedette.learn.training.schedule import Schedule
from vedette.learn.training.settings import TrainSettings, differences
from vedette.learn.training.shared_run import check_alike, check_shares, own_folder
from vedette.learn.training.validate import validate

CHECKPOINT_EVERY_S = 30.0
BATCHES_SHOWN = 3  # train_batch0.jpg and so on
FINISH_S = 4.0  # of a time budget, kept for the last validation, the charts and the report; or
FINISH_VALIDATIONS = 3.0  # so many times the first validation, whichever is more
VALIDATION_SHARE = 0.1  # of a time budget: epochs go without validation rather than exceed it


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended. `best_epoch` counts from 1."""

    run: Path
    epochs: int
    best_epoch: int
    evaluation: Evaluation  # of best.weights in FP32 on the val split
    elapsed_s: float
    stopped_early: bool


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
    peers: Peers, settings: TrainSettings, run_folder: Path, progress: Progress, *, resume: bool
) -> TrainResult | None:
    """`train` as one of several processes, each of which calls this; they end with the same weights.

    The run folder and `resume` are the first one's, and so is the result; there is none for the others.

    Raises:
        PeerError: another process has failed, is gone, or has other data; what else, `train` says.
    """
    began = time.monotonic()
    check_shares(settings, peers)
    resume = bool(peers.sum([float(resume and peers.is_first)])[0])
    with own_folder(run_folder, peers, resume=resume) as folder:
        run = RunFolder(folder)
        arithmetic, prepared, checkpoint = peers.together(
            lambda: _prepare(settings, run, progress, resume, processes=peers.local_count)
        )
        check_alike(settings, prepared, arithmetic, peers)
        if not resume:
            peers.together(lambda: _write_beginning(run, settings, prepared))
        learner = Learner(prepared.network, settings.recipe, arithmetic, peers)
        training = _Training(settings, run, prepared, learner, progress)
        training.take_up(checkpoint, began)
        return training.run_to_end()


def _prepare(
    settings: TrainSettings, run: RunFolder, progress: Progress, resume: bool, *, processes: int
) -> tuple[Arithmetic, Prepared, Checkpoint | None]:
    """All that can be refused before anything is written."""
    begun = run.read_settings() if resume else {}
    # a run that died before its first checkpoint starts again at its beginning
    checkpoint = load_checkpoint(run.path) if resume and has_checkpoint(run.path) else None
    if resume and (
        found := differences({k: v for k, v in begun.items() if k in settings.to_flat()}, settings.to_flat())
    ):
        raise ResumeError(f"{run.path} was begun with other settings: {'; '.join(found)}")
    if not resume:
        run.check_free()
    arithmetic = choose_arithmetic(settings.device, settings.precision)
    progress.say(arithmetic.reason)
    prepared = prepare(settings, run, progress, resume, processes=processes)
    if resume:
        check_same_run(begun, read_split_file(run.path / SPLIT_FILE), prepared)
        run.remove_leftovers()
    return arithmetic, prepared, checkpoint


def _write_beginning(run: RunFolder, settings: TrainSettings, prepared: Prepared) -> None:
    run.create()
    run.write_network(prepared.cfg_text, prepared.data.classes, prepared.splits)
    facts = {
        "classes": list(prepared.data.classes),
        "data_digest": prepared.data_digest,
        "train_pictures": len(prepared.train),
        "val_pictures": len(prepared.val),
    }
    run.write_settings({**settings.to_flat(), **facts})


class _Training:
    """The state of a run between two steps."""

    def __init__(
        self, settings: TrainSettings, run: RunFolder, prepared: Prepared, learner: Learner, progress: Progress
    ) -> None:
        self._settings, self._run, self._prepared = settings, run, prepared
        self._learner, self._progress = learner, progress
        self._peers = peers = learner.peers
        share = (peers.rank, peers.count)
        self._maker = BatchMaker(prepared.train, settings.batch, settings.seed, settings.recipe.augment, share=share)
        self._per_epoch = self._maker.batches_per_epoch
        total = settings.epochs * self._per_epoch
        recipe = settings.recipe
        self._schedule = Schedule(
            total, min(recipe.warm_up_steps, max(total // 5, 1)), 1 - recipe.whole_pictures, settings.time_budget_s
        )
        self._pictures = RunPictures(run, prepared)
        self._history: list[Row] = []
        self._best_fitness, self._best_epoch = -1.0, 0
        self._sums = [0.0, 0.0, 0.0]  # of this epoch's losses
        self._began = self._saved_at = time.monotonic()
        self._validating_s = self._last_validation_s = 0.0
        self._request = StopRequest()
        self._first_clock_s, self._all_stop = 0.0, False  # as they were when several processes met last
        self._found: list[Detections] = []  # by the last validation

    @property
    def _elapsed_s(self) -> float:
        return self._first_clock_s if self._peers.are_many else time.monotonic() - self._began

    def _meet(self) -> None:
        """Bring several processes to one clock and one mind: until they meet again all take the same decisions."""
        if not self._peers.are_many:
            return
        clock = (time.monotonic() - self._began, self._validating_s, self._last_validation_s)
        told = self._peers.sum([value * self._peers.is_first for value in clock] + [float(self._request.wanted)])
        self._first_clock_s, self._validating_s, self._last_validation_s = told[:3]
        self._all_stop = told[3] > 0

    def _is_asked_to_stop(self) -> bool:
        """Whether somebody wants an end: of this process, or of any of several."""
        return self._all_stop if self._peers.are_many else self._request.wanted

    def take_up(self, checkpoint: Checkpoint | None, began: float) -> None:
        """Start at the beginning, or where a checkpoint was made."""
        self._began = began
        if checkpoint is None:
            return
        try:
            self._take_over(checkpoint)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"the checkpoint in {self._run.path} is damaged ({error!r}); train anew in another folder"
            ) from error
        epoch, batch = divmod(self._learner.step_count, self._per_epoch)
        self._progress.say(f"resuming in epoch {epoch + 1}, batch {batch + 1}")

    def _take_over(self, checkpoint: Checkpoint) -> None:
        document = checkpoint.document
        if document["settings"] != self._settings.recipe_and_schedule():
            raise ResumeError(f"the checkpoint in {self._run.path} belongs to another run than its settings.json")
        self._learner.from_tensors(checkpoint.tensors, int(document["step"]))
        self._history = list(document["history"])
        self._best_fitness, self._best_epoch = float(document["best_fitness"]), int(document["best_epoch"])
        self._sums = [float(value) for value in document["sums"]]
        self._began -= float(document["elapsed_s"])
        self._validating_s = float(document["validating_s"])

    def run_to_end(self) -> TrainResult | None:
        """Learn until the schedule, the time or the patience ends, then finish the report."""
        learner = self._learner
        stream = batch_stream(self._maker, learner.step_count, self._mosaic_at)
        stopped = False
        with stop_between_steps(also_term=self._peers.are_many) as self._request, closing(stream):  # type: ignore[type-var]
            self._meet()
            while not self._is_over() and not stopped:
                self._epoch(stream)
                self._meet()
                if self._is_asked_to_stop() and self._fraction() < 1.0:
                    self._stop()
                stopped = self._is_out_of_patience()
        return self._finish(stopped)

    def _epoch(self, stream: Iterator[Batch]) -> None:
        """The rest of the epoch at hand, its validation, and perhaps a checkpoint."""
        learner = self._learner
        epoch, done = divmod(learner.step_count, self._per_epoch)
        of = "" if self._settings.time_budget_s else f"/{self._settings.epochs}"
        self._progress.start(f"epoch {epoch + 1}{of}", self._per_epoch - done, "batches")
        began, first = time.monotonic(), done
        while done < self._per_epoch:
            batch = next(stream)
            fraction = self._fraction()
            if fraction >= 1.0 and learner.step_count:  # one step at least, when getting ready took all the time
                break
            rate = self._schedule.rate(learner.step_count, fraction)
            losses = learner.step(batch, rate)
            self._add(losses)
            done += 1
            self._progress.advance(loss=losses.total)
            if epoch == 0 and batch.number < BATCHES_SHOWN and self._peers.is_first:
                self._pictures.write_training_batch(batch)
            self._meet()
            if self._is_asked_to_stop() and done < self._per_epoch:
                self._stop()
            if done < self._per_epoch and time.monotonic() - self._saved_at > CHECKPOINT_EVERY_S:
                self._save()
        speed = (done - first) * self._settings.batch / max(time.monotonic() - began, 1e-9)
        self._end_epoch(epoch, done, speed)

    def _end_epoch(self, epoch: int, batches: int, pictures_per_s: float) -> None:
        """Validate when it is time to, write the row, keep what is best."""
        last = self._fraction() >= 1.0
        evaluation = self._validate() if last or self._is_time_to_validate(epoch) else None
        box, objectness, classes = (value / max(batches, 1) for value in self._sums)
        row: Row = {
            "epoch": epoch + 1,
            "train_box_loss": box,
            "train_objectness_loss": objectness,
            "train_class_loss": classes,
            "learning_rate": self._settings.recipe.learning_rate
            * self._schedule.rate(self._learner.step_count, self._fraction()),
            "pictures_per_s": pictures_per_s,
        }
        if evaluation is not None:
            row |= {
                "val_map50": evaluation.map50,
                "val_map50_95": evaluation.map50_95,
                "val_precision": evaluation.precision,
                "val_recall": evaluation.recall,
            }
        row["time_s"] = self._elapsed_s
        self._history.append(row)
        self._sums = [0.0, 0.0, 0.0]
        if batches < self._per_epoch:  # the time ran out within an epoch: a resumed run must not do the rest of it
            self._learner.step_count += self._per_epoch - batches
        self._keep_if_best(epoch, evaluation)
        if not self._peers.is_first:
            return
        self._say_epoch(row)
        self._run.write_results(self._history)
        due = time.monotonic() - self._saved_at > CHECKPOINT_EVERY_S
        if due or last or len(self._history) == 1:
            self._save()
            if self._found:
                self._pictures.write_validation_batch(0, self._found)
            self._pictures.write_progress(self._epochs_expected(), finished=False)

    def _validate(self) -> Evaluation:
        began = time.monotonic()
        learner, prepared = self._learner, self._prepared
        arithmetic = full_precision(learner.arithmetic.device)
        evaluation, self._found = validate(learner.average, prepared.val, prepared.rules, arithmetic, peers=self._peers)
        self._last_validation_s = time.monotonic() - began
        self._validating_s += self._last_validation_s
        return evaluation

    def _is_time_to_validate(self, epoch: int) -> bool:
        if self._settings.time_budget_s and self._validating_s > VALIDATION_SHARE * self._elapsed_s:
            return False
        return (epoch + 1) % self._settings.validate_every == 0

    def _keep_if_best(self, epoch: int, evaluation: Evaluation | None) -> None:
        if evaluation is None or (fitness := (evaluation.map50 + evaluation.map50_95) / 2) <= self._best_fitness:
            return
        self._best_fitness, self._best_epoch = fitness, epoch + 1
        if self._peers.is_first:
            self._write_weights(BEST_FILE)

    def _is_out_of_patience(self) -> bool:
        patience = self._settings.patience
        if patience is None or not self._history:
            return False
        if len(self._history) - self._best_epoch < patience:
            return False
        self._progress.say(f"no better result for {patience} epochs: stopping")
        return True

    def _is_over(self) -> bool:
        """Whether the schedule or the time has ended; never before there are weights to keep."""
        return self._fraction() >= 1.0 and self._best_epoch > 0

    def _fraction(self) -> float:
        """How much of the run is done; a time budget keeps back what the end will take."""
        if self._settings.time_budget_s is None:
            return self._schedule.fraction(self._learner.step_count, 0.0)
        kept = max(FINISH_S, FINISH_VALIDATIONS * self._last_validation_s)
        usable = max(self._settings.time_budget_s - kept, self._settings.time_budget_s / 2)
        return min(self._elapsed_s / usable, 1.0)

    def _mosaic_at(self, step: int) -> bool:
        if self._settings.time_budget_s is None:
            return self._schedule.mosaic(self._schedule.fraction(step, 0.0))
        return self._schedule.mosaic(self._fraction())

    def _epochs_expected(self) -> int:
        if self._settings.time_budget_s is None:
            return self._settings.epochs
        return max(round(len(self._history) / max(self._fraction(), 1e-3)), len(self._history))

    def _add(self, losses: StepLosses) -> None:
        parts = (losses.box, losses.objectness, losses.classes)
        self._sums = [have + more for have, more in zip(self._sums, parts, strict=True)]

    def _say_epoch(self, row: Row) -> None:
        scores = (
            ""
            if row.get("val_map50") is None
            else f"  map50 {row['val_map50']:.3f}  map50-95 {row['val_map50_95']:.3f}"
        )
        best = "  best so far" if self._best_epoch == row["epoch"] else ""
        fraction = self._fraction()
        left_min = self._elapsed_s / max(fraction, 1e-6) * (1 - fraction) / 60
        self._progress.say(
            f"epoch {row['epoch']:.0f}: box {row['train_box_loss']:.3f}  object {row['train_objectness_loss']:.3f}  "
            f"class {row['train_class_loss']:.3f}{scores}  {row['pictures_per_s']:.1f} pictures/s  "
            f"{left_min:.1f} min left{best}"
        )

    def _write_weights(self, name: str) -> None:
        seen = self._learner.step_count * self._settings.batch
        self._run.write_weights(name, self._prepared.plan, self._learner.average, seen)

    def _save(self) -> None:
        """A checkpoint, and last.weights; the first of several processes does it for all."""
        if not self._peers.is_first:
            return
        document = {
            "step": self._learner.step_count,
            "epoch": self._learner.step_count // self._per_epoch,
            "elapsed_s": self._elapsed_s,
            "validating_s": self._validating_s,
            "best_fitness": self._best_fitness,
            "best_epoch": self._best_epoch,
            "sums": self._sums,
            "history": self._history,
            "settings": self._settings.recipe_and_schedule(),
        }
        save_checkpoint(self._run.path, self._learner.step_count, Checkpoint(self._learner.to_tensors(), document))
        self._write_weights(LAST_FILE)
        self._saved_at = time.monotonic()

    def _stop(self) -> None:
        """Somebody pressed Ctrl-C."""
        self._save()
        self._progress.say(f"stopped; to go on: vedette train --out {self._run.path} --resume")
        self._peers.wait()  # torchrun ends them all once one has ended
        raise KeyboardInterrupt

    def _finish(self, stopped: bool) -> TrainResult | None:
        """Judge best.weights as delivered, in FP32; charts and report. Others than the first process wait for it."""
        if not self._peers.is_first:
            self._peers.wait()
            return None
        evaluation = self._pictures.write_final(self._learner.arithmetic.device, self._epochs_expected())
        best = f"best.weights of epoch {self._best_epoch}"
        self._progress.say(f"{best}: map50 {evaluation.map50:.3f}, map50-95 {evaluation.map50_95:.3f} on the val split")
        self._peers.wait()
        return TrainResult(self._run.path, len(self._history), self._best_epoch, evaluation, self._elapsed_s, stopped)
