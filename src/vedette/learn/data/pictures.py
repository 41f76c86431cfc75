"""Pictures as arrays, and their sizes without decoding them.

Pixels are taken as they are stored: an EXIF orientation is ignored, as Darknet does, so that boxes fit what they were
drawn on by tools that ignore it too. A size is known before anything is allocated; larger than `MAX_PIXELS` is refused.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.learn.data.errors import PictureError

MAX_PIXELS = 200_000_000  # 600 MB as BGR; aerial photographs fit, decompression bombs do not
MAX_FILE_BYTES = 512 * 1024 * 1024
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_FRAMES = frozenset(
    {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
)  # ITU T.81 table B.1
HEADER_BYTES = 64 * 1024


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode one picture.

    Returns:
        (height, width, 3) uint8, BGR.

    Raises:
        PictureError: missing, unreadable or larger than `MAX_PIXELS`.
    """
    return decode_picture(read_picture_bytes(path), path)


def read_picture_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        PictureError: missing, unreadable or larger than `MAX_FILE_BYTES`.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PictureError(f"{path} is larger than {MAX_FILE_BYTES // 1_000_000} MB")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"picture {path} cannot be read: {error.strerror or error}") from error


def decode_picture(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Decode a picture's bytes; `path` is for messages.

    Raises:
        PictureError: no picture, or larger than `MAX_PIXELS`.
    """
    import cv2

    check_pixels(size_in_header(content), path)
    encoded = np.frombuffer(content, dtype=np.uint8)  # (bytes,) uint8
    try:
        image_hwc_bgr_u8 = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise PictureError(f"picture {path} cannot be decoded") from error
    if image_hwc_bgr_u8 is None:
        why = "it is cut off" if is_cut_jpeg(content) else "broken, or no picture"
        raise PictureError(f"picture {path} cannot be decoded: {why}")
    return np.asarray(image_hwc_bgr_u8, dtype=np.uint8)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header where that is JPEG, PNG or BMP, else by decoding.

    Raises:
        PictureError: missing or no picture.
    """
    try:
        with path.open("rb") as file:
            size = size_in_header(file.read(HEADER_BYTES))
    except OSError as error:
        raise PictureError(f"picture {path} cannot be read: {error.strerror or error}") from error
    if size is None:  # a JPEG whose frame header lies behind a long EXIF block, or another format
        content = read_picture_bytes(path)
        size = size_in_header(content)
        if size is None:
            height, width = decode_picture(content, path).shape[:2]
            size = (width, height)
    check_pixels(size, path)
    return size


def check_pixels(size: tuple[int, int] | None, path: Path) -> None:
    """Refuse what would take more memory than any honest picture.

    Raises:
        PictureError: more than `MAX_PIXELS`, or none.
    """
    if size is None:
        return
    width_px, height_px = size
    if width_px < 1 or height_px < 1 or width_px * height_px > MAX_PIXELS:
        raise PictureError(f"picture {path} claims {width_px}x{height_px} pixels; at most {MAX_PIXELS} are read")


def size_in_header(content: bytes) -> tuple[int, int] | None:
    """(width, height) as a JPEG, PNG or BMP header states it; None for other or cut headers."""
    if content.startswith(JPEG_START):
        return _jpeg_size(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return int(width), int(height)
    if content.startswith(b"BM") and len(content) >= 26 and struct.unpack("<I", content[14:18])[0] >= 40:
        width, height = struct.unpack("<ii", content[18:26])
        return int(width), abs(int(height))
    return None


def is_cut_jpeg(content: bytes) -> bool:
    """Whether a JPEG lacks its end marker. OpenCV from 4.14 on refuses such a picture; before, its last part was
    grey."""
    return content.startswith(JPEG_START) and JPEG_END not in content[-4096:]


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return int(width), int(height)
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
            continue
        at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    return None
