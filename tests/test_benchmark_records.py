"""What benchmarks have recorded can be read, and says when, on what and of which code it is."""

import json
from pathlib import Path

import pytest

RECORDS = sorted((Path(__file__).parent.parent / "benchmarks" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=[path.stem for path in RECORDS])
def test_a_record_says_what_it_was_measured_on(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert {"benchmark", "measured_utc", "commit", "host", "versions", "figures"} <= set(record)
    assert record["host"]["processor"] and record["host"]["cores"] >= 1 and record["figures"]
