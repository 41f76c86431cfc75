"""CSI cameras of a Jetson (`csi:N`) by GStreamer through OpenCV, where OpenCV was built with it.

OpenCV's PyPI wheels have no GStreamer; NVIDIA's JetPack images and distribution packages do. Then the error says so.
The pipeline keeps only the newest frame (`appsink drop`), so a slow reader never lags behind.
"""

from collections.abc import Callable, Iterator

import cv2
from av import VideoFrame

from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import CameraHopelessError, CameraUnavailableError
from vedette.edge.stream.gated_decoder import GatedDecoder
from vedette.edge.stream.unneeded import Unneeded

WIDTH_PX, HEIGHT_PX, FRAMES_PER_S = 1920, 1080, 30


def csi_pipeline(sensor: int) -> str:
    """The GStreamer pipeline (NVIDIA's accelerated camera source, Jetson Linux multimedia guide)."""
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={WIDTH_PX},height={HEIGHT_PX},framerate={FRAMES_PER_S}/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


class CsiSource:
    """`FrameSource` over a CSI sensor."""

    live = True
    has_time_stamps = False
    codec = "raw"
    expected_frames: int | None = None
    gated: GatedDecoder | None = None
    unneeded: Unneeded | None = None
    working_since_s: float | None = None  # nothing is decoded here

    def __init__(self, spec: CameraSpec) -> None:
        self._spec = spec
        self.interval_s: float | None = 1 / FRAMES_PER_S
        self.decode_errors = self.skipped = 0
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise CameraHopelessError(
                f"camera '{spec.name}': {spec.url} needs OpenCV with GStreamer, and this OpenCV has none; on a Jetson "
                "use JetPack's OpenCV, or put the camera behind an RTSP server"
            )
        self._capture = cv2.VideoCapture(csi_pipeline(int(spec.url.partition(":")[2])), cv2.CAP_GSTREAMER)
        if not self._capture.isOpened():
            raise CameraUnavailableError(
                f"camera '{spec.name}': {spec.url} cannot be opened; check the ribbon cable and that no other program "
                "uses the sensor"
            )

    def frames(self) -> Iterator[VideoFrame]:
        """Frames as they come, until the sensor stops.

        Raises:
            CameraUnavailableError: the sensor stopped.
        """
        while True:
            good, image_hwc_bgr_u8 = self._capture.read()
            if not good:
                raise CameraUnavailableError(f"camera '{self._spec.name}': {self._spec.shown} stopped sending pictures")
            yield VideoFrame.from_ndarray(image_hwc_bgr_u8, format="bgr24")

    def skip_to(self, pts_s: float | None) -> None:
        """Nothing to skip: only the newest frame is ever kept."""

    def resume_after(self, pts_s: float | None, frames: int) -> None:
        """Nothing to go back to: a sensor has only the present."""

    def leave_out(self, is_wanted: Callable[[int, float], bool]) -> None:
        """Nothing to leave out: no frame builds on another."""

    def close(self) -> None:
        """Free the sensor."""
        self._capture.release()
