"""What `vedette capacity` predicts, held against runs of what it predicts, for the workloads of the stream benchmarks.

    python -m benchmarks.capacity [--seconds 20]

`difference` is of the prediction from the measured number of cameras at full load by processor time; the issue's bound
is 10 %. In real time the number to plan with must keep up, and a quarter more than full load must not.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.stream_material import workloads

PRECISION = {"scenes": "int8", "busy": "fp32", "raw": "int8"}


def measure(seconds: float = 20.0) -> dict[str, Any]:
    """Every workload on its first clip, and the busy one in H.265."""
    found = workloads()
    jobs = {name: (one.clips[0], one.bundle, PRECISION[name]) for name, one in found.items()}
    if "busy" in found:
        clip = found["busy"].clips[0].with_name("busy_1080p30_h265.mp4")
        jobs["busy in H.265"] = (clip, found["busy"].bundle, PRECISION["busy"])
    return {name: predict(*job, seconds) for name, job in jobs.items()}


def predict(clip: Path, bundle: Path, precision: str, seconds: float) -> dict[str, Any]:
    """One prediction and its proof."""
    command = [sys.executable, "-m", "vedette", "capacity", "--video", str(clip), "--bundle", str(bundle)]
    command += ["--precision", precision, "--verify", "--verify-seconds", str(seconds), "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (answer,) = json.loads(result.stdout)["answers"]
    cost_ms = {stage: round(cost["loaded_ms"], 2) for stage, cost in answer["cost_ms"].items()}
    kept = ("cameras", "cameras_full", "bottleneck", "shares", "proof")
    return {"engine": answer["model"]["engine"], "cost_ms": cost_ms} | {name: answer[name] for name in kept}


def main() -> None:
    """With the length of the proving runs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    print(json.dumps(measure(parser.parse_args().seconds), indent=2))


if __name__ == "__main__":
    main()
