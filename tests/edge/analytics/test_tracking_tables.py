"""docs/reference/tracking.md holds the tables that `python -m benchmarks tracking` recorded, within the promises."""

import importlib
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = REPOSITORY / "benchmarks" / "results"
DOCUMENT = REPOSITORY / "docs" / "reference" / "tracking.md"

pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="benchmarks are not part of a source distribution")


def recorded(name):
    return json.loads((RESULTS / f"{name}.json").read_text())["figures"]


def test_the_reference_holds_the_recorded_tables(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    tables = importlib.import_module("benchmarks.tracking").as_markdown(recorded("tracking")).split("\n\n")
    clips = importlib.import_module("benchmarks.counting").as_markdown(recorded("counting"))
    written = DOCUMENT.read_text()
    missing = [table.splitlines()[0] for table in (*tables, clips) if table not in written]
    assert len(tables) == 3
    assert missing == []


def test_no_rival_is_better_in_mota_or_idf1_where_it_was_recorded():
    quality = recorded("tracking")["quality"]
    assert len(quality) == 8
    for name, entry in quality.items():
        rivals = [figures for who, figures in entry.items() if who != "ours"]
        assert len(rivals) == 4, name
        for figure in ("mota", "idf1"):
            assert entry["ours"][figure] >= max(one[figure] for one in rivals), (name, figure)


def test_time_and_counts_were_recorded_within_the_promises():
    for name, entry in recorded("tracking")["speed_us"].items():
        assert entry["ours"] < (1000 if name.startswith("100") else 150), name
    for figures in (recorded("tracking")["counting"], recorded("counting")):
        for every, least in (("every 1", 0.98), ("every 5", 0.97), ("every 10", 0.93)):
            assert figures[every]["accuracy"] >= least, every
