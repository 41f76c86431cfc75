"""Patience: counted from the best epoch, asked only where an epoch was validated."""

from dataclasses import replace

import numpy as np

from vedette.contracts.detections import Detections
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import Evaluation, summarise
from vedette.learn.training.standing import Standing, best_row


def evaluation(right: bool) -> Evaluation:
    """mAP 1 or 0."""
    box = np.array([[0, 0, 10, 10]], np.float64) + (0 if right else 50)
    truths = [Truths(np.array([[0, 0, 10, 10]], np.float64), np.zeros(1, np.int32), np.zeros(1, bool))]
    found = Detections(box.astype(np.float32), np.ones(1, np.float32), np.zeros(1, np.int32), ("a",))
    return summarise(truths, [found], ("a",))


def test_patience_counts_epochs_since_the_best_and_waits_for_the_next_validation() -> None:
    standing = Standing(patience=5)
    assert not standing.is_out_of_patience()  # ten epochs may go by before the first validation
    assert standing.judge(10, evaluation(True))
    assert not standing.is_out_of_patience()
    assert not standing.judge(14, evaluation(True))  # as good is not better
    assert not standing.is_out_of_patience()
    standing.judge(15, evaluation(False))
    assert standing.is_out_of_patience()
    assert standing.best_epoch == 10


def test_a_first_result_of_nothing_is_the_best_so_far() -> None:
    standing = Standing(patience=None)
    assert standing.judge(1, evaluation(False))
    assert not standing.judge(2, evaluation(False))
    assert standing.judge(3, evaluation(True))
    assert not standing.is_out_of_patience()


def test_the_best_row_of_the_results_is_that_of_the_best_weights() -> None:
    nothing = float("nan")
    results = {"val_map50": np.array([nothing, 0.9, 0.9, 0.8]), "val_map50_95": np.array([nothing, 0.2, 0.5, 0.6])}
    assert best_row(results) == 2  # of equals the earlier
    standing = Standing(None)
    for epoch, row in enumerate(zip(*results.values(), strict=True), 1):
        if row[0] == row[0]:
            standing.judge(epoch, replace(evaluation(True), map50=row[0], map50_95=row[1]))
    assert standing.best_epoch == 3
    assert best_row({}) is None
    assert best_row({"val_map50": np.array([nothing])}) is None
