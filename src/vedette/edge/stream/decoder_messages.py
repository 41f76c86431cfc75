"""What a decoder process and its parent say to each other, a packet of their socket each.

To the decoder, in JSON: first `Order`, then `{"fps": rate}` when another rate of detections is due, and, where there is
a gate, `{"found": [s, moved, news]}`, what the detection at that media time says to it; closing the socket means stop.
From it: `SlotMessage` (a picture lies in the ring) and `Report` (counters, at least twice a second), both packed, since
they come hundreds of times a second, `Beat` (it lives, whatever its camera does), and `EndMessage`, in JSON. A second
socket takes credits to the decoder: a byte for each slot of the ring that is free again, its number, with `PICTURES`
when somebody wants to see the next full picture. What comes from a decoder is checked here and nowhere believed: it may
have been taken over by a stream.
"""

import json
import math
import struct
from dataclasses import asdict, dataclass

from vedette.contracts.frame import FrameStamp, InputShape, NetworkInput, ResizeMode
from vedette.contracts.gate import GateMode
from vedette.contracts.status import GateState
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import Retry
from vedette.edge.stream.position import Position, Start
from vedette.edge.stream.shared_frames import PIXEL_TYPES
from vedette.edge.stream.shared_picture import PictureForm
from vedette.edge.stream.statistics import TALLY_COUNTS, CameraState, Tally, check_tally

MESSAGE_BYTES = 1 << 16
WAITS = -1.0  # in a beat
PICTURES = 0x80  # in a credit; the rest is the number of a slot
MOST_TEXT = 8000  # characters of an error or a traceback
REPORT_EVERY_S, BEAT_EVERY_S = 0.4, 1.0

REPORT, SLOT, BEAT = 1, 2, 3  # first byte of a packed message; a JSON document begins with a brace
# kind; counts, expected frames (-1: unknown); state, gate state; index, frames of the round, three times (NaN:
# unknown); bytes of the codec's name and of the gate's note, which follow
REPORT_FORM = struct.Struct(f"<B{len(TALLY_COUNTS)}qq2B2q3d2H")
# Behind that: ring slot, pixel type, patience; the stamp but for its camera. The picture's form follows, in JSON
SLOT_FORM = struct.Struct("<3Bq2d2Id")
BEAT_FORM = struct.Struct("<Bd")
STATES, GATE_STATES, PIXEL_TYPE_NAMES = tuple(CameraState), tuple(GateState), tuple(PIXEL_TYPES)


@dataclass(frozen=True, slots=True)
class Order:
    """What to decode, from where on. Holds the camera's password; it travels in memory only."""

    spec: CameraSpec
    network_input: InputShape
    every: int
    fps: float | None
    open_timeout_s: float
    read_timeout_s: float
    ring_slots: int
    pictures: bool
    tally: Tally
    start: Start

    def encode(self) -> bytes:
        """One packet."""
        document = {name: getattr(self, name) for name in ORDER_NUMBERS}
        wanted = self.network_input
        document |= {"spec": asdict(self.spec), "input": [wanted.width, wanted.height, wanted.resize.value]}
        start = {"position": self.start.position.to_json(), "heard_s": self.start.heard_s, "away": self.start.away}
        return json.dumps(document | {"tally": self.tally, "start": start}).encode()

    @classmethod
    def decode(cls, packet: bytes) -> "Order":
        """The order that a parent sent."""
        document = json.loads(packet)
        width, height, resize = document["input"]
        return cls(
            spec=CameraSpec(**document["spec"] | {"gate": GateMode(document["spec"]["gate"])}),
            network_input=NetworkInput(width, height, ResizeMode(resize)),
            tally=check_tally(document["tally"]),
            start=Start(**document["start"] | {"position": Position.from_json(document["start"]["position"])}),
            **{name: document[name] for name in ORDER_NUMBERS},
        )


ORDER_NUMBERS = ("every", "fps", "open_timeout_s", "read_timeout_s", "ring_slots", "pictures")


@dataclass(frozen=True, slots=True)
class Report:
    """How far the decoder is."""

    tally: Tally
    position: Position


@dataclass(frozen=True, slots=True)
class SlotMessage:
    """A picture lies in the ring; the descriptor of the full picture, if any, travels with it."""

    report: Report
    ring_slot: int
    pixel_type: str
    patient: bool
    stamp: FrameStamp
    picture: PictureForm | None


@dataclass(frozen=True, slots=True)
class EndMessage:
    """The camera is over. `crash` is the traceback of a bug, `seen_s` when the last frame came (monotonic clock)."""

    report: Report
    state: CameraState
    error: str | None
    crash: str | None
    retry: Retry = Retry.NEVER
    seen_s: float | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """The decoder lives, and has been at work on one packet for so long; None: it waits for its parent."""

    working_s: float | None


Message = Report | SlotMessage | EndMessage | Beat


