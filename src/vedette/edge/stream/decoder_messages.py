"""What a decoder process and its parent say to each other, one JSON document a packet of their socket.

To the decoder: first `Order`, then `{"free": slot}` for each slot of the ring that was copied out, and `{"fps": rate}`
when another rate of detections is due; closing the socket means stop. From it: `SlotMessage` (a picture lies in the
ring), `Report` (counters, at least twice a second) and `EndMessage`. What comes from a decoder is checked here and
nowhere believed: it may have been taken over by a stream.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from vedette.contracts.bundle import InputSpec
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import GateMode
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.position import Position
from vedette.edge.stream.shared_picture import PictureForm
from vedette.edge.stream.statistics import CameraState, Tally, check_tally

MESSAGE_BYTES = 1 << 16
MOST_TEXT = 8000  # characters of an error or a traceback
REPORT_EVERY_S = 0.4


@dataclass(frozen=True, slots=True)
class Order:
    """What to decode, from where on. Holds the camera's password; it travels in memory only."""

    spec: CameraSpec
    network_input: InputSpec
    every: int
    fps: float | None
    open_timeout_s: float
    read_timeout_s: float
    ring_slots: int
    pictures: bool
    tally: Tally
    position: Position
    heard_s: float | None  # when the decoder before this one was last heard of, on the monotonic clock

    def encode(self) -> bytes:
        """One packet."""
        document = {name: getattr(self, name) for name in ORDER_NUMBERS}
        document |= {"spec": asdict(self.spec), "input": self.network_input.model_dump(mode="json")}
        return json.dumps(document | {"tally": self.tally, "position": self.position.to_json()}).encode()

    @classmethod
    def decode(cls, packet: bytes) -> "Order":
        """The order that a parent sent."""
        document = json.loads(packet)
        return cls(
            spec=CameraSpec(**document["spec"] | {"gate": GateMode(document["spec"]["gate"])}),
            network_input=InputSpec.model_validate(document["input"]),
            tally=check_tally(document["tally"]),
            position=Position.from_json(document["position"]),
            **{name: document[name] for name in ORDER_NUMBERS},
        )


ORDER_NUMBERS = ("every", "fps", "open_timeout_s", "read_timeout_s", "ring_slots", "pictures", "heard_s")


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
    """The camera is over. `crash` is the traceback of a bug."""

    report: Report
    state: CameraState
    error: str | None
    crash: str | None


Message = Report | SlotMessage | EndMessage


def encode_message(message: Message) -> bytes:
    """One packet."""
    report = message if isinstance(message, Report) else message.report
    document: dict[str, Any] = {"tally": report.tally, "at": report.position.to_json()}
    if isinstance(message, SlotMessage):
        stamp, picture = message.stamp, message.picture
        document["slot"] = [message.ring_slot, message.pixel_type, message.patient]
        document["stamp"] = [
            stamp.index, stamp.media_time_s, stamp.captured_unix_s, stamp.width_px, stamp.height_px, stamp.still_s
        ]  # fmt: skip
        document["picture"] = None if picture is None else picture.to_json()
    elif isinstance(message, EndMessage):
        texts = (None if text is None else text[-MOST_TEXT:] for text in (message.error, message.crash))
        document["end"] = [message.state.value, *texts]
    return json.dumps(document).encode()


def decode_message(packet: bytes, camera: str) -> Message:
    """What a decoder said.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: it is no message.
    """
    document = json.loads(packet)
    report = Report(check_tally(document["tally"]), Position.from_json(document["at"]))
    if "slot" in document:
        slot, pixel_type, patient = document["slot"]
        index, media_time_s, captured_unix_s, width_px, height_px, still_s = document["stamp"]
        times_s, size_px = (float(media_time_s), float(captured_unix_s)), (int(width_px), int(height_px))
        stamp = FrameStamp(camera, int(index), *times_s, *size_px, float(still_s))
        picture = None if document["picture"] is None else PictureForm.from_json(document["picture"])
        return SlotMessage(report, int(slot), str(pixel_type), bool(patient), stamp, picture)
    if "end" in document:
        state, error, crash = document["end"]
        texts = (None if text is None else str(text) for text in (error, crash))
        return EndMessage(report, CameraState(state), *texts)
    return report
