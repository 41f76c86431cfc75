"""Messages read from real brokers: only new ones, and on again after the broker was away."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from kafka_cluster import KafkaCluster
from paho.mqtt import publish

from vedette.contracts.pipeline import KafkaTarget, MqttTarget
from vedette.edge.messaging.kafka_reader import KafkaReader
from vedette.edge.messaging.mqtt_reader import MqttReader


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    return condition()


def produce(cluster: KafkaCluster, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": cluster.address})
    for value in values:
        producer.produce(topic, value, key=value)
    assert producer.flush(60) == 0


def kafka_target(cluster: KafkaCluster, topic: str) -> KafkaTarget:
    return KafkaTarget(kind="kafka", brokers=(cluster.address.split(",")[0],), topic=topic)


def test_kafka_messages_of_another_time_are_left_and_new_ones_of_all_partitions_read(cluster: KafkaCluster) -> None:
    cluster.make_topic("raw", 3)
    produce(cluster, "raw", b"old", b"older")
    heard: list[bytes] = []
    reader = KafkaReader(kafka_target(cluster, "raw"), heard.append)
    try:
        assert reader.listening.wait(60)
        new = [f"new {number}".encode() for number in range(12)]
        produce(cluster, "raw", *new)
        assert within(60, lambda: len(heard) >= 12)
    finally:
        reader.close()
    assert sorted(heard) == sorted(new)


def test_kafka_is_read_on_after_it_was_away(cluster: KafkaCluster) -> None:
    cluster.make_topic("raw", 1)
    heard: list[bytes] = []
    reader = KafkaReader(kafka_target(cluster, "raw"), heard.append)
    try:
        assert reader.listening.wait(60)
        produce(cluster, "raw", b"before")
        assert within(60, lambda: heard == [b"before"])
        cluster.go_down()
        assert within(60, lambda: reader.problem is not None)
        cluster.come_up()
        produce(cluster, "raw", b"after")
        assert within(60, lambda: heard == [b"before", b"after"])
        assert within(60, lambda: reader.problem is None)
    finally:
        reader.close()


def test_a_kafka_topic_that_comes_later_is_read_from_its_beginning(cluster: KafkaCluster) -> None:
    heard: list[bytes] = []
    reader = KafkaReader(kafka_target(cluster, "later"), heard.append)
    try:
        assert reader.listening.wait(60)
        produce(cluster, "later", b"first")
        assert within(60, lambda: heard == [b"first"])
    finally:
        reader.close()


def test_mqtt_is_read_on_after_the_broker_was_away(broker) -> None:
    heard: list[bytes] = []
    target = MqttTarget(kind="mqtt", host="127.0.0.1", port=broker.port, topic="raw")
    reader = MqttReader(target, heard.append)
    try:
        assert not reader.listening.is_set()
        for text in (b"0", b"1"):
            broker.start()
            assert reader.listening.wait(60)
            assert reader.problem is None
            say(target, text)
            assert within(60, lambda text=text: text in heard)
            broker.kill()
            assert within(60, lambda: reader.problem is not None)
    finally:
        reader.close()
    assert heard == [b"0", b"1"]


def test_an_mqtt_broker_that_refuses_is_told(guarded_broker) -> None:
    target = MqttTarget(kind="mqtt", host="127.0.0.1", port=guarded_broker.port, topic="raw", username="camera")
    refused, welcome = MqttReader(target, print, "wrong"), MqttReader(target, print, "s3cret")
    try:
        assert within(60, lambda: "refuses the connection" in (refused.problem or ""))
        assert not refused.listening.is_set()
        assert welcome.listening.wait(60)
    finally:
        refused.close()
        welcome.close()


def say(target: MqttTarget, text: bytes) -> None:
    publish.single(target.topic, text, qos=1, hostname=target.host, port=target.port)
