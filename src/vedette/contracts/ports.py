"""The few seams between parts: what is wired together in `apps` is passed as one of these.

Decoders load this too, so what only annotations name is not imported: validation would double their start.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections, Tracks
from vedette.contracts.frame import FittedFrame, FrameStamp, Pixels, Placement
from vedette.contracts.status import RecordingStatus

if TYPE_CHECKING:
    from vedette.contracts.bundle import BundleManifest
    from vedette.contracts.event import AnyEvent


class Detector(Protocol):
    """A packed model opened on an engine. Not thread-safe: one caller at a time."""

    @property
    def manifest(self) -> "BundleManifest": ...

    @property
    def engine_name(self) -> str:
        """`openvino`, `onnxruntime`, ...; with version and precision in `engine_description`."""
        ...

    @property
    def engine_description(self) -> str: ...

    def __call__(self, image_hwc_bgr_u8: NDArray[np.uint8]) -> Detections:
        """Detect in one picture of any size (as OpenCV reads it), with the thresholds it was opened with."""
        ...

    def detect_fitted(self, pixels_nhwc_rgb: Pixels, placements: Sequence[Placement]) -> list[Detections]:
        """Detect in a batch already resized to the network's input: (n, height, width, 3). Blocks."""
        ...


@runtime_checkable
class AsyncDetector(Detector, Protocol):
    """A detector that works while its caller does something else. Results come in the order of submission.

    One thread may submit while another takes; each batch submitted must be taken once.
    """

    @property
    def in_flight(self) -> int:
        """How many batches to have under way at once for the processors never to wait."""
        ...

    def submit(self, pixels_hwc_rgb: Sequence[Pixels], placements: Sequence[Placement]) -> None:
        """Begin a batch already resized to the network's input, each (height, width, 3). Returns at once."""
        ...

    def take(self) -> list[Detections]:
        """The results of the oldest batch under way; blocks. Raises what the engine raised."""
        ...


class Tracker(Protocol):
    """Turns the detections of one camera's successive frames into tracks. Owns no clock and no thread."""

    def update(self, detections: Detections, time_s: float) -> Tracks: ...


class EventSink(Protocol):
    """Somewhere that events go. `publish` never blocks on a network; what it cannot deliver it counts in `lost`.

    One caller at a time.
    """

    @property
    def name(self) -> str: ...

    @property
    def published(self) -> int: ...

    @property
    def lost(self) -> int: ...

    def publish(self, event: "AnyEvent") -> None: ...

    def close(self) -> None: ...


class FullPicture(Protocol):
    """The decoded frame behind a detection, converted only when somebody wants to look at it."""

    def to_bgr(self, max_width_px: int | None = None) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 BGR; scaled down, aspect kept, when wider than `max_width_px`. Thread-safe."""
        ...


class ResultHandler(Protocol):
    """Called by the stream pipeline, in frame order for each camera, from one thread.

    A frame's pixels may be written over when the call returns; the full picture is kept as long as somebody holds it.
    """

    def on_result(self, frame: FittedFrame, picture: FullPicture, detections: Detections) -> None: ...

    def on_camera_end(self, camera: str, error: str | None) -> None: ...


@runtime_checkable
class BatchResultHandler(ResultHandler, Protocol):
    """One that would rather have all results of a batch at once; then `on_result` is not called."""

    def on_results(self, results: Sequence[tuple[FittedFrame, FullPicture, Detections]]) -> None:
        """In frame order for each camera. The frames' pixels may be written over when this returns."""
        ...


class View(Protocol):
    """Somebody who looks on: the live page, a recorder. Must return at once; what it cannot take it drops."""

    def show(self, stamp: FrameStamp, picture: FullPicture, tracks: Tracks, counts: "dict[str, int]") -> None: ...

    def close(self) -> None: ...


class RecordingDisk(Protocol):
    """Where files are written to, and whether they are."""

    def status(self) -> RecordingStatus:
        """How it is now; from any thread."""
        ...

    def tell(self, listener: Callable[[RecordingStatus], None]) -> None:
        """Call back whenever writing stops or goes on, from the thread that writes; now, if it has stopped already."""
        ...


@runtime_checkable
class RecordingView(View, Protocol):
    """A view that writes files. It may stop, and go on later, while watching goes on."""

    @property
    def disk(self) -> RecordingDisk:
        """How its writing is."""
        ...


@runtime_checkable
class SelectiveView(View, Protocol):
    """A view that does not need every picture. It is shown only frames whose picture was kept."""

    def wants(self, camera: str) -> bool:
        """Whether the next frames of a camera should come with their pictures; asked for each, from any thread."""
        ...


class Progress(Protocol):
    """Long work reports here; `apps.console` draws it. One stage at a time."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """Begin a stage of `total` units ("pictures", "batches", ...); ends the one before."""
        ...

    def advance(self, count: int = 1, **figures: float) -> None:
        """`count` more units are done; `figures` (loss=..., map50=...) are shown beside the bar."""
        ...

    def say(self, line: str) -> None:
        """One line for the person who waits; never lost, also when standard error is no terminal."""
        ...


class SilentProgress:
    """The `Progress` of a caller who does not want any."""

    def start(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, count: int = 1, **figures: float) -> None: ...

    def say(self, line: str) -> None: ...
