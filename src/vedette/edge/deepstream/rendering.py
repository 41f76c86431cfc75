"""One pipeline file and one bundle as a folder of DeepStream configuration: names and contents, nothing written.

Guarantees: no secret is in any file, every key file is one that `lint` finds nothing wrong with, and values that
DeepStream would read differently are refused.
"""

from importlib import resources

from vedette.contracts.pipeline import FileTarget, KafkaTarget, Pipeline
from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.dialects import Dialect
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.render_app import render_app
from vedette.edge.deepstream.render_messages import render_broker, render_converter
from vedette.edge.deepstream.render_nvinfer import builds_engine, render_decode, render_labels, render_nvinfer
from vedette.edge.deepstream.render_readme import render_readme
from vedette.edge.deepstream.render_rules import render_rules
from vedette.edge.deepstream.render_scripts import render_build, render_engine_build, render_run
from vedette.edge.deepstream.render_settings import Broker, Rendering
from vedette.edge.deepstream.render_tracker import render_tracker
from vedette.edge.deepstream.rendered import render_facts

EXECUTABLE = {names.RUN_FILE, names.BUILD_FILE, names.ENGINE_BUILD_FILE}
_PARSER_ENDINGS = (".cpp", ".h", ".hpp", ".inc")


def render(rendering: Rendering, model: bytes) -> dict[str, bytes]:
    """Every file of the folder, by its path in it.

    Raises:
        DeepStreamError: the pipeline, its bundle, the target and the version do not go together.
    """
    parser = parser_sources()
    files = {
        names.APP_FILE: render_app(rendering),
        names.NVINFER_FILE: render_nvinfer(rendering),
        names.DECODE_FILE: render_decode(rendering.manifest),
        names.LABELS_FILE: render_labels(rendering.manifest),
        names.TRACKER_FILE: render_tracker(rendering),
        names.MODEL_FILE: model,
        names.RUN_FILE: render_run(rendering),
        names.BUILD_FILE: render_build(rendering),
        names.FACTS_FILE: render_facts(rendering),
        **parser,
    }
    if builds_engine(rendering):
        files[names.ENGINE_BUILD_FILE] = render_engine_build(rendering)
    if rendering.has_rules:
        files[names.ANALYTICS_FILE] = render_rules(rendering)
    if rendering.broker is not None:
        files[names.CONVERTER_FILE] = render_converter(rendering)
        files[names.BROKER_FILE] = render_broker(rendering.broker)
    files[names.README_FILE] = render_readme(rendering, set(files), bool(parser))
    return files


def parser_sources() -> dict[str, bytes]:
    """The box parser's C++, `parser/NAME`; empty where this installation has none."""
    folder = resources.files("vedette.edge.deepstream").joinpath("parser")
    if not folder.is_dir():
        return {}
    return {
        f"parser/{entry.name}": entry.read_bytes()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.is_file() and entry.name.endswith(_PARSER_ENDINGS)
    }


def choose_broker(pipeline: Pipeline, dialect: Dialect, kafka: tuple[str, int, str] | None) -> Broker | None:
    """Where messages go: the Kafka address that was given, else the pipeline's one broker, else nowhere.

    Raises:
        DeepStreamError: the version has no adaptor for it, the adaptor cannot take its user, or there are several.
    """
    if kafka is not None:
        return Broker("kafka", *kafka)
    targets = [target for target in pipeline.events if not isinstance(target, FileTarget)]
    if len(targets) > 1:
        raise DeepStreamError("DeepStream is rendered with one broker: leave one Kafka or MQTT target, or give --kafka")
    if not targets:
        return None
    target = targets[0]
    if isinstance(target, KafkaTarget):
        return _kafka(target)
    if not dialect.mqtt_adaptor:
        raise DeepStreamError(
            f"DeepStream {dialect.version} has no MQTT adaptor, and the pipeline file sends events to MQTT: give "
            "--kafka HOST:PORT/TOPIC or a Kafka target, or take the target out and bridge the messages yourself"
        )
    return Broker(
        "mqtt",
        target.host,
        target.port,
        target.topic,
        target.tls,
        target.username,
        target.password_file,
        target.password_env,
    )


def _kafka(target: KafkaTarget) -> Broker:
    if target.username is not None:
        if not target.password_file and not target.password_env:
            raise DeepStreamError(
                "the Kafka target has a user and no password: give password_file or password_env in the pipeline file"
            )
        if any(character in target.username for character in ';"\\'):
            raise DeepStreamError(
                "DeepStream's Kafka adaptor takes no user name with ';', '\"' or a backslash; choose another"
            )
    host, _, port = target.brokers[0].rpartition(":")
    return Broker(
        "kafka",
        host,
        int(port),
        target.topic,
        target.tls,
        target.username,
        target.password_file,
        target.password_env,
        target.mechanism,
        target.brokers[1:],
    )
