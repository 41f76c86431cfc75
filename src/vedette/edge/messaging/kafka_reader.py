"""Messages from a Kafka topic to a callback: all partitions, from the moment that this program listens.

No consumer group: partitions are taken one by one from their end, so nothing is left at the brokers and two readers
both see everything. Brokers that are down are waited for; what is sent meanwhile is read when they are back, unless
the topic has dropped it. A topic or partition that comes later is read from its beginning.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from vedette.contracts.errors import UnavailableError
from vedette.contracts.pipeline import KafkaTarget
from vedette.edge.messaging.broker_reader import BrokerReader
from vedette.edge.messaging.kafka_client import (
    POLL_S,
    connection_settings,
    kafka_address,
    quiet_log,
    refused_settings,
)

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
LOOK_AGAIN_S = 1.0  # while there is nothing to read from
ASK_TIMEOUT_S = 3.0


class KafkaReader(BrokerReader):
    """Reads from the moment it is made; `listening` is set as soon as nothing sent from then on is missed."""

    def __init__(self, target: KafkaTarget, on_message: Callable[[bytes], None], password: str | None = None) -> None:
        """Start connecting and return at once. `on_message` is called in a thread of this reader's and must not raise.

        Raises:
            UnavailableError: confluent-kafka is not installed.
            SinkError: librdkafka refuses the settings.
        """
        try:
            from confluent_kafka import Consumer, KafkaException
        except ImportError as error:
            raise UnavailableError("messages from Kafka need confluent-kafka: pip install 'vedette[kafka]'") from error

        super().__init__(kafka_address(target), log)
        self._topic, self._take = target.topic, on_message
        self._closed = threading.Event()
        self._next: dict[int, int] = {}  # partition -> offset to read next
        self._has_looked = False
        ours = {"group.id": "vedette", "enable.auto.commit": False, "error_cb": self._on_error}
        ours["auto.offset.reset"] = "earliest"  # what the brokers have thrown away is lost, what is behind it is not
        try:
            self._consumer = Consumer(connection_settings(target, password) | ours, logger=quiet_log())
        except KafkaException as error:
            raise refused_settings(self.name, error) from error
        self._thread = threading.Thread(target=self._read, name="vedette-kafka-reader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading. Safe to call twice."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            self._consumer.close()

    def _read(self) -> None:
        look_s = 0.0
        while not self._closed.is_set():
            if time.monotonic() >= look_s:
                found = self._look_for_partitions()
                look_s = time.monotonic() + (LOOK_EVERY_S if found else LOOK_AGAIN_S)
            if not self._next:
                self._closed.wait(POLL_S)
                continue
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            problem = message.error()
            if problem is not None:
                self._on_error(problem)
                continue
            self._recover()
            partition, offset, value = message.partition(), message.offset(), message.value()
            if partition is not None and offset is not None:
                self._next[partition] = offset + 1
            if value is not None:
                self._take(value)

    def _look_for_partitions(self) -> bool:
        """Take up partitions that are new; whether there is anything to read from."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            topic = self._consumer.list_topics(self._topic, timeout=ASK_TIMEOUT_S).topics.get(self._topic)
            numbers = [] if topic is None or topic.error is not None else sorted(topic.partitions)
            new = [number for number in numbers if number not in self._next]
            begin = dict.fromkeys(new, 0)
            if not self._has_looked:  # all that is there already is of another time
                for number in new:
                    place = TopicPartition(self._topic, number)
                    ends = cast(
                        "tuple[int, int] | None", self._consumer.get_watermark_offsets(place, timeout=ASK_TIMEOUT_S)
                    )
                    if ends is None:
                        return False
                    begin[number] = ends[1]
            self._next |= begin
            if new:
                self._consumer.assign([TopicPartition(self._topic, *place) for place in self._next.items()])
        except KafkaException as error:
            self._on_error(error.args[0])
            return False
        self._has_looked = True
        self._recover()
        self.listening.set()
        return bool(self._next)

    def _on_error(self, error: KafkaError) -> None:
        if not self._closed.is_set():
            self._complaints.complain_at_first(f"the brokers do not answer ({error.str()}); trying again")

    def _recover(self) -> None:
        self._complaints.recover("the brokers answer again")
