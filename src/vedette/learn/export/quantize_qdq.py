"""INT8 as ONNX with QuantizeLinear and DequantizeLinear, per channel, calibrated on real pictures.

Two styles, for two engines. ONNX Runtime: activations unsigned (U8S8, what x86 multiplies), on every operator between
layers, so that the whole runs in 8 bits; the heads stay in FP32, because an 8-bit output costs mAP50-95 six points of a
hundred on a trained network and the heads do little work. TensorRT: both signed and symmetric (S8S8), only on what
layers read, weights as float32 behind their own pair (parsers since 8.2 take that), biases float32. Such a file gives
wrong results in OpenVINO (facts/performance) and is for TensorRT alone.

Source: onnxruntime.quantization (static, MinMax); ONNX operator set 13.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import onnx

from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.errors import VariantError
from vedette.learn.export.quantize_layers import LAYER_TYPES, find_layers, find_tail, name_nodes


class QdqStyle(Enum):
    """Whose 8 bits."""

    ONNXRUNTIME = "U8S8"
    TENSORRT = "S8S8"


def always_kept(model: bytes, style: QdqStyle) -> tuple[str, ...]:
    """The layers that a style leaves in FP32 whatever they do to accuracy."""
    if style is QdqStyle.TENSORRT:
        return ()
    return tuple(layer.name for layer in find_layers(_load(model)) if layer.is_head)


def quantize_qdq(model: bytes, pictures: CalibrationPictures, style: QdqStyle, kept: tuple[str, ...] = ()) -> bytes:
    """The model with its layers in INT8, but for those `kept`.

    Raises:
        VariantError: ONNX Runtime's quantiser cannot handle the model.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as native
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    onnxruntime.disable_telemetry_events()
    loaded = _load(model)
    signed = style is QdqStyle.TENSORRT
    layers = sorted(LAYER_TYPES)
    extra: dict[str, Any] = {"WeightSymmetric": True, "ActivationSymmetric": signed}
    if signed:
        extra |= {"AddQDQPairToWeight": True, "QuantizeBias": False, "OpTypesToExcludeOutputQuantization": layers}
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder, _quiet():
        source, target = Path(folder) / "model.onnx", Path(folder) / "quantized.onnx"
        onnx.save_model(loaded, source)
        try:
            quantize_static(
                str(source),
                str(target),
                _Reader(pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=layers if signed else None,
                per_channel=True,
                activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*kept, *find_tail(loaded)],
                extra_options=extra,
            )
        except (
            *(native.Fail, native.InvalidArgument, native.InvalidGraph, native.NotImplemented, native.RuntimeException),
            *(ValueError, RuntimeError, AttributeError, KeyError, IndexError),
        ) as error:  # all that its code was seen to raise; the native ones derive from Exception directly
            reason = str(error).splitlines()[0]
            raise VariantError(f"ONNX Runtime's quantiser cannot handle this model: {reason}") from error
        return target.read_bytes()


class _Reader:
    """What `quantize_static` asks for pictures; a `CalibrationDataReader` by shape."""

    def __init__(self, pictures: CalibrationPictures) -> None:
        self._pictures = pictures
        self._tensors = pictures.tensors()

    def get_next(self) -> dict[str, Any] | None:
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._pictures.spec.tensor: tensor}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return ({self._pictures.spec.tensor: tensor} for tensor in self._pictures.tensors())

    def __len__(self) -> int:
        return len(self._pictures)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._tensors = (self._pictures.tensor(number) for number in range(start_index, end_index))


def _load(model: bytes) -> Any:
    loaded = onnx.load_from_string(model)
    name_nodes(loaded)
    return loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """Its advice about preprocessing is not for the user of `vedette pack`."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
