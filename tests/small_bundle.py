"""A detector small enough to reason about, for every test that needs a bundle: it finds coloured squares.

Input 64x64, or any other whose sides are multiples of 32. Head 0 (stride 16, anchor 16x16) looks at the mean of each
16-pixel cell: red and green; head 1 (stride 32, anchor 32x32) at each 32-pixel cell: blue. A cell that is wholly red,
green or blue gives a box that covers it exactly, with a score above 0.99; black, white and grey give none. Nothing is
trained: the numbers are chosen.
"""

from pathlib import Path

import av
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vedette.bundle_folder import OpenBundle, write_bundle
from vedette.contracts.bundle import (
    BundleManifest,
    DarknetHeads,
    InputSpec,
    Precision,
    Provenance,
    Thresholds,
    Variant,
    YoloHead,
)
from vedette.contracts.frame import ResizeMode
from vedette.contracts.receipt import Receipt

SIDE_PX = 64
CLASSES = ("red", "green", "blue")
BGR = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}
STEEP = 40.0


def make_model(broken: bool = False, size_px: tuple[int, int] = (SIDE_PX, SIDE_PX)) -> bytes:
    """The ONNX model; `broken` shifts head 1's objectness, as an engine with a fault would."""
    nodes, weights, outputs = [], [], []
    width, height = size_px
    for number, stride in enumerate((16, 32)):
        matrix = np.zeros((8, 3, 1, 1), np.float32)  # (4 box + objectness + 3 classes, RGB, 1, 1)
        bias = np.zeros(8, np.float32)
        wanted = (0, 1) if number == 0 else (2,)
        for colour in range(3):
            # objectness: a wanted colour alone; another colour present takes more away than this one gives
            matrix[4, colour] = STEEP if colour in wanted else -2 * STEEP
            matrix[5 + colour] = -STEEP
            matrix[5 + colour, colour] = STEEP
            bias[5 + colour] = -STEEP / 2
        bias[4] = -STEEP / 2 + (1.0 if broken and number == 1 else 0.0)
        weights += [numpy_helper.from_array(matrix, f"w{number}"), numpy_helper.from_array(bias, f"b{number}")]
        nodes += [
            helper.make_node(
                "AveragePool", ["input"], [f"mean{number}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Conv", [f"mean{number}", f"w{number}", f"b{number}"], [f"head_{number}"]),
        ]
        outputs.append(
            helper.make_tensor_value_info(
                f"head_{number}", TensorProto.FLOAT, ["batch", 8, height // stride, width // stride]
            )
        )
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, height, width])]
    graph = helper.make_graph(nodes, "coloured_squares", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def make_manifest(
    resize: ResizeMode = ResizeMode.STRETCH, size_px: tuple[int, int] = (SIDE_PX, SIDE_PX), **thresholds: object
) -> BundleManifest:
    """The manifest of the coloured-squares detector, without files."""
    heads = tuple(
        YoloHead(
            output=f"head_{number}",
            grid_width=size_px[0] // stride,
            grid_height=size_px[1] // stride,
            anchors=((float(stride), float(stride)),),
        )
        for number, stride in enumerate((16, 32))
    )
    return BundleManifest(
        name="coloured-squares",
        classes=CLASSES,
        input=InputSpec(width=size_px[0], height=size_px[1], resize=resize),
        decode=DarknetHeads(heads=heads),
        thresholds=Thresholds.model_validate(thresholds),
        provenance=Provenance(
            code_version="0",
            created_utc="2026-01-01T00:00:00Z",
            source="darknet",
            weights_sha256="0" * 64,
            cfg_sha256="0" * 64,
        ),
        variants=(Variant(name="fp32", file="model.onnx", precision=Precision.FP32, receipt=Receipt()),),
        files={},
    )


def make_bundle(
    folder: Path,
    resize: ResizeMode = ResizeMode.STRETCH,
    size_px: tuple[int, int] = (SIDE_PX, SIDE_PX),
    **thresholds: object,
) -> OpenBundle:
    """Write the coloured-squares bundle."""
    contents = {
        "model.onnx": make_model(size_px=size_px),
        "labels.txt": "".join(f"{name}\n" for name in CLASSES).encode(),
    }
    return write_bundle(folder, make_manifest(resize, size_px, **thresholds), contents)


def make_picture(
    squares: dict[tuple[int, int], str], scale: int = 1, size_px: tuple[int, int] = (SIDE_PX, SIDE_PX)
) -> NDArray[np.uint8]:
    """A black BGR picture with squares: {(column, row): colour}; a blue one covers the 32-pixel cell it lies in."""
    image = np.zeros((size_px[1] * scale, size_px[0] * scale, 3), np.uint8)
    for (column, row), colour in squares.items():
        side = (32 if colour == "blue" else 16) * scale
        left, top = column * 16 * scale // side * side, row * 16 * scale // side * side
        image[top : top + side, left : left + side] = BGR[colour]
    return image


SCALE = 4  # clips of 256x256, cells of 64 (blue: 128)
EVERY = 5


def write_walk(path: Path, cells: list[tuple[int, int] | None], colour: str = "red", rate: int = 25) -> Path:
    """A clip in which a square stands in each cell for `EVERY` frames, then in the next; `None` is an empty picture."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=rate)
        video.width = video.height = 64 * SCALE
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "10"}
        for cell in cells:
            picture = make_picture({} if cell is None else {cell: colour}, SCALE)
            for _ in range(EVERY):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[..., ::-1]), format="rgb24")
                output.mux(video.encode(frame))
        output.mux(video.encode())
    return path
