"""`python -m benchmarks` runs every benchmark; `python -m benchmarks streams` only that one.

Each returns its figures; they are printed and written to benchmarks/results/NAME.json with host, versions and commit.
"""

import argparse
import importlib
import json
from pathlib import Path

from benchmarks.recording import identify_code, record

NAMES = (
    "command_line",
    "postprocess",
    "decoded_boxes",
    "box_parser",
    "message_bridge",
    "preprocessing",
    "streams",
    "streams_realtime",
    "streams_cameras",
    "detect_rate",
    "parity",
    "tracking",
    "counting",
    "gate",
    "variants",
    "labelling",
    "transfer",
    "simulator_front",
    "interrupted_jobs",
    "capacity",
    "memory_hour",
    "live_page",
    "camera_failures",
    "training_cuda",
)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which (default: all)")
    for name in parser.parse_args().names or NAMES:
        code = identify_code()
        figures = importlib.import_module(f"benchmarks.{name}").measure()
        document = record(name, code, figures)
        path = RESULTS / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
