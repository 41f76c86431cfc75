"""Where `torchvision` does not fit the installed torch, the one function of it that video detection needs: `ops.nms`.

PyPI's torchvision is built for CUDA and does not load beside a CPU torch that came from elsewhere. OpenCV's suppression
then does the work, which takes no longer. `provide` says which of the two it is.
"""

import sys
import types
from typing import Any


def provide() -> str:
    try:
        import torchvision
    except (ImportError, RuntimeError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    else:
        return f"torchvision {torchvision.__version__}"
    module = types.ModuleType("torchvision")
    module.ops = types.SimpleNamespace(nms=suppress)
    sys.modules["torchvision"] = module
    return "OpenCV's, in place of torchvision's"


def suppress(boxes: Any, scores: Any, iou: float) -> Any:
    import cv2
    import torch

    xywh = boxes.clone()
    xywh[:, 2:] -= xywh[:, :2]
    return torch.as_tensor(cv2.dnn.NMSBoxes(xywh.numpy(), scores.numpy(), 0.0, iou)).long()
