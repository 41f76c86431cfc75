"""A ring of fitted pictures in memory that two processes share (memfd): a decoder writes, its parent reads.

The ring says nothing about which slots are free; that is told by messages. Its size is sealed, so that a decoder gone
wild cannot shrink it under the parent's feet. Slots have room for float32 pixels; memory that was never written to is
never taken from the system.
"""

import fcntl
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import Pixels

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
PIXEL_TYPES = {"u1": np.uint8, "f4": np.float32}


class FrameRing:
    """`slots` pictures of the network's input size."""

    def __init__(self, fd: int, slots: int, width_px: int, height_px: int) -> None:
        """Map a descriptor that `make_ring_fd` made; it is ours from here on."""
        self.fd = fd
        self.slots = slots
        self._shape = (height_px, width_px, 3)
        self._slot_bytes = slot_bytes(width_px, height_px)
        self._memory = mmap.mmap(fd, slots * self._slot_bytes)
        self._views: dict[tuple[int, str], NDArray[Any]] = {}

    def room(self, slot: int) -> NDArray[np.uint8]:
        """Where a picture of 8 bits goes: (height, width, 3)."""
        return self._view(slot, "u1")

    def write(self, slot: int, pixels_hwc_rgb: Pixels) -> str:
        """Copy a picture in, unless it was made in this slot's `room`; returns the name of its pixel type."""
        name = pixels_hwc_rgb.dtype.str[1:]
        view = self._view(slot, name)
        if pixels_hwc_rgb is not view:
            view[...] = pixels_hwc_rgb
        return name

    def read(self, slot: int, pixel_type: str) -> Pixels:
        """A picture where it lies; the decoder may write over it when it is told that the slot is free.

        Raises:
            ValueError: no such slot or pixel type.
        """
        if not 0 <= slot < self.slots or pixel_type not in PIXEL_TYPES:
            raise ValueError(f"a ring of {self.slots} has no slot {slot} of type {pixel_type!r}")
        return self._view(slot, pixel_type)

    def close(self) -> None:
        """Close the descriptor; the memory goes when nobody holds a picture in it any more."""
        self._views.clear()
        os.close(self.fd)

    def _view(self, slot: int, pixel_type: str) -> NDArray[Any]:
        view = self._views.get((slot, pixel_type))
        if view is None:
            count = self._shape[0] * self._shape[1] * self._shape[2]
            flat = np.frombuffer(self._memory, PIXEL_TYPES[pixel_type], count, slot * self._slot_bytes)
            view = self._views[slot, pixel_type] = flat.reshape(self._shape)  # (height, width, 3)
        return view


def make_ring_fd(slots: int, width_px: int, height_px: int) -> int:
    """An anonymous file of the right, fixed size."""
    return make_sealed_fd("vedette-ring", slots * slot_bytes(width_px, height_px))


def make_sealed_fd(name: str, size_bytes: int) -> int:
    """Shared memory whose size cannot change any more."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def is_sealed(fd: int, size_bytes: int) -> bool:
    """Whether reading so much of it can never fault."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # no shared memory at all
        return False
    return bool(seals & fcntl.F_SEAL_SHRINK) and os.fstat(fd).st_size >= size_bytes


def slot_bytes(width_px: int, height_px: int) -> int:
    """Whole pages, room for float32."""
    pages = -(-width_px * height_px * 3 * 4 // mmap.PAGESIZE)
    return pages * mmap.PAGESIZE
