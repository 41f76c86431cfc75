"""What the bar's plain lines say is read back from them; other lines of a log are left alone."""

import io

import pytest

from vedette.apps.console import ConsoleProgress
from vedette.apps.progress_lines import read_progress_line


def written(stage: str, total: int, steps: int, spent_s: float, **figures: float) -> str:
    """The line that a process without a terminal writes at the end of a stage."""
    stream = io.StringIO()
    with ConsoleProgress(stream) as progress:
        progress.start(stage, total, "batches", spent_s)
        progress.advance(steps, **figures)
    return stream.getvalue().rstrip("\n")


def test_what_was_written_is_read() -> None:
    line = read_progress_line(written("epoch 3/100", 50, 12, 24.0, loss=0.4125, map50=0.81))

    assert line is not None
    assert (line.stage, line.done, line.total, line.unit) == ("epoch 3/100", 12, 50, "batches")
    assert line.spent_s == pytest.approx(24, rel=0.1)
    assert line.figures == {"loss": 0.4125, "map50": 0.81}


def test_a_stage_at_its_end_is_read() -> None:
    line = read_progress_line(written("validating", 50, 50, 3700.0))

    assert line is not None
    assert (line.done, line.total, line.figures) == (50, 50, {})


@pytest.mark.parametrize(
    ("text", "spent_s"),
    [
        ("epoch 1/2: 0/50 batches, 0.0/s", 0),
        ("epoch 1/2: 1/50 batches, 0.0/s in 2 h 07 min", 7620),
        ("epoch 1/2: 1/50 batches, 0.0/s in 3 min 05 s", 185),
        ("epoch 1/2: 10/50 batches, 2.0/s, 20 s left, loss nan", 5),
    ],
)
def test_the_time_spent_is_that_of_the_line(text: str, spent_s: float) -> None:
    line = read_progress_line(text)

    assert line is not None
    assert line.spent_s == spent_s


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epoch 3: box 0.412  object 0.2  class 0.1  12.0 pictures/s  3.2 min left",
        "metrics: epoch=3; train_box_loss=0.412;",
        "epoch 1/2: 60/50 batches, 2.0/s",
        "epoch 1/2: 1/50 batches, 2.0.0/s",
        "epoch 1/2: 1/50 batches, 2.0/s, loss e",
        "reading: 1/" + "9" * 40 + " files, 2.0/s",
    ],
)
def test_other_lines_are_none(text: str) -> None:
    assert read_progress_line(text) is None
