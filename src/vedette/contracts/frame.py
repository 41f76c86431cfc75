"""A picture's identity in time, and how it was fitted into the network's input. Pure values; the arithmetic that
uses a `Placement` stands in `vision.resize`."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

# RGB in 0..255, channels last. float32 where values lie between two of 8 bits: Darknet's resize, Darknet's grey
Pixels: TypeAlias = NDArray[np.uint8 | np.float32]


@dataclass(frozen=True, slots=True)
class FrameStamp:
    """Which picture of which camera, and when it was.

    `index` counts decoded frames of this camera from 0. `media_time_s` is the presentation time relative to the
    camera's first frame and never runs backward. `captured_unix_s` is the wall clock when the frame was decoded.
    Width and height are those of the source, upright (rotation applied), in pixels. `still_s` is how long, between the
    frame detected on before and this one, nothing happened by the gate's judgement, so that nothing was detected on.
    """

    camera: str
    index: int
    media_time_s: float
    captured_unix_s: float
    width_px: int
    height_px: int
    still_s: float = 0.0


class ResizeMode(str, Enum):
    """How a picture of any size becomes the network's input: plain stretch, or letterbox with grey 0.5.

    `DARKNET` is a stretch too, sampled as Darknet's own `resize_image` samples: corner pixels onto corner pixels.
    """

    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    DARKNET = "darknet"


class Sampling(str, Enum):
    """Where the bilinear resize reads: at pixel centres (OpenCV), or corner pixel onto corner pixel (Darknet)."""

    CENTRES = "centres"
    CORNERS = "corners"


class InputShape(Protocol):
    """What pictures are fitted into: a bundle's `InputSpec`, or what of it a decoder is told."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def resize(self) -> ResizeMode: ...


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """An `InputShape` and no more; sizes in pixels."""

    width: int
    height: int
    resize: ResizeMode


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a source picture lies inside the network's input, in whole input pixels.

    The source (`source_width_px` x `source_height_px`) was resized to `inner_width_px` x `inner_height_px` and put with
    its top left corner at (`left_px`, `top_px`) of an input of `input_width_px` x `input_height_px`. Stretch: the inner
    size is the input size and both offsets are 0. Letterbox: facts of Darknet's `letterbox_image` (integer division).
    `sampling` says how pixels are resized; it does not move boxes, as in Darknet.
    """

    source_width_px: int
    source_height_px: int
    input_width_px: int
    input_height_px: int
    inner_width_px: int
    inner_height_px: int
    left_px: int = 0
    top_px: int = 0
    sampling: Sampling = Sampling.CENTRES


@dataclass(frozen=True, slots=True)
class FittedFrame:
    """One frame ready for the engine: resized to the network's input, RGB, and where it came from."""

    stamp: FrameStamp
    placement: Placement
    pixels_hwc_rgb: Pixels  # (input height, input width, 3), padding not exact yet: `vision.resize.network_pixels`
