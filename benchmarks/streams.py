"""Eight busy 1080p streams, detection on every 5th frame, as fast as possible, beside the floor of the same run.

The floor is bare decoding of the same clips (one PyAV thread a stream, frames thrown away) plus bare inference of the
same number of batches (engine only, no decode of boxes), one after the other with every core free. Ours decodes, fits,
detects, tracks, counts and writes events. Ratio = floor seconds / our seconds. Everything is repeated and the median
taken. The detector's weights are random and its thresholds usual, so its detections mean nothing here ("raw rate").

The clip is `videos/busy_1080p30_h264.mp4` of the folder that VEDETTE_DATA names; without it, a drawn 1080p clip.
"""

import contextlib
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STREAMS, EVERY, BATCH, REPEATS = 8, 5, 4, 3
SIZE, CLASSES = 416, 80
CELLS_FOUND = 30  # a frame, before suppression
SPREAD = 20.0  # standard deviation of the objectness logits
PRECISIONS = ("fp32", "bf16")


def measure() -> dict[str, Any]:
    """Figures for every precision that this processor has."""
    with tempfile.TemporaryDirectory() as folder:
        clip = _clip(Path(folder))
        bundle = _pack_random_tiny(Path(folder), clip)
        figures: dict[str, Any] = {"streams": STREAMS, "every": EVERY, "input": f"{SIZE}x{SIZE}", "clip": clip.name}
        for precision in PRECISIONS:
            rounds = []
            for _ in range(REPEATS):
                floor = _in_process("floor", clip, bundle, precision)
                if "unavailable" in floor:
                    break
                ours = _in_process("ours", clip, bundle, precision)
                rounds.append((floor, ours))
            figures[precision] = _medians(rounds) if rounds else "not available on this processor"
        return figures


