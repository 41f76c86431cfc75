"""`python -m benchmarks.rivals`: set-up DIR, prepare DIR, measure DIR, quiet DIR CLIP..., try DIR NAME, table.

DIR gets one virtual environment for each rival (set-up), every side's network (prepare). `measure` writes
benchmarks/results/rivals.json with host, versions and commit, after each round; `quiet` adds clips of mostly quiet
scenes to it, each a camera; `table` writes its tables into docs/reference/rivals.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.recording import identify_code, record
from benchmarks.rivals import environments, measuring, tables

RECORDED = Path(__file__).parent.parent / "results" / "rivals.json"


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("set-up", "prepare", "measure", "quiet", "try"):
        step = steps.add_parser(name)
        step.add_argument("folder", type=lambda text: Path(text).resolve())
        if name != "set-up":
            step.add_argument("--precision", default="int8", help="of our bundle (default: int8)")
        if name in {"measure", "quiet"}:
            step.add_argument("--rounds", type=int, default=3)
        if name == "quiet":
            step.add_argument("clips", type=Path, nargs="+")
        if name == "try":
            step.add_argument("contestant")
            step.add_argument("clips", nargs="*", help="default: the busy clip, once")
    steps.add_parser("table")
    asked = parser.parse_args()
    if asked.step == "set-up":
        environments.set_up(asked.folder)
    elif asked.step == "prepare":
        measuring.prepare(measuring.Workplace(asked.folder, asked.precision), measuring.busy_clip())
    elif asked.step == "measure":
        code = identify_code()
        for figures in measuring.measure(measuring.Workplace(asked.folder, asked.precision), asked.rounds):
            _save(record("rivals", code, figures))
    elif asked.step == "quiet":
        document, code = json.loads(RECORDED.read_text(encoding="utf-8")), identify_code()
        place, figures = measuring.Workplace(asked.folder, asked.precision), document["figures"]
        figures["quiet"] = code | measuring.measure_quiet(place, figures["contestants"], asked.clips, asked.rounds)
        _save(document)
    elif asked.step == "try":
        place = measuring.Workplace(asked.folder, asked.precision)
        clips = asked.clips or [str(measuring.busy_clip())]
        print(measuring.show(measuring.run_contestant(place, asked.contestant, clips)))
    else:
        tables.write(json.loads(RECORDED.read_text(encoding="utf-8")))


def _save(document: dict[str, Any]) -> None:
    RECORDED.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
