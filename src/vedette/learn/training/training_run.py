"""A run from one step to the next: learn, validate when it is time to, keep what is best, write checkpoints and rows.

Started where a checkpoint was made, it sees the batches that would have followed (`loading`), so that an interruption
changes nothing. Validation judges the averaged weights. Several processes (`peers`) go through all of it alike, by the
clock of the first, which alone writes and speaks.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from vedette.contracts.detections import Detections
from vedette.contracts.ports import Progress
from vedette.learn.training.arithmetic import full_precision
from vedette.learn.training.checkpoint import Checkpoint, save_checkpoint
from vedette.learn.training.determinism import explained
from vedette.learn.training.errors import ResumeError, RunFolderError
from vedette.learn.training.eta import Ahead, Estimator, duration_text
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.event_files import EventFiles
from vedette.learn.training.interrupt import StopRequest, stop_between_steps
from vedette.learn.training.learner import Learner, StepLosses
from vedette.learn.training.loading import batch_stream
from vedette.learn.training.memory import memory_explained
from vedette.learn.training.pictures_of_run import RunPictures
from vedette.learn.training.placing import PlacedBatch, placer
from vedette.learn.training.prepare import Prepared
from vedette.learn.training.processors import changing_threads
from vedette.learn.training.recipe_parts import batches_for, schedule_for
from vedette.learn.training.run_folder import BEST_FILE, LAST_FILE, Row, RunFolder
from vedette.learn.training.series import Series
from vedette.learn.training.standing import Standing
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


def go_on(run: Path, series: Series | None) -> str:
    """The command that goes on with a run, or with all that it is one of."""
    return f"vedette train --out {run} --resume" if series is None else series.again


class TrainingRun:
    """The state of a run between two steps."""

    def __init__(self, run: RunFolder, prepared: Prepared, learner: Learner, progress: Progress) -> None:
        self._settings = settings = prepared.settings
        self._run, self._prepared, self._learner, self._progress = run, prepared, learner, progress
        self._peers = peers = learner.peers
        self._maker = batches_for(settings, prepared.train, peers)
        self._per_epoch = self._maker.batches_per_epoch
        self._schedule = schedule_for(settings, self._per_epoch)
        self._pictures = RunPictures(run, prepared)
        self._history: list[Row] = []
        self._standing = Standing(settings.patience)
        self._estimator = self._new_estimator({})
        self._events = EventFiles(run.path, {}, 0, wanted=False)
        self._sums = [0.0, 0.0, 0.0]  # of this epoch's losses
        self._began = self._saved_at = time.monotonic()
        self._validating_s = self._last_validation_s = 0.0
        self._request = StopRequest()
        self._first_clock_s, self._all_stop = 0.0, False  # as they were when several processes met last
        self._found: list[Detections] = []  # by the last validation
        self._series: Series | None = None

    def _new_estimator(self, known: Mapping[str, float]) -> Estimator:
        return Estimator(len(self._prepared.val), self._settings.batch, known)

    @property
    def _epochs_asked(self) -> int:
        """In how many epochs the run ends, unless a time budget ends it."""
        return -(-self._schedule.total_steps // self._per_epoch)

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

    def take_up(self, checkpoint: Checkpoint | None, began: float, series: Series | None = None) -> None:
        """Start at the beginning, or where a checkpoint was made."""
        self._began, self._series = began, series
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
            raise ResumeError(
                f"the settings.json of {self._run.path} is not the one that its checkpoint was made with; bring it "
                "back, or train anew in another folder"
            )
        self._learner.from_tensors(checkpoint.tensors, int(document["step"]))
        self._history = list(document["history"])
        best = float(document["best_fitness"]), int(document["best_epoch"])
        judged = [int(row["epoch"] or 0) for row in self._history if row.get("val_map50") is not None]
        self._standing = Standing(self._settings.patience, *best, max(judged, default=0))
        self._estimator = self._new_estimator(document.get("durations", {}))
        self._sums = [float(value) for value in document["sums"]]
        self._began -= float(document["elapsed_s"])
        self._validating_s = float(document["validating_s"])
        self._last_validation_s = float(document.get("durations", {}).get("validation_s", 0.0))

    def run_to_end(self) -> TrainResult | None:
        """Learn until the schedule, the time or the patience ends, then finish the report."""
        learner = self._learner
        device = learner.arithmetic.device
        workers = changing_threads(device.type, self._peers.local_count)
        stream = batch_stream(self._maker, learner.step_count, self._mosaic_at, placer(device), workers)
        stopped = self._standing.is_out_of_patience()
        with ExitStack() as stack:
            stack.enter_context(closing(stream))  # type: ignore[type-var]
            self._request = stack.enter_context(stop_between_steps(also_term=self._peers.are_many))
            wanted = self._settings.tensorboard and self._peers.is_first
            flat = self._settings.to_flat() if wanted else {}
            events = EventFiles(self._run.path, flat, len(self._history), wanted=wanted)
            self._events = stack.enter_context(closing(events))
            self._meet()
            while not self._is_over() and not stopped:
                self._epoch(stream)
                self._meet()
                if self._is_asked_to_stop() and self._fraction() < 1.0:
                    self._stop()
                stopped = self._is_out_of_patience()
            return self._finish(stopped)

    def _epoch(self, stream: Iterator[PlacedBatch]) -> None:
        """The rest of the epoch at hand, its validation, and perhaps a checkpoint."""
        learner = self._learner
        epoch, done = divmod(learner.step_count, self._per_epoch)
        of = "" if self._settings.time_budget_s else f"/{self._epochs_asked}"
        fold = "" if self._series is None else f"fold {self._series.number}/{self._series.count}, "
        self._progress.start(f"{fold}epoch {epoch + 1}{of}", self._per_epoch - done, "batches")
        began, first = time.monotonic(), done
        while done < self._per_epoch:
            step_began = time.monotonic()
            placed = next(stream)
            fraction = self._fraction()
            if fraction >= 1.0 and learner.step_count:  # one step at least, when getting ready took all the time
                break
            rate = self._schedule.rate(learner.step_count, fraction)
            learner.freeze(self._prepared.layers_held(learner.step_count / self._per_epoch, fraction))
            with explained(), memory_explained(self._settings.batch):
                losses = learner.step(placed, rate)
            self._estimator.stepped(time.monotonic() - step_began, self._schedule.mosaic(fraction))
            self._add(losses)
            done += 1
            self._progress.advance(1, loss=losses.total, **self._left_figure())
            if epoch == 0 and placed.batch.number < BATCHES_SHOWN and self._peers.is_first:
                self._pictures.write_training_batch(placed.batch)
            self._meet()
            if self._is_asked_to_stop() and done < self._per_epoch:
                self._stop()
            if done < self._per_epoch and time.monotonic() - self._saved_at > CHECKPOINT_EVERY_S:
                self._save()
        speed = (done - first) * self._settings.batch / max(time.monotonic() - began, 1e-9)
        self._estimator.ended_epoch()
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
            "learning_rate": self._learner.learning_rate
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
        row["left_s"] = self._left_s()
        self._say_epoch(row)
        self._run.write_results(self._history)
        self._events.write_epoch(row, evaluation)
        due = time.monotonic() - self._saved_at > CHECKPOINT_EVERY_S
        if due or last or len(self._history) == 1 or self._standing.is_out_of_patience():
            self._write_all(epoch)

    def _write_all(self, epoch: int) -> None:
        """A checkpoint, charts and report."""
        began = time.monotonic()
        self._save()
        if self._found:
            self._pictures.write_validation_batch(0, self._found)
        self._pictures.write_progress(self._epochs_expected(), finished=False)
        self._events.write_pictures(epoch + 1)
        self._estimator.wrote(time.monotonic() - began)

    def _validate(self) -> Evaluation:
        began = time.monotonic()
        learner, prepared = self._learner, self._prepared
        arithmetic = full_precision(learner.arithmetic.device)
        evaluation, self._found = validate(learner.average, prepared.val, prepared.rules, arithmetic, peers=self._peers)
        self._last_validation_s = time.monotonic() - began
        self._validating_s += self._last_validation_s
        self._estimator.validated(self._last_validation_s)
        return evaluation

    def _is_time_to_validate(self, epoch: int) -> bool:
        if self._settings.time_budget_s and self._validating_s > VALIDATION_SHARE * self._elapsed_s:
            return False
        return (epoch + 1) % self._settings.validate_every == 0

    def _keep_if_best(self, epoch: int, evaluation: Evaluation | None) -> None:
        if evaluation is not None and self._standing.judge(epoch + 1, evaluation) and self._peers.is_first:
            self._write_weights(BEST_FILE)

    def _is_out_of_patience(self) -> bool:
        if not self._standing.is_out_of_patience():
            return False
        self._progress.say(
            f"no better result for {self._standing.judged_epoch - self._standing.best_epoch} epochs: stopping"
        )
        return True

    def _is_over(self) -> bool:
        """Whether the schedule or the time has ended; never before there are weights to keep."""
        return self._fraction() >= 1.0 and self._standing.best_epoch > 0

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
            return self._epochs_asked
        return max(round(len(self._history) / max(self._fraction(), 1e-3)), len(self._history))

    def _add(self, losses: StepLosses) -> None:
        parts = (losses.box, losses.objectness, losses.classes)
        self._sums = [have + more for have, more in zip(self._sums, parts, strict=True)]

    def _left_s(self) -> float | None:
        """Seconds to the end of the run as far as can be told; patience may end it before."""
        if self._settings.time_budget_s is not None:
            return max(self._settings.time_budget_s - self._elapsed_s, 0.0)
        steps, total = self._learner.step_count, self._schedule.total_steps
        mosaic = max(min(math.ceil(self._schedule.mosaic_until * total), total) - steps, 0)
        done, epochs, every = steps // self._per_epoch, -(-total // self._per_epoch), self._settings.validate_every
        validations = epochs // every - done // every + bool(epochs % every)
        ahead = Ahead(mosaic, total - steps - mosaic, validations, CHECKPOINT_EVERY_S, self._per_epoch)
        return self._estimator.left_s(ahead)

    def _left_figure(self) -> dict[str, float]:
        """For the line of progress, in minutes."""
        left_s = self._left_s()
        return {} if left_s is None else {"run_left_min": round(self._left_in_all_s(left_s) / 60, 1)}

    def _left_in_all_s(self, left_s: float) -> float:
        return left_s if self._series is None else self._series.left_s(self._elapsed_s, left_s)

    def _say_epoch(self, row: Row) -> None:
        scores = (
            ""
            if row.get("val_map50") is None
            else f"  map50 {row['val_map50']:.3f}  map50-95 {row['val_map50_95']:.3f}"
        )
        best = "  best so far" if self._standing.best_epoch == row["epoch"] else ""
        left_s = row["left_s"]
        most = "at most " if self._settings.patience is not None else ""
        left = "" if left_s is None else f"  {most}{duration_text(self._left_in_all_s(left_s))} left"
        self._progress.say(
            f"epoch {row['epoch']:.0f}: box {row['train_box_loss']:.3f}  object {row['train_objectness_loss']:.3f}  "
            f"class {row['train_class_loss']:.3f}{scores}  {row['pictures_per_s']:.1f} pictures/s{left}{best}"
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
            "best_fitness": self._standing.fitness,
            "best_epoch": self._standing.best_epoch,
            "durations": self._estimator.as_known(),
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
        self._progress.say(f"stopped; to go on: {go_on(self._run.path, self._series)}")
        self._peers.wait()  # torchrun ends them all once one has ended
        raise KeyboardInterrupt

    def _finish(self, stopped: bool) -> TrainResult | None:
        """Judge best.weights as delivered, in FP32; charts and report. Others than the first process wait for it."""
        if not self._peers.is_first:
            self._peers.wait()
            return None
        device, epochs = self._learner.arithmetic.device, self._epochs_expected()
        evaluation = self._pictures.write_final(device, epochs, self._progress)
        best = f"best.weights of epoch {self._standing.best_epoch}"
        self._progress.say(f"{best}: map50 {evaluation.map50:.3f}, map50-95 {evaluation.map50_95:.3f} on the val split")
        self._events.write_pictures(len(self._history))
        self._peers.wait()
        best_epoch = self._standing.best_epoch
        return TrainResult(self._run.path, len(self._history), best_epoch, evaluation, self._elapsed_s, stopped)
