"""What is wanted of a builder, and what of this box its result depends on."""

from dataclasses import dataclass

from vedette.contracts.bundle import BundleManifest, Precision
from vedette.edge.engines.tensorrt.cuda import CudaGpu
from vedette.edge.engines.tensorrt.recipe import Shapes
from vedette.edge.engines.tensorrt.settings import TensorRtSettings


@dataclass(frozen=True, slots=True)
class Order:
    """An engine that is wanted."""

    manifest: BundleManifest
    model: bytes
    precision: Precision
    shapes: Shapes
    settings: TensorRtSettings
    calibration: bytes | None = None


def gpu_key(gpu: CudaGpu) -> dict[str, str]:
    """What of a GPU an engine depends on."""
    return {"gpu": gpu.name, "compute_capability": gpu.compute_capability, "driver": str(gpu.driver_version)}
