"""Fragmented MP4 for one video track: the initialisation segment, and a fragment for one picture or a few.

A fragment is whole as soon as its last picture is there: FFmpeg's own muxer holds each back until the next one, a frame
more between the camera and the eye. Times are ticks of 1/90 000 s. Pure. Source: ISO/IEC 14496-12 (boxes), 8.8 (movie
fragments), 8.6.1.3 (composition offsets, signed).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from vedette.contracts.video import TICKS_PER_S
from vedette.edge.live.codec_record import CodecRecord

UNITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TURNS = {  # counter-clockwise quarters -> a, b, c, d of the matrix (8.2.2)
    0: (1, 0, 0, 1),
    1: (0, -1, 1, 0),
    2: (-1, 0, 0, -1),
    3: (0, 1, -1, 0),
}
DEPENDS_ON_NONE, DEPENDS_ON_OTHERS = 0x0200_0000, 0x0101_0000  # sample flags: sync; not sync, depends on others
TRUN_FLAGS = 0x01_000F01  # version 1; data offset; duration, size, flags and composition offset of each sample
_SAMPLE = struct.Struct(">IIIi")
_HEAD = struct.Struct(">I4s")
# moof(mfhd traf(tfhd tfdt trun)) up to trun's samples; tested against FFmpeg's reading of it
_MOOF = struct.Struct(">I4sI4sIII4sI4sIII4sIQI4sIII")
DURATION_AT = 12  # of mehd's duration, behind its head, version and flags


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture: `data` is units with their lengths in front; `offset_ticks` is presentation less decoding time."""

    data: bytes
    duration_ticks: int
    offset_ticks: int
    is_keyframe: bool


def fragment(sequence: int, dts_ticks: int, samples: Sequence[Sample]) -> bytes:
    """moof and mdat of pictures that follow each other, the first of them decoded at `dts_ticks` (at least 0)."""
    count = len(samples)
    trun = 20 + _SAMPLE.size * count
    traf = 8 + 16 + 20 + trun
    moof = 8 + 16 + traf
    size = sum(len(sample.data) for sample in samples)
    head = _MOOF.pack(
        moof, b"moof",
        16, b"mfhd", 0, sequence & 0xFFFF_FFFF,
        traf, b"traf",
        16, b"tfhd", 0x02_0000, 1,  # default-base-is-moof
        20, b"tfdt", 0x0100_0000, dts_ticks,
        trun, b"trun", TRUN_FLAGS, count, moof + 8,
    )  # fmt: skip
    rows = [
        _SAMPLE.pack(
            sample.duration_ticks,
            len(sample.data),
            DEPENDS_ON_NONE if sample.is_keyframe else DEPENDS_ON_OTHERS,
            sample.offset_ticks,
        )
        for sample in samples
    ]
    return b"".join([head, *rows, _HEAD.pack(8 + size, b"mdat"), *(sample.data for sample in samples)])


def initialisation(
    record: CodecRecord, width_px: int, height_px: int, quarter_turns: int = 0, duration_ticks: int | None = None
) -> bytes:
    """ftyp and moov. With a duration (0: not known yet) there is a box for it: see `duration_place`."""
    timing = struct.pack(">IIII", 0, 0, TICKS_PER_S, 0)
    mvhd = _full(b"mvhd", 0, timing, struct.pack(">IH10x9i24xI", 1 << 16, 1 << 8, *UNITY, 2))
    a, b, c, d = (value << 16 for value in TURNS[quarter_turns % 4])
    turned = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    size = (width_px << 16, height_px << 16)
    tkhd = _full(b"tkhd", 3, struct.pack(">IIIII8x4h9iII", 0, 0, 1, 0, 0, 0, 0, 0, 0, *turned, *size))
    mdhd = _full(b"mdhd", 0, timing, struct.pack(">HH", 0x55C4, 0))  # language: undetermined
    hdlr = _full(b"hdlr", 0, struct.pack(">I4s12x", 0, b"vide"), b"video\0")
    vmhd = _full(b"vmhd", 1, bytes(8))
    dinf = _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1)))
    entry = _box(
        record.sample_entry,
        struct.pack(">6xH16xHHIIIH32xHh", 1, width_px, height_px, 0x48_0000, 0x48_0000, 0, 1, 0x18, -1),
        _box(record.box, record.record),
    )
    stbl = _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), entry),
        *(_full(name, 0, bytes(4)) for name in (b"stts", b"stsc")),
        _full(b"stsz", 0, bytes(8)),
        _full(b"stco", 0, bytes(4)),
    )
    mdia = _box(b"mdia", mdhd, hdlr, _box(b"minf", vmhd, dinf, stbl))
    mehd = [] if duration_ticks is None else [_box(b"mehd", struct.pack(">IQ", 1 << 24, duration_ticks))]
    mvex = _box(b"mvex", *mehd, _full(b"trex", 0, struct.pack(">5I", 1, 1, 0, 0, 0)))
    ftyp = _box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6iso5isommp41")
    return ftyp + _box(b"moov", mvhd, _box(b"trak", tkhd, mdia), mvex)


def duration_place(initialisation_bytes: bytes) -> int:
    """Where the duration stands: 8 bytes, big-endian, in ticks."""
    return initialisation_bytes.index(b"mehd") - 4 + DURATION_AT


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _HEAD.pack(8 + len(content), name) + content


def _full(name: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(name, struct.pack(">I", flags), *parts)
