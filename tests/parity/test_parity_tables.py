"""docs/reference/parity.md holds the tables that `python -m benchmarks parity` recorded, all within the tolerances."""

import importlib
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDED = REPOSITORY / "benchmarks" / "results" / "parity.json"


@pytest.fixture
def figures():
    if not RECORDED.is_file():
        pytest.skip("benchmarks are not part of a source distribution")
    return json.loads(RECORDED.read_text())["figures"]


def test_the_reference_holds_the_recorded_tables(figures, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    tables = importlib.import_module("benchmarks.parity").as_markdown(figures)
    written = (REPOSITORY / "docs" / "reference" / "parity.md").read_text()

    missing = [table.splitlines()[0] for table in tables.split("\n\n") if table not in written]
    assert len(tables.split("\n\n")) == 4 and missing == []


def test_what_was_recorded_keeps_the_tolerances(figures):
    for name, entry in figures["families"].items():
        assert max(max(found["box"], found["score"]) for found in entry["engines"].values()) <= 1e-4, name
    trained = {name: entry for name, entry in figures["trained"].items() if "absent" not in entry}
    for name, entry in trained.items():
        assert max(max(found["box"], found["score"]) for found in entry["same_epsilon"].values()) <= 1e-5, name
    assert len(figures["families"]) == 35 and len(trained) == 10
    for entry in figures["detections"]:
        assert not entry["wrong"] and entry["least_iou"] >= 0.99 and entry["largest_score_difference"] <= 0.002
    for entry in figures["average_precision"]:
        assert entry["here"] == pytest.approx(entry["darknet"], abs=0.3 if entry["resize"] == "darknet" else 0.1)
