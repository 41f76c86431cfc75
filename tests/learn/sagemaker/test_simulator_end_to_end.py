"""From labelled pictures to detections through S3 and a training job: real servers, boto3, the real `train`.

Data goes by `vedette data push`, the model comes by `vedette jobs fetch`, is packed and detects; an interrupted job's
weights are held against those of one that was left alone.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_shapes import draw_data, write_cfg
from simulators.s3_servers import BUCKET, rclone_server
from simulators.sagemaker_rehearsal import Rehearsal
from vedette.learn.sagemaker.simulator.opening import Simulator, SimulatorOptions, open_simulator

LONG = 40  # epochs: far from over when the machines are taken away
FAST = {"batch": "4", "device": "cpu", "precision": "fp32"}
SPOT = {"spot": True, "max_run": "1h", "max_wait": "2h"}
LAYOUT = {"best.weights", "last.weights", "model.cfg", "names.txt", "results.csv", "report.html", "settings.json"}
HEADER_BYTES = 20  # of Darknet's weights
WEIGHTS_TOLERANCE = 1e-6  # the same sums in the same order on one computer


class Traveller:
    """A person with pictures on this computer and a simulated account."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.rehearsal, self.folder = Rehearsal(simulator), folder
        kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        cache = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        self.environment = {**kept, **simulator.environment, **cache}
        self.pictures = draw_data(folder / "pictures", 12)
        cfg = folder / "cfg"
        cfg.mkdir(exist_ok=True)
        write_cfg(cfg)
        for path in cfg.iterdir():
            self.rehearsal.store.write(f"cfg/{path.name}", path.read_bytes())

    def vedette(self, *arguments: str | Path) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "vedette", *map(str, arguments), "--json"], capture_output=True, text=True,
            check=False, env=self.environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def push(self) -> None:
        assert self.vedette("data", "push", self.folder / "pictures", f"{self.rehearsal.root}/parts")["sent_files"] > 0

    def train(self, name: str, epochs: int, **settings: Any) -> Mapping[str, Any]:
        root = self.rehearsal.root
        channels = {"train": f"{root}/parts", "cfg": f"{root}/cfg"}
        given = {"channels": channels, **SPOT, "environment": {"OMP_NUM_THREADS": "1"}, **settings}
        return self.rehearsal.run(name, given, epochs=str(epochs), **FAST)

    def fetch(self, name: str) -> Path:
        run = self.folder / "runs" / name
        self.vedette("jobs", "fetch", name, "--out", run)
        assert {path.name for path in run.iterdir()} >= {*LAYOUT, "bundle"}
        return run


@contextmanager
def simulator_on(place: str, folder: Path) -> Iterator[Simulator]:
    """A simulator that takes spot machines away after the third epoch; its S3, rclone's or moto's, is empty."""
    with ExitStack() as stack:
        s3 = stack.enter_context(rclone_server(folder / "s3")).settings() if place == "rclone" else None
        options = SimulatorOptions(interrupt_after_epoch=3, s3=s3, bucket=BUCKET)
        yield stack.enter_context(open_simulator(folder / "sim", options))


def check_detects(traveller: Traveller, run: Path) -> None:
    """The bundle that the job packed, and one packed of its weights here, find the same."""
    packed, found = traveller.folder / "bundles" / run.name, {}
    traveller.vedette("pack", "--run", run, "--out", packed)
    pictures = traveller.folder / "pictures" / "JPEGImages"
    for bundle in (run / "bundle", packed):
        out = traveller.folder / "found" / f"{run.name}-{bundle.name}"
        found[bundle] = traveller.vedette("detect", bundle, pictures, "--out", out, "--score", "0.001")
    first, second = ([one["detections"] for one in told] for told in found.values())
    assert first == second
    assert len(first) == 12
    assert any(first)


def weights_difference(run: Path, other: Path, name: str) -> float:
    """The greatest difference of two runs' weights."""
    first, second = (np.frombuffer((folder / name).read_bytes()[HEADER_BYTES:], "<f4") for folder in (run, other))
    return float(np.abs(first - second).max())


