"""Vedette in a real arm64 root, run by qemu: the doctor, detections and events as on x86-64. `make test-arm64`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from arm64_root import HOME, Arm64Root

from box_images import IMAGES, write_image
from random_weights import random_weights
from small_bundle import make_bundle, make_picture, write_walk
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import write_weights
from vedette.version import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ENGINES = ("onnxruntime", "openvino")
SCORE_TOLERANCE, BOX_TOLERANCE_PX = 1e-3, 0.5  # as `vedette pack` asks of its engines
FILM_SCORE_TOLERANCE, FILM_BOX_TOLERANCE_PX = 0.05, 1.0
PIXELS_TOLERANCE = 2
NET, PICTURES, PACKETS = "yolo-fastest-1.1", 6, 150
X86_64 = (sys.executable, "-m", "vedette")


@dataclass(frozen=True)
class Machines:
    """This computer and the arm64 root; both see `folder`, which paths in commands are relative to."""

    made: Arm64Root
    folder: Path
    figures: dict[str, Any]

    def here(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*X86_64, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)

    def there(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        begun_s = time.monotonic()
        done = self.made.run(self.folder, [f"{HOME}/bin/vedette", *arguments])
        seconds = self.figures.setdefault("seconds of commands on arm64", {})
        name = " ".join(arguments[:1])
        seconds[name] = max(seconds.get(name, 0.0), round(time.monotonic() - begun_s, 1))
        return done


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    figures = os.environ.get("VEDETTE_ARM64_FIGURES")
    if figures is None:
        pytest.skip("no arm64 root was made for this run: sudo make test-arm64 makes one, or says what it lacks")
    both = Machines(Arm64Root.of_environment(), tmp_path_factory.mktemp("both"), {})
    yield both
    Path(figures).write_text(json.dumps(both.figures))


def told(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_root_is_arm64_and_has_what_edge_wants(machines: Machines) -> None:
    script = "import json, platform; print(json.dumps([platform.machine(), platform.libc_ver()]))"
    done = machines.made.run(machines.folder, [f"{HOME}/bin/python", "-c", script])
    machine, (libc, version) = told(done)
    assert (machine, libc) == ("aarch64", "glibc")
    assert machines.there("--version").stdout.strip() == __version__
    listed = machines.made.run(machines.folder, [f"{HOME}/bin/python", "-m", "pip", "list", "--format", "json"])
    packages = {one["name"].lower(): one["version"] for one in told(listed)}
    assert {"vedette", "onnxruntime", "openvino", "av", "opencv-python-headless", "obstore"} <= packages.keys()
    assert not packages.keys() & {"torch", "matplotlib", "onnx"}
    names = ("onnxruntime", "openvino", "av", "numpy", "opencv-python-headless")
    machines.figures["arm64"] = {"glibc": version, **{name: packages[name] for name in names}}


def test_the_doctor_knows_the_root_from_inside_and_from_outside(machines: Machines) -> None:
    done = machines.there("doctor", "--json")
    inside = json.loads(done.stdout)
    assert done.returncode == (1 if inside["gaps"] else 0) and "Traceback" not in done.stderr
    assert inside["box"]["system"] == "Debian GNU/Linux 12 (bookworm)"
    assert inside["box"]["kernel"] == os.uname().release
    assert inside["box"]["chip"] is None and inside["box"]["jetpack"] is None
    assert inside["software"]["python"] == "3.11"
    found = {one["topic"]: one for one in inside["findings"]}
    assert found["engines"]["text"] == "openvino, onnxruntime" and found["engines"]["verdict"] == "good"
    assert found["board"]["verdict"] == found["Python"]["verdict"] == "good"
    assert found["memory"]["verdict"] != "unknown" and found["disk"]["verdict"] != "unknown"
    outside = json.loads(machines.here("doctor", "--root", str(machines.made.root), "--json").stdout)
    assert outside["software"] == inside["software"]
    assert outside["box"]["system"] == inside["box"]["system"]


@pytest.mark.parametrize("name", ["nano-4.6.6", "orin-nano-6.2", "thor-7.2"])
def test_the_doctor_on_arm64_judges_images_of_boxes_as_on_x86_64(machines: Machines, name: str) -> None:
    write_image(machines.folder / name, IMAGES[name])
    here, there = (run("doctor", "--root", name, "--json") for run in (machines.here, machines.there))
    assert there.returncode == here.returncode, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert json.loads(there.stdout)["box"]["jetpack"] == name.rpartition("-")[2]


def differences(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The greatest of the scores and of the corners in pixels, of the same objects in the same order."""
    assert [one["class"] for one in there] == [one["class"] for one in here]
    scores = [abs(one["score"] - other["score"]) for one, other in zip(here, there, strict=True)]
    corners = [
        abs(one - other)
        for mine, theirs in zip(here, there, strict=True)
        for one, other in zip(mine["box_xyxy_px"], theirs["box_xyxy_px"], strict=True)
    ]
    return max(scores, default=0.0), max(corners, default=0.0)


