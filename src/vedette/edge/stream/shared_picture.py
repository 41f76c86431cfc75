"""The full picture behind a detection, handed from a decoder process to its parent as the planes it was decoded to.

Each picture is its own piece of shared memory, and lives exactly as long as somebody holds it; the parent maps and
converts it only when asked. `SharedPicture` is `contracts.ports.FullPicture`.
"""

import mmap
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vedette.edge.stream.shared_frames import is_sealed, make_sealed_fd

if TYPE_CHECKING:
    from av import VideoFrame

MOST_BYTES = 1 << 29  # 16384 x 16384 in 4:2:0 is 0.4 GB


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How to read the planes: each `rows` rows of `row_bytes`, one behind the other."""

    pixel_format: str
    width_px: int
    height_px: int
    colorspace: int
    color_range: int
    quarter_turns: int
    planes: tuple[tuple[int, int], ...]  # rows, row_bytes

    @property
    def size_bytes(self) -> int:
        return sum(rows * row_bytes for rows, row_bytes in self.planes)

    def to_json(self) -> list[Any]:
        """All fields in order."""
        head = (self.pixel_format, self.width_px, self.height_px, self.colorspace, self.color_range)
        return [*head, self.quarter_turns, self.planes]

    @classmethod
    def from_json(cls, document: Any) -> "PictureForm":
        """What a decoder sent, which is not to be trusted.

        Raises:
            ValueError, TypeError: it is no such form.
        """
        pixel_format, *numbers, planes = document
        width_px, height_px, colorspace, color_range, turns = map(int, numbers)
        form = cls(
            str(pixel_format), width_px, height_px, colorspace, color_range, turns % 4,
            tuple((int(rows), int(row_bytes)) for rows, row_bytes in planes),
        )  # fmt: skip
        sizes = (width_px, height_px, *(value for plane in form.planes for value in plane))
        largest = max(form.size_bytes, width_px * height_px)
        if not form.planes or min(sizes) < 1 or largest > MOST_BYTES:
            raise ValueError(f"no picture has the form {document}")
        return form


def share_picture(frame: "VideoFrame", turns: int) -> tuple[int, PictureForm]:
    """Copy a frame's planes into shared memory: a descriptor, which is the caller's to close, and its form."""
    planes = [np.frombuffer(cast(Any, plane), np.uint8) for plane in frame.planes]
    rows = [len(plane) // abs(source.line_size) for plane, source in zip(planes, frame.planes, strict=True)]
    form = PictureForm(
        frame.format.name, frame.width, frame.height, int(frame.colorspace), int(frame.color_range), turns,
        tuple((count, abs(source.line_size)) for count, source in zip(rows, frame.planes, strict=True)),
    )  # fmt: skip
    fd = make_sealed_fd("vedette-picture", form.size_bytes)
    with mmap.mmap(fd, form.size_bytes) as memory:
        shared = np.frombuffer(memory, np.uint8)
        at = 0
        for plane, (count, row_bytes) in zip(planes, form.planes, strict=True):
            shared[at : at + count * row_bytes] = plane[: count * row_bytes]
            at += count * row_bytes
        del shared
    return fd, form


class SharedPicture:
    """Owns the descriptor."""

    def __init__(self, fd: int, form: PictureForm) -> None:
        """Take a descriptor over.

        Raises:
            ValueError: it is not shared memory of that size; it stays the caller's.
        """
        if not is_sealed(fd, form.size_bytes):
            raise ValueError("a decoder sent something else than a picture")
        self._fd = fd
        self._form = form
        self._lock = threading.Lock()

    def to_bgr(self, max_width_px: int | None = None) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 BGR, upright; scaled down, aspect kept, when wider than `max_width_px`."""
        from vedette.edge.stream.fitting import FullFrame  # a run that nobody looks at does without FFmpeg here

        with self._lock:
            return FullFrame(self._frame(), self._form.quarter_turns).to_bgr(max_width_px)

    def _frame(self) -> "VideoFrame":
        from av import VideoFrame

        form = self._form
        frame = VideoFrame(form.width_px, form.height_px, form.pixel_format)
        frame.colorspace, frame.color_range = form.colorspace, form.color_range
        with mmap.mmap(self._fd, form.size_bytes, prot=mmap.PROT_READ) as memory:
            shared = np.frombuffer(memory, np.uint8)
            at = 0
            for plane, (rows, row_bytes) in zip(frame.planes, form.planes, strict=True):
                target = np.frombuffer(cast(Any, plane), np.uint8)
                target = target[: len(target) // plane.line_size * plane.line_size].reshape(-1, plane.line_size)
                height, width = min(rows, len(target)), min(row_bytes, plane.line_size)
                source = shared[at : at + rows * row_bytes].reshape(rows, row_bytes)
                target[:height, :width] = source[:height, :width]
                at += rows * row_bytes
            del shared, source
        return frame

    def __del__(self) -> None:
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)


class NoPicture:
    """`FullPicture` of a run that was told that nobody will look."""

    def to_bgr(self, max_width_px: int | None = None) -> NDArray[np.uint8]:
        """Raises RuntimeError: it was not kept."""
        raise RuntimeError("this run was started without full pictures (StreamPipeline(pictures=False))")
