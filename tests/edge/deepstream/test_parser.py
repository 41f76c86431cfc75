"""The C++ box parser, compiled against each header and for each processor: the boxes of Vedette's own decoding."""

import os
import shlex
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from small_bundle import make_manifest
from trained_nets import find_trained
from vedette.contracts.bundle import (
    BoxForm,
    BoxLayout,
    BoxUnits,
    BundleManifest,
    DarknetHeads,
    DarknetRegionHead,
    Decode,
    DecodedBoxes,
    InputSpec,
    RegionHead,
    ScoreForm,
    YoloHead,
)
from vedette.edge.deepstream.render_nvinfer import render_decode
from vedette.edge.deepstream.rendering import parser_sources
from vedette.learn.darknet.plan import decode_spec
from vedette.learn.export.onnx import export_onnx
from vedette.vision.candidates import Candidates
from vedette.vision.decoded_boxes import decode_boxes
from vedette.vision.resize import fit, network_tensor, plan_placement
from vedette.vision.yolo import decode_heads

HERE = Path(__file__).parent
FLAGS = ["-std=c++14", "-O3", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
FLOAT, HALF, INT32 = 0, 1, 3
WIDTH_PX, HEIGHT_PX = 96, 64
# `make test-arm64` names a program that runs others in a real arm64 root.
AARCH64 = tuple(shlex.split(os.environ.get("VEDETTE_AARCH64_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu")))

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Built:
    """The library and the program that loads it as nvinfer does."""

    folder: Path
    runner: tuple[str, ...]

    def run(self, text: bytes, tensors: bytes, *more: str, environment: Mapping[str, str] | None = None):
        (self.folder / "vedette_decode.txt").write_bytes(text)
        (self.folder / "tensors.bin").write_bytes(tensors)
        command = [*self.runner, "./harness", "./libnvds_infer_vedette.so", "tensors.bin", *more]
        environment = {**os.environ, **(environment or {})}
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False, env=environment
        )


def build(folder: Path, compiler: str, header: str, flags: Sequence[str] = ()) -> None:
    sources = {name.removeprefix("parser/"): text for name, text in parser_sources().items()}
    assert {"decode.hpp", "decode_spec.cpp", "decode_spec.hpp", "nvdsinfer_vedette.cpp"} <= set(sources)
    for name, text in sources.items():
        (folder / name).write_bytes(text)
    include = ["-isystem", str(HERE / "headers" / header)]
    library = ["-fPIC", "-shared", *include, "decode_spec.cpp", "nvdsinfer_vedette.cpp"]
    harness = [*include, str(HERE / "parser_harness.cpp"), "-ldl"]
    for what, output in ((library, "libnvds_infer_vedette.so"), (harness, "harness")):
        subprocess.run([compiler, *FLAGS, *flags, *what, "-o", output], cwd=folder, check=True)


