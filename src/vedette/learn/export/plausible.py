"""Whether what a model gives can be boxes of the kind it is packed as: without torch, all there is to hold it to.

Looked at on the pictures at hand: every value is a number, scores are probabilities (or cannot be, for logits), class
numbers are those of classes, and most of the boxes that the model is surest of lie in the picture, the right way round,
and have a size. Where another form or other units would make sense of them, the error says which.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BoxForm, BoxUnits, Decode, DecodedBoxes, InputSpec, ScoreForm
from vedette.learn.export.comparison import RELEVANT_SCORE, Heads
from vedette.learn.export.errors import OnnxError
from vedette.vision.decoded_boxes import BoxTable, corners_px, every_score, take_apart

SUREST = 100  # boxes of a picture whose place is judged
SCORE_SLACK = 1e-3
OUTSIDE = 0.1  # of the picture's side: how far a box may reach out of it
LEAST_SIDE_PX = 1.0
# Of the boxes ENOUGH must make sense, and GOOD unless ALL do in another reading: corners taken for centre and size
# still lie in the picture more often than not. TELLING must make sense in a reading for it to be proposed.
ENOUGH, GOOD, TELLING, ALL = 0.5, 0.9, 0.8, 0.99

Floats = NDArray[np.float32]


def require_plausible(given: Sequence[Heads], decode: Decode, spec: InputSpec, source: str) -> None:
    """Judge the outputs for some pictures, each as an engine gives them for a batch of one.

    Raises:
        OnnxError: they cannot be what `decode` says.
    """
    for outputs in given:
        for name, output in zip(decode.outputs, outputs, strict=True):
            if output.dtype != np.float32:
                raise OnnxError(f"{source}: output {name!r} is {output.dtype}; export the model with float32 outputs")
            if not np.isfinite(output).all():
                raise OnnxError(f"{source}: output {name!r} holds values that are no numbers (NaN or infinite)")
    if not isinstance(decode, DecodedBoxes):
        return
    tables = [_table(outputs, decode, source) for outputs in given]
    if len({table.boxes.shape for table in tables}) > 1:
        counts = ", ".join(str(table.boxes.shape[1]) for table in tables[:4])
        raise OnnxError(f"{source}: the number of boxes changes from picture to picture ({counts}); export it fixed")
    for table in tables:
        _require_scores(table, decode, source)
        _require_class_numbers(table, decode, source)
    _require_places(tables, decode, spec, source)


def _table(outputs: Heads, decode: DecodedBoxes, source: str) -> BoxTable:
    try:
        return take_apart([output[0] for output in outputs], decode)
    except ValueError as error:
        raise OnnxError(f"{source}: not {decode.kind}: {error}") from error


def _require_scores(table: BoxTable, decode: DecodedBoxes, source: str) -> None:
    for what, values in (("objectness", table.objectness), ("scores", table.scores)):
        if values is None or not values.size:
            continue
        low, high = float(values.min()), float(values.max())
        within = low >= -SCORE_SLACK and high <= 1 + SCORE_SLACK
        if decode.score_form is ScoreForm.PROBABILITIES and not within:
            raise OnnxError(
                f"{source}: not {decode.kind}: {what} from {low:.4g} to {high:.4g} are no probabilities in 0..1; give "
                "the --decode that fits, or --score-form logits if a sigmoid is still to come"
            )
        if decode.score_form is ScoreForm.LOGITS and within:
            raise OnnxError(
                f"{source}: {what} from {low:.4g} to {high:.4g} are probabilities already; leave out "
                "--score-form logits"
            )


def _require_class_numbers(table: BoxTable, decode: DecodedBoxes, source: str) -> None:
    if table.class_numbers is None:
        return
    numbers = table.class_numbers[every_score(table, decode)[:, 0] >= RELEVANT_SCORE]
    wrong = numbers[(numbers != np.rint(numbers)) | (numbers < 0) | (numbers >= decode.classes)]
    if len(wrong):
        raise OnnxError(
            f"{source}: not {decode.kind} with {decode.classes} classes: a class number is {wrong[0]:g}; give the "
            "names file that belongs to it, or another --decode"
        )


def _require_places(tables: Sequence[BoxTable], decode: DecodedBoxes, spec: InputSpec, source: str) -> None:
    surest = np.concatenate([_surest(table, decode) for table in tables], axis=1)  # (4, n)
    if not surest.shape[1]:
        return
    share = _sensible(surest, decode, spec)
    others = {
        (form, units): _sensible(surest, decode.model_copy(update={"box_form": form, "box_units": units}), spec)
        for form, units in product(
            (BoxForm.XYXY, BoxForm.CXCYWH), BoxUnits
        )  # corners first: they are harder to mistake
    }
    (form, units), best = max(others.items(), key=lambda item: item[1])
    if share >= GOOD or (share >= ENOUGH and best < ALL):
        return
    hint = (
        f"as --box-form {form.value} --box-units {units.value} {best:.0%} are"
        if best >= TELLING
        else "nor would another form or other units make sense of them: it is another kind of output"
    )
    raise OnnxError(
        f"{source}: not {decode.kind} with {decode.box_form.value} in {decode.box_units.value}: of the boxes that it "
        f"is surest of {share:.0%} are in the picture and have a size; {hint}"
    )


def _surest(table: BoxTable, decode: DecodedBoxes) -> Floats:
    """The best boxes (4, n) as the model gives them; below the relevant score they are noise, or empty places."""
    best = every_score(table, decode).max(axis=1)  # (boxes,)
    order = np.argsort(-best, kind="stable")[:SUREST]
    return table.boxes[:, order[best[order] >= RELEVANT_SCORE]]


def _sensible(boxes: Floats, decode: DecodedBoxes, spec: InputSpec) -> float:
    """The share of boxes that lie in the picture, or nearly, the right way round, and have a size."""
    corners = corners_px(boxes, decode, spec.width, spec.height)  # (n, 4)
    sides = np.array([spec.width, spec.height], np.float32)
    inside = (corners[:, :2] > -OUTSIDE * sides).all(axis=1) & (corners[:, 2:] < (1 + OUTSIDE) * sides).all(axis=1)
    sized = (corners[:, 2:] - corners[:, :2] >= LEAST_SIDE_PX).all(axis=1)
    return float((inside & sized).mean())
