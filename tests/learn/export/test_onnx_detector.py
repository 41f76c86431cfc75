"""An ONNX file travels in a bundle only when it is whole, checked, standard, and takes one float32 NCHW picture."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from small_bundle import make_model
from vedette.contracts.frame import ResizeMode
from vedette.learn.export.errors import OnnxError
from vedette.learn.export.onnx_detector import input_spec, read_detector


def changed(change) -> bytes:
    model = onnx.load_from_string(make_model())
    change(model)
    return model.SerializeToString()


def set_type(kind):
    def change(model) -> None:
        model.graph.input[0].type.tensor_type.elem_type = kind

    return change


def set_sides(*sides):
    def change(model) -> None:
        new = helper.make_tensor_value_info("input", TensorProto.FLOAT, sides)
        model.graph.input[0].CopyFrom(new)

    return change


def add_input(model) -> None:
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))


def add_operator(domain):
    def change(model) -> None:
        model.opset_import.append(helper.make_opsetid(domain, 1))
        model.graph.node.append(helper.make_node("EfficientNMS_TRT", ["head_0"], ["x"], domain=domain))

    return change


def add_hidden_operator(model) -> None:
    """In a branch of an If, where a look at the graph's own nodes misses it."""
    model.opset_import.append(helper.make_opsetid("mine", 1))
    info = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Odd", ["head_0"], ["y"], domain="mine")], "b", [], [info])
    model.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    model.graph.node.append(helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch))


def move_weights_away(model) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"


def drop_outputs(model) -> None:
    del model.graph.output[:]


def break_graph(model) -> None:
    model.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ONNX file, or one without a graph"),
        (b"not a model at all, but text", "not an ONNX file"),
        (make_model()[:-100], "not an ONNX file, or one that was cut off|onnx.checker refuses it"),
        (changed(set_type(TensorProto.FLOAT16)), "the input 'input' is float16; export the model with float32 input"),
        (changed(set_type(TensorProto.UINT8)), "is uint8; export the model with float32"),
        (changed(set_sides(1, 64, 64, 3)), "it is NHWC: export it with channels first"),
        (changed(set_sides(1, 1, 64, 64)), "it must have 3 channels"),
        (changed(set_sides(3, 64, 64)), "has 3 dimensions, not 4"),
        (changed(add_input), "it must have one input, the picture; it has 2: 'input', 'scale'"),
        (changed(add_operator("trt")), "operators outside the ONNX standard: trt.EfficientNMS_TRT"),
        (changed(add_operator("com.microsoft")), "operators outside the ONNX standard: com.microsoft"),
        (changed(add_hidden_operator), "operators outside the ONNX standard: mine.Odd"),
        (changed(move_weights_away), "'w0' lies in another file; save the model as one file"),
        (changed(break_graph), "onnx.checker refuses it"),
        (changed(drop_outputs), "it has no output"),
        (make_model().replace(b"AveragePool", b"Average\xff\xfe\xfd\xfc"), "damaged: a name in it is no text"),
    ],
)
def test_what_cannot_travel_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(OnnxError, match=message) as caught:
        read_detector(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_beyond_protobufs_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate((2 << 30) + 1)  # takes no room on disk
    with pytest.raises(OnnxError, match="larger than 2 GiB"):
        read_detector(path)
    with pytest.raises(OnnxError, match="cannot be read"):
        read_detector(tmp_path / "absent.onnx")


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/dev")])
def test_what_is_no_file_is_refused_unread(path: Path) -> None:
    with pytest.raises(OnnxError, match=rf"^{path}: not a file$"):
        read_detector(path)


def test_every_beginning_of_a_model_is_refused_or_whole(tmp_path: Path) -> None:
    content, path = make_model(), tmp_path / "net.onnx"
    refused = 0
    for length in np.linspace(0, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(OnnxError):
            read_detector(path)
        refused += 1
    assert refused == 60


@settings(deadline=None, max_examples=200)
@given(changes=st.dictionaries(st.integers(0, len(make_model()) - 1), st.integers(0, 255), min_size=1, max_size=12))
def test_a_damaged_model_is_taken_or_refused_but_never_more(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[int, int]
) -> None:
    content = bytearray(make_model())
    for place, value in changes.items():
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    try:
        detector = read_detector(path)
    except OnnxError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert detector.input_name and len(detector.sha256) == 64


def test_an_open_size_must_be_given_and_a_fixed_one_must_not_be_contradicted(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(changed(set_sides("batch", 3, "height", "width")))
    detector = read_detector(path)
    assert (detector.batch, detector.width, detector.height) == (None, None, None)
    with pytest.raises(OnnxError, match="leaves its input's width open; give --size"):
        input_spec(detector, None, ResizeMode.STRETCH, 1 / 255)
    with pytest.raises(OnnxError, match="at most 8192"):
        input_spec(detector, (9000, 64), ResizeMode.STRETCH, 1 / 255)
    spec = input_spec(detector, (96, 64), ResizeMode.LETTERBOX, 1.0)
    assert (spec.width, spec.height, spec.batch, spec.scale) == (96, 64, None, 1.0)
    path.write_bytes(changed(set_sides(100_000, 3, 64, 64)))
    with pytest.raises(OnnxError, match="its input has 1228800000 values; at most"):
        input_spec(read_detector(path), None, ResizeMode.STRETCH, 1 / 255)
    path.write_bytes(make_model())
    with pytest.raises(OnnxError, match="its input's height is 64, not 32"):
        input_spec(read_detector(path), (64, 32), ResizeMode.STRETCH, 1 / 255)
