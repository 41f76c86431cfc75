"""INT8 for OpenVINO: NNCF on the OpenVINO model, calibrated on real pictures, kept as OpenVINO's IR (XML and weights).

The IR and not NNCF's ONNX, which OpenVINO gets wrong (mAP50 0.45 instead of 0.90 on a trained yolov3-tiny, 2026.4): its
ONNX importer mixes signed and unsigned 8 bits there. Activations are asymmetric (preset mixed): LeakyReLU is lopsided.
NNCF and OpenVINO would report their use over the network; that is turned off before they are imported.
"""

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.errors import VariantError
from vedette.learn.export.quantize_layers import find_tail, name_nodes

NO_TELEMETRY = "NNCF_CI"  # NNCF's own switch: no report, not even the question whether one may be sent
LAYER_OPERATIONS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})


def quantize_openvino(model: bytes, pictures: CalibrationPictures, kept: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
    """The IR's XML and weights, with the layers in INT8 but for those `kept` (names of the ONNX nodes).

    Raises:
        VariantError: OpenVINO or NNCF is not installed, or cannot handle the model.
    """
    import onnx

    loaded = onnx.load_from_string(model)
    name_nodes(loaded)
    output_of = {node.name: node.output[0] for node in loaded.graph.node}
    unquantised = [output_of[name] for name in (*kept, *find_tail(loaded))]
    with _quiet():
        nncf, ov = _imports()
        try:
            core = ov.Core()
            read = core.read_model(model=model)
            quantised = nncf.quantize(
                read,
                nncf.Dataset(list(range(len(pictures))), pictures.tensor),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(pictures),
                ignored_scope=nncf.IgnoredScope(names=_operations(read, unquantised), validate=False),
            )
        except (
            RuntimeError,
            ValueError,
            nncf.ValidationError,
            nncf.InternalError,
            nncf.UnsupportedModelError,
        ) as error:
            raise VariantError(f"NNCF cannot quantise this model for OpenVINO: {error}") from error
        with tempfile.TemporaryDirectory(prefix="vedette-") as folder:
            target = Path(folder) / "model.xml"
            ov.save_model(quantised, target, compress_to_fp16=False)
            return target.read_bytes(), target.with_suffix(".bin").read_bytes()


def _operations(model: Any, tensors: list[str]) -> list[str]:
    """OpenVINO's names of the operations that make these ONNX tensors; of a biased layer the one that multiplies."""
    wanted, found = set(tensors), []
    for operation in model.get_ordered_ops():
        if any(wanted & output.get_names() for output in operation.outputs()):
            found.append(_multiplying(operation).get_friendly_name())
    return found


def _multiplying(operation: Any) -> Any:
    """The layer behind an addition of its bias, else the operation itself."""
    if operation.get_type_name() == "Add":
        source = operation.input_value(0).get_node()
        if source.get_type_name() in LAYER_OPERATIONS:
            return source
    return operation


def _imports() -> tuple[Any, Any]:
    before = os.environ.get(NO_TELEMETRY)
    os.environ[NO_TELEMETRY] = "1"
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise VariantError(
            f"INT8 for OpenVINO needs {error.name}, which is not installed: pip install 'vedette[learn,openvino]'; "
            "int8_qdq does without"
        ) from error
    finally:
        if before is None:
            del os.environ[NO_TELEMETRY]
        else:
            os.environ[NO_TELEMETRY] = before
    logging.getLogger("nncf").setLevel(logging.ERROR)  # its own function would change other people's handlers, too
    return nncf, openvino


@contextmanager
def _quiet() -> Iterator[None]:
    """NNCF draws its progress on standard output, which is the command's own."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
