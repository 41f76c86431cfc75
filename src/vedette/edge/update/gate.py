"""The gate before a release: the engine that will run it must find in the golden pictures what the reference found.

What may differ is `vision.golden_gate`'s to say. Who opens the engine decides which one is asked; nothing is written
here.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.bundle_folder import BundleError, OpenBundle
from vedette.contracts.bundle import GoldenFile, Variant
from vedette.contracts.detections import Detections
from vedette.edge.update.errors import GateError
from vedette.vision.golden_gate import GoldenCount

MOST_TOLD = 3

Detect = Callable[[NDArray[np.uint8]], Detections]


def require_golden(bundle: OpenBundle, golden: GoldenFile, detect: Detect, variant: Variant, engine: str) -> int:
    """Let an engine detect in every golden picture; gives how many reference detections they hold.

    Raises:
        GateError: it does not reproduce them; says where and how.
        BundleError: a picture cannot be read.
    """
    count = GoldenCount(golden, variant)
    for entry in golden.pictures:
        count.add(entry, detect(_decode(bundle, entry.file)))
    faults = count.faults()
    if faults:
        told = "; ".join(faults[:MOST_TOLD]) + (
            f"; and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        )
        raise GateError(f"{engine} does not reproduce the golden pictures of '{bundle.manifest.name}': {told}")
    return sum(len(entry.detections) for entry in golden.pictures)


def _decode(bundle: OpenBundle, name: str) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_COLOR)  # (h, w, 3) uint8 BGR
    if picture is None:
        raise BundleError(f"{bundle.path / name}: is no picture")
    return np.asarray(picture, np.uint8)
