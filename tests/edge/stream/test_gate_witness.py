"""Detections tell that something moved only when a sure thing is gone from its place and one like it is elsewhere.

News is whatever is found where nothing of its class was.
"""

import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.edge.stream.witness import StillnessWitness

Box = tuple[float, int, float]  # left side, class, score; all are 50 x 50


def found(*boxes: Box) -> Detections:
    places = np.array([(x, 100, x + 50, 150) for x, _, _ in boxes], np.float32).reshape(-1, 4)
    scores = np.array([score for _, _, score in boxes], np.float32)
    return Detections(places, scores, np.array([kind for _, kind, _ in boxes], np.int32), ("bolt", "nut"))


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        ([(100, 0, 0.9)], [(200, 0, 0.8)], True),
        ([(100, 0, 0.9), (400, 1, 0.9)], [(400, 1, 0.9), (200, 0, 0.6)], True),
        ([(100, 0, 0.9)], [(110, 0, 0.9)], False),  # trembles
        ([(100, 0, 0.9)], [(100, 0, 0.3)], False),  # less sure
        ([(100, 0, 0.4)], [(200, 0, 0.9)], False),  # was never sure
        ([(100, 0, 0.9)], [(200, 0, 0.4)], False),
        ([(100, 0, 0.9)], [(100, 0, 0.9), (200, 0, 0.9)], False),  # came
        ([(100, 0, 0.9), (200, 0, 0.9)], [(200, 0, 0.9)], False),  # went
        ([(100, 0, 0.9)], [(200, 1, 0.9)], False),  # another thing
        ([(100, 0, 0.9)], [], False),
        ([], [(100, 0, 0.9)], False),
    ],
)
def test_what_was_here_and_is_there_has_moved(before: list[Box], now: list[Box], moved: bool) -> None:
    witness = StillnessWitness()
    assert not witness.compare(found(*before), after_stillness=True).moved
    assert witness.compare(found(*now), after_stillness=True).moved is moved
    assert not witness.compare(found(*now), after_stillness=True).moved


def test_what_moved_while_the_gate_was_open_says_nothing_against_it() -> None:
    witness = StillnessWitness()
    places = [100.0, 200.0, 300.0]
    assert not any(witness.compare(found((x, 0, 0.9)), after_stillness=False).moved for x in places)
    assert witness.compare(found((100, 0, 0.9)), after_stillness=True).moved


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        ([], [], False),
        ([], [(100, 0, 0.3)], True),
        ([(100, 0, 0.9)], [(100, 0, 0.3)], False),
        ([(100, 0, 0.9)], [(108, 0, 0.9)], False),  # trembles: 42 of 58 px are common
        ([(100, 0, 0.9)], [(110, 0, 0.9)], True),  # walks
        ([(100, 0, 0.9)], [(100, 1, 0.9)], True),
        ([(100, 0, 0.9)], [(100, 0, 0.9), (300, 0, 0.3)], True),
        ([(100, 0, 0.9), (300, 0, 0.9)], [(300, 0, 0.9)], False),  # whoever looks for what went needs no haste
        ([(100, 0, 0.9)], [], False),
    ],
)
@pytest.mark.parametrize("still", [False, True])
def test_news_is_what_is_found_where_nothing_of_its_class_was(
    before: list[Box], now: list[Box], news: bool, still: bool
) -> None:
    witness = StillnessWitness()
    assert witness.compare(found(*before), after_stillness=still).news is bool(before)
    assert witness.compare(found(*now), after_stillness=still).news is news
