"""The pipeline file, version 1: which cameras, which detector, what counts, where events go.

`docs/reference/pipeline.schema.json` is generated from here so that editors complete it. Parsing is pure: no file is
opened, no host is looked up. Contradictions are refused, never repaired.
"""

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)

from vedette.contracts.bundle import Precision
from vedette.contracts.camera_url import CAMERA_SCHEMES, check_camera_url, check_host, hide_query_secrets, is_live_url
from vedette.contracts.gate import GateMode

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Coordinate = Annotated[
    float | Annotated[str, StringConstraints(pattern=r"^-?\d+(\.\d+)?%$")],
    Field(description="source pixels, or per cent of the picture's width or height as '40%'"),
]
Point = tuple[Coordinate, Coordinate]


def _refuse_nul(path: str) -> str:
    if "\0" in path:
        raise ValueError("holds a NUL character, which no path can")
    return path


PathText = Annotated[str, AfterValidator(_refuse_nul)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Anchor(str, Enum):
    """Which point of a box stands for the object."""

    BOTTOM_CENTRE = "bottom_centre"
    CENTRE = "centre"


class EngineChoice(str, Enum):
    """`auto` is OpenVINO where it is installed, else ONNX Runtime; the choice made is shown in the status.

    `tensorrt` builds an engine for the GPU of this box, which takes minutes the first time.
    """

    AUTO = "auto"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"


class Isolation(str, Enum):
    """A fault in a native decoder ends only its camera's process, which is replaced; with `threads` the whole run."""

    PROCESSES = "processes"
    THREADS = "threads"


class Line(_Value):
    """A counting line from `start` to `end`. `a_to_b` is from the left to the right of that vector."""

    name: Name
    start: Point
    end: Point

    @model_validator(mode="after")
    def _has_length(self) -> "Line":
        if self.start == self.end:
            raise ValueError(f"line '{self.name}' starts and ends at the same point")
        return self


class Zone(_Value):
    """A polygon; entering, leaving and (after `dwell_s`) staying are events."""

    name: Name
    polygon: tuple[Point, ...] = Field(min_length=3)
    dwell_s: float | None = Field(default=None, gt=0, description="report once when an object has stayed this long")


class Camera(_Value):
    """One source of video. Credentials never stand in the URL."""

    name: Name
    url: PathText = Field(min_length=1, description="a file, rtsp(s)://, http(s)://, usb:N or csi:N")
    username: str | None = None
    password_file: PathText | None = Field(default=None, description="a file whose first line is the password")
    password_env: str | None = Field(default=None, description="an environment variable that holds the password")
    loop: bool = Field(default=False, description="start a file again at its end")
    realtime: bool = Field(default=False, description="pace a file by its timestamps, like a live camera")
    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()

    @property
    def is_live(self) -> bool:
        """A network or local device, not a file."""
        return is_live_url(self.url)

    @field_validator("url")
    @classmethod
    def _url_is_allowed(cls, url: str) -> str:
        check_camera_url(url)
        return url

    @model_validator(mode="after")
    def _is_consistent(self) -> "Camera":
        wrong = []
        if self.is_live and (self.loop or self.realtime):
            wrong.append(f"'loop' and 'realtime' are for files; {hide_query_secrets(self.url)} is live already")
        if self.password_file and self.password_env:
            wrong.append("give 'password_file' or 'password_env', not both")
        if (self.password_file or self.password_env) and not self.username:
            wrong.append("a password needs a 'username'")
        if self.username and not self.url.lower().startswith(tuple(f"{s}://" for s in CAMERA_SCHEMES)):
            wrong.append("'username' is for rtsp(s) and http(s) cameras")
        if wrong:
            raise ValueError(f"camera '{self.name}': {'; '.join(wrong)}")
        return self


class Reconnect(_Value):
    """What becomes of a live camera that is away: it is opened again until it comes back."""

    give_up_after_s: float | None = Field(
        default=None, ge=0, description="away for so long, it has failed; 0: at once; never when left out"
    )


class Detect(_Value):
    """How often and how detection runs."""

    every: int = Field(default=5, ge=1, description="detect on every Nth frame of each camera")
    fps: Annotated[float, Field(gt=0, le=1000)] | Literal["auto"] | None = Field(
        default=None,
        description="instead of 'every': detections a second of each camera, by the video's own time; 'auto': as many "
        "as the machine gives, shared fairly (live and paced cameras)",
    )
    score: float | None = Field(default=None, ge=0, le=1, description="least score; the bundle's own when left out")
    nms_iou: float | None = Field(default=None, ge=0, le=1)
    max_detections: int | None = Field(default=None, ge=1)
    engine: EngineChoice = EngineChoice.AUTO
    precision: Precision = Precision.FP32
    gate: GateMode = Field(default=GateMode.AUTO, description="what is spared while nothing happens")
    batch: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None,
        description="largest batch across cameras; left out: 4, or 8 where all are files read as fast as they can be",
    )

    @model_validator(mode="after")
    def _has_one_rate(self) -> "Detect":
        if self.fps is not None and "every" in self.model_fields_set:
            raise ValueError("give 'every' (each Nth frame) or 'fps' (so many a second), not both")
        return self


class FileTarget(_Value):
    """Events as JSON lines, appended."""

    kind: Literal["file"]
    path: PathText = Field(min_length=1)


class MqttTarget(_Value):
    """Events to an MQTT broker, QoS 1, one CloudEvent a message."""

    kind: Literal["mqtt"]
    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    topic: str = Field(min_length=1, pattern=r"^[^#+\x00]+$")
    tls: bool = False
    username: str | None = None
    password_file: PathText | None = None
    password_env: str | None = None

    @field_validator("host")
    @classmethod
    def _host_can_be(cls, host: str) -> str:
        check_host(host)
        return host