def _medians(rounds: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    def middle(pick: Callable[[dict[str, float], dict[str, float]], float]) -> float:
        return round(statistics.median(pick(floor, ours) for floor, ours in rounds), 3)

    return {
        "frames_per_s": middle(lambda f, o: o["frames"] / o["wall_s"]),
        "cpu_s_per_1000_frames": middle(lambda f, o: 1000 * o["cpu_s"] / o["frames"]),
        "peak_memory_mib": middle(lambda f, o: o["peak_mib"]),
        "floor_frames_per_s": middle(lambda f, o: f["frames"] / f["wall_s"]),
        "floor_cpu_s_per_1000_frames": middle(lambda f, o: 1000 * f["cpu_s"] / f["frames"]),
        "ratio_wall": middle(lambda f, o: f["wall_s"] / o["wall_s"] * o["frames"] / f["frames"]),
        "ratio_cpu": middle(lambda f, o: f["cpu_s"] / o["cpu_s"] * o["frames"] / f["frames"]),
        "objects_per_detected_frame": middle(lambda f, o: o["objects"] / o["slots"]),
        "rounds": len(rounds),
    }


def _in_process(what: str, clip: Path, bundle: Path, precision: str) -> dict[str, float]:
    """One measurement in a process of its own, so that memory and CPU time are its own."""
    command = [sys.executable, "-m", "benchmarks.streams", what, str(clip), str(bundle), precision]
    root = Path(__file__).parent.parent
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def _clip(folder: Path) -> Path:
    data = Path(os.environ.get("VEDETTE_DATA", "../shared/data"))
    real = (data / "videos" / "busy_1080p30_h264.mp4").resolve()
    if real.is_file():
        return real
    from vedette.contracts.ports import SilentProgress
    from vedette.learn.data.scenes.writing import ClipPlan, write_clips

    return write_clips(folder, ClipPlan(1, 600, 1, (1920, 1080)), SilentProgress(), 2)[0].video


def _pack_random_tiny(folder: Path, clip: Path) -> Path:
    """A bundle of yolov3-tiny with random weights that finds some objects in the clip."""
    import torch

    from vedette.apps.cli import run_command
    from vedette.learn.darknet.cfg import parse_cfg
    from vedette.learn.darknet.network import DarknetNetwork
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import write_weights
    from vedette.learn.darknet.zoo import make_cfg

    text = make_cfg("yolov3-tiny", CLASSES, SIZE, SIZE)
    (folder / "model.cfg").write_text(text, encoding="utf-8")
    (folder / "names.txt").write_text("\n".join(f"class{n}" for n in range(CLASSES)), encoding="utf-8")
    plan = plan_network(parse_cfg(text))
    torch.manual_seed(1)
    network = DarknetNetwork(plan).eval()
    _set_biases(network, _frames(clip))
    write_weights(folder / "model.weights", plan, network.to_darknet(seen=0))
    arguments = ["--cfg", "model.cfg", "--weights", "model.weights", "--names", "names.txt"]
    paths = [str(folder / a) if not a.startswith("--") else a for a in arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        code = run_command(["pack", *paths, "--out", str(folder / "bundle")])
    if code != 0:
        raise SystemExit(f"packing failed with exit code {code}")
    return folder / "bundle"


def _frames(clip: Path) -> Any:
    """Eight frames of the clip as the network takes them: (8, 3, SIZE, SIZE) float32."""
    import av
    import numpy as np
    import torch

    with av.open(str(clip)) as container:
        frames = itertools.islice(container.decode(container.streams.video[0]), 0, 400, 50)
        pictures = [frame.to_ndarray(width=SIZE, height=SIZE, format="rgb24") for frame in frames]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _set_biases(network: Any, frames: Any) -> None:
    """About CELLS_FOUND cells a frame get an objectness above 1/2, all of class 0 and of the anchor's own size."""
    import torch

    with torch.no_grad():
        for head, convolution in zip(network.plan.heads, network.head_convolutions(), strict=True):
            anchors = len(head.anchors)
            weight = convolution.weight.view(anchors, 5 + CLASSES, -1)
            weight[:, :4] *= 0.1
            weight[:, 5:] *= 0.1
            bias = torch.zeros(anchors, 5 + CLASSES)
            bias[:, 5:], bias[:, 5] = -8.0, 4.0
            convolution.bias.copy_(bias.flatten())
        for number, convolution in enumerate(network.head_convolutions()):
            raw = network(frames)[number]  # (8, anchors * (5 + classes), height, width)
            objectness = raw.view(len(raw), -1, 5 + CLASSES, *raw.shape[2:])[:, :, 4].flatten()
            steeper = SPREAD / objectness.std()  # so that few cells lie between yes and no
            convolution.weight.view(-1, 5 + CLASSES, convolution.in_channels)[:, 4] *= steeper
            share = CELLS_FOUND * len(raw) / 2 / len(objectness)
            convolution.bias.view(-1, 5 + CLASSES)[:, 4] = -steeper * torch.quantile(objectness, 1 - share)


def _measured(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    import resource

    began, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found | {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _floor(clip: Path, detector: Any) -> dict[str, float]:
    """Decode everything, then infer as many batches as ours needs."""
    import av
    import numpy as np

    counted = [0] * STREAMS

    def decode(number: int) -> None:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            counted[number] = sum(1 for _ in container.decode(stream))

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(STREAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batch = np.random.default_rng(1).integers(0, 255, (BATCH, SIZE, SIZE, 3), np.uint8)
    for _ in range(-(-sum(-(-frames // EVERY) for frames in counted) // BATCH)):
        detector.infer(batch)
    return {"frames": sum(counted)}


def _ours(clip: Path, bundle: Path, precision: str) -> dict[str, float]:
    """The product, as a user runs it: tracks, a counting line, events to a file."""
    from vedette.apps.cli import run_command

    arguments = ["run", "--bundle", str(bundle), "--every", str(EVERY), "--line", "50%,0%,50%,100%", "--json"]
    for number in range(STREAMS):
        arguments += ["--camera", f"camera-{number + 1}={clip}"]
    arguments += ["--precision", precision, "--events", str(bundle.parent / f"events-{os.getpid()}.jsonl")]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = run_command(arguments)
    document = json.loads(output.getvalue())
    if code != 0 or document["errors"]:
        raise SystemExit(f"the run failed with exit code {code}: {document['errors']}")
    totals = {name: sum(camera[name] for camera in document["cameras"]) for name in ("frames", "slots", "detections")}
    return {"frames": totals["frames"], "slots": totals["slots"], "objects": totals["detections"]}


def main() -> None:
    """`floor|ours CLIP BUNDLE PRECISION`, used by `_in_process`."""
    what, clip, bundle, precision = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    if what == "ours":
        print(json.dumps(_measured(lambda: _ours(clip, bundle, precision))))
        return
    import vedette
    from vedette.contracts.errors import UnavailableError

    try:
        detector = vedette.load(bundle, precision=precision)
    except UnavailableError as error:
        print(json.dumps({"unavailable": str(error)}))
        return
    print(json.dumps(_measured(lambda: _floor(clip, detector))))


if __name__ == "__main__":
    main()
