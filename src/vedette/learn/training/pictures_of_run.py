"""The pictures, charts and report of a run, at the moments when they change."""

from collections.abc import Sequence

import numpy as np
import torch

from vedette.contracts.detections import Detections
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.weights import read_weights
from vedette.learn.data.pictures import read_picture
from vedette.learn.training.arithmetic import full_precision
from vedette.learn.training.augment import IGNORED_CLASS, LabelledPicture
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import Evaluation
from vedette.learn.training.loading import Batch
from vedette.learn.training.picture_grids import (
    VALIDATION_PICTURES,
    GridPicture,
    write_training_grid,
    write_validation_grid,
)
from vedette.learn.training.plots import write_evaluation_plots, write_labels_plot, write_results_plot
from vedette.learn.training.prepare import Prepared
from vedette.learn.training.report import RESULTS_FILE, write_evaluation, write_report
from vedette.learn.training.run_folder import BEST_FILE, RunFolder
from vedette.learn.training.validate import validate

VALIDATION_BATCHES = 2  # val_batch0.jpg and so on


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

    def write_final(self, device: torch.device, epochs: int) -> Evaluation:
        """Judge best.weights as it was written, in FP32; every chart, and the finished report."""
        prepared, path = self._prepared, self._run.path
        network = DarknetNetwork(prepared.plan)
        network.load_darknet(read_weights(path / BEST_FILE, prepared.plan))
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        evaluation, detections = validate(network, prepared.val, prepared.rules, full_precision(device))
        write_evaluation(evaluation, path)
        write_evaluation_plots(evaluation, path)
        for number in range(VALIDATION_BATCHES):
            self.write_validation_batch(number, detections)
        self.write_progress(epochs, finished=True)
        return evaluation

    def write_validation_batch(self, number: int, detections: Sequence[Detections]) -> None:
        """val_batchN.jpg: labels beside detections (of all validation pictures, in their order)."""
        store = self._prepared.val
        start = number * VALIDATION_PICTURES
        shown = []
        for row in range(start, min(start + VALIDATION_PICTURES, len(store))):
            sample, truths = store.samples[row], store.get(row).truths
            shown.append(GridPicture(read_picture(sample.picture), truths, detections[row], sample.name))
        if shown:
            path = self._run.path / f"val_batch{number}.jpg"
            write_validation_grid(shown, self._prepared.data.classes, path)


def _grid_picture(picture: LabelledPicture) -> GridPicture:
    """In the terms of the grids: BGR; the class of ignored objects is not known any more."""
    truths = Truths(
        picture.boxes_xyxy_px.astype(np.float64),
        picture.class_ids.astype(np.int32),
        picture.class_ids == IGNORED_CLASS,
    )
    return GridPicture(np.ascontiguousarray(picture.image_hwc_rgb_u8[..., ::-1]), truths)
