"""A bundle on ONNX Runtime's CUDA provider, end to end: the four questions that every TensorRT engine is asked, too.

The same body runs on the processor first, so what a machine without a GPU has proved is all but the provider itself:
that an honest engine passes in every precision, that a wrong one is refused, that the layers ran where they were to.
"""

import ctypes
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from golden_squares import write_golden_bundle
from proved_bundles import PRECISIONS, Packed, pack_darknet, with_variants
from small_bundle import make_picture
from trained_nets import find_trained
from vedette.contracts.bundle import BundleManifest
from vedette.contracts.frame import Pixels
from vedette.vision.resize import network_tensor

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def cuda_devices() -> int:
    """How many GPUs the driver has; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


class ProviderEngine:
    """A `HeadEngine` on one provider of ONNX Runtime, which is asked afterwards where its layers ran."""

    name, version = "onnxruntime", str(onnxruntime.__version__)

    def __init__(
        self, manifest: BundleManifest, model: bytes, provider: str, folder: Path, wrong: bool = False
    ) -> None:
        self._spec, self._outputs = manifest.input, list(manifest.decode.outputs)
        self._provider, self._wrong = provider, wrong
        self.description = f"onnxruntime {self.version} on {provider}"
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
        settings = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"} if provider == CUDA else {}
        providers = [(provider, settings), *([CPU] if provider != CPU else [])]
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        assert self._session.get_providers()[0] == provider, "the provider is installed and cannot be used"
        self._session.disable_fallback()

    def infer(self, pixels_nhwc_rgb: Pixels) -> list[NDArray[np.float32]]:
        tensor = network_tensor(pixels_nhwc_rgb, self._spec.scale)  # (n, 3, height, width) float32
        if self._wrong:
            tensor = np.ascontiguousarray(tensor[:, ::-1])
        return list(self._session.run(self._outputs, {self._spec.tensor: tensor}))

    def where_convolutions_ran(self) -> Counter[str]:
        """How many runs of convolutions each provider had. Ends the profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        arguments = [event.get("args", {}) for event in events]
        return Counter(one["provider"] for one in arguments if "Conv" in one.get("op_name", "") and "provider" in one)


@pytest.fixture(params=[CPU, CUDA])
def provider(request: pytest.FixtureRequest) -> str:
    if request.param not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA: pip install onnxruntime-gpu on a machine with an NVIDIA GPU")
    if request.param == CUDA and not cuda_devices():
        pytest.skip("no NVIDIA GPU: libcuda.so.1 is missing or names no device")
    return request.param


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    bundle = write_golden_bundle(tmp_path_factory.mktemp("squares") / "bundle")
    colours = ("red", "green", "blue")
    return with_variants(bundle, [make_picture({(n % 4, n // 4): colours[n % 3]}) for n in range(12)])


@pytest.fixture(scope="module")
def trained(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    net = find_trained(real_data, "yolo-fastest-1.1", (320, 320))
    if net is None:
        pytest.skip("yolo-fastest-1.1 is not among the real data")
    pictures = [cv2.imread(str(path)) for path in sorted((real_data / "coco").rglob("*.jpg"))[:14]]
    return pack_darknet(tmp_path_factory.mktemp("trained"), net.plan, net.weights, pictures)


def require_parity(packed: Packed, provider: str, folder: Path) -> None:
    for precision in PRECISIONS:
        engine = ProviderEngine(packed.bundle.manifest, packed.models[precision], provider, folder)
        assert packed.refusal(precision, engine) is None, precision
        ran = engine.where_convolutions_ran()
        assert set(ran) == {provider} and ran[provider] > 0, ran
        wrong = ProviderEngine(packed.bundle.manifest, packed.models[precision], provider, folder, wrong=True)
        told = packed.refusal(precision, wrong)
        assert told is not None and "differs from ONNX Runtime's" in told, precision
        wrong.where_convolutions_ran()


def test_the_squares_are_the_same_on_every_provider(squares: Packed, provider: str, tmp_path: Path) -> None:
    require_parity(squares, provider, tmp_path)


@pytest.mark.slow
@pytest.mark.real_data
def test_a_trained_net_is_the_same_on_every_provider(trained: Packed, provider: str, tmp_path: Path) -> None:
    require_parity(trained, provider, tmp_path)
