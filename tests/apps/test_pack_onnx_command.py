"""`vedette pack --onnx` takes the exports of other programs; their bundles detect what the net's raw heads do."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from decoded_exports import KIND_OF, LAYOUTS, decoded_model
from small_bundle import BGR, CLASSES, make_bundle, make_manifest, make_model, make_picture
from small_network import make_plan, write_network
from vedette.apps.cli import run_command
from vedette.apps.library import load
from vedette.bundle_folder import open_bundle
from vedette.contracts.bundle import DecodedBoxes, GoldenFile
from vedette.vision.boxes import iou_matrix

SPEC = make_manifest().decode
SQUARES = [
    {(0, 0): "red"},
    {(2, 2): "blue", (0, 1): "green"},
    {(3, 0): "green", (0, 3): "red", (1, 1): "red"},
    {(0, 0): "blue", (3, 3): "green"},
    {},
]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A folder with names and pictures; tests write net.onnx beside them."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (tmp_path / "net" / "pictures").mkdir()
    for number, squares in enumerate(SQUARES):
        cv2.imwrite(str(tmp_path / "net" / "pictures" / f"{number}.png"), make_picture(squares, 2))
    return tmp_path / "net"


def pack(net: Path, content: bytes, *flags: object) -> int:
    (net / "net.onnx").write_bytes(content)
    given = ["--onnx", net / "net.onnx", "--names", net / "names.txt", "--out", net / "bundle"]
    given += [] if "--data" in flags else ["--pictures", net / "pictures"]
    return run_command([str(part) for part in ["pack", *given, *flags]])


def require_equal_detections(net: Path, tmp_path: Path) -> None:
    """The packed bundle and the one of the raw heads, one by one, on both engines."""
    make_bundle(tmp_path / "raw")
    for engine in ("openvino", "onnxruntime"):
        wanted, given = load(tmp_path / "raw", engine), load(net / "bundle", engine)
        for squares in SQUARES:
            picture = make_picture(squares, 3)
            expected, found = wanted(picture), given(picture)
            assert len(expected) == len(squares)
            # scores of different squares are equal up to rounding, so boxes are paired by place
            order = iou_matrix(expected.boxes_xyxy_px, found.boxes_xyxy_px).argmax(axis=1) if len(squares) else []
            assert sorted(order) == list(range(len(found)))
            np.testing.assert_array_equal(found.class_ids[order], expected.class_ids)
            np.testing.assert_allclose(found.scores[order], expected.scores, atol=1e-4)
            np.testing.assert_allclose(found.boxes_xyxy_px[order], expected.boxes_xyxy_px, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_detects_what_the_raw_heads_do(net: Path, tmp_path: Path, layout: str) -> None:
    assert pack(net, decoded_model(make_model(), SPEC, layout), "--nms", "needed") == 0
    manifest = open_bundle(net / "bundle").manifest
    assert isinstance(manifest.decode, DecodedBoxes) and manifest.decode.kind == KIND_OF[layout]
    assert manifest.input.batch is None and manifest.provenance.source == "onnx"
    require_equal_detections(net, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("batch", "frozen", "packed"), [(1, False, None), (3, False, None), (1, True, 1), (3, True, 3)]
)
def test_a_fixed_batch_is_freed_where_that_works_and_kept_where_not(
    net: Path, capsys: pytest.CaptureFixture[str], layout: str, batch: int, frozen: bool, packed: int | None
) -> None:
    assert pack(net, decoded_model(make_model(), SPEC, layout, batch=batch, frozen=frozen)) == 0
    assert open_bundle(net / "bundle").manifest.input.batch == packed
    assert ("batches do not work" in capsys.readouterr().err) is frozen
    for engine in ("openvino", "onnxruntime"):
        detector = load(net / "bundle", engine)
        pictures = [cv2.cvtColor(make_picture(squares), cv2.COLOR_BGR2RGB) for squares in SQUARES]
        found = detector.detect_fitted(np.stack(pictures), [detector.place(64, 64)] * len(SQUARES))
        assert [len(one) for one in found] == [len(squares) for squares in SQUARES]


def test_a_batch_that_is_only_promised_is_run_one_by_one(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load_from_string(decoded_model(make_model(), SPEC, "objectness_rows", batch=1, frozen=True))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    assert pack(net, model.SerializeToString()) == 0
    assert "engines will run 1 at a time" in capsys.readouterr().err
    assert open_bundle(net / "bundle").manifest.input.batch == 1
    assert len(load(net / "bundle")(make_picture(SQUARES[2]))) == 3


def test_outputs_that_are_not_decoded_do_not_travel(net: Path) -> None:
    model = onnx.load_from_string(decoded_model(make_model(), SPEC, "scores_columns"))
    for name in ("head_0", "head_1"):  # raw heads beside the boxes, as older exports have them
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 8, None, None]))
    assert pack(net, model.SerializeToString()) == 0
    packed = onnx.load_from_string(open_bundle(net / "bundle").read("model.onnx"))
    assert [output.name for output in packed.graph.output] == ["output0"]


def test_logits_pixels_of_255_and_bgr_are_taken_as_stated(net: Path, tmp_path: Path) -> None:
    model = onnx.load_from_string(decoded_model(make_model(), SPEC, "objectness_rows", logits=True))
    for name in ("w0", "w1"):
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        changed = numpy_helper.to_array(tensor)[:, ::-1] / np.float32(255)  # made for BGR in 0..255
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), name))
    flags = ["--score-form", "logits", "--colour", "bgr", "--input-range", "0-255"]
    assert pack(net, model.SerializeToString(), *flags) == 0
    require_equal_detections(net, tmp_path)


def test_raw_heads_are_packed_with_their_cfg(net: Path, tmp_path: Path) -> None:
    cfg, weights, names = write_network(tmp_path / "small")
    converted = tmp_path / "converted.onnx"
    assert run_command(["model", "convert", str(weights), "--cfg", str(cfg), "--out", str(converted)]) == 0
    model = onnx.load(converted)
    del model.metadata_props[:]
    for output, node in zip(model.graph.output, ("b", "a"), strict=True):  # names of somebody else
        for one in model.graph.node:
            one.output[:] = [node if name == output.name else name for name in one.output]
        output.name = node
    flags = ["--cfg", str(cfg), "--decode", "darknet_yolo_heads", "--names", str(names), "--resize", "letterbox"]
    onnx.save(model, tmp_path / "renamed.onnx")
    out = tmp_path / "packed"
    given = ["--onnx", str(tmp_path / "renamed.onnx"), "--pictures", str(net / "pictures"), "--out", str(out)]
    assert run_command(["pack", *given, *flags]) == 0
    manifest = open_bundle(out).manifest
    assert manifest.decode.outputs == ("b", "a") and manifest.input.resize.value == "letterbox"
    assert open_bundle(out).read("model.cfg") == cfg.read_bytes()
    assert [head.anchors for head in manifest.decode.heads] == [head.anchors for head in make_plan().heads]


def test_a_file_that_says_what_it_is_needs_neither_cfg_nor_names(net: Path, tmp_path: Path) -> None:
    cfg, weights, names = write_network(tmp_path / "small")
    converted = tmp_path / "converted.onnx"
    files = ["--cfg", str(cfg), "--names", str(names)]
    assert run_command(["model", "convert", str(weights), *files, "--out", str(converted)]) == 0
    out, darknet = tmp_path / "packed", tmp_path / "darknet"
    pictures = ["--pictures", str(net / "pictures")]
    assert run_command(["pack", "--onnx", str(converted), "--out", str(out), *pictures]) == 0
    assert run_command(["pack", "--weights", str(weights), *files, "--out", str(darknet), *pictures]) == 0
    one, other = load(out, score=0.01), load(darknet, score=0.01)
    assert one.manifest.decode == other.manifest.decode and one.manifest.classes == other.manifest.classes
    picture = make_picture(SQUARES[1], 2)
    assert len(other(picture)) and np.array_equal(one(picture).boxes_xyxy_px, other(picture).boxes_xyxy_px)


def test_a_size_left_open_is_fixed(net: Path) -> None:
    model = onnx.load_from_string(decoded_model(make_model(), SPEC, "scores_columns"))
    for place, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    assert pack(net, model.SerializeToString()) == 1
    assert pack(net, model.SerializeToString(), "--size", "64x64") == 0
    manifest = open_bundle(net / "bundle").manifest
    assert (manifest.input.width, manifest.input.height) == (64, 64)


def test_a_size_that_is_not_the_files_is_refused_for_raw_heads_too(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights, _ = write_network(tmp_path / "small")
    converted = net / "net.onnx"
    assert run_command(["model", "convert", str(weights), "--cfg", str(cfg), "--out", str(converted)]) == 0

    assert pack(net, converted.read_bytes(), "--size", "96x96") == 1

    assert "its input's width is" in capsys.readouterr().err
    assert not (net / "bundle").exists()


def test_receipts_map_and_golden_pictures_are_as_for_other_bundles(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("JPEGImages", "Annotations"):
        (net / "voc" / folder).mkdir(parents=True)
    for number, (column, row) in enumerate([(0, 0), (2, 1), (3, 3)]):
        cv2.imwrite(str(net / "voc" / "JPEGImages" / f"{number}.png"), make_picture({(column, row): "green"}))
        box = {"xmin": column * 16 + 1, "ymin": row * 16 + 1, "xmax": column * 16 + 16, "ymax": row * 16 + 16}
        sides = "".join(f"<{key}>{value}</{key}>" for key, value in box.items())
        (net / "voc" / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename><size><width>64</width><height>64</height><depth>3</depth>"
            f"</size><object><name>green</name><bndbox>{sides}</bndbox></object></annotation>"
        )
    content = decoded_model(make_model(), SPEC, "chosen")
    assert pack(net, content, "--data", net / "voc", "--licence", "MIT", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert {entry["reference"] for entry in printed["agreement"]} == {"onnxruntime"}
    assert printed["accuracy"]["map50"] == 1.0 and printed["decode"] == "boxes_score_class"
    bundle = open_bundle(net / "bundle")
    golden = GoldenFile.model_validate_json(bundle.read("golden.json"))
    assert not golden.synthetic and sum(len(picture.detections) for picture in golden.pictures) == 3
    assert bundle.manifest.provenance.cfg_sha256 is None and bundle.manifest.licence == "MIT"
    assert run_command(["evaluate", str(net / "bundle"), "--data", str(net / "voc"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["map50"] == 1.0
    found = ["detect", str(net / "bundle"), str(net / "pictures"), "--out", str(net / "found"), "--json"]
    assert run_command(found) == 0
    assert [len(entry["detections"]) for entry in json.loads(capsys.readouterr().out)] == [1, 2, 3, 2, 0]
    assert BGR.keys() == set(bundle.manifest.classes)


def write_walk(path: Path, columns: list[int]) -> Path:
    """A clip in which a red square stands in each column for five frames."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "10"}
        for column in columns:
            picture = np.ascontiguousarray(make_picture({(column, 1): "red"}, 4)[..., ::-1])
            for _ in range(5):
                output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode())
    return path


