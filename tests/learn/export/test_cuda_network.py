"""The torch network on a GPU as an engine, end to end: what it finds is what the packed ONNX finds on the processor.

The body runs on the processor first, so that without a GPU all but the device itself has been proved.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from proved_bundles import Packed, pack_darknet
from random_weights import random_weights
from trained_nets import find_trained
from vedette.contracts.bundle import BundleManifest, Precision
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan, plan_network
from vedette.learn.darknet.weights import DarknetWeights
from vedette.vision.resize import network_tensor

BODY = "size=3\nstride=1\npad=1\nbatch_normalize=1\n"
POOL = "[maxpool]\nsize=2\nstride=2\n"
YOLO = "[yolo]\nmask={}\nanchors=10,14,23,27,37,58,81,82\nclasses=3\nnum=4\n"
HEAD = "[convolutional]\nsize=1\nfilters=16\nactivation=linear\n"
CFG = (
    "[net]\nwidth=96\nheight=64\nchannels=3\n"
    f"[convolutional]\nfilters=8\nactivation=leaky\n{BODY}{POOL}[convolutional]\nfilters=16\nactivation=mish\n{BODY}{POOL}"
    f"[convolutional]\nfilters=16\nactivation=leaky\n{BODY}[shortcut]\nfrom=-2\n{POOL}{HEAD}{YOLO.format('2,3')}"
    f"[route]\nlayers=-3\n[upsample]\nstride=2\n[route]\nlayers=-1,5\n{HEAD}{YOLO.format('0,1')}"
)


class TorchEngine:
    """A `HeadEngine` on a device of torch, with full FP32: TF32 has ten bits of mantissa."""

    name, version = "torch", str(torch.__version__)

    def __init__(
        self, manifest: BundleManifest, plan: NetworkPlan, weights: DarknetWeights, device: str, wrong: bool = False
    ) -> None:
        self._scale, self._device, self._wrong = manifest.input.scale, torch.device(device), wrong
        self.description = f"torch {self.version} on {device}"
        self._network = DarknetNetwork(plan).eval()
        self._network.load_darknet(weights)
        self._network.to(self._device)

    def infer(self, pixels_nhwc_rgb: np.ndarray) -> list[np.ndarray]:
        tensor = network_tensor(pixels_nhwc_rgb, self._scale)  # (n, 3, height, width) float32
        if self._wrong:
            tensor = np.ascontiguousarray(tensor[:, ::-1])
        with torch.no_grad():
            heads = self._network(torch.from_numpy(tensor).to(self._device))
        assert all(head.device.type == self._device.type for head in heads)
        return [head.cpu().numpy() for head in heads]


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device that this torch can use")
        monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return request.param


def require_parity(packed: Packed, plan: NetworkPlan, weights: DarknetWeights, device: str) -> None:
    manifest = packed.bundle.manifest
    assert packed.refusal(Precision.FP32, TorchEngine(manifest, plan, weights, device)) is None
    told = packed.refusal(Precision.FP32, TorchEngine(manifest, plan, weights, device, wrong=True))
    assert told is not None
    assert "differs from ONNX Runtime's" in told


def test_a_random_net_is_the_same_on_every_device(tmp_path: Path, device: str) -> None:
    plan = plan_network(parse_cfg(CFG))
    weights, noise = random_weights(plan), np.random.default_rng(1)
    pictures = [noise.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(8)]
    packed = pack_darknet(tmp_path, plan, weights, pictures, score=0.3, precisions=(Precision.FP32,))
    require_parity(packed, plan, weights, device)


@pytest.mark.slow
@pytest.mark.real_data
def test_a_trained_net_is_the_same_on_every_device(real_data: Path, tmp_path: Path, device: str) -> None:
    net = find_trained(real_data, "yolo-fastest-1.1", (320, 320))
    if net is None:
        pytest.skip("yolo-fastest-1.1 is not among the real data")
    pictures = [cv2.imread(str(path)) for path in sorted((real_data / "coco").rglob("*.jpg"))[:10]]
    packed = pack_darknet(tmp_path, net.plan, net.weights, pictures, precisions=(Precision.FP32,))
    require_parity(packed, net.plan, net.weights, device)
