"""The message converter's file, by which a message names its camera, and the broker adaptor's, without secrets."""

from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.key_file_text import Value, write_key_file
from vedette.edge.deepstream.render_settings import Broker, Rendering

MOST_SETTINGS_BYTES = 1023  # MAX_FIELD_LEN of NVIDIA's Kafka adaptor, less the NUL; it cuts off what is longer
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # where Ubuntu, and so every JetPack, keeps them


def render_converter(rendering: Rendering) -> bytes:
    """`config_msgconv.txt`: the sensor of each source is the camera's name."""
    groups: list[tuple[str, dict[str, Value | None]]] = [
        (f"sensor{number}", {"enable": 1, "type": "Camera", "id": camera.name, "description": camera.name})
        for number, camera in enumerate(rendering.pipeline.cameras)
    ]
    return write_key_file("message converter: cameras by name; written by vedette, see README.md", groups)


def render_broker(broker: Broker) -> bytes:
    """`cfg_broker.txt`; run.sh puts MQTT's password into the environment, Kafka's into a private copy of this file.

    Raises:
        DeepStreamError: the list of brokers is longer than the adaptor reads.
    """
    if broker.kind == "kafka":
        if len(";".join(_kafka_settings(broker))) + 2 > MOST_SETTINGS_BYTES:
            raise DeepStreamError(
                f"DeepStream's Kafka adaptor reads {MOST_SETTINGS_BYTES} bytes of settings; the addresses of "
                f"{len(broker.addresses)} brokers are more: name fewer, they tell the others"
            )
        keys: dict[str, Value | None] = {
            "partition-key": "sensorId",  # a camera's messages stay in order
            "proto-cfg": f'"{";".join(_kafka_settings(broker))}"',
            "share-connection": 1,
        }
    else:
        keys = {
            "enable-tls": 1 if broker.tls else 0,
            "tls-cafile": CERTIFICATES if broker.tls else None,
            "share-connection": 1,
            "loop-timeout": 2000,
            "keep-alive": 60,
            "set-threaded": 1,
        }
    comment = f"{broker.kind} adaptor; holds no password: see run.sh; written by vedette"
    return write_key_file(comment, [("message-broker", keys)])


def _kafka_settings(broker: Broker) -> list[str]:
    """What the adaptor hands to librdkafka. Source: Security_Setup.md of NVIDIA's kafka_protocol_adaptor.

    Its nvds_kafka_proto.cpp makes `bootstrap.servers` of the connection string, which holds one broker, and sets what
    stands here after that: a list of all of them.
    """
    settings = ["enable.idempotence=true"]
    if broker.others:
        settings.append(f"bootstrap.servers={','.join(broker.addresses)}")
    layers = "_".join(["sasl"] * (broker.username is not None) + ["ssl" if broker.tls else "plaintext"])
    if layers != "plaintext":
        settings.append(f"security.protocol={layers}")
    if broker.tls:
        settings.append(f"ssl.ca.location={CERTIFICATES}")
    if broker.username is not None:
        settings += [f"sasl.mechanism={broker.mechanism}", f"sasl.username={broker.username}"]
    return settings
