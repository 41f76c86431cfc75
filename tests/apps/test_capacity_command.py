"""`vedette capacity` from the outside: tiny clips and a tiny bundle, real decoders, engine and trackers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from simulators.clips import write_clip
from small_bundle import SIDE_PX, make_bundle, make_manifest, make_model
from vedette.apps.capacity_clips import FORMS, DrawnSize, _Scene, draw_clip, look_at_clip
from vedette.apps.capacity_errors import NoEncoderError
from vedette.apps.capacity_plot import plot_capacity
from vedette.apps.capacity_report import MeasuredModel, PacedRun, Proof, Row, nth_frame
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle, write_bundle
from vedette.contracts.bundle import Precision, Variant
from vedette.contracts.ports import SilentProgress
from vedette.contracts.receipt import Accuracy, Receipt
from vedette.edge.stream.capacity import CameraWork, UnitCost, answer

QUICK = ("--seconds", "0.3", "--verify-seconds", "1")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=100, size=(320, 192))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b").path


def bundle_with_map(folder: Path, name: str, map50: float) -> Path:
    accuracy = Accuracy(data_digest="0", split=None, pictures=9, map50=map50, map50_95=map50 / 2)
    variant = Variant(name="fp32", file="model.onnx", precision=Precision.FP32, receipt=Receipt(accuracy=accuracy))
    manifest = make_manifest().model_copy(update={"name": name, "variants": (variant,)})
    contents = {"model.onnx": make_model(), "labels.txt": b"red\ngreen\nblue\n"}
    return write_bundle(folder, manifest, contents).path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[Any, str]:
    assert run_command(["capacity", *map(str, arguments), *QUICK, "--json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    code = run_command(["capacity", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return code, err


def test_costs_cameras_and_bottleneck_of_a_clip_and_a_bundle(clip: Path, bundle: Path, capsys):
    document, err = run_json(capsys, "--video", clip, "--bundle", bundle, "--every", "2")
    (found,) = document["answers"]
    assert found["clip"]["codec"] == "h264" and found["clip"]["frames_per_s"] == 25.0
    assert found["model"]["name"] == "coloured-squares" and "openvino" in found["model"]["engine"]
    assert set(found["cost_ms"]) == {"decoding", "resizing", "inference", "boxes", "tracking"}
    assert found["cost_ms"]["decoding"]["loaded_ms"] > 0 and found["cost_ms"]["tracking"]["loaded_ms"] > 0
    assert found["detections_per_s"] == 12.5
    assert found["bottleneck"] == max(found["shares"], key=found["shares"].get)
    spent_ms = 25 * found["cost_ms"]["decoding"]["loaded_ms"] + 12.5 * sum(
        cost["loaded_ms"] for stage, cost in found["cost_ms"].items() if stage != "decoding"
    )
    assert found["cameras_full"] == pytest.approx(1000 * document["processors"] / spent_ms, rel=0.01)
    assert list(found["cameras_by_every"]) == ["1", "2", "3", "5", "10", "15", "30"]
    assert f"watch {found['cameras']} camera" in found["sentence"] and found["bottleneck"] in found["sentence"]
    assert "measurements" in err


def test_without_a_bundle_decoding_alone_is_answered_in_words(clip: Path, capsys):
    assert run_command(["capacity", "--video", str(clip), *QUICK]) == 0
    out, _ = capsys.readouterr()
    assert "decode" in out and "--bundle says how many with detection" in out and "H.264 320x192 at 25/s" in out
    assert "inference" not in out


@pytest.mark.slow
def test_the_prediction_is_held_against_runs(clip: Path, bundle: Path, capsys):
    document, err = run_json(capsys, "--video", write_slow(clip.parent), "--bundle", bundle, "--every", "1", "--verify")
    (found,) = document["answers"]
    proof = found["proof"]
    assert proof["predicted"] == pytest.approx(found["cameras_full"], abs=0.01)
    assert proof["measured_by_cpu"] > 0 and proof["measured_by_wall_clock"] > 0
    assert proof["difference"] == pytest.approx(proof["predicted"] / proof["measured_by_cpu"] - 1, abs=0.01)
    fewer, more = proof["realtime"]
    assert fewer["cameras"] == max(found["cameras"], 1) and more["cameras"] > found["cameras_full"]
    assert all(0 <= run["missed"] <= 1 and run["frames_per_s"] > 0 for run in (fewer, more))
    assert "half seconds" in err


def write_slow(folder: Path) -> Path:
    """A clip that a box can watch only a few of: large, and 60 noisy frames a second."""
    path = folder / "slow.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (3, 720, 1280), np.uint8)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=60)
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "20"}
        for index in range(24):
            grey = np.repeat(noise[index % 3][:, :, None], 3, axis=2)
            output.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        output.mux(video.encode())
    return path


def test_frames_are_counted_as_people_do():
    said = [nth_frame(every).split()[1] for every in (1, 2, 3, 5, 11, 12, 21, 22, 111)]
    assert said == ["frame", "2nd", "3rd", "5th", "11th", "12th", "21st", "22nd", "111th"]


def test_a_proof_says_whether_it_agrees():
    runs = (PacedRun(7, 0.004, 30.0), PacedRun(9, 0.2, 26.0))
    assert [run.kept_up for run in runs] == [True, False]
    assert Proof(7.7, 7.0, 7.0, 0.0, runs).difference == pytest.approx(0.1)


def test_bundles_are_compared_in_a_plot(tmp_path: Path, clip: Path, capsys):
    good, better = (bundle_with_map(tmp_path / name, name, value) for name, value in (("good", 0.81), ("better", 0.9)))
    picture = tmp_path / "plot.png"
    document, _ = run_json(
        capsys, "--video", clip, "--bundle", good, "--bundle", better, "--bundle", good, "--plot", picture
    )
    assert [one["model"]["map50"] for one in document["answers"]] == [0.81, 0.9]  # a bundle given twice: once
    assert cv2.imread(str(picture)).shape[:2] == (484, 704)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["better", "good", "plot.png"]


@pytest.mark.parametrize(("name", "first"), [("a.PNG", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_plot_is_what_its_name_says_and_the_same_each_time(tmp_path: Path, clip: Path, name: str, first: bytes):
    model = MeasuredModel("good", "fp32", "an engine", 0.8, UnitCost(1, 1), UnitCost(1, 1), UnitCost(1, 1))
    work = CameraWork(25.0, UnitCost(2.0, 2.0), {"inference": UnitCost(4.0, 4.0)})
    row = Row(look_at_clip(str(clip)), model, work, answer(work, 5.0, 2))
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        plot_capacity([row], tmp_path / folder / name, 5)
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0].startswith(first) and written[0] == written[1]


def test_variants_that_are_held_are_all_measured(tmp_path: Path, clip: Path, capsys):
    plain = Variant(name="fp32", file="model.onnx", precision=Precision.FP32, receipt=Receipt())
    other = Variant(name="bf16", file="model.onnx", precision=Precision.BF16, receipt=Receipt())
    contents = {"model.onnx": make_model(), "labels.txt": b"red\ngreen\nblue\n"}
    manifest = make_manifest().model_copy(update={"variants": (plain, other)})
    path = write_bundle(tmp_path / "two", manifest, contents).path
    document, _ = run_json(capsys, "--video", clip, "--bundle", path)
    found = {one["model"]["precision"] for one in document["answers"]}
    assert "fp32" in found and (found == {"fp32", "bf16"} or "left out" in document["notes"][0])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--every", "0"), 2, "--every 0: give 1"),
        (("--seconds", "nan"), 2, "--seconds nan"),
        (("--seconds", "0"), 2, "--seconds 0"),
        (("--verify-seconds", "-1"), 2, "--verify-seconds -1"),
        (("--plot", "x.png"), 2, "--plot: without --bundle only decoding is measured"),
        (("--verify",), 2, "--verify: without --bundle only decoding is measured"),
        (("--precision", "int8", "--engine", "openvino"), 2, "--precision, --engine: without --bundle"),
        (("--video", "missing.mp4"), 1, "missing.mp4"),
        (("--video", "rtsp://h/s"), 2, "--video rtsp://h/s: capacity is measured with files"),
        (("--bundle", "missing"), 1, "missing"),
    ],
)
def test_what_cannot_be_measured_is_one_message(arguments, code, message, capsys):
    got, err = refusal(capsys, *arguments)
    assert got == code and message in err


def test_what_is_wrong_with_a_bundle_is_said_before_anything_is_measured(tmp_path: Path, bundle: Path, capsys):
    code, err = refusal(capsys, "--bundle", bundle, "--precision", "int4")
    assert code == 2 and "--precision int4: must be fp32" in err
    code, err = refusal(capsys, "--bundle", bundle, "--precision", "int8")
    assert code == 1 and "has no int8 variant" in err and "vedette pack" in err
    code, err = refusal(capsys, "--bundle", bundle, "--engine", "abacus")
    assert code == 2 and "--engine abacus: must be auto" in err
    code, err = refusal(capsys, "--bundle", bundle, "--plot", tmp_path / "x.png")
    assert code == 1 and "no receipt of these bundles says an mAP" in err
    code, err = refusal(capsys, "--bundle", bundle, "--plot", tmp_path / "nowhere" / "x.png")
    assert code == 2 and "there is no folder" in err
    (tmp_path / "folder.png").mkdir()
    code, err = refusal(capsys, "--bundle", bundle, "--plot", tmp_path / "folder.png")
    assert code == 2 and "is a folder; give the file to write" in err
    for name in ("x.txt", "x", "x.jpeg"):
        code, err = refusal(capsys, "--bundle", bundle, "--plot", tmp_path / name)
        assert code == 2 and f"{name}: its name must end in .png, .svg, .pdf" in err
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 100)
    code, err = refusal(capsys, "--video", text)
    assert code == 1 and str(text) in err
    still = tmp_path / "still.png"
    cv2.imwrite(str(still), np.zeros((64, 64, 3), np.uint8))
    code, err = refusal(capsys, "--video", still)
    assert code == 1 and f"{still} holds a single frame" in " ".join(err.split())
    assert open_bundle(bundle).manifest.input.width == SIDE_PX  # untouched


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.codec)
def test_clips_are_drawn_with_keyframes_and_movement(tmp_path: Path, form):
    path = tmp_path / "drawn.mp4"
    found = draw_clip(path, form, DrawnSize(320, 192, frames=62), SilentProgress())
    assert (found.codec, found.width_px, found.height_px, found.frames_per_s) == (form.codec, 320, 192, 30.0)
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == 62 and [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 60]
    assert np.abs(frames[0].to_ndarray()[:192].astype(int) - frames[30].to_ndarray()[:192]).mean() > 2
    assert look_at_clip(str(path)).label.endswith("320x192 at 30/s")


def test_the_same_clip_is_drawn_every_time():
    first, second = (_Scene(DrawnSize(160, 96)).draw(7) for _ in range(2))
    assert first.shape == (144, 160) and (first == second).all()


def test_an_encoder_that_is_not_there_is_said_in_one_sentence(tmp_path: Path):

    with pytest.raises(NoEncoderError, match=r"does not encode H.264 .*--video"):
        draw_clip(tmp_path / "x.mp4", replace(FORMS[0], encoder="libx999"), DrawnSize(64, 64, 2), SilentProgress())
