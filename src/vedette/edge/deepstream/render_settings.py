"""What a configuration is rendered from, beside the pipeline file: target, version, cameras' format, broker."""

from dataclasses import dataclass
from typing import Literal

from vedette.contracts.bundle import BundleManifest
from vedette.contracts.pipeline import Pipeline
from vedette.edge.deepstream.dialects import Dialect
from vedette.edge.deepstream.sizing import Demand, Sizing
from vedette.edge.deepstream.targets import Target

APP_FILE = "app.txt"
NVINFER_FILE = "config_infer_primary.txt"
LABELS_FILE = "labels.txt"
MODEL_FILE = "model.onnx"
TRACKER_FILE = "config_tracker.yml"
ANALYTICS_FILE = "config_nvdsanalytics.txt"
CONVERTER_FILE = "config_msgconv.txt"
BROKER_FILE = "cfg_broker.txt"
DECODE_FILE = "vedette_decode.txt"
FACTS_FILE = "vedette.json"
RECORD_FILE = "record.mkv"
RUN_FILE, BUILD_FILE, README_FILE = "run.sh", "build_parser.sh", "README.md"
ENGINE_BUILD_FILE = "build_engine.sh"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where messages go. The password is only named: by a file or an environment variable."""

    kind: str  # kafka or mqtt
    host: str
    port: int
    topic: str
    tls: bool = False
    username: str | None = None
    password_file: str | None = None
    password_env: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"  # of Kafka: how user and password are shown
    others: tuple[str, ...] = ()  # of Kafka: host:port of further brokers of the same cluster

    @property
    def library(self) -> str:
        return f"libnvds_{self.kind}_proto.so"

    @property
    def addresses(self) -> tuple[str, ...]:
        """host:port of every broker, that of the connection string first."""
        return f"{self.host}:{self.port}", *self.others


@dataclass(frozen=True, slots=True)
class Rendering:
    """Everything that the files are made from; nothing in it is secret."""

    pipeline: Pipeline
    manifest: BundleManifest
    bundle_digest: str
    target: Target
    dialect: Dialect
    demand: Demand
    sizing: Sizing
    broker: Broker | None
    gflop_source: str

    @property
    def score(self) -> float:
        """Least score: the pipeline's, else the bundle's own."""
        given = self.pipeline.detect.score
        return self.manifest.thresholds.score if given is None else given

    @property
    def nms_iou(self) -> float:
        given = self.pipeline.detect.nms_iou
        return self.manifest.thresholds.nms_iou if given is None else given

    @property
    def max_detections(self) -> int:
        return self.pipeline.detect.max_detections or self.manifest.thresholds.max_detections

    @property
    def network_batch(self) -> int:
        """nvinfer's batch: one where the model takes one picture at a time."""
        return self.manifest.input.batch or self.sizing.network_batch

    @property
    def has_rules(self) -> bool:
        """Whether a line or zone is watched anywhere."""
        cameras = self.pipeline.cameras
        return bool(self.pipeline.lines or self.pipeline.zones) or any(one.lines or one.zones for one in cameras)