def encode_message(message: Message) -> bytes:
    """One packet."""
    if isinstance(message, SlotMessage):
        stamp, picture = message.stamp, message.picture
        slot = SLOT_FORM.pack(
            message.ring_slot, PIXEL_TYPE_NAMES.index(message.pixel_type), message.patient,
            stamp.index, stamp.media_time_s, stamp.captured_unix_s, stamp.width_px, stamp.height_px, stamp.still_s,
        )  # fmt: skip
        form = b"" if picture is None else json.dumps(picture.to_json()).encode()
        return _pack_report(SLOT, message.report) + slot + form
    if isinstance(message, Report):
        return _pack_report(REPORT, message)
    if isinstance(message, Beat):
        return BEAT_FORM.pack(BEAT, WAITS if message.working_s is None else message.working_s)
    texts = (None if text is None else text[-MOST_TEXT:] for text in (message.error, message.crash))
    document = {
        "tally": message.report.tally,
        "at": message.report.position.to_json(),
        "end": [message.state.value, *texts, message.retry.value, message.seen_s],
    }
    return json.dumps(document).encode()


def decode_message(packet: bytes, camera: str) -> Message:
    """What a decoder said.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: it is no message.
    """
    if packet[:1] == b"\3":
        return _unpack_beat(packet)
    if packet[:1] not in (b"\1", b"\2"):
        document = json.loads(packet)
        report = Report(check_tally(document["tally"]), Position.from_json(document["at"]))
        state, error, crash, retry, seen_s = document["end"]
        error, crash = (None if text is None else str(text) for text in (error, crash))
        return EndMessage(
            report, CameraState(state), error, crash, Retry(retry), None if seen_s is None else float(seen_s)
        )
    try:
        report, behind = _unpack_report(packet)
        return report if packet[0] == REPORT else _unpack_slot(packet, behind, report, camera)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a packet of {len(packet)} bytes that does not fit: {error}") from error


def _pack_report(kind: int, report: Report) -> bytes:
    tally, at = report.tally, report.position
    expected, texts = tally["expected_frames"], (str(tally["codec"]).encode(), str(tally["gate_note"]).encode())
    times_s = (math.nan if time_s is None else time_s for time_s in (at.pts_s, at.media_time_s, at.pace_start_s))
    packed = REPORT_FORM.pack(
        kind, *[tally[name] for name in TALLY_COUNTS], -1 if expected is None else expected,
        STATES.index(CameraState(tally["state"])), GATE_STATES.index(GateState(tally["gate_state"])),
        at.index, at.round_frames, *times_s, len(texts[0]), len(texts[1]),
    )  # fmt: skip
    return b"".join((packed, *texts))


def _unpack_report(packet: bytes) -> tuple[Report, int]:
    """The report at the beginning of a packet, and where it ends."""
    (
        _, *counts, expected, state, gate_state, index, round_frames, pts_s, media_time_s, pace_start_s, codec, note
    ) = REPORT_FORM.unpack_from(packet)  # fmt: skip
    after_codec = REPORT_FORM.size + codec
    end = after_codec + note
    tally: Tally = dict(zip(TALLY_COUNTS, counts, strict=True))
    tally["expected_frames"] = None if expected < 0 else expected
    tally["state"], tally["gate_state"] = STATES[state].value, GATE_STATES[gate_state].value
    tally["codec"] = packet[REPORT_FORM.size : after_codec].decode()
    tally["gate_note"] = packet[after_codec:end].decode()
    pts_s, media_time_s, pace_start_s = (
        None if math.isnan(time_s) else time_s for time_s in (pts_s, media_time_s, pace_start_s)
    )
    return Report(tally, Position(index, pts_s, media_time_s, round_frames, pace_start_s)), end


def _unpack_beat(packet: bytes) -> Beat:
    if len(packet) != BEAT_FORM.size:
        raise ValueError(f"a beat of {len(packet)} bytes")
    (_, working_s) = BEAT_FORM.unpack(packet)
    if not math.isfinite(working_s):
        raise ValueError(f"a beat of {working_s} s")
    return Beat(None if working_s == WAITS else working_s)


def _unpack_slot(packet: bytes, start: int, report: Report, camera: str) -> SlotMessage:
    ring_slot, pixel_type, patient, index, *times_and_sizes, still_s = SLOT_FORM.unpack_from(packet, start)
    media_time_s, captured_unix_s, width_px, height_px = times_and_sizes
    if not all(map(math.isfinite, (media_time_s, captured_unix_s, still_s))):
        raise ValueError(f"a frame of {media_time_s} s, captured at {captured_unix_s}, still for {still_s} s")
    stamp = FrameStamp(camera, index, media_time_s, captured_unix_s, width_px, height_px, still_s)
    form = packet[start + SLOT_FORM.size :]
    picture = PictureForm.from_json(json.loads(form)) if form else None
    return SlotMessage(report, ring_slot, PIXEL_TYPE_NAMES[pixel_type], bool(patient), stamp, picture)