class KafkaTarget(_Value):
    """Events to a Kafka topic, idempotent, keyed by camera: the events of one camera stay in order."""

    kind: Literal["kafka"]
    brokers: tuple[Annotated[str, Field(pattern=r"^[^\s,/@]+:\d{1,5}$")], ...] = Field(
        min_length=1, description="some of the cluster's brokers, each host:port"
    )
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    tls: bool = False
    username: str | None = None
    password_file: PathText | None = None
    password_env: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="how the user name and password are shown to the brokers"
    )

    @field_validator("brokers")
    @classmethod
    def _ports_are_ports(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [broker for broker in brokers if not 1 <= int(broker.rpartition(":")[2]) <= 65535]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a port is a number from 1 to 65535")
        return brokers


EventTarget = FileTarget | MqttTarget | KafkaTarget


class Tls(_Value):
    """A certificate, with the chain where there is one, and its key: two PEM files, or one that holds both."""

    cert: PathText = Field(min_length=1)
    key: PathText = Field(min_length=1)


class Show(_Value):
    """The live page. Beyond this machine it asks for a token."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes a free port")
    tls: Tls | Literal["self-signed"] | None = Field(
        default=None, description="a certificate and its key, or self-signed: one is made"
    )
    token_file: PathText | None = Field(
        default=None,
        description="where the token's hash is kept; in the state folder of this user or service when left out",
    )


class Publish(_Value):
    """A media server that the cameras' own packets are pushed to by RTSP, as they are."""

    url: str = Field(description="rtsp(s)://host[:port]/path; {camera} stands for each camera's name")
    username: str | None = None
    password_file: PathText | None = Field(default=None, description="a file whose first line is the password")
    password_env: str | None = Field(default=None, description="an environment variable that holds the password")
    ca_file: PathText | None = Field(
        default=None,
        description="for rtsps: certificates (PEM) of who vouches for the server, or its own; when left out, whom this "
        "machine trusts",
    )

    @field_validator("url")
    @classmethod
    def _url_is_rtsp(cls, url: str) -> str:
        if not url.lower().startswith(("rtsp://", "rtsps://")):
            raise ValueError("give rtsp(s)://host[:port]/path of a media server")
        check_camera_url(url)
        return url

    @model_validator(mode="after")
    def _is_consistent(self) -> "Publish":
        wrong = []
        if self.password_file and self.password_env:
            wrong.append("give 'password_file' or 'password_env', not both")
        if (self.password_file or self.password_env) and not self.username:
            wrong.append("a password needs a 'username'")
        if self.ca_file and not self.url.lower().startswith("rtsps://"):
            wrong.append("'ca_file' is for rtsps://")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class Clips(_Value):
    """Clips of events, cut from the cameras' own packets."""

    folder: PathText = Field(min_length=1)
    before_s: float = Field(default=5.0, ge=0, le=60, description="how much of what was before an event")
    after_s: float = Field(default=5.0, ge=0, le=120)
    most_gb: float | None = Field(default=10.0, gt=0, description="all clips together; the oldest are removed")
    most_days: float | None = Field(default=None, gt=0, description="older clips are removed")


class Pipeline(_Value):
    """The whole file. Lines and zones at the top belong to every camera, those of a camera come on top of them."""

    version: Literal[1] = 1
    bundle: PathText = Field(min_length=1)
    cameras: tuple[Camera, ...] = Field(min_length=1)
    detect: Detect = Detect()
    reconnect: Reconnect = Reconnect()
    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    anchor: Anchor = Anchor.BOTTOM_CENTRE
    events: tuple[Annotated[EventTarget, Field(discriminator="kind")], ...] = ()
    isolation: Isolation | None = Field(
        default=None, description="how each camera decodes; 'processes' on Linux when left out, else 'threads'"
    )
    show: Show | None = None
    publish: Publish | None = None
    clips: Clips | None = None
    record: PathText | None = Field(default=None, description="a folder for annotated MP4 files")
    counts: PathText | Literal[False] | None = Field(
        default=None,
        description="a file that keeps the counts over restarts; off: none. When left out, live cameras are counted "
        "into one file of this user or service",
    )
    box: Name | None = Field(default=None, description="this box's name in event sources; the host name when left out")

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Pipeline":
        cameras = [camera.name for camera in self.cameras]
        twice = sorted({name for name in cameras if cameras.count(name) > 1})
        if twice:
            raise ValueError(f"camera names must be unique; given more than once: {', '.join(twice)}")
        for camera in self.cameras:
            lines, zones = (*self.lines, *camera.lines), (*self.zones, *camera.zones)
            names = [line.name for line in lines] + [zone.name for zone in zones]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"camera '{camera.name}': names of lines and zones used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _each_camera_has_a_place(self) -> "Pipeline":
        if self.publish is not None and len(self.cameras) > 1 and "{camera}" not in self.publish.url:
            raise ValueError("publish.url: several cameras need places of their own; write {camera} in the path")
        return self

    @model_validator(mode="after")
    def _auto_has_a_clock(self) -> "Pipeline":
        unpaced = [camera.name for camera in self.cameras if not (camera.is_live or camera.realtime)]
        if self.detect.fps == "auto" and unpaced:
            raise ValueError(
                f"detections 'auto' a second need cameras that are live or paced; {', '.join(unpaced[:3])} is read as "
                "fast as the machine can: pace files with 'realtime', or give a number a second, or 'every'"
            )
        return self


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a pipeline file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:vedette:pipeline:v1",
        **TypeAdapter(Pipeline).json_schema(),
    }
