"""Events on the wire: CloudEvents 1.0 in JSON (structured mode), data schema version 1.

`docs/reference/event.schema.json` is generated from here (`vedette.contracts.event.json_schema`) and a test keeps the
two equal. An event never changes once made. Source: CloudEvents v1.0.2, section 3.1.
"""

import json
from enum import Enum
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

CONTENT_TYPE = "application/cloudevents+json"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class EventType(str, Enum):
    """Every type of event that this version sends."""

    LINE_CROSSED = "vedette.line_crossed.v1"
    ZONE_ENTERED = "vedette.zone_entered.v1"
    ZONE_EXITED = "vedette.zone_exited.v1"
    ZONE_DWELLED = "vedette.zone_dwelled.v1"

    __str__ = str.__str__  # printed as it stands on the wire, by every Python


class Direction(str, Enum):
    """From the left to the right of the vector start -> end of a line, as seen in the picture, is `a_to_b`."""

    A_TO_B = "a_to_b"
    B_TO_A = "b_to_a"

    __str__ = str.__str__


class BundleReference(_Value):
    """Which detector saw it."""

    name: str
    digest: str = Field(description="SHA-256 of bundle.json, hexadecimal")


class EventData(_Value):
    """What happened, where in the picture, and to which track."""

    camera: str
    media_time_s: float = Field(description="seconds since the camera's first frame, by presentation time")
    wall_time: str = Field(description="RFC 3339, UTC, when the frame was decoded")
    track_id: int
    class_: str = Field(alias="class")
    score: float = Field(ge=0, le=1)
    box_xyxy_px: tuple[float, float, float, float] = Field(description="corners in source pixels")
    line: str | None = Field(default=None, description="name of the line, for line events")
    zone: str | None = Field(default=None, description="name of the zone, for zone events")
    direction: Direction | None = Field(default=None, description="for line events")
    dwell_s: float | None = Field(default=None, ge=0, description="seconds inside so far, for zone exits and dwells")
    clip: str | None = Field(default=None, description="the clip that is cut for it, below the folder for clips")
    bundle: BundleReference


class _CloudEvent(_Value):
    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, description="unique together with `source`")

    def to_json(self) -> str:
        """One line of JSON; fields that do not apply are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class Event(_CloudEvent):
    """A CloudEvents 1.0 envelope around `EventData`."""

    source: str = Field(min_length=1, description="vedette/<box>/<camera>")
    type: EventType
    time: str = Field(description="RFC 3339, UTC, the same as data.wall_time")
    subject: str | None = Field(default=None, description="the line or zone")
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = "urn:vedette:event:v1"
    data: EventData

    @property
    def order_key(self) -> str:
        """Events of the same key stay in order where a broker has partitions."""
        return self.data.camera

    @classmethod
    def from_json(cls, text: str | bytes) -> "Event":
        """Parse one event.

        Raises:
            pydantic.ValidationError: when it is not an event of this version.
        """
        return cls.model_validate_json(text)


class RecordingEventType(str, Enum):
    """What may become of files that a run writes beside its events; each is sent once for each time."""

    STOPPED = "vedette.recording_stopped.v1"
    RESUMED = "vedette.recording_resumed.v1"

    __str__ = str.__str__


class RecordingData(_Value):
    """What stopped, or goes on, and how much there is of it."""

    what: Literal["recording", "clips"] = Field(description="annotated films (`record`), or clips of events")
    wall_time: str = Field(description="RFC 3339, UTC")
    folder: str
    disk_full: bool = Field(description="false: the folder is gone, read-only, or the like")
    message: str = Field(description="a sentence for a person")
    free_bytes: int | None = Field(
        default=None, ge=0, description="left on the disk for this user, where it can be asked"
    )
    files: int = Field(ge=0, description="begun in this run")
    bytes: int = Field(ge=0, description="written in this run")
    dropped: int = Field(ge=0, description="frames not recorded, events without a clip, in this run")


class RecordingEvent(_CloudEvent):
    """A CloudEvents 1.0 envelope around `RecordingData`: watching goes on, recording does not, or does again."""

    source: str = Field(min_length=1, description="vedette/<box>")
    type: RecordingEventType
    time: str = Field(description="RFC 3339, UTC, the same as data.wall_time")
    subject: str = Field(description="the same as data.what")
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = "urn:vedette:event:v1"
    data: RecordingData

    @property
    def order_key(self) -> str:
        """Events of the same key stay in order where a broker has partitions."""
        return self.data.what


AnyEvent: TypeAlias = Event | RecordingEvent


def parse_event(text: str | bytes) -> AnyEvent:
    """Parse one event of any type.

    Raises:
        pydantic.ValidationError: when it is not an event of this version.
    """
    return _ANY_EVENT.validate_json(text)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event as sent."""
    schema = _ANY_EVENT.json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:vedette:event:v1",
        **json.loads(json.dumps(schema)),
    }


_ANY_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
