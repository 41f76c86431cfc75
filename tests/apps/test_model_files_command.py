"""`vedette model convert`, `diff` and `cut`, as a person calls them."""

import json
import struct

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import small_network
from random_weights import random_input
from vedette.apps.cli import run_command
from vedette.contracts.bundle import DarknetHeads
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import decode_spec, plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.export.onnx import export_onnx


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = run_command([str(argument) for argument in ("model", *arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def heads_of_weights(cfg, weights) -> list[np.ndarray]:
    plan = plan_network(read_cfg(cfg))
    network = DarknetNetwork(plan).eval()
    network.load_darknet(read_weights(weights, plan))
    with torch.no_grad():
        return [head.numpy() for head in network(torch.from_numpy(random_input(plan, 2)))]


def heads_of_onnx(cfg, path) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": random_input(plan_network(read_cfg(cfg)), 2)})


@pytest.fixture
def network(tmp_path):
    return small_network.write_network(tmp_path / "net")


@pytest.fixture
def converted(network, tmp_path, capsys):
    cfg, weights, names = network
    assert run(capsys, "convert", weights, "--cfg", cfg, "--names", names, "--out", tmp_path / "net.onnx")[0] == 0
    return tmp_path / "net.onnx"


def test_the_onnx_file_says_what_it_is_and_computes_the_same(network, converted):
    cfg, weights, _ = network
    metadata = {entry.key: entry.value for entry in onnx.load(converted).metadata_props}

    assert DarknetHeads.model_validate_json(metadata["vedette.decode"]) == decode_spec(plan_network(read_cfg(cfg)))
    assert json.loads(metadata["vedette.names"]) == list(small_network.CLASSES)
    assert metadata["vedette.cfg"] == cfg.read_text()
    for found, expected in zip(heads_of_onnx(cfg, converted), heads_of_weights(cfg, weights), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("with_cfg", [True, False], ids=["cfg given", "cfg from the file"])
def test_the_way_back_gives_a_network_with_the_same_outputs(network, converted, tmp_path, capsys, with_cfg):
    cfg, weights, _ = network
    back, cfg_back = tmp_path / "back.weights", tmp_path / "back.cfg"
    source = ("--cfg", cfg) if with_cfg else ("--cfg-out", cfg_back)

    code, out, err = run(capsys, "convert", converted, *source, "--out", back, "--json")

    assert (code, err) == (0, "")
    assert json.loads(out)["bytes"] == back.stat().st_size == weights.stat().st_size
    assert back.read_bytes() != weights.read_bytes()  # the batch norm was folded away
    assert with_cfg or cfg_back.read_text() == cfg.read_text()
    for found, expected in zip(heads_of_weights(cfg, back), heads_of_weights(cfg, weights), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert read_weights(back, plan_network(read_cfg(cfg))).seen == 12_345


def test_to_onnx_and_back_and_to_onnx_is_the_same_file(network, converted, tmp_path, capsys):
    cfg, _, names = network
    back, again = tmp_path / "back.weights", tmp_path / "again.onnx"
    run(capsys, "convert", converted, "--out", back)
    run(capsys, "convert", back, "--cfg", cfg, "--names", names, "--out", again)

    assert again.read_bytes() == converted.read_bytes()


def test_a_file_of_another_program_is_taken_when_its_graph_is_that_of_the_cfg(network, converted, tmp_path, capsys):
    cfg, weights, _ = network
    model = onnx.load(converted)
    del model.metadata_props[:]
    model.producer_name = "other"
    for node in model.graph.node:  # other names for every value inside
        for names in (node.input, node.output):
            names[:] = [f"x/{name}" if name.startswith("layer_") else name for name in names]
    for tensor in model.graph.initializer:
        tensor.name = f"x/{tensor.name}" if tensor.name.startswith("layer_") else tensor.name
    other, back = tmp_path / "other.onnx", tmp_path / "back.weights"
    onnx.save(model, other)

    assert run(capsys, "convert", other, "--out", back)[0] == 1
    assert not back.exists()
    assert run(capsys, "convert", other, "--cfg", cfg, "--out", back)[0] == 0
    for found, expected in zip(heads_of_weights(cfg, back), heads_of_weights(cfg, weights), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def change_activation(model) -> None:
    next(node for node in model.graph.node if node.op_type == "LeakyRelu").attribute[0].f = 0.2


def change_wiring(model) -> None:
    node = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    node.input[0] = model.graph.node[0].output[0]


def swap_outputs(model) -> None:
    first, second = model.graph.output
    first.name, second.name = second.name, first.name


def drop_data(model) -> None:
    model.graph.initializer[0].raw_data = b"\0" * 8


def put_nan(model) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("bias"))
    tensor.raw_data = struct.pack("<f", float("nan")) * tensor.dims[0]


def point_outside(model) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def claim_a_huge_kernel(model) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40, 3, 3]


def drop_a_layer(model) -> None:
    del model.graph.node[0]


CHANGED = {
    change_activation: "has other attributes",
    change_wiring: "reads another layer",
    swap_outputs: "outputs are not the raw heads",
    drop_data: "do not fill its shape",
    put_nan: "not finite",
    point_outside: "in another file",
    claim_a_huge_kernel: "the cfg asks for FLOAT (8, 3, 3, 3)",
    drop_a_layer: "3 convolutions, the cfg in",
}


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: change.__name__)
def test_a_graph_that_is_not_the_cfgs_is_refused_and_nothing_is_written(converted, tmp_path, capsys, change):
    model = onnx.load(converted)
    change(model)
    (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())

    code, out, err = run(capsys, "convert", tmp_path / "changed.onnx", "--out", tmp_path / "back.weights")

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert CHANGED[change] in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed.onnx", "net", "net.onnx"]


def test_wrong_requests_are_one_line_each(network, tmp_path, capsys):
    cfg, weights, names = network
    (tmp_path / "no.onnx").write_bytes(b"PK\3\4 this is none")
    (tmp_path / "two.names").write_text("a\nb\n")
    requests = {
        ("convert", weights, "--cfg", cfg, "--out", "x.pt"): (2, "must end in .onnx"),
        ("convert", weights, "--out", "x.onnx"): (2, "need --cfg"),
        ("convert", "x.onnx", "--names", names, "--out", "x.weights"): (2, "takes no --names"),
        ("convert", "x.onnx", "--cfg", cfg, "--out", "x.weights"): (1, "x.onnx: cannot be read"),
        ("convert", tmp_path / "no.onnx", "--cfg", cfg, "--out", "x.weights"): (1, "not an ONNX file"),
        ("convert", weights, "--cfg", cfg, "--names", tmp_path / "two.names", "--out", "x.onnx"): (1, "list has 2"),
        ("convert", weights, "--cfg", cfg, "--out", tmp_path / "no" / "x.onnx"): (1, "cannot be written"),
        ("convert", "x.onnx", "--out", "x.weights", "--cfg-out", "x.onnx"): (2, "one of the files to read"),
        ("convert", "x.onnx", "--out", "x.weights", "--cfg-out", "x.weights"): (2, "one of the files to read"),
        ("cut", cfg, weights, "--layers", 2, "--out", weights): (2, "one of the files to read"),
        ("cut", cfg, weights, "--layers", 2, "--out", tmp_path / "net" / ".." / "net" / cfg.name): (2, "to read"),
        ("diff", cfg, cfg, "--a-weights", weights): (2, "go together"),
        ("diff", cfg, cfg, "--partial"): (2, "--a-weights"),
        ("diff", cfg, "no.cfg"): (1, "no.cfg: no such file"),
        ("cut", cfg, weights, "--layers", 0, "--out", "x"): (2, "give 1 to 10"),
        ("cut", cfg, weights, "--layers", 11, "--out", "x"): (2, "give 1 to 10"),
        ("cut", cfg, "no.weights", "--layers", 1, "--out", "x"): (1, "no such file"),
    }
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for arguments, (code, words) in requests.items():
        found, out, err = run(capsys, *arguments)
        assert (found, out, len(err.splitlines())) == (code, "", 1), err
        assert words in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_network_is_the_same_as_itself(network, capsys):
    cfg, weights, _ = network
    code, out, _ = run(capsys, "diff", cfg, cfg, "--a-weights", weights, "--b-weights", weights, "--json")

    found = json.loads(out)
    assert (code, found["same_layers"], found["same_weights"]) == (0, True, True)
    assert (found["layers"], found["weights"]) == ([], [])


def test_differences_are_named_by_layer_and_array(network, tmp_path, capsys):
    cfg, weights, _ = network
    other_cfg, other = tmp_path / "other.cfg", tmp_path / "other.weights"
    text = cfg.read_text().replace("activation=leaky", "activation=mish", 1)
    other_cfg.write_text(text.replace("[maxpool]\nsize=2\nstride=1\n", "[dropout]\nprobability=.5\n"))
    values = bytearray(weights.read_bytes())
    first_bias = struct.unpack_from("<f", values, 20)[0]
    struct.pack_into("<f", values, 20, first_bias + 0.25)
    other.write_bytes(values)

    code, out, _ = run(capsys, "diff", cfg, other_cfg, "--a-weights", weights, "--b-weights", other, "--json")

    found = json.loads(out)
    assert code == 0
    assert found["layers"] == [
        {
            "layer": 0,
            "a": "convolutional",
            "b": "convolutional",
            "options": {"activation": {"a": "leaky", "b": "mish"}},
        },
        {"layer": 4, "a": "maxpool", "b": "dropout", "options": {}},
    ]
    (place,) = found["weights"]
    assert place["layer"] == 0
    assert place["largest_difference"]["biases"] == pytest.approx(0.25, abs=1e-6)
    assert set(place["largest_difference"].values()) == {place["largest_difference"]["biases"], 0.0}


def test_parameters_of_one_network_only_and_of_other_shapes_are_listed(network, tmp_path, capsys):
    cfg, weights, _ = network
    other_cfg = tmp_path / "other.cfg"
    other_cfg.write_text(cfg.read_text().replace("batch_normalize=1\nfilters=8", "filters=4", 1))
    plan = plan_network(read_cfg(other_cfg))
    other = tmp_path / "other.weights"
    other.write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + np.ones(plan.params, np.float32).tobytes())
    arguments = ("diff", cfg, other_cfg, "--a-weights", weights, "--b-weights", other)

    first = json.loads(run(capsys, *arguments, "--json")[1])["weights"][0]
    code, text, _ = run(capsys, *arguments)

    assert first == {
        "layer": 0,
        "largest_difference": {},
        "other_shape": ["biases", "kernel"],
        "only_a": ["scales", "means", "variances"],
        "only_b": [],
    }
    assert code == 0
    assert "only in A: scales, means, variances" in text
    assert "largest difference: " in text


def test_networks_without_weights_are_compared_by_their_layers(network, tmp_path, capsys):
    cfg, _, _ = network
    assert "the layers are the same" in run(capsys, "diff", cfg, cfg)[1]
    small_network.write_network(tmp_path / "b", yolo="scale_x_y=1.2")

    found = json.loads(run(capsys, "diff", cfg, tmp_path / "b" / "small.cfg", "--json")[1])

    assert found["same_weights"] is None
    assert [place["layer"] for place in found["layers"]] == [6, 9]
    assert found["layers"][0]["options"] == {"scale_x_y": {"a": "1.0", "b": "1.2"}}


def test_cut_keeps_the_first_layers_as_darknet_partial_does(network, tmp_path, capsys):
    cfg, weights, _ = network
    out = tmp_path / "small.conv.3"

    code, text, _ = run(capsys, "cut", cfg, weights, "--layers", 3, "--out", out, "--json")

    floats = 4 * 8 + 8 * 3 * 9 + 4 * 16 + 16 * 8 * 9
    assert (code, json.loads(text)) == (
        0,
        {"out": str(out), "layers": 3, "convolutions": 2, "bytes": 20 + 4 * floats},
    )
    assert out.read_bytes() == struct.pack("<iiiQ", 0, 2, 5, 0) + weights.read_bytes()[20 : 20 + 4 * floats]
    assert run(capsys, "info", cfg, "--weights", out, "--partial")[0] == 0


def test_a_backbone_can_be_cut_shorter_but_not_longer(network, tmp_path, capsys):
    cfg, weights, _ = network
    backbone, shorter, longer = (tmp_path / name for name in ("three", "one", "six"))
    run(capsys, "cut", cfg, weights, "--layers", 3, "--out", backbone)

    assert run(capsys, "cut", cfg, backbone, "--layers", 1, "--out", shorter)[0] == 0
    code, _, err = run(capsys, "cut", cfg, backbone, "--layers", 6, "--out", longer)

    assert (code, longer.exists()) == (1, False)
    assert "the first 3 layers only; 6 are asked for" in err


def test_the_graph_itself_is_the_one_that_pack_writes(network, converted):
    cfg, weights, _ = network
    plan = plan_network(read_cfg(cfg))
    model = onnx.load(converted)
    del model.metadata_props[:]

    assert model.SerializeToString(deterministic=True) == export_onnx(plan, read_weights(weights, plan))


@pytest.mark.real_data
def test_a_trained_net_comes_back_with_the_same_scores(real_data, tmp_path, capsys):
    folder = real_data / "weights" / "yolo-fastest" / "ModelZoo" / "yolo-fastest-1.1_coco"
    cfg, weights = folder / "yolo-fastest-1.1.cfg", folder / "yolo-fastest-1.1.weights"
    assert run(capsys, "convert", weights, "--cfg", cfg, "--out", tmp_path / "a.onnx")[0] == 0
    assert run(capsys, "convert", tmp_path / "a.onnx", "--out", tmp_path / "a.weights")[0] == 0

    for found, expected in zip(
        heads_of_weights(cfg, tmp_path / "a.weights"), heads_of_weights(cfg, weights), strict=True
    ):
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), 1 / (1 + np.exp(-expected)), atol=1e-5)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)  # raw values reach 25


def test_the_way_back_writes_neither_file_when_the_cfg_cannot_be_written(converted, tmp_path, capsys):
    back = tmp_path / "back.weights"

    code, _, err = run(capsys, "convert", converted, "--out", back, "--cfg-out", tmp_path / "none" / "back.cfg")

    assert (code, len(err.splitlines()), back.exists()) == (1, 1, False)
    assert "back.cfg: cannot be written" in err
