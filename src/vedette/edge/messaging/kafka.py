"""Events to a Kafka topic: `contracts.ports.EventSink`, one CloudEvent a message (structured mode), keyed by camera.

librdkafka does the talking in threads of its own; `publish` only puts the event into its bounded queue, so brokers that
are slow, down or unreachable never slow the video. The producer is idempotent: whatever it has to send again, a
partition holds each event once and those of one camera in order. Events wait without a limit of time; when the queue
is full the newest are refused and counted in `lost`. `close` waits a few seconds for the rest, then counts it as lost.
After an error that librdkafka calls fatal (the brokers allow no idempotent producer, or have lost what they had
acknowledged) all events are lost, and counted, until a new start. Nothing here survives a restart of this process.
Source: CloudEvents Kafka binding 1.0.2, section 3.3; librdkafka's CONFIGURATION.md.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import UnavailableError
from vedette.contracts.event import CONTENT_TYPE, AnyEvent
from vedette.contracts.pipeline import KafkaTarget
from vedette.edge.messaging.kafka_client import (
    POLL_S,
    connection_settings,
    kafka_address,
    quiet_log,
    refused_settings,
)
from vedette.edge.messaging.queued_sink import QUEUE_FULL, QueuedSink

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

log = logging.getLogger(__name__)

QUEUE_EVENTS = 10_000
LINGER_MS = 5


class KafkaSink(QueuedSink):
    """Publishes events from any thread; a thread of ours hears what became of them."""

    def __init__(
        self,
        target: KafkaTarget,
        password: str | None = None,
        *,
        queue_events: int = QUEUE_EVENTS,
        close_timeout_s: float = 5.0,
    ) -> None:
        """Start connecting and return at once; brokers that are down are no error.

        Raises:
            UnavailableError: confluent-kafka is not installed.
            SinkError: librdkafka refuses the settings.
        """
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError as error:
            raise UnavailableError("events to Kafka need confluent-kafka: pip install 'vedette[kafka]'") from error

        super().__init__(kafka_address(target), log)
        self._topic, self._close_timeout_s = target.topic, close_timeout_s
        self._fatal = KafkaException  # this module is read where confluent-kafka is not installed, too
        settings = _settings(target, password, queue_events) | {"error_cb": self._on_error}
        try:
            self._producer = Producer(settings, logger=quiet_log())
        except KafkaException as error:
            raise refused_settings(self.name, error) from error
        self._listener = threading.Thread(target=self._listen, name="vedette-kafka", daemon=True)
        self._listener.start()

    def _enqueue(self, event: AnyEvent) -> str | None:
        try:
            self._producer.produce(
                self._topic,
                value=event.to_json(),
                key=event.order_key,
                headers=[("content-type", CONTENT_TYPE.encode())],
                on_delivery=self._on_delivery,
            )
        except BufferError:
            return QUEUE_FULL
        except self._fatal as error:
            return f"no events are taken any more: {error.args[0].str()}"
        return None

    def close(self) -> None:
        """Wait for what is queued, a few seconds at most; the rest is lost, and counted."""
        if not self._take_no_more():
            return
        self._listener.join()
        deadline = time.monotonic() + self._close_timeout_s
        while self._waiting and (left_s := deadline - time.monotonic()) > 0:
            self._poll(min(left_s, POLL_S))
        self._producer.purge(blocking=False)
        self._poll(0)  # a report for each of those, as lost
        self._lose_the_rest()
        self._complaints.problem = None
        if self._lost:
            log.warning("%s: %d events are lost", self.name, self._lost)

    def _listen(self) -> None:
        while not self._closed.is_set():
            self._poll(POLL_S)

    def _poll(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except self._fatal as error:  # comes here and not to `error_cb`; what became of the events is still told
            self._complaints.complain(f"events cannot be sent any more, until a new start: {error.args[0].str()}")

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        self._settle(delivered=error is None)
        if error is None:
            self._complaints.recover(f"connected; {self._waiting} events wait to be sent")
        elif not self._closed.is_set() and error.code() != error._PURGE_QUEUE:  # whose reason is said by `_poll`
            self._complaints.complain_at_first(f"the brokers refuse events: {error.str()}")

    def _on_error(self, error: KafkaError) -> None:
        if self._closed.is_set():
            return
        if self._waiting or error.code() == error._ALL_BROKERS_DOWN:
            self._complaints.complain_at_first(
                f"the brokers cannot be reached ({error.str()}); trying again, events wait"
            )


def _settings(target: KafkaTarget, password: str | None, queue_events: int) -> dict[str, Any]:
    return connection_settings(target, password) | {
        "enable.idempotence": True,  # acks=all and order come with it
        "message.timeout.ms": 0,  # an event waits as long as it takes
        "queue.buffering.max.messages": queue_events,
        "linger.ms": LINGER_MS,
        "partitioner": "murmur2_random",  # the same partition as every Java client would choose
    }
