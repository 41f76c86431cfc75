"""What the tests of the live page and the recorder show: drawn pictures that change, tracks, a status, events."""

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Tracks
from vedette.contracts.event import BundleReference, Direction, Event, EventData, EventType
from vedette.contracts.frame import FrameStamp
from vedette.contracts.status import CameraState, CameraStatus, PlacedLine, PlacedZone, Status
from vedette.edge.live.page import LivePage

CLASSES = ("bolt", "nut", "washer")


class DrawnPicture:
    """A `FullPicture` of a flat colour with a number on it; counts how often it was converted."""

    def __init__(self, number: int, width_px: int = 1280, height_px: int = 720) -> None:
        self.number = number
        self.width_px, self.height_px = width_px, height_px
        self.conversions = 0

    def to_bgr(self, max_width_px: int | None = None) -> NDArray[np.uint8]:
        self.conversions += 1
        image = np.full((self.height_px, self.width_px, 3), (90, 40 + self.number * 37 % 160, 60), np.uint8)
        cv2.putText(image, str(self.number), (60, 400), cv2.FONT_HERSHEY_SIMPLEX, 8, (255, 255, 255), 12)
        if max_width_px is not None and self.width_px > max_width_px:
            height = round(self.height_px * max_width_px / self.width_px)
            image = np.asarray(cv2.resize(image, (max_width_px, height), interpolation=cv2.INTER_AREA), np.uint8)
        return image


def stamp(camera: str, index: int, width_px: int = 1280, height_px: int = 720, fps: float = 30.0) -> FrameStamp:
    return FrameStamp(camera, index, index / fps, 1_790_000_000 + index / fps, width_px, height_px)


def tracks(*boxes_xyxy_px: tuple[float, float, float, float]) -> Tracks:
    count = len(boxes_xyxy_px)
    return Tracks(
        np.arange(1, count + 1, dtype=np.int64),
        np.array(boxes_xyxy_px, np.float32).reshape(count, 4),
        np.full(count, 0.9, np.float32),
        (np.arange(count) % len(CLASSES)).astype(np.int32),
        CLASSES,
    )


def camera_status(name: str, state: CameraState = CameraState.RUNNING, error: str | None = None) -> CameraStatus:
    return CameraStatus(
        name,
        state,
        error,
        width_px=1280,
        height_px=720,
        frames=900,
        fps=29.97,
        detections_per_s=6.0,
        drops=0,
        lines=(PlacedLine("gate", (640, 700), (640, 20)),),
        zones=(PlacedZone("bay", ((100, 100), (500, 120), (480, 400), (90, 380))),),
        counts={"gate a_to_b bolt": 12, "gate b_to_a nut": 3},
    )


def status(*cameras: CameraStatus) -> Callable[[], Status]:
    return lambda: Status(cameras, "OpenVINO 2025.4, fp32", "parts-7", "line-3", time.time() - 90, events=15)


def event(number: int, camera: str = "north", line: str = "gate", class_: str = "bolt") -> Event:
    return Event(
        id=str(number),
        source=f"vedette/box/{camera}",
        type=EventType.LINE_CROSSED,
        time="2026-11-22T10:00:00Z",
        data=EventData(
            camera=camera,
            media_time_s=number / 10,
            wall_time=f"2026-11-22T10:{number // 60 % 60:02d}:{number % 60:02d}Z",
            track_id=number,
            class_=class_,
            score=0.9,
            box_xyxy_px=(1, 2, 3, 4),
            line=line,
            direction=Direction.A_TO_B,
            bundle=BundleReference(name="parts-7", digest="0" * 64),
        ),
    )


class Showing:
    """Shows a new frame of every camera ten times a second, as a pipeline would, until left."""

    def __init__(self, page: LivePage, cameras: list[str]) -> None:
        self._page = page
        self._cameras = cameras
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        index = 0
        while not self._stop.wait(0.1):
            for camera in self._cameras:
                boxes = tracks((200 + index % 40 * 10, 300, 420 + index % 40 * 10, 520), (820, 200, 980, 420))
                self._page.show(stamp(camera, index), DrawnPicture(index), boxes, {})
            index += 1

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
