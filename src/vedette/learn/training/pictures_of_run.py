"""The pictures, charts and report of a run, at the moments when they change."""

from collections.abc import Sequence

import numpy as np
import torch

from vedette.contracts.detections import Detections
from vedette.contracts.ports import Progress
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.weights import read_weights
from vedette.learn.training.arithmetic import full_precision
from vedette.learn.training.augment import IGNORED_CLASS, LabelledPicture
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.evaluation_files import write_evaluation_files, write_validation_batch
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.loading import Batch
from vedette.learn.training.picture_grids import VALIDATION_PICTURES, GridPicture, write_training_grid
from vedette.learn.training.plots import write_labels_plot, write_results_plot
from vedette.learn.training.prepare import Prepared
from vedette.learn.training.report import RESULTS_FILE, write_report
from vedette.learn.training.run_folder import BEST_FILE, RunFolder
from vedette.learn.training.validate import validate


class RunPictures:
    """Writes them into one run folder."""

    def __init__(self, run: RunFolder, prepared: Prepared) -> None:
        self._run, self._prepared = run, prepared

    def write_training_batch(self, batch: Batch) -> None:
        """train_batchN.jpg: what the network is fed."""
        pictures = [_grid_picture(picture) for picture in batch.pictures()]
        path = self._run.path / f"train_batch{batch.number}.jpg"
        write_training_grid(pictures, self._prepared.data.classes, path)

    def write_progress(self, epochs: int, *, finished: bool) -> None:
        """results.png and report.html; labels.png the first time."""
        path = self._run.path
        if not (path / "labels.png").is_file():
            write_labels_plot(self._prepared.data, path / "labels.png")
        write_results_plot(path / RESULTS_FILE, path / "results.png")
        write_report(path, epochs=epochs, finished=finished)

    def write_final(self, device: torch.device, epochs: int, progress: Progress) -> Evaluation:
        """Judge best.weights as it was written, in FP32; every chart, and the finished report."""
        prepared, path = self._prepared, self._run.path
        network = DarknetNetwork(prepared.plan)
        network.load_darknet(read_weights(path / BEST_FILE, prepared.plan))
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        progress.start("judging best.weights", len(prepared.val), "pictures")
        evaluation, detections = validate(network, prepared.val, prepared.rules, full_precision(device), progress)
        write_evaluation_files(self._judged(detections, range(len(detections))), evaluation, path)
        self.write_progress(epochs, finished=True)
        return evaluation

    def write_validation_batch(self, number: int, detections: Sequence[Detections]) -> None:
        """val_batchN.jpg: labels beside detections (of all validation pictures, in their order)."""
        rows = range(number * VALIDATION_PICTURES, min((number + 1) * VALIDATION_PICTURES, len(detections)))
        write_validation_batch(self._judged(detections, rows), number, self._run.path)

    def _judged(self, detections: Sequence[Detections], rows: range) -> JudgedPictures:
        store = self._prepared.val
        stored = [store.get(row) for row in rows]  # beyond the memory's bound they are read again
        samples = [store.samples[row] for row in rows]
        return JudgedPictures(
            names=tuple(sample.name for sample in samples),
            files=tuple(sample.picture for sample in samples),
            sizes_px=tuple((s.placement.source_width_px, s.placement.source_height_px) for s in stored),
            truths=tuple(s.truths for s in stored),
            detections=tuple(detections[row] for row in rows),
            class_names=tuple(self._prepared.data.classes),
        )


def _grid_picture(picture: LabelledPicture) -> GridPicture:
    """In the terms of the grids: BGR; the class of ignored objects is not known any more."""
    truths = Truths(
        picture.boxes_xyxy_px.astype(np.float64),
        picture.class_ids.astype(np.int32),
        picture.class_ids == IGNORED_CLASS,
    )
    return GridPicture(np.ascontiguousarray(picture.image_hwc_rgb_u8[..., ::-1]), truths)
