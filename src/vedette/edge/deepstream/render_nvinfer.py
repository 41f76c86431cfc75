"""nvinfer's file and what the box parser needs: the bundle's own pre-processing, thresholds and heads, exactly.

nvinfer computes net-scale-factor * (x - offset) on RGB and, with the ratio kept, pads evenly on both sides; suppression
is per class, a box dropped when IoU > threshold. Where it cannot do what the bundle says, `differences` tells.
"""

from vedette.contracts.bundle import (
    BundleManifest,
    DarknetHeads,
    DarknetRegionHead,
    Decode,
    DecodedBoxes,
    EngineName,
    NmsKind,
    Precision,
    Variant,
)
from vedette.contracts.frame import ResizeMode
from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.dialects import PARSER_FUNCTION, PARSER_LIBRARY
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.key_file_text import Value, write_key_file
from vedette.edge.deepstream.render_settings import Rendering

NETWORK_MODES = {Precision.FP32: 0, Precision.INT8: 1, Precision.FP16: 2}


def precision_of(rendering: Rendering) -> Precision:
    """FP32 and INT8 only where they are asked for; FP16 is what the boards' figures are for."""
    return rendering.demand.precision


def builds_engine(rendering: Rendering) -> bool:
    """Whether the engine is built by trtexec: nvinfer makes FP16 of a model that carries its own 8-bit ranges."""
    return precision_of(rendering) is Precision.INT8


def engine_file(rendering: Rendering) -> str:
    """nvinfer's own name for an engine."""
    return f"{names.MODEL_FILE}_b{rendering.network_batch}_gpu0_{precision_of(rendering).value}.engine"


def model_variant(manifest: BundleManifest, precision: Precision) -> Variant:
    """The ONNX file that the engine is built from on the board: for FP32 and FP16 the plain one.

    Raises:
        DeepStreamError: the bundle has none.
    """
    is_int8 = precision is Precision.INT8
    for variant in manifest.variants:
        suits = EngineName.TENSORRT in variant.engines and variant.file.endswith(".onnx")
        if suits and variant.precision is (Precision.INT8 if is_int8 else Precision.FP32):
            return variant
    if is_int8:
        raise DeepStreamError(
            f"bundle '{manifest.name}' has no INT8 variant for TensorRT: pack it with --variants "
            "fp32,int8_qdq_symmetric --calibration DATA, or give fp16 in the pipeline file"
        )
    raise DeepStreamError(f"bundle '{manifest.name}' has no FP32 ONNX file, from which nvinfer could build an engine")


def render_nvinfer(rendering: Rendering) -> bytes:
    """`config_infer_primary.txt`."""
    manifest = rendering.manifest
    spec, batch = manifest.input, rendering.network_batch
    letterbox = spec.resize is ResizeMode.LETTERBOX
    precision = precision_of(rendering)
    model: dict[str, Value | None] = {
        "gpu-id": 0,
        "gie-unique-id": 1,
        "process-mode": 1,
        "network-type": 0,
        # without a model nvinfer cannot make another engine when it does not like the one that was built for it
        "onnx-file": None if builds_engine(rendering) else names.MODEL_FILE,
        "model-engine-file": engine_file(rendering),
        "labelfile-path": names.LABELS_FILE,
        "batch-size": batch,
        "network-mode": NETWORK_MODES[precision],
        "workspace-size": rendering.sizing.workspace_mb,
        "interval": rendering.sizing.interval,
        "num-detected-classes": len(manifest.classes),
        "infer-dims": (spec.channels, spec.height, spec.width),
        "net-scale-factor": spec.scale,
        "offsets": (0.0, 0.0, 0.0),
        "model-color-format": 0,
        "maintain-aspect-ratio": letterbox,
        "symmetric-padding": letterbox,
        "scaling-filter": 1,  # bilinear
        "output-blob-names": manifest.decode.outputs,
        "parse-bbox-func-name": PARSER_FUNCTION,
        "custom-lib-path": PARSER_LIBRARY,
        "cluster-mode": 2 if _needs_nms(manifest) else 4,
    }
    attributes: dict[str, Value | None] = {
        "pre-cluster-threshold": float(rendering.score),
        "topk": rendering.max_detections,
    }
    if _needs_nms(manifest):
        attributes = {**attributes, "nms-iou-threshold": float(rendering.nms_iou)}
    comment = f"nvinfer for bundle '{manifest.name}' {rendering.bundle_digest[:12]}; written by vedette, see README.md"
    return write_key_file(comment, [("property", model), ("class-attrs-all", attributes)])