@pytest.mark.parametrize(("layout", "frozen"), [("scores_columns", False), ("chosen", True)])
def test_cameras_are_watched_with_such_a_bundle(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str, frozen: bool
) -> None:
    content = decoded_model(make_model(), SPEC, layout, batch=1 if frozen else None, frozen=frozen)
    assert pack(net, content) == 0
    make_bundle(tmp_path / "raw")
    clips = [write_walk(tmp_path / "there.mp4", [0, 1, 2, 3]), write_walk(tmp_path / "back.mp4", [3, 2, 1, 0])]
    counts = []
    for bundle in (net / "bundle", tmp_path / "raw"):
        cameras = [part for clip in clips for part in ("--camera", str(clip))]
        capsys.readouterr()
        assert run_command(["run", "--bundle", str(bundle), *cameras, "--line", "gate=50%,0%,50%,100%", "--json"]) == 0
        counts.append(json.loads(capsys.readouterr().out)["counts"])
    assert counts[0] == counts[1]
    assert counts[0]["there"]["lines"] == {"gate": {"red": {"a_to_b": 0, "b_to_a": 1}}}


def with_nan(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "b0")
    tensor.CopyFrom(numpy_helper.from_array(np.full(8, np.nan, np.float32), "b0"))
    return model.SerializeToString()


