"""A training job that loses its machines beside one that is left alone: how far weights are apart, what is repeated.

On the simulated SageMaker: the real `train`, real processes, S3 and checkpoints in it; drawn pictures and a small
network, so that it takes minutes. On one host and on two (gloo). Claim: the weights are the same but for rounding.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np

from drawn_shapes import draw_data, write_cfg
from simulators.sagemaker_rehearsal import Rehearsal
from vedette.contracts.ports import SilentProgress
from vedette.learn.sagemaker.artefact import unpack_run
from vedette.learn.sagemaker.simulator.opening import SimulatorOptions, open_simulator

EPOCHS = int(os.environ.get("VEDETTE_BENCHMARK_EPOCHS", "40"))
PICTURES, INTERRUPT_AFTER = 24, 3
MOST_DIFFERENCE = 1e-6
HEADER_BYTES = 20  # of Darknet's weights
MOST_BYTES = 1 << 30
SPOT = {"spot": True, "max_run": "1h", "max_wait": "2h"}


def measure() -> dict[str, Any]:
    """For each number of hosts: greatest difference of weights, epochs trained twice, seconds on machines."""
    figures: dict[str, Any] = {"epochs": EPOCHS, "pictures": PICTURES, "interrupted_after_epoch": INTERRUPT_AFTER}
    with tempfile.TemporaryDirectory(prefix="vedette-benchmark-") as scratch:
        folder = Path(scratch)
        with open_simulator(folder / "sim", SimulatorOptions(interrupt_after_epoch=INTERRUPT_AFTER)) as simulator:
            rehearsal = Rehearsal(simulator)
            _send(rehearsal, folder)
            for hosts in (1, 2):
                figures[f"hosts_{hosts}"] = _compare(rehearsal, folder, hosts)
    return figures


def _send(rehearsal: Rehearsal, folder: Path) -> None:
    pictures, cfg = draw_data(folder / "parts", PICTURES), folder / "cfg"
    cfg.mkdir()
    write_cfg(cfg)
    for name, source in (("parts", pictures), ("cfg", cfg)):
        for path in source.rglob("*"):
            if path.is_file():
                rehearsal.store.write(f"{name}/{path.relative_to(source).as_posix()}", path.read_bytes())


def _compare(rehearsal: Rehearsal, folder: Path, hosts: int) -> dict[str, Any]:
    told, runs = {}, []
    for kind, settings in (("whole", {}), ("interrupted", SPOT)):
        name = f"{kind}-{hosts}"
        channels = {"train": f"{rehearsal.root}/parts", "cfg": f"{rehearsal.root}/cfg"}
        given = {"channels": channels, "instances": hosts, **settings}
        told[kind] = rehearsal.run(name, given, epochs=str(EPOCHS), batch="4", device="cpu", precision="fp32")
        assert told[kind]["TrainingJobStatus"] == "Completed", told[kind].get("FailureReason")
        archive = rehearsal.store.read(f"jobs/{name}/output/model.tar.gz", MOST_BYTES)
        runs.append(folder / "runs" / name)
        unpack_run([archive], len(archive), runs[-1], SilentProgress())
    steps = [one["Status"] for one in told["interrupted"]["SecondaryStatusTransitions"]]
    assert steps.count("Interrupted") == 1, steps
    streams = rehearsal.streams(f"interrupted-{hosts}")
    lines = [line for stream in streams.values() for line in stream if line.startswith("metrics: epoch=")]
    differences = {f"{name}_difference": _difference(*runs, f"{name}.weights") for name in ("best", "last")}
    return {
        **differences,
        "meets_claim": max(differences.values()) <= MOST_DIFFERENCE,
        "epochs_told_twice": len(lines) - EPOCHS,
        "resumed": next(line for stream in streams.values() for line in stream if "resuming in epoch" in line),
        "machine_s": {kind: one["TrainingTimeInSeconds"] for kind, one in told.items()},
    }


def _difference(first: Path, second: Path, name: str) -> float:
    weights = [np.frombuffer((run / name).read_bytes()[HEADER_BYTES:], "<f4") for run in (first, second)]
    return float(np.abs(weights[0] - weights[1]).max())
