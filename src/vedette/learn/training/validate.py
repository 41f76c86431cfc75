"""Detections of a network in training on the pictures of a split, batch by batch, and what they are worth.

Preprocessing, decoding, suppression and clipping are those of detection (`vision`). The arithmetic is the caller's:
training validates in FP32 even when it learns in BF16, so that epochs are compared by the figures of what is delivered
(BF16 read 0.7 points of mAP50 too high on BCCD).
"""

import numpy as np
import torch
from numpy.typing import NDArray

from vedette.contracts.detections import Detections
from vedette.contracts.ports import Progress, SilentProgress
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.training.arithmetic import Arithmetic
from vedette.learn.training.evaluate import Evaluation, summarise
from vedette.learn.training.loading import PictureStore
from vedette.learn.training.peers import ALONE, Peers
from vedette.vision.postprocess import DetectionRules, detections_from_heads
from vedette.vision.resize import network_pixels

BATCH = 16
COLUMNS = 7


def to_input(pixels_nhwc_rgb: torch.Tensor) -> torch.Tensor:
    """`vision.resize.network_tensor` where the bytes lie: (batch, 3, height, width) float32 in 0..1, channels last."""
    return pixels_nhwc_rgb.permute(0, 3, 1, 2).float().div(255.0)


def _on_device(pixels_nhwc_rgb: NDArray[np.uint8 | np.float32], device: torch.device) -> torch.Tensor:
    """Bytes, not floats, go to a GPU, from pinned memory."""
    pixels = torch.from_numpy(pixels_nhwc_rgb)
    return pixels.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else pixels


def detect_all(
    network: DarknetNetwork,
    store: PictureStore,
    rules: DetectionRules,
    arithmetic: Arithmetic,
    progress: Progress | None = None,
    *,
    peers: Peers = ALONE,
) -> list[Detections]:
    """Detections of every picture of the store, in its order. Leaves the network in evaluation mode.

    Several processes share the batches out and all get all detections.
    """
    progress = progress or SilentProgress()
    network.eval()
    found: dict[int, Detections] = {}
    with torch.inference_mode():
        for start in range(peers.rank * BATCH, len(store), BATCH * peers.count):
            pictures = [store.get(index) for index in range(start, min(start + BATCH, len(store)))]
            images = np.stack([p.labelled.image_hwc_rgb_u8 for p in pictures])  # (batch, height, width, 3)
            pixels = network_pixels(images, [p.placement for p in pictures])
            with arithmetic.autocast():
                heads = network(to_input(_on_device(pixels, arithmetic.device)))
            arrays = [head.float().cpu().numpy() for head in heads]  # each (batch, channels, grid height, grid width)
            for row, picture in enumerate(pictures):
                found[start + row] = detections_from_heads([head[row] for head in arrays], rules, picture.placement)
            progress.advance(len(pictures))
    if peers.are_many:
        parts = peers.collect(_to_rows(found).tobytes())
        found = _from_rows(np.concatenate([np.frombuffer(part).reshape(-1, COLUMNS) for part in parts]), rules)
    return [found[index] if index in found else Detections.empty(rules.class_names) for index in range(len(store))]


def _to_rows(found: dict[int, Detections]) -> NDArray[np.float64]:
    """Number of the picture, box, score, class for each detection, (n, COLUMNS); float64 holds them all exactly."""
    rows = [np.zeros((0, COLUMNS))]
    for index, one in found.items():
        rows.append(np.column_stack([np.full(len(one), index), one.boxes_xyxy_px, one.scores, one.class_ids]))
    return np.concatenate(rows).astype(np.float64)


def _from_rows(rows: NDArray[np.float64], rules: DetectionRules) -> dict[int, Detections]:
    """The inverse of `_to_rows`; pictures without detections have none."""
    found = {}
    for index in np.unique(rows[:, 0]):
        own = rows[rows[:, 0] == index]
        boxes, scores, classes = own[:, 1:5].astype(np.float32), own[:, 5].astype(np.float32), own[:, 6]
        found[int(index)] = Detections(boxes, scores, classes.astype(np.int32), rules.class_names)
    return found


def validate(
    network: DarknetNetwork,
    store: PictureStore,
    rules: DetectionRules,
    arithmetic: Arithmetic,
    progress: Progress | None = None,
    *,
    peers: Peers = ALONE,
) -> tuple[Evaluation, list[Detections]]:
    """COCO's figures on every picture of the store, and the detections that they are of.

    Raises:
        InputError: the store holds no object that counts.
    """
    detections = detect_all(network, store, rules, arithmetic, progress, peers=peers)
    truths = [store.get(index).truths for index in range(len(store))]
    return summarise(truths, detections, rules.class_names), detections