def render_labels(manifest: BundleManifest) -> bytes:
    """`labels.txt`: a class a line.

    Raises:
        DeepStreamError: a name would be split.
    """
    for name in manifest.classes:
        if ";" in name or "\n" in name or "|" in name:
            raise DeepStreamError(f"class '{name}': ';', '|' and line ends separate names in DeepStream; rename it")
    return "".join(f"{name}\n" for name in manifest.classes).encode()


def render_decode(manifest: BundleManifest) -> bytes:
    """`vedette_decode.txt`: how the box parser, which looks for it beside its library, decodes the outputs."""
    spec = manifest.input
    return decode_text(manifest.decode, len(manifest.classes), (spec.width, spec.height))


def decode_text(decode: Decode, classes: int, input_size_px: tuple[int, int]) -> bytes:
    """The box parser's file: a word and its values a line.

    An output's line is `output NAME GRID_WIDTH GRID_HEIGHT SCALE_X_Y NEW_COORDS` and then the width and height of each
    anchor in pixels of the network's input.
    """
    lines = ["vedette-decode 1", f"kind {decode.kind}", f"classes {classes}"]
    lines.append(f"input {input_size_px[0]} {input_size_px[1]}")
    if isinstance(decode, DecodedBoxes):
        lines.append(f"layout {decode.layout.value}")
        lines.append(f"box {decode.box_form.value} {decode.box_units.value}")
        lines.append(f"scores {decode.score_form.value}")
        lines += [f"output {name}" for name in decode.outputs]
    elif isinstance(decode, DarknetRegionHead):
        head = decode.heads[0]
        lines.append(_output(head.output, (head.grid_width, head.grid_height), head.anchors))
    elif isinstance(decode, DarknetHeads):
        for one in decode.heads:
            grid = (one.grid_width, one.grid_height)
            lines.append(_output(one.output, grid, one.anchors, one.scale_x_y, one.new_coords))
    return ("\n".join(lines) + "\n").encode()


def differences(rendering: Rendering) -> list[str]:
    """Where nvinfer does something else than Vedette with this bundle, for the README."""
    manifest, told = rendering.manifest, []
    if manifest.input.resize is ResizeMode.LETTERBOX:
        told.append(
            "nvinfer pads with black, the bundle was measured with grey: boxes at the picture's edge may differ"
        )
    if manifest.input.resize is ResizeMode.DARKNET:
        told.append(
            "the bundle resizes by Darknet's own rule, corner onto corner; nvinfer does not: up to half a pixel"
        )
    kind = manifest.thresholds.nms_kind
    if kind is NmsKind.DIOU:
        told.append("the bundle suppresses by DIoU, nvinfer by IoU: boxes of objects that overlap may differ")
    if kind is NmsKind.AGNOSTIC:
        told.append("the bundle suppresses across classes, nvinfer within each: an object may get two labels")
    told.append("topk counts per class in nvinfer, per picture in Vedette")
    return told


def _needs_nms(manifest: BundleManifest) -> bool:
    return not isinstance(manifest.decode, DecodedBoxes) or manifest.decode.needs_nms


def _output(
    name: str,
    grid: tuple[int, int],
    anchors: tuple[tuple[float, float], ...],
    scale_x_y: float = 1.0,
    new_coords: bool = False,
) -> str:
    sizes = " ".join(f"{width!r} {height!r}" for width, height in anchors)
    return f"output {name} {grid[0]} {grid[1]} {scale_x_y!r} {int(new_coords)} {sizes}"
