"""Frames a second of each camera against the number of cameras, as fast as possible, for three ways of coding.

1, 4, 8 and 16 copies of the busy clip as H.264, H.264 with B-frames and H.265; yolov3-tiny 416x416 on every 5th frame.
The plot goes to docs/images/cameras.png, with the 30 frames a second that a camera sends: what lies above the line
keeps up in real time.

    python -m benchmarks.streams_cameras [--precision int8] [--counts 1 4 8 16]
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.stream_material import MIDDLE, Workload, coded_clips, scene_bundle
from benchmarks.stream_measuring import ROOT, weigh
from benchmarks.streams import write_pipeline

COUNTS = (1, 4, 8, 16)
PLOT = ROOT / "docs" / "images" / "cameras.png"


def measure(precision: str = "int8", counts: tuple[int, ...] = COUNTS) -> dict[str, Any]:
    """Frames a second in all, and of each camera, by coding and number; draws the plot."""
    found: dict[str, Any] = {"precision": precision}
    for coding, clip in coded_clips().items():
        workload = Workload("cameras", (clip,), (MIDDLE,), scene_bundle(), "the rate alone")
        figures = {}
        for count in counts:
            ours = weigh(["-m", "vedette", "run", write_pipeline(workload, (clip,) * count, precision), "--json"])
            frames = sum(camera["frames"] for camera in ours["said"]["cameras"])
            rate = frames / ours["said"]["seconds"]
            figures[str(count)] = {
                "frames_per_s": round(rate, 1),
                "frames_per_s_and_camera": round(rate / count, 1),
                "cpu_s_per_1000_frames": round(1e3 * ours["cpu_s"] / frames, 2),
                "memory_mib": round(ours["pss_mib"]),
            }
            print(coding, count, figures[str(count)], flush=True)
        found[coding] = figures
    draw(found, PLOT)
    return found


def draw(found: dict[str, Any], path: Path) -> None:
    """The plot."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    codings = [key for key in found if key != "precision"]
    below, above = (-16, -10), (5, 5)  # so that curves that lie close do not write over each other
    for coding, marker, offset in zip(codings, "osD", (below, above, below), strict=False):
        counts = [int(count) for count in found[coding]]
        rates = [one["frames_per_s_and_camera"] for one in found[coding].values()]
        (line,) = axes.plot(counts, rates, marker=marker, markersize=5, label=coding)
        for count, rate in zip(counts, rates, strict=True):
            place: dict[str, Any] = {
                "textcoords": "offset points",
                "xytext": offset,
                "fontsize": 8,
                "color": line.get_color(),
            }
            axes.annotate(f"{rate:.0f}", (count, rate), **place)
    axes.axhline(30, color="0.4", linestyle="--", linewidth=1)
    words: dict[str, Any] = {"xytext": (0, -11), "textcoords": "offset points", "fontsize": 8, "color": "0.35"}
    axes.annotate("30 frames a second: real time", (min(counts), 30), **words)
    axes.set(xscale="log", yscale="log", xlabel="cameras, 1080p", ylabel="frames a second of each camera")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_yticks([10, 20, 30, 50, 100, 200], ["10", "20", "30", "50", "100", "200"])
    axes.set_title(
        f"yolov3-tiny 416x416 {found['precision'].upper()}, every 5th frame, two processor cores", fontsize=10
    )
    axes.legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--counts", nargs="*", type=int, default=COUNTS)
    wish = parser.parse_args()
    print(json.dumps(measure(wish.precision, tuple(wish.counts))))


if __name__ == "__main__":
    main()
