"""Memory over an hour: eight 1080p cameras in real time, the gate on, something happening two or three times in 90 s.

The films are those of the gate's proof (`gate_material`), each looped as a camera, so gates shut, open, look back and
shut again some 1,500 times an hour; yolo-fastest-1.1-xl on every fifth frame, tracked, a line counted, events written.
Memory is the sum of the proportional set sizes of all processes of the run, the largest in every ten seconds. The slope
is that of the straight line through the last 50 minutes (of less than an hour: the last five sixths), when buffers are
full. docs/reference/streams.md gets the table. Needs VEDETTE_DATA.

    python -m benchmarks.memory_hour [--seconds 3600] [--json FILE] [--plot FILE]
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gate import pack_bundle
from benchmarks.gate_material import films, write_films
from benchmarks.recording import identify_code, record
from benchmarks.stream_measuring import ROOT, weigh
from benchmarks.streams_tables import write

SECONDS, EVERY_S, LIMIT_GB = 3600, 10, 0.6
SETTLED_SHARE = 5 / 6  # of the time
FILMS = ("corridor-crf", "corridor-average", "corridor-switch", "bottles-crf", "bottles-noise", "cars-rain", "shop-crf",
         "shop-drift")  # fmt: skip
RESULT = ROOT / "benchmarks" / "results" / "memory_hour.json"
PLOT = ROOT / "docs" / "images" / "memory-hour.png"
MIB_PER_GB = 1e9 / 2**20


def measure(seconds: int = SECONDS, plot: Path = PLOT) -> dict[str, Any]:
    """One run of so many seconds; draws the plot."""
    chosen = [film for film in films() if film.name in FILMS]
    paths = write_films(chosen)
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "vedette", "run", "--bundle", pack_bundle(), "--json", "--realtime", "--loop", "--every", 5]
        command += ["--gate", "bitstream", "--duration", f"{seconds}s", "--line", "50%,0%,50%,100%"]
        command += ["--events", Path(folder) / "events.jsonl"]
        for film, path in zip(chosen, paths, strict=True):
            command += ["--camera", f"{film.name}={path}"]
        run = weigh(command, timeout_s=seconds + 600.0)
    found = figures(run, seconds)
    draw(found, plot)
    return found


def figures(run: dict[str, Any], seconds: int) -> dict[str, Any]:
    """What a run says, and what its memory did."""
    samples = largest_in_each(run["pss_mib_over_time"], EVERY_S)
    cameras = run["said"]["cameras"]
    totals = {key: sum(one[key] for one in cameras) for key in ("frames", "gated", "slots", "gated_slots", "drops")}
    return {
        "seconds": seconds,
        "cameras": len(cameras),
        "peak_mib": round(run["pss_mib"]),
        "limit_mib": round(LIMIT_GB * MIB_PER_GB),
        "reached": run["pss_mib"] <= LIMIT_GB * MIB_PER_GB,
        **settled(samples, seconds),
        "processor_share": round(run["cpu_s"] / run["wall_s"], 3),
        **totals,
        "gated_share": round(totals["gated"] / (totals["frames"] + totals["gated"]), 3),
        "events": run["said"]["events"]["published"],
        "errors": run["said"]["errors"],
        "mib_over_time": samples,
    }


def settled(samples: Sequence[tuple[float, int]], seconds: int) -> dict[str, Any]:
    """How memory rises once buffers are full, and the means of the first and the last tenth of that time."""
    import numpy as np

    from_s = seconds * (1 - SETTLED_SHARE)
    at_s, mib = np.array([sample for sample in samples if sample[0] >= from_s], np.float64).T  # (samples,) each
    tenth = max(len(mib) // 10, 1)
    return {
        "slope_from_s": round(from_s),
        "slope_mib_per_hour": round(float(np.polyfit(at_s, mib, 1)[0]) * 3600, 1),
        "first_and_last_tenth_mib": [round(float(part.mean())) for part in (mib[:tenth], mib[-tenth:])],
    }


def largest_in_each(samples: list[tuple[float, int]], every_s: float) -> list[tuple[float, int]]:
    """Seconds from the start, and the largest value in each interval that has one."""
    largest: dict[int, int] = {}
    for at_s, value in samples:
        number = int(at_s // every_s)
        largest[number] = max(value, largest.get(number, 0))
    return [(number * every_s, value) for number, value in sorted(largest.items())]


def draw(found: dict[str, Any], path: Path) -> None:
    """The plot."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    minutes = [at_s / 60 for at_s, _ in found["mib_over_time"]]
    axes.plot(minutes, [mib for _, mib in found["mib_over_time"]], linewidth=1.2)
    axes.axhline(found["limit_mib"], color="0.4", linestyle="--", linewidth=1)
    words: dict[str, Any] = {"xytext": (3, -11), "textcoords": "offset points", "fontsize": 8, "color": "0.35"}
    axes.annotate(f"limit: {LIMIT_GB} GB", (0, found["limit_mib"]), **words)
    top = 1.08 * max(found["limit_mib"], found["peak_mib"])
    axes.set(xlabel="minutes", ylabel="MiB, all processes (PSS)", ylim=(0, top))
    axes.set_title(f"{found['cameras']} cameras, 1080p30 in real time, gate on", fontsize=10)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--json", type=Path, default=RESULT)
    parser.add_argument("--plot", type=Path, default=PLOT)
    wish = parser.parse_args()
    document = record("memory_hour", identify_code(), measure(wish.seconds, wish.plot))
    wish.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if wish.json == RESULT:
        write("memory_hour")
    print(json.dumps({key: value for key, value in document["figures"].items() if key != "mib_over_time"}, indent=2))


if __name__ == "__main__":
    main()
