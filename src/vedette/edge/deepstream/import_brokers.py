"""A deepstream-app's message broker as a target of events: MQTT or Kafka with what its adaptor's file says.

A password is never copied: it becomes the name of an environment variable, and a note says which.
"""

import re
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vedette.contracts.pipeline import KafkaTarget, MqttTarget
from vedette.edge.deepstream.import_settings import Group, Imported, group_of, read_named

_BROKER_LISTS = ("bootstrap.servers", "metadata.broker.list")  # two names of one setting of librdkafka
_OURS = {"enable.idempotence", "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username"}


def import_broker(sink: Group, imported: Imported) -> None:
    """A sink of type 6 as a target of events."""
    library, address = sink.text("msg-broker-proto-lib") or "", sink.text("msg-broker-conn-str") or ""
    parts = address.split(";")
    topic = sink.text("topic") or (parts[2] if len(parts) > 2 else None)
    protocol = re.search(r"libnvds_(\w+)_proto", library)
    kind = protocol[1] if protocol else "its broker"
    if kind not in {"mqtt", "kafka"} or len(parts) < 2 or not re.fullmatch(r"\d{1,5}", parts[1]) or not topic:
        imported.leave(sink.file, sink.line, f"[{sink.name}]: {kind} at '{parts[0]}' is not carried over")
        return
    if kind == "kafka":
        target: dict[str, Any] = {"kind": "kafka", "brokers": [f"{parts[0]}:{parts[1]}"], "topic": topic}
        _import_kafka_settings(sink, target, imported)
    else:
        target = {"kind": "mqtt", "host": parts[0], "port": int(parts[1]), "topic": topic}
        _import_mqtt_settings(sink, target, imported)
    try:
        TypeAdapter(KafkaTarget if kind == "kafka" else MqttTarget).validate_python(target)
    except ValidationError:
        imported.leave(sink.file, sink.line, f"[{sink.name}]: no topic or address of {kind} that can be; left out")
        return
    imported.document.setdefault("events", []).append(target)
    imported.leave(
        sink.file, sink.line, f"[{sink.name}]: events are Vedette's own (CloudEvents), not NVIDIA's messages"
    )


def _import_mqtt_settings(sink: Group, target: dict[str, Any], imported: Imported) -> None:
    config = read_named(sink, "msg-broker-config", imported)
    broker = group_of(config, "message-broker") if config is not None else None
    if broker is None:
        return
    if broker.integer("enable-tls") == 1:
        target["tls"] = True
    if broker.text("username") is not None:
        target["username"] = broker.text("username")
    if broker.text("password") is not None:
        target["password_env"] = "MQTT_PASSWORD"
        imported.leave(
            broker.file, broker.line_of("password"), "the password was not copied: put it into $MQTT_PASSWORD"
        )


def _import_kafka_settings(sink: Group, target: dict[str, Any], imported: Imported) -> None:
    """`proto-cfg` and its kin hold settings of librdkafka in quotes, `name=value;name=value`."""
    config = read_named(sink, "msg-broker-config", imported)
    broker = group_of(config, "message-broker") if config is not None else None
    if broker is None:
        return
    settings: dict[str, str] = {}
    for key in ("proto-cfg", "producer-proto-cfg"):
        pairs = (one.partition("=") for one in (broker.text(key) or "").strip('"').split(";") if one.strip())
        settings |= {name.strip(): value for name, _, value in pairs}
    line = broker.line_of("proto-cfg")
    listed = [settings.pop(name, "") for name in _BROKER_LISTS]
    more = [one.strip() for names in listed for one in names.split(",") if one.strip()]
    if more:  # set after the connection string's, and so in its place
        target["brokers"] = [one if ":" in one else f"{one}:9092" for one in more]
    if "ssl" in settings.get("security.protocol", "").lower():
        target["tls"] = True
    if "sasl.username" in settings:
        target["username"], target["password_env"] = settings["sasl.username"], "KAFKA_PASSWORD"
        target["mechanism"] = settings.get("sasl.mechanism") or settings.get("sasl.mechanisms") or "PLAIN"
        imported.leave(broker.file, line, "the password was not copied: put it into $KAFKA_PASSWORD")
    left = sorted(set(settings) - _OURS - {"sasl.password"})
    if left:
        imported.leave(broker.file, line, f"settings of librdkafka not carried over: {', '.join(left)}")