def assert_same_detections(machines: Machines, title: str, engine: str, command: Sequence[str]) -> None:
    """`vedette detect` on both, and what the greatest differences were."""
    arguments = ["detect", *command, "--engine", engine, "--json"]
    here = told(machines.here(*arguments, "--out", f"here-{title}-{engine}"))
    there = told(machines.there(*arguments, "--out", f"there-{title}-{engine}"))
    assert [Path(one["image"]).name for one in there] == [Path(one["image"]).name for one in here]
    pairs = list(zip(here, there, strict=True))
    count = sum(len(mine["detections"]) for mine in here)
    assert count >= 5
    found = [differences(mine["detections"], theirs["detections"]) for mine, theirs in pairs]
    score, corner_px = max(one[0] for one in found), max(one[1] for one in found)
    machines.figures[f"detect {title}, {engine}"] = {
        "pictures": len(here), "detections": count, "score differs by": score, "corners differ by px": corner_px,
    }  # fmt: skip
    assert score <= SCORE_TOLERANCE and corner_px <= BOX_TOLERANCE_PX
    assert len(list((machines.folder / f"there-{title}-{engine}").iterdir())) == len(here) + 1  # detections.json


@pytest.fixture(scope="module")
def random_net(machines: Machines) -> str:
    """A packed yolov3-tiny of random weights: every layer of the real one, boxes all over the picture."""
    cfg, weights, names = (machines.folder / f"random.{ending}" for ending in ("cfg", "weights", "names"))
    names.write_text("disc\nplate\nother\n")
    made = machines.here(
        "model", "new", "yolov3-tiny", "--classes", names.name, "--size", "96", "--out", cfg.name
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    plan = plan_network(read_cfg(cfg))
    write_weights(weights, plan, random_weights(plan, seed=3))
    return packed(machines, cfg, weights, names, "random")


def packed(machines: Machines, cfg: Path, weights: Path, names: Path, out: str) -> str:
    done = machines.here(
        "pack", "--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "--out", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def real_net(machines: Machines, real_data: Path) -> str:
    found = sorted((real_data / "weights").rglob(f"{NET}.cfg"))
    if not found:
        pytest.skip(f"the data folder has no {NET}.cfg")
    return packed(machines, found[0], found[0].with_suffix(".weights"), found[0].with_name("coco.names"), "real")


@pytest.mark.parametrize("engine", ENGINES)
def test_detections_of_random_weights_are_those_of_x86_64(machines: Machines, random_net: str, engine: str) -> None:
    squares = {(0, 0): "red", (2, 1): "green", (3, 3): "red", (0, 2): "blue"}
    cv2.imwrite(str(machines.folder / "squares.png"), make_picture(squares, 4))
    assert_same_detections(machines, "random-weights", engine, [random_net, "squares.png", "--score", "0.02"])


@pytest.mark.real_data
@pytest.mark.parametrize("engine", ENGINES)
def test_detections_of_a_real_net_on_real_pictures_are_those_of_x86_64(
    machines: Machines, real_net: str, real_data: Path, engine: str
) -> None:
    folder = machines.folder / "pictures"
    folder.mkdir(exist_ok=True)
    for picture in sorted((real_data / "coco").rglob("*.jpg"))[:PICTURES]:
        (folder / picture.name).write_bytes(picture.read_bytes())
    assert_same_detections(machines, "real-net", engine, [real_net, "pictures"])


def watched(machines: Machines, where: str, clip: str, *options: str) -> list[dict[str, Any]]:
    """The events of one `vedette run`, without what differs from run to run."""
    events = machines.folder / f"{where}-{clip}.jsonl"
    command = ["run", "--camera", f"belt={clip}", "--events", events.name, "--json", *options]
    report = told(machines.here(*command) if where == "here" else machines.there(*command))
    assert report["errors"] == [] and report["cameras"][0]["drops"] == 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    wanted = ("camera", "media_time_s", "track_id", "class", "line", "zone", "direction", "dwell_s")
    return [
        {
            "type": one["type"],
            "number": one["id"].rpartition("-")[2],
            **{name: one["data"].get(name) for name in wanted},
            "score": one["data"]["score"],
            "box_xyxy_px": one["data"]["box_xyxy_px"],
        }
        for one in lines
    ]


def renumbered(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What happened; tracks numbered as they appear: of two that begin in one frame the better score comes first."""
    numbers: dict[int, int] = {}
    plain = [{key: one[key] for key in one if key not in {"score", "box_xyxy_px"}} for one in events]
    return [{**one, "track_id": numbers.setdefault(one["track_id"], len(numbers))} for one in plain]


def assert_same_events(machines: Machines, title: str, clip: str, options: Sequence[str], least: int) -> None:
    """`vedette run` on both; scores and boxes as near as pixels are that were fitted by another processor's code."""
    here, there = (watched(machines, where, clip, *options) for where in ("here", "there"))
    assert renumbered(there) == renumbered(here)
    assert len(here) >= least and "vedette.line_crossed.v1" in {one["type"] for one in here}
    score, corner_px = differences(here, there)
    machines.figures[f"run {title}"] = {
        "events": len(here), "score differs by": score, "corners differ by px": corner_px,
    }  # fmt: skip
    assert score <= FILM_SCORE_TOLERANCE and corner_px <= FILM_BOX_TOLERANCE_PX


def test_events_of_a_drawn_clip_are_those_of_x86_64(machines: Machines) -> None:
    make_bundle(machines.folder / "squares")
    walk: list[tuple[int, int] | None] = [(0, 1), (1, 1), (2, 1), (3, 1)]
    write_walk(machines.folder / "walk.mp4", [*walk, *[None] * 10, *walk])
    zone = "right=60%,0%;100%,0%;100%,100%;60%,100%"
    options = ["--bundle", "squares", "--line", "gate=50%,0%,50%,100%", "--zone", zone]
    assert_same_events(machines, "drawn clip", "walk.mp4", options, least=5)


FILMS = {"intel_car-detection.mp4": 10, "intel_one-by-one-person-detection.mp4": 4}  # with the events it has at least


@pytest.mark.real_data
@pytest.mark.parametrize("name", FILMS)
def test_events_of_a_real_clip_are_those_of_x86_64(
    machines: Machines, real_net: str, real_data: Path, name: str
) -> None:
    clip = cut(real_data / "videos" / name, machines.folder)
    lines = ("--line", "across=0%,50%,100%,50%", "--line", "gate=50%,0%,50%,100%")
    zone = "park=5%,5%;95%,5%;95%,95%;5%,95%"
    options = ["--bundle", real_net, "--engine", "onnxruntime", *lines, "--zone", zone]
    assert_same_events(machines, name, clip, options, FILMS[name])


@pytest.mark.real_data
def test_frames_are_decoded_bit_for_bit_and_fitted_to_within_two_levels(machines: Machines, real_data: Path) -> None:
    clip, program = cut(real_data / "videos" / next(iter(FILMS)), machines.folder), "frame_pixels.py"
    (machines.folder / program).write_bytes(Path(__file__).with_name(program).read_bytes())
    subprocess.run([sys.executable, program, clip, "here.npz"], cwd=machines.folder, check=True)
    done = machines.made.run(machines.folder, [f"{HOME}/bin/python", program, clip, "there.npz"])
    assert done.returncode == 0, done.stderr
    here, there = (np.load(machines.folder / f"{where}.npz") for where in ("here", "there"))
    assert list(there["digests"]) == list(here["digests"]) and len(set(here["digests"])) > 10
    apart = np.abs(there["pixels"].astype(np.int16) - here["pixels"])
    machines.figures["fitted frames"] = {"differ by levels": int(apart.max()), "in values": float((apart > 0).mean())}
    assert apart.max() <= PIXELS_TOLERANCE


def cut(film: Path, folder: Path) -> str:
    """The film's first packets, as they are, in a file of that name in the folder."""
    if not film.is_file():
        pytest.skip(f"the data folder has no {film.name}")
    with av.open(str(film)) as source, av.open(str(folder / film.name), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        packets = (packet for packet in source.demux(video=0) if packet.dts is not None)
        for _, packet in zip(range(PACKETS), packets, strict=False):
            packet.stream = video
            output.mux(packet)
    return film.name
