"""Sends every line of a file to a broker as fast as it can: a process of its own, so that its work is nobody else's.

    python message_sender.py mqtt|kafka FILE TOPIC PORT

Prints the broker's port when it is ready, begins when it reads a line. Kafka's cluster is made here, PORT counts for
MQTT only. Stays until it is killed.
"""

import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

PARTITIONS = 8  # librdkafka's cluster keeps 5 MB of each
_SENSOR = re.compile(rb'"camera-\d+"')

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def _mqtt(topic: str, port: int) -> tuple[int, Callable[[list[bytes]], None]]:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()

    def send(messages: list[bytes]) -> None:
        waiting = [client.publish(topic, message, qos=1) for message in messages]
        for one in waiting:
            one.wait_for_publish(60)

    return port, send


def _kafka(topic: str) -> tuple[int, Callable[[list[bytes]], None]]:
    from confluent_kafka import Producer

    from edge.messaging.kafka_cluster import KafkaCluster

    cluster = KafkaCluster()
    cluster.make_topic(topic, PARTITIONS)
    address = cluster.address.split(",")[0]
    producer = Producer({"bootstrap.servers": address})

    def send(messages: list[bytes]) -> None:
        for message in messages:
            producer.produce(topic, message, partition=zlib.crc32(_SENSOR.findall(message)[0]) % PARTITIONS)
            producer.poll(0)
        producer.flush(60)

    return int(address.rpartition(":")[2]), send


def main() -> None:
    kind, file, topic, port = sys.argv[1:]
    messages = Path(file).read_bytes().splitlines()
    ready, send = _mqtt(topic, int(port)) if kind == "mqtt" else _kafka(topic)
    sys.stdout.write(f"{ready}\n")
    sys.stdout.flush()
    sys.stdin.readline()
    send(messages)
    sys.stdin.read()  # until whoever started this ends it


if __name__ == "__main__":
    main()
