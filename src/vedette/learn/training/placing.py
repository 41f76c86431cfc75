"""Batches on the device that learns: bytes, not floats, travel, and on a GPU they travel beside the step before.

Whoever makes a batch (a thread of `loading.batch_stream`) places it too: on a GPU the arrays are pinned and copied by a
stream of their own, and the step waits for that copy alone. On a processor the arrays are taken as they lie.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vedette.learn.training.loading import Batch


@dataclass(frozen=True, slots=True)
class PlacedBatch:
    """A batch and its arrays as tensors on a device. Call `ready` before the tensors are used."""

    batch: Batch
    images_nhwc_rgb_u8: Tensor  # (batch, height, width, 3)
    boxes_xyxy_px: Tensor  # (batch, most objects, 4) float32
    class_ids: Tensor  # (batch, most objects) int64
    copied: Any  # CUDA event behind the copies; None where nothing was copied

    def ready(self) -> "PlacedBatch":
        """Let the current stream wait until everything has arrived; the caller goes on at once."""
        if self.copied is not None:
            stream = torch.cuda.current_stream(self.images_nhwc_rgb_u8.device)
            stream.wait_event(self.copied)
            for tensor in (self.images_nhwc_rgb_u8, self.boxes_xyxy_px, self.class_ids):
                tensor.record_stream(stream)  # memory of the other stream: not to be given away before this one is done
        return self


def placer(device: torch.device) -> Callable[[Batch], PlacedBatch]:
    """What places batches on a device; may be called from several threads."""
    if device.type != "cuda":
        return lambda batch: PlacedBatch(batch, *_tensors(batch), None)
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def place(batch: Batch) -> PlacedBatch:
        pinned = [tensor.pin_memory() for tensor in _tensors(batch)]
        with torch.cuda.stream(beside):
            images, boxes, classes = (tensor.to(device, non_blocking=True) for tensor in pinned)
            return PlacedBatch(batch, images, boxes, classes, beside.record_event())

    return place


def _tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(batch.images_nhwc_rgb_u8),
        torch.from_numpy(batch.boxes_xyxy_px),
        torch.from_numpy(batch.class_ids),
    )