@pytest.mark.timeout(1200)
def test_pictures_become_a_bundle_through_a_job(tmp_path: Path) -> None:
    with open_simulator(tmp_path / "sim", SimulatorOptions()) as simulator:
        traveller = Traveller(simulator, tmp_path)
        traveller.push()
        told = traveller.train("belt-1", 1)
        assert told["TrainingJobStatus"] == "Completed", told.get("FailureReason")
        figures = {one["MetricName"]: one["Value"] for one in told["FinalMetricDataList"]}
        assert (figures["epoch"], "best:map50" in figures) == (1.0, True)
        (lines,) = traveller.rehearsal.streams("belt-1").values()
        assert any(line.startswith("metrics: epoch=1;") for line in lines)
        run = traveller.fetch("belt-1")
        assert (run / "bundle" / "bundle.json").is_file()

        told = traveller.train("piped", 1, mode="Pipe")  # the true program's own words come back
        assert told["TrainingJobStatus"] == "Failed"
        assert told["FailureReason"].startswith("AlgorithmError: channel 'train' comes in Pipe mode")
        assert told["FailureReason"].endswith("exit code: 1")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("place", ["rclone", "moto"])
def test_an_interrupted_job_learns_what_an_uninterrupted_one_learns(tmp_path: Path, place: str) -> None:
    with simulator_on(place, tmp_path) as simulator:
        traveller = Traveller(simulator, tmp_path)
        traveller.push()
        whole = traveller.train("whole", LONG, spot=False, max_wait=None)
        assert (whole["TrainingJobStatus"], len(whole["SecondaryStatusTransitions"])) == ("Completed", 5)
        told = traveller.train("interrupted", LONG)
        assert told["TrainingJobStatus"] == "Completed", told.get("FailureReason")
        steps = [one["Status"] for one in told["SecondaryStatusTransitions"]]
        first = ["Starting", "Downloading", "Training"]
        assert steps == [*first, "Interrupted", *first, "Uploading", "Completed"]
        streams = [*traveller.rehearsal.streams("interrupted").values()]
        assert len(streams) == 2
        assert sum("resuming in epoch" in line for lines in streams for line in lines) == 1
        epochs = [line.split(";")[0] for lines in streams for line in lines if line.startswith("metrics: epoch=")]
        assert epochs == [f"metrics: epoch={number}" for number in range(1, LONG + 1)]
        runs = [traveller.fetch(name) for name in ("whole", "interrupted")]
        for name in ("best.weights", "last.weights"):
            assert weights_difference(*runs, name) <= WEIGHTS_TOLERANCE
        check_detects(traveller, runs[1])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("place", ["rclone", "moto"])
def test_two_hosts_learn_together_and_go_on_after_an_interruption(tmp_path: Path, place: str) -> None:
    with simulator_on(place, tmp_path) as simulator:
        traveller = Traveller(simulator, tmp_path)
        traveller.push()
        whole = traveller.train("whole", LONG, instances=2, spot=False, max_wait=None)
        assert whole["TrainingJobStatus"] == "Completed", whole.get("FailureReason")
        told = traveller.train("interrupted", LONG, instances=2)
        assert told["TrainingJobStatus"] == "Completed", told.get("FailureReason")
        assert [one["Status"] for one in told["SecondaryStatusTransitions"]].count("Interrupted") == 1
        logs = sorted(traveller.rehearsal.streams("interrupted").items())
        hosts = [name.split("/")[1].rpartition("-")[0] for name, _ in logs]
        assert hosts == ["algo-1", "algo-1", "algo-2", "algo-2"]
        assert any("algo-2 is host 2 of 2" in line for line in logs[2][1])
        assert any("resuming in epoch" in line for line in logs[1][1])
        assert any("algo-1 delivers the model" in line for line in logs[3][1])
        runs = [traveller.fetch(name) for name in ("whole", "interrupted")]
        for name in ("best.weights", "last.weights"):
            assert weights_difference(*runs, name) <= WEIGHTS_TOLERANCE
        check_detects(traveller, runs[1])