@pytest.fixture(scope="session", params=["native-8", "native-9", "aarch64-8", "aarch64-9"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    processor, header = request.param.split("-")
    compiler = "g++" if processor == "native" else "aarch64-linux-gnu-g++"
    runner = () if processor == "native" else AARCH64
    for program in (compiler, *runner[:1]):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: apt-get install g++ g++-aarch64-linux-gnu qemu-user")
    folder = tmp_path_factory.mktemp(request.param)
    build(folder, compiler, header)
    return Built(folder, runner)


def pack(size_px: tuple[int, int], thresholds: Sequence[float], tensors: Tensors) -> bytes:
    """What the harness reads."""
    types = {np.dtype(np.float32): FLOAT, np.dtype(np.float16): HALF, np.dtype(np.int32): INT32}
    content = struct.pack("<3I", *size_px, len(thresholds)) + np.array(thresholds, "<f4").tobytes()
    content += struct.pack("<I", len(tensors))
    for name, values in tensors.items():
        data = np.ascontiguousarray(values).tobytes()
        content += struct.pack("<I", len(name)) + name.encode()
        content += struct.pack(f"<{2 + values.ndim}I", types[values.dtype], values.ndim, *values.shape)
        content += struct.pack("<I", len(data)) + data
    return content


def manifest_of(decode: Decode, classes: int, size_px: tuple[int, int] = (WIDTH_PX, HEIGHT_PX)) -> BundleManifest:
    return make_manifest().model_copy(
        update={
            "decode": decode,
            "classes": tuple(f"class {number}" for number in range(classes)),
            "input": InputSpec(width=size_px[0], height=size_px[1]),
        }
    )


def boxes_of(output: str) -> NDArray[np.float64]:
    """(n, 6) class, left, top, right, bottom, score."""
    rows = np.array([[float(value) for value in line.split()] for line in output.splitlines()]).reshape(-1, 6)
    rows[:, 3:5] += rows[:, 1:3]
    return rows


def expected(found: Candidates) -> NDArray[np.float64]:
    return np.column_stack([found.class_ids, found.boxes_xyxy_input_px, found.scores]).astype(np.float64)


def assert_equal(output: str, found: Candidates) -> None:
    wanted, given = expected(found), boxes_of(output)
    assert len(wanted) > 3 and given.shape == wanted.shape
    np.testing.assert_array_equal(given[:, 0], wanted[:, 0])
    np.testing.assert_allclose(given[:, 1:], wanted[:, 1:], rtol=1e-6, atol=1e-4)


ANCHORS = ((10.0, 13.0), (33.5, 23.0), (60.0, 45.25))
HEADS = {
    "yolov3": {},
    "scale_x_y": {"scale_x_y": 1.05},
    "new_coords": {"scale_x_y": 2.0, "new_coords": True},
}


def heads_of(form: str, seed: int = 0) -> tuple[DarknetHeads | DarknetRegionHead, dict[str, NDArray[np.float32]]]:
    """Two heads (a region net has one) with random values, few of them objects."""
    rng = np.random.default_rng(seed)
    if form == "region":
        decode: DarknetHeads | DarknetRegionHead = DarknetRegionHead(
            heads=(RegionHead(output="out", grid_width=3, grid_height=2, anchors=ANCHORS),)
        )
    else:
        decode = DarknetHeads(
            heads=tuple(
                YoloHead(output=f"out_{n}", grid_width=3 * n, grid_height=2 * n, anchors=ANCHORS[:n], **HEADS[form])
                for n in (1, 2)
            )
        )
    tensors = {}
    for head in decode.heads:
        values = rng.normal(0, 1.5, (len(head.anchors) * 9, head.grid_height, head.grid_width)).astype(np.float32)
        tensors[head.output] = 1 / (1 + np.exp(-values)) if form == "new_coords" else values
    return decode, tensors


@pytest.mark.parametrize("form", [*HEADS, "region"])
def test_raw_heads_become_the_boxes_of_the_bundle(built: Built, form: str) -> None:
    decode, tensors = heads_of(form)
    text = render_decode(manifest_of(decode, classes=4))
    done = built.run(text, pack((WIDTH_PX, HEIGHT_PX), [0.2] * 4, tensors))
    assert done.returncode == 0, done.stderr
    assert_equal(done.stdout, decode_heads(list(tensors.values()), decode, WIDTH_PX, HEIGHT_PX, 0.2))


def test_halves_are_read_as_halves(built: Built) -> None:
    decode, tensors = heads_of("yolov3", seed=3)
    halves = {name: values.astype(np.float16) for name, values in tensors.items()}
    halves["out_2"].reshape(-1)[:3] = np.array([6e-8, -6e-5, np.inf], np.float16)  # subnormal, and none at all
    done = built.run(render_decode(manifest_of(decode, 4)), pack((WIDTH_PX, HEIGHT_PX), [0.1] * 4, halves))
    widened = [values.astype(np.float32) for values in halves.values()]
    assert_equal(done.stdout, decode_heads(widened, decode, WIDTH_PX, HEIGHT_PX, 0.1))


def test_each_class_has_its_own_threshold(built: Built) -> None:
    decode, tensors = heads_of("yolov3", seed=1)
    thresholds = [0.1, 0.3, 0.05, 2.0]
    done = built.run(render_decode(manifest_of(decode, 4)), pack((WIDTH_PX, HEIGHT_PX), thresholds, tensors))
    every = expected(decode_heads(list(tensors.values()), decode, WIDTH_PX, HEIGHT_PX, 0.05))
    wanted = every[every[:, 5] > np.array(thresholds)[every[:, 0].astype(int)]]
    np.testing.assert_allclose(boxes_of(done.stdout), wanted, rtol=1e-6, atol=1e-4)
    assert set(wanted[:, 0]) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("kind", ["boxes_scores", "boxes_objectness_scores", "boxes_score_class"])
@pytest.mark.parametrize("layout", list(BoxLayout))
@pytest.mark.parametrize("outputs", [("boxes",), ("boxes", "rest")])
@pytest.mark.parametrize("form", [(BoxForm.CXCYWH, BoxUnits.PIXELS), (BoxForm.XYXY, BoxUnits.NORMALISED)])
def test_decoded_boxes_become_the_boxes_of_the_bundle(
    built: Built, kind: str, layout: BoxLayout, outputs: tuple[str, ...], form: tuple[BoxForm, BoxUnits]
) -> None:
    scores = ScoreForm.LOGITS if kind == "boxes_scores" else ScoreForm.PROBABILITIES
    decode = DecodedBoxes(
        kind=kind, outputs=outputs, classes=4, layout=layout, box_form=form[0], box_units=form[1], score_form=scores
    )
    rng = np.random.default_rng(7)
    table = rng.uniform(0, 1, (40, decode.values)).astype(np.float32)  # a box a row
    if form[0] is BoxForm.XYXY:
        table[:, 2:4] += table[:, :2]
    if scores is ScoreForm.LOGITS:
        table[:, 4:] = rng.normal(-1, 2, table[:, 4:].shape)
    if kind == "boxes_score_class":
        table[:, 5] = rng.integers(-1, 6, len(table))  # some that the network has not
    table[0, 0], table[1, 3] = np.nan, np.inf
    parts = [table] if len(outputs) == 1 else [table[:, :4], table[:, 4:]]
    tensors = {name: part if layout is BoxLayout.ROWS else part.T for name, part in zip(outputs, parts, strict=True)}
    done = built.run(render_decode(manifest_of(decode, 4)), pack((WIDTH_PX, HEIGHT_PX), [0.3] * 4, tensors))
    assert done.returncode == 0, done.stderr
    assert_equal(done.stdout, decode_boxes(list(tensors.values()), decode, WIDTH_PX, HEIGHT_PX, 0.3))


@pytest.mark.parametrize("layout", list(BoxLayout))
@pytest.mark.parametrize(("dtype", "thresholds"), [(np.float32, [0.6] * 21), (np.float16, [0.9] * 20 + [0.05])])
def test_more_boxes_than_are_compared_at_once(
    built: Built, layout: BoxLayout, dtype: type[np.floating], thresholds: list[float]
) -> None:
    decode = DecodedBoxes(
        kind="boxes_scores", outputs=("out",), classes=21, layout=layout, box_form=BoxForm.XYXY,
        box_units=BoxUnits.NORMALISED,
    )  # fmt: skip
    rng = np.random.default_rng(11)
    table = rng.uniform(0, 1, (150, 25)).astype(dtype)  # a box a row
    table[:, 2:4] += table[:, :2]
    table[:, 4:] *= (rng.random((150, 21)) < 0.1).astype(dtype)  # most boxes are none
    table[::7, 4 + rng.integers(21)] = np.nan
    table[149, 4:] = np.linspace(0, 1, 21)
    given = table if layout is BoxLayout.ROWS else np.ascontiguousarray(table.T)
    done = built.run(render_decode(manifest_of(decode, 21)), pack((WIDTH_PX, HEIGHT_PX), thresholds, {"out": given}))
    every = expected(decode_boxes([given.astype(np.float32)], decode, WIDTH_PX, HEIGHT_PX, min(thresholds)))
    wanted = every[every[:, 5] > np.array(thresholds, np.float32)[every[:, 0].astype(int)]]
    assert len(wanted) > 10
    np.testing.assert_allclose(boxes_of(done.stdout), wanted, rtol=1e-6, atol=1e-4)


def test_a_frame_allocates_nothing(built: Built) -> None:
    decode, tensors = heads_of("yolov3")
    done = built.run(render_decode(manifest_of(decode, 4)), pack((WIDTH_PX, HEIGHT_PX), [0.2] * 4, tensors), "200")
    assert done.stderr.split()[0] == "microseconds" and done.stderr.split()[2:] == ["allocations", "0"]


DECODE, TENSORS = heads_of("yolov3")
TEXT = render_decode(manifest_of(DECODE, 4))


@pytest.mark.parametrize(
    ("text", "tensors", "says"),
    [
        (b"", TENSORS, "its first line is not 'vedette-decode 1'"),
        (b"vedette-decode 1\nkind darknet_yolo_heads\n", TENSORS, "are missing or too many"),
        (TEXT.replace(b"out_1", b"out_1 x"), TENSORS, "line 5 is not understood: output out_1 x"),
        (TEXT.replace(b"classes 4", b"classes 0"), TENSORS, "line 3 is not understood: classes 0"),
        (TEXT + b"output out_3 99999999999 1 1.0 0 1 1\n", TENSORS, "line 7 is not understood"),
        (TEXT.replace(b"input 96 64", b"input 64 64"), TENSORS, "the engine takes 96x64"),
        (TEXT, {"out_1": TENSORS["out_1"]}, "no output 'out_2' of 32 or 16 bit floats"),
        (TEXT, {**TENSORS, "out_2": TENSORS["out_2"][:-1]}, "output 'out_2' is (17, 4, 6), expected (18, 4, 6)"),
        (TEXT, {**TENSORS, "out_1": TENSORS["out_1"].astype(np.int32)}, "no output 'out_1' of 32 or 16 bit floats"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(built: Built, text: bytes, tensors: Tensors, says: str) -> None:
    done = built.run(text, pack((WIDTH_PX, HEIGHT_PX), [0.2] * 4, tensors))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("NvDsInferParseVedette: ") and says in done.stderr and done.stderr.count("\n") == 1


def test_too_few_configured_classes_and_no_file_are_refused(built: Built) -> None:
    done = built.run(TEXT, pack((WIDTH_PX, HEIGHT_PX), [0.2] * 3, TENSORS))
    assert done.returncode == 3 and "num-detected-classes is 3, the network has 4" in done.stderr
    content = pack((WIDTH_PX, HEIGHT_PX), [0.2] * 4, TENSORS)
    done = built.run(TEXT, content, environment={"VEDETTE_DECODE": "/nowhere/else.txt"})
    assert done.returncode == 3 and "/nowhere/else.txt: cannot be read" in done.stderr


NETS = ("yolo-fastest-1.1", "yolo-fastest-1.1-xl", "tiny-yolov2-trial3")  # the last one has a region head


@pytest.mark.real_data
@pytest.mark.parametrize("name", NETS)
def test_real_nets_on_real_pictures_give_the_same_boxes(built: Built, real_data: Path, name: str) -> None:
    net = find_trained(real_data / "weights", name)
    if net is None:
        pytest.skip(f"the data folder has no {name}")
    plan = net.plan
    model = export_onnx(plan, net.weights)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    decode, size_px = decode_spec(plan), (plan.input_width, plan.input_height)
    classes = plan.heads[0].classes
    spec = InputSpec(width=size_px[0], height=size_px[1])
    text = render_decode(manifest_of(decode, classes, size_px))
    pictures = sorted((real_data / "coco").rglob("*.jpg"))[:6]
    assert len(pictures) == 6
    for picture in pictures:
        image = cv2.imread(str(picture))
        placement = plan_placement(image.shape[1], image.shape[0], *size_px, spec.resize)
        tensor = network_tensor(fit(image, placement)[None], spec.scale)
        heads = [output[0] for output in session.run(list(decode.outputs), {"input": tensor})]
        tensors = dict(zip(decode.outputs, heads, strict=True))
        done = built.run(text, pack(size_px, [0.02] * classes, tensors))
        assert_equal(done.stdout, decode_heads(heads, decode, *size_px, 0.02))


@pytest.mark.slow
def test_sanitizers_and_a_fuzzer_find_nothing(tmp_path: Path) -> None:
    if shutil.which("clang++") is None:
        pytest.skip("no clang++: apt-get install clang")
    for name, text in parser_sources().items():
        (tmp_path / Path(name).name).write_bytes(text)
    flags = ["-std=c++14", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    sources = ["decode_spec.cpp", str(HERE / "parser_fuzzer.cpp")]
    subprocess.run(["clang++", *flags, "-I", str(tmp_path), *sources, "-o", "fuzzer"], cwd=tmp_path, check=True)
    (tmp_path / "corpus").mkdir()
    for number, form in enumerate([*HEADS, "region"]):
        decode, _ = heads_of(form)
        (tmp_path / "corpus" / str(number)).write_bytes(
            render_decode(manifest_of(decode, 4)) + b"\0" + bytes(range(256))
        )
    seconds = os.environ.get("FUZZ_SECONDS", "20")
    command = ["./fuzzer", "corpus", f"-max_total_time={seconds}", "-max_len=4096", "-print_final_stats=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = int(done.stderr.split("stat::number_of_executed_units:")[1].split()[0])
    assert runs > 1000
