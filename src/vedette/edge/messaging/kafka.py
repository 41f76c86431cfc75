"""Events to a Kafka topic: `contracts.ports.EventSink`, one CloudEvent a message (structured mode), keyed by camera.

librdkafka does the talking in threads of its own; `publish` only puts the event into its bounded queue, so brokers that
are slow, down or unreachable never slow the video. The producer is idempotent: whatever it has to send again, a
partition holds each event once and those of one camera in order. Events wait without a limit of time; when the queue
is full the newest are refused and counted in `lost`. `close` waits a few seconds for the rest, then counts it as lost.
Nothing here survives a restart of this process.
Source: CloudEvents Kafka binding 1.0.2, section 3.3; librdkafka's CONFIGURATION.md.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import UnavailableError
from vedette.contracts.event import CONTENT_TYPE, Event
from vedette.contracts.pipeline import KafkaTarget
from vedette.edge.messaging.errors import SinkError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

log = logging.getLogger(__name__)

QUEUE_EVENTS = 10_000
LINGER_MS = 5
RETRY_MOST_MS = 5000
POLL_S = 0.1


class KafkaSink:
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

        scheme = "kafkas" if target.tls else "kafka"
        self._address = f"{scheme}://{','.join(target.brokers)}/{target.topic}"
        self._topic, self._close_timeout_s = target.topic, close_timeout_s
        self._lock = threading.Lock()
        self._waiting = self._published = self._lost = 0
        self._problem: str | None = None
        self._refusing = False
        self._closed = threading.Event()
        settings = _settings(target, password, queue_events) | {"error_cb": self._on_error}
        try:
            self._producer = Producer(settings, logger=_quiet())
        except KafkaException as error:
            raise SinkError(f"{self._address}: {error.args[0].str().strip()}") from error
        self._listener = threading.Thread(target=self._listen, name="vedette-kafka", daemon=True)
        self._listener.start()

    @property
    def name(self) -> str:
        """`kafka://host:port,.../topic`, without credentials."""
        return self._address

    @property
    def published(self) -> int:
        """Events that every replica in sync has acknowledged."""
        return self._published

    @property
    def lost(self) -> int:
        """Events refused by a full queue, by the brokers, or left over at the end."""
        return self._lost

    @property
    def waiting(self) -> int:
        """Events that are not acknowledged yet."""
        return self._waiting

    @property
    def problem(self) -> str | None:
        """What keeps events from leaving at the moment; None while they leave."""
        return self._problem

    def publish(self, event: Event) -> None:
        """Queue one event; returns at once, whatever the brokers do."""
        with self._lock:
            if self._closed.is_set():
                self._lost += 1
                return
            self._waiting += 1
        try:
            self._producer.produce(
                self._topic,
                value=event.to_json(),
                key=event.data.camera,
                headers=[("content-type", CONTENT_TYPE.encode())],
                on_delivery=self._on_delivery,
            )
        except BufferError:
            with self._lock:
                self._waiting -= 1
                self._lost += 1
            if not self._refusing:
                self._refusing = True
                log.warning("%s: the queue is full (%d events wait); new ones are lost", self._address, self._waiting)
        else:
            self._refusing = False

    def close(self) -> None:
        """Wait for what is queued, a few seconds at most; the rest is lost, and counted."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        self._listener.join()
        deadline = time.monotonic() + self._close_timeout_s
        while self._waiting and (left_s := deadline - time.monotonic()) > 0:
            self._producer.poll(min(left_s, POLL_S))
        self._producer.purge(blocking=False)
        self._producer.poll(0)  # a report for each of those, as lost
        with self._lock:
            left, self._waiting = self._waiting, 0
            self._lost += left
            self._problem = None
        if left or self._lost:
            log.warning("%s: %d events are lost", self._address, self._lost)

    def _listen(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(POLL_S)

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        with self._lock:
            self._waiting -= 1
            if error is None:
                self._published += 1
            else:
                self._lost += 1
        if error is None:
            self._recover()
        elif not self._closed.is_set():
            self._complain(f"the brokers refuse events: {error.str()}")

    def _on_error(self, error: KafkaError) -> None:
        if self._closed.is_set():
            return
        if error.fatal():
            self._complain(f"events cannot be sent any more: {error.str()}")
        elif self._waiting or error.code() == error._ALL_BROKERS_DOWN:
            self._complain(f"the brokers cannot be reached ({error.str()}); trying again, events wait")

    def _recover(self) -> None:
        if self._problem is not None:
            log.warning("%s: connected; %d events wait to be sent", self._address, self._waiting)
            self._problem = None

    def _complain(self, problem: str) -> None:
        """Say what is wrong once, until it is over; librdkafka has many words for brokers that are away."""
        if self._problem is None:
            log.warning("%s: %s", self._address, problem)
        self._problem = problem


def _settings(target: KafkaTarget, password: str | None, queue_events: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(target.brokers),
        "client.id": "vedette",
        "enable.idempotence": True,  # acks=all and order come with it
        "message.timeout.ms": 0,  # an event waits as long as it takes
        "queue.buffering.max.messages": queue_events,
        "linger.ms": LINGER_MS,
        "reconnect.backoff.max.ms": RETRY_MOST_MS,
        "partitioner": "murmur2_random",  # the same partition as every Java client would choose
        "security.protocol": f"{'SASL_' if target.username else ''}{'SSL' if target.tls else 'PLAINTEXT'}",
    }
    if target.username is not None:
        sasl = {"sasl.mechanism": target.mechanism, "sasl.username": target.username, "sasl.password": password or ""}
        settings |= sasl
    return settings


def _quiet() -> logging.Logger:
    """What librdkafka logs by itself; `_on_error` says what matters."""
    quiet = logging.getLogger(f"{__name__}.librdkafka")
    quiet.setLevel(logging.CRITICAL)
    return quiet
