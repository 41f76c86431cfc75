"""On a local Ray cluster: the results of one process, though workers, and the actors that keep them, are killed."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from deadly_predictors import GreyOpener, same, write_greys
from small_bundle import make_bundle, make_picture
from vedette.learn.predicting.outcomes import Failed, Outcome, outcomes_here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install 'vedette[ray]'"),
]
PROGRAM = """
import pickle, sys
from pathlib import Path
from vedette.contracts.ports import SilentProgress
from vedette.learn.predicting.ray_cluster import outcomes_on_ray
opener, pictures = pickle.loads(Path(sys.argv[1]).read_bytes())
found = list(outcomes_on_ray(opener, pictures, 2, SilentProgress()))
Path(sys.argv[2]).write_bytes(pickle.dumps(found))
"""
LIMIT_S = 280


def environment() -> dict[str, str]:
    """No cluster but our own, without telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "local", "PYTHONPATH": ":".join(sys.path)}


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def test_killed_workers_and_killed_actors_lose_nothing(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.mkdir()
    pictures = write_greys(tmp_path / "greys", 40)
    pictures[7].write_bytes(b"no picture")
    opener = GreyOpener(words, deadly=(4,), deadly_once=(9,), parricidal=(20,))
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    asked.write_bytes(pickle.dumps((opener, pictures)))
    done = run("-c", PROGRAM, str(asked), str(answered))
    assert done.returncode == 0, done.stderr
    assert (words / "met-20").exists()  # an actor was killed
    assert (words / "met-9").exists()
    there: list[tuple[int, Outcome]] = pickle.loads(answered.read_bytes())
    assert sorted(number for number, _ in there) == list(range(40))
    here = dict(outcomes_here(GreyOpener(words).predict, pictures))
    failed = {number: outcome for number, outcome in there if isinstance(outcome, Failed)}
    assert sorted(failed) == [4, 7]
    assert "3 worker processes died at it" in failed[4].reason
    assert all(same(here[number], outcome) for number, outcome in there if number != 4)


def test_the_command_measures_on_a_cluster_what_it_measures_here(tmp_path: Path) -> None:
    import cv2

    bundle = make_bundle(tmp_path / "bundle").path
    data = tmp_path / "data"
    for folder in ("JPEGImages", "Annotations"):
        (data / folder).mkdir(parents=True)
    for number in range(6):
        cv2.imwrite(str(data / "JPEGImages" / f"{number}.png"), make_picture({(number % 4, 1): "red"}))
        (data / "Annotations" / f"{number}.xml").write_text(
            "<annotation><object><name>red</name><bndbox><xmin>1</xmin><ymin>17</ymin><xmax>16</xmax><ymax>32</ymax>"
            "</bndbox></object></annotation>"
        )
    command = ("-m", "vedette", "evaluate", str(bundle), "--data", str(data), "--json")
    here, there = run(*command), run(*command, "--on", "ray", "--processes", "2")
    assert there.returncode == 0, there.stderr
    ours, theirs = json.loads(here.stdout), json.loads(there.stdout)
    assert ours.pop("ms_per_picture") > 0
    assert theirs.pop("ms_per_picture") > 0
    assert theirs == ours
    refused = run(*command[:3], str(bundle), "--data", str(tmp_path / "none"), "--on", "ray")
    assert refused.returncode == 1
    assert "does not exist" in refused.stderr


def test_the_command_labels_on_a_cluster_as_it_labels_here(tmp_path: Path) -> None:
    import cv2

    shots = tmp_path / "shots"
    shots.mkdir()
    for number in range(6):
        cv2.imwrite(str(shots / f"{number}.png"), make_picture({(number % 4, 1): "red", (2, 2): "blue"}))
    command = ("-m", "vedette", "label", str(shots), "--with", str(make_bundle(tmp_path / "bundle").path), "--out")
    here, there = run(*command, str(tmp_path / "here")), run(*command, str(tmp_path / "there"), "--on", "ray")
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    ours, theirs = (
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "here", tmp_path / "there")
    )
    assert len(ours) == 13
    assert theirs == ours
