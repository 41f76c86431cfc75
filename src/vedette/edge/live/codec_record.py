"""What a player must know before it can decode: the codec's record for MP4 and its name for `isTypeSupported`.

Takes what a camera gives: a record already (files), or parameter sets between start codes (RTSP, MPEG-TS), also new
ones that come with a keyframe. Pure. Sources: ISO/IEC 14496-15 (avcC 5.3.3.1, hvcC 8.3.3.1), RFC 6381 and its annex E
of 14496-15 (names), H.264 7.3.1, H.265 7.3.2.2 and 7.3.3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vedette.contracts.video import VideoFormat

H264_SPS, H264_PPS = 7, 8
H264_APART = frozenset({H264_SPS, H264_PPS, 9})  # parameter sets stand in the record; delimiters say nothing
H265_VPS, H265_SPS, H265_PPS = 32, 33, 34
H265_APART = frozenset({H265_VPS, H265_SPS, H265_PPS, 35})
START = b"\0\0\1"


@dataclass(frozen=True, slots=True)
class CodecRecord:
    """`box` is avcC or hvcC with its content in `record`; `name` is as in `avc1.64001f`."""

    box: bytes
    record: bytes
    name: str

    @property
    def mime(self) -> str:
        """As `MediaSource.isTypeSupported` takes it."""
        return f'video/mp4; codecs="{self.name}"'

    @property
    def sample_entry(self) -> bytes:
        """The four letters of the sample description."""
        return self.name[:4].encode()

    @property
    def parameter_sets(self) -> bytes:
        """Those in the record as units of a sample; none where units have no length of four bytes in front of them."""
        if self.box == b"avcC":
            if self.record[4] & 3 != 3:
                return b""
            sequence, at = _sets_at(self.record, 6, self.record[5] & 31)
            return sequence + _sets_at(self.record, at + 1, self.record[at])[0]
        if self.record[21] & 3 != 3:
            return b""
        sets, at = b"", 23
        for _ in range(self.record[22]):
            more, at = _sets_at(self.record, at + 3, int.from_bytes(self.record[at + 1 : at + 3], "big"))
            sets += more
        return sets


def _sets_at(record: bytes, at: int, count: int) -> tuple[bytes, int]:
    """So many parameter sets as units with their lengths; and where the record goes on."""
    sets = b""
    for _ in range(count):
        end = at + 2 + int.from_bytes(record[at : at + 2], "big")
        sets += (end - at - 2).to_bytes(4, "big") + record[at + 2 : end]
        at = end
    return sets, at


class UnitReader:
    """Turns one run's packets into what MP4 holds: units with their lengths in front; and follows its record.

    `record` is None until the parameter sets are known, which may take until a keyframe with them.
    """

    def __init__(self, form: VideoFormat) -> None:
        self._codec = form.codec
        self._prefixed = form.extradata[:1] == b"\1"
        self._sets: tuple[bytes, ...] = ()
        self.record: CodecRecord | None = None
        if self._prefixed:
            self.record = record_of(form.codec, form.extradata)
        else:
            self._learn(list(split_units(form.extradata)))

    def read(self, data: bytes, *, is_keyframe: bool) -> bytes:
        """The packet for an MP4; a keyframe may bring another `record`."""
        if self._prefixed:
            return data
        units = list(split_units(data))
        if is_keyframe:
            self._learn(units)
        apart = H264_APART if self._codec == "h264" else H265_APART
        kind = h264_kind if self._codec == "h264" else h265_kind
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units if kind(unit) not in apart)

    def _learn(self, units: Sequence[bytes]) -> None:
        wanted = (H264_SPS, H264_PPS) if self._codec == "h264" else (H265_VPS, H265_SPS, H265_PPS)
        kind = h264_kind if self._codec == "h264" else h265_kind
        sets = tuple(unit for unit in units if kind(unit) in wanted)
        if sets == self._sets or {kind(unit) for unit in sets} != set(wanted):
            return
        self._sets = sets
        try:
            record = avc_record(sets) if self._codec == "h264" else hevc_record(sets)
            self.record = record_of(self._codec, record)
        except (IndexError, ValueError, OverflowError):  # damaged parameter sets: wait for better ones
            self.record = None


def split_units(data: bytes) -> Iterator[bytes]:
    """The units between start codes, without the zeros behind them."""
    at = data.find(START)
    while at >= 0:
        begin = at + 3
        at = data.find(START, begin)
        unit = data[begin : at if at >= 0 else len(data)].rstrip(b"\0")
        if unit:
            yield unit


def h264_kind(unit: bytes) -> int:
    """nal_unit_type."""
    return unit[0] & 0x1F


def h265_kind(unit: bytes) -> int:
    """nal_unit_type."""
    return unit[0] >> 1 & 0x3F


def record_of(codec: str, record: bytes) -> CodecRecord | None:
    """The name that goes with a record; None when it is cut short."""
    if codec == "h264":
        return CodecRecord(b"avcC", record, f"avc1.{record[1:4].hex()}") if len(record) >= 7 else None
    if len(record) < 23:
        return None
    general, compatible = record[1], int.from_bytes(record[2:6], "big")
    space = ("", "A", "B", "C")[general >> 6]
    reversed_flags = int(f"{compatible:032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [f"{space}{general & 31}", f"{reversed_flags:X}", f"{'H' if general & 32 else 'L'}{record[12]}"]
    return CodecRecord(b"hvcC", record, ".".join(["hvc1", *parts, *(f"{byte:X}" for byte in constraints)]))


def avc_record(sets: Sequence[bytes]) -> bytes:
    """avcC of parameter sets."""
    sequence = [unit for unit in sets if h264_kind(unit) == H264_SPS]
    picture = [unit for unit in sets if h264_kind(unit) == H264_PPS]
    parts = [b"\1", sequence[0][1:4], b"\xff", bytes([0xE0 | len(sequence)])]
    parts += [len(unit).to_bytes(2, "big") + unit for unit in sequence]
    parts += [bytes([len(picture)]), *(len(unit).to_bytes(2, "big") + unit for unit in picture)]
    if sequence[0][1] in {100, 110, 122, 144}:
        chroma, luma_bits, chroma_bits = _h264_depths(sequence[0])
        parts.append(bytes([0xFC | chroma, 0xF8 | luma_bits, 0xF8 | chroma_bits, 0]))
    return b"".join(parts)


def hevc_record(sets: Sequence[bytes]) -> bytes:
    """hvcC of parameter sets, every picture of which stands in its keyframe's packet."""
    sps = next(unit for unit in sets if h265_kind(unit) == H265_SPS)
    bits = _Bits(sps[2:])
    bits.take(4)
    layers = bits.take(3)
    nested = bits.take(1)
    profile = bits.bytes(12)  # profile_tier_level: space, tier, profile, compatibility, constraints, level
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in present:
        bits.take(88 * has_profile + 8 * has_level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb()
    bits.golomb()
    if bits.take(1):
        for _ in range(4):
            bits.golomb()
    luma_bits, chroma_bits = bits.golomb(), bits.golomb()
    head = [b"\1", profile, b"\xf0\0", b"\xfc", bytes([0xFC | chroma, 0xF8 | luma_bits, 0xF8 | chroma_bits]), b"\0\0"]
    parts = [*head, bytes([(layers + 1) << 3 | nested << 2 | 3]), b"\3"]
    for kind in (H265_VPS, H265_SPS, H265_PPS):
        units = [unit for unit in sets if h265_kind(unit) == kind]
        parts += [bytes([0x80 | kind]), len(units).to_bytes(2, "big")]
        parts += [len(unit).to_bytes(2, "big") + unit for unit in units]
    return b"".join(parts)


def _h264_depths(sps: bytes) -> tuple[int, int, int]:
    """chroma_format_idc, bit depths of luma and chroma less 8, of a High profile."""
    bits = _Bits(sps[4:])
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    return chroma, bits.golomb(), bits.golomb()


class _Bits:
    """Reads a unit's payload from its first bit on, without the bytes that keep start codes out of it."""

    def __init__(self, payload: bytes) -> None:
        self._data = payload.replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int) -> int:
        """An unsigned number of so many bits.

        Raises:
            IndexError: behind the end.
        """
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def bytes(self, count: int) -> bytes:
        return self.take(8 * count).to_bytes(count, "big")

    def golomb(self) -> int:
        """ue(v)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