def unrunnable() -> bytes:
    """Passes the checker; no run can."""
    model = onnx.load_from_string(decoded_model(make_model(), SPEC, "scores_columns"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([7, 7], np.int64), "sides"))
    model.graph.node.append(helper.make_node("Reshape", ["output0", "sides"], ["y"]))
    model.graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [7, 7]))
    return model.SerializeToString()


V5, V8, V10 = (decoded_model(make_model(), SPEC, name) for name in ("objectness_rows", "scores_columns", "chosen"))


@pytest.mark.parametrize(
    ("content", "flags", "code", "message"),
    [
        (V8, ["--decode", "boxes_objectness_scores"], 1, "no output is of boxes_objectness_scores"),
        (V8, ["--output-name", "nope"], 1, "no output 'nope'; it has output0 (1, 7, 20)"),
        (V8, ["--box-units", "normalised"], 1, "as --box-form cxcywh --box-units pixels 100% are"),
        (V8, ["--box-form", "xyxy"], 1, "not boxes_scores with xyxy in pixels"),
        (V8, ["--score-form", "logits"], 1, "are probabilities already"),
        (V8, ["--size", "32x32"], 1, "its input's width is 64, not 32"),
        (V8, ["--size", "32"], 2, "--size 32: give WIDTHxHEIGHT"),
        (V8, ["--decode", "darknet_yolo_heads"], 2, "needs --cfg FILE"),
        (V8[:-50], [], 1, "net.onnx: not an ONNX file"),
        (make_model(), [], 1, "these look like raw Darknet heads: give the cfg they belong to with --cfg"),
        (with_nan(V5), [], 1, "output 'output' holds values that are no numbers"),
        (unrunnable(), [], 1, "cannot run the model"),
        (V8, ["--names", "FOUR"], 1, "with 4 classes no output is of any decode kind"),
        (V10, ["--names", "TWO"], 1, "may be read in more than one way"),
        (V10, ["--names", "TWO", "--decode", "boxes_score_class"], 1, "a class number is 2"),
    ],
)
def test_what_does_not_fit_is_one_clear_error_and_writes_nothing(
    net: Path, capsys: pytest.CaptureFixture[str], content: bytes, flags: list[str], code: int, message: str
) -> None:
    names = {"FOUR": "a\nb\nc\nd\n", "TWO": "a\nb\n"}
    if flags[:1] == ["--names"]:
        (net / "names.txt").write_text(names[flags[1]])
        flags = flags[2:]
    before = sorted(net.iterdir())
    assert pack(net, content, *flags) == code
    error = " ".join(capsys.readouterr().err.split())
    assert message in error and "Traceback" not in error
    assert sorted(net.iterdir()) == sorted([*before, net / "net.onnx"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--onnx", "a", "--run", "r"], "--onnx brings its own weights"),
        (["--onnx", "a", "--weights", "w"], "--onnx brings its own weights"),
        (["--cfg", "c", "--weights", "w", "--names", "n", "--nms", "done"], "--nms: only for --onnx"),
        (["--weights", "w", "--box-form", "xyxy", "--output-name", "o"], "--output-name, --box-form: only for --onnx"),
    ],
)
def test_contradicting_flags_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert run_command(["pack", *flags, "--out", str(tmp_path / "bundle")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_flags_about_boxes_do_not_go_with_a_cfg(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, _ = write_network(tmp_path / "small")
    converted = net / "net.onnx"
    assert run_command(["model", "convert", str(weights), "--cfg", str(cfg), "--out", str(converted)]) == 0
    content = converted.read_bytes()
    for flags, message in (
        (["--nms", "done", "--box-form", "xyxy"], "--box-form, --nms: only for boxes that are decoded already"),
        (["--decode", "darknet_region_head"], "the cfg describes darknet_yolo_heads"),
        (["--decode", "boxes_scores", "--cfg", str(cfg)], "leave out one of them"),
    ):
        assert pack(net, content, *flags) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (net / "bundle").exists()
