"""A Kafka cluster on loopback, real TCP and real protocol: the one that librdkafka carries for its own tests."""

import ctypes
import importlib.util
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

TEXT = 1024
INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED = 22, 31  # in Kafka's protocol


class KafkaCluster:
    """One broker that can go down and come up; loses nothing meanwhile. Its C interface is marked experimental."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("confluent_kafka")
        assert spec is not None and spec.origin is not None
        (library,) = (Path(spec.origin).parents[1] / "confluent_kafka.libs").glob("librdkafka-*")
        self._rd = rd = ctypes.CDLL(str(library))
        for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new", "rd_kafka_conf_new"):
            getattr(rd, name).restype = ctypes.c_void_p
        rd.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        error = ctypes.create_string_buffer(TEXT)
        handle = rd.rd_kafka_new(0, ctypes.c_void_p(rd.rd_kafka_conf_new()), error, TEXT)
        assert handle, error.value
        self._handle = ctypes.c_void_p(handle)
        self._cluster = ctypes.c_void_p(rd.rd_kafka_mock_cluster_new(self._handle, 1))
        self.address = rd.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def make_topic(self, name: str, partitions: int = 4) -> None:
        assert self._rd.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def go_down(self) -> None:
        assert self._rd.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def come_up(self) -> None:
        assert self._rd.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def refuse_producers(self) -> None:
        """Tell the next producer that it may not be idempotent."""
        refusal = (ctypes.c_int * 1)(CLUSTER_AUTHORIZATION_FAILED)
        self._rd.rd_kafka_mock_push_request_errors_array(self._cluster, INIT_PRODUCER_ID, ctypes.c_size_t(1), refusal)

    def read(self, topic: str, count: int, partitions: int = 4, timeout_s: float = 30.0) -> list:
        """`count` messages, and whatever else comes within half a second more, in the order of each partition."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "test"})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        messages = []
        while len(messages) < count and timeout_s > 0:
            messages += consumer.consume(count, 0.5)
            timeout_s -= 0.5
        messages += consumer.consume(100, 0.5)
        consumer.close()
        assert all(message.error() is None for message in messages)
        return messages

    def close(self) -> None:
        self._rd.rd_kafka_mock_cluster_destroy(self._cluster)
        self._rd.rd_kafka_destroy(self._handle)
