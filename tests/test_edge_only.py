"""A device without torch: the wheel, installed with [edge] into an empty environment, detects, watches and shows."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FRAMES, EVERY = 30, 5
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def call(arguments: Sequence[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program away from the source tree, as a user would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VEDETTE"))}
    return subprocess.run(
        [str(one) for one in arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def must(arguments: Sequence[str | Path], folder: Path) -> str:
    done = call(arguments, folder)
    assert done.returncode == 0, f"{' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Edge:
    """The programs of the edge environment, a bundle made outside it, and things to look at."""

    python: Path
    vedette: Path
    bundle: Path
    picture: Path
    clip: Path
    folder: Path


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    folder = tmp_path_factory.mktemp("edge")
    must([sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", REPOSITORY], folder)
    (wheel,) = (folder / "dist").glob("vedette-*.whl")
    venv.create(folder / "env", with_pip=True)
    binaries = folder / "env" / "bin"
    must([binaries / "python", "-m", "pip", "install", "--quiet", f"vedette[edge] @ {wheel.as_uri()}"], folder)
    picture, clip = folder / "part.png", folder / "belt.mp4"
    cv2.imwrite(str(picture), drawn(7))
    write_clip(clip)
    return Edge(binaries / "python", binaries / "vedette", make_bundle(folder), picture, clip, folder)


def drawn(index: int) -> np.ndarray:
    """A disc that moves to the right, (240, 320, 3) uint8 BGR."""
    image = np.full((240, 320, 3), 110, np.uint8)
    cv2.circle(image, (30 + 9 * index, 120), 40, (40, 190, 230), -1)
    cv2.rectangle(image, (200, 20), (290, 90), (160, 60, 30), -1)
    return image


def write_clip(path: Path) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(FRAMES):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(index), format="bgr24")))
        film.mux(stream.encode(None))


def make_bundle(folder: Path) -> Path:
    """Pack random weights with the full environment, the one that runs this test."""
    from random_weights import random_weights
    from vedette.learn.darknet.cfg import read_cfg
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import write_weights

    vedette = [sys.executable, "-m", "vedette"]
    cfg, weights, names = folder / "model.cfg", folder / "model.weights", folder / "model.names"
    names.write_text("disc\nplate\nother\n")
    must([*vedette, "model", "new", "yolov3-tiny", "--classes", names, "--size", "96", "--out", cfg], folder)
    plan = plan_network(read_cfg(cfg))
    write_weights(weights, plan, random_weights(plan, seed=3))
    must([*vedette, "pack", "--cfg", cfg, "--weights", weights, "--names", names, "--out", folder / "bundle"], folder)
    return folder / "bundle"


def detections(program: Sequence[str | Path], edge: Edge, out: str) -> list[dict[str, Any]]:
    where = edge.folder / out
    command = [*program, "detect", edge.bundle, edge.picture, "--out", where, "--score", "0.02", "--json"]
    shown = must(command, edge.folder)
    found: list[dict[str, Any]] = json.loads(shown)
    return found


def test_torch_is_not_there_and_the_version_is(edge: Edge) -> None:
    from vedette.version import __version__

    packages = {
        entry["name"].lower()
        for entry in json.loads(must([edge.python, "-m", "pip", "list", "--format", "json"], edge.folder))
    }
    assert {"vedette", "onnxruntime", "av"} <= packages
    assert not packages & {"torch", "matplotlib", "safetensors"}
    assert must([edge.vedette, "--version"], edge.folder).strip() == __version__


def test_it_detects_what_the_full_environment_detects(edge: Edge) -> None:
    here = detections([sys.executable, "-m", "vedette"], edge, "full")
    there = detections([edge.vedette], edge, "edge")
    assert len(there[0]["detections"]) > 0
    assert (edge.folder / "edge" / "part.png").is_file()
    assert len(there[0]["detections"]) == len(here[0]["detections"])
    for mine, theirs in zip(here[0]["detections"], there[0]["detections"], strict=True):
        assert mine["class"] == theirs["class"]
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-3)
        assert mine["box_xyxy_px"] == pytest.approx(theirs["box_xyxy_px"], abs=0.5)


def test_it_watches_a_clip_shows_it_and_records_it(edge: Edge) -> None:
    shown = must(
        [
            edge.vedette, "run", "--bundle", edge.bundle, "--camera", f"belt={edge.clip}", "--every", str(EVERY),
            "--line", "gate=50%,0%,50%,100%", "--show", ":0", "--events", edge.folder / "events.jsonl",
            "--record", edge.folder / "films", "--json",
        ],
        edge.folder,
    )  # fmt: skip
    report = json.loads(shown)
    assert [(camera["name"], camera["frames"], camera["drops"]) for camera in report["cameras"]] == [
        ("belt", FRAMES, 0)
    ]
    assert report["errors"] == []
    with av.open(str(edge.folder / "films" / "belt.mp4")) as film:
        assert len(list(film.decode(video=0))) == FRAMES // EVERY


def test_the_wheel_brings_the_files_of_the_live_page(edge: Edge) -> None:
    script = """
from urllib.request import urlopen
from vedette.edge.live.page import LivePage
with LivePage(port=0) as page:
    for name in ("", "assets/app.js", "assets/tiles.js", "assets/style.css"):
        with urlopen(page.url + name, timeout=10) as response:
            print(len(response.read()) > 500)
"""
    assert must([edge.python, "-c", script], edge.folder).split() == ["True"] * 4


def test_what_needs_learn_says_how_to_get_it(edge: Edge) -> None:
    done = call([edge.vedette, "train", "--data", ".", "--model", "yolov3-tiny", "--out", "run"], edge.folder)
    assert done.returncode == 1
    assert "pip install 'vedette[learn]'" in done.stderr
    assert "Traceback" not in done.stderr
