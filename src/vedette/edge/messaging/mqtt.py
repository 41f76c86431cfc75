"""Events to an MQTT broker: `contracts.ports.EventSink`, MQTT 5, QoS 1, one CloudEvent a message (structured mode).

A thread of paho's does all the talking, so a broker that is slow, down or unreachable never slows the video; what waits
is sent when it is back, in order. The queue is our own: paho (2.1) sends what it is given between opening a connection
and the broker's answer at once, ahead of all that it was given before, and of that as much as there is. So it is given
`IN_FLIGHT` events at most, and none before the broker has answered and what was on its way is on its way again.
`QUEUE_EVENTS` may be unacknowledged; when there are as many the newest are refused and counted in `lost`. `close` waits
a few seconds for the rest, then counts it as lost. Acknowledged is not stored: a broker killed in that moment may
forget it, and nothing here survives a restart of this process.
Source: CloudEvents MQTT binding 1.0.2, section 3.3.
"""

import logging
import time
from collections import deque
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from vedette.contracts.event import CONTENT_TYPE, AnyEvent
from vedette.contracts.pipeline import MqttTarget
from vedette.edge.messaging.mqtt_connection import MqttConnection, mqtt_address
from vedette.edge.messaging.queued_sink import QUEUE_FULL, QueuedSink

log = logging.getLogger(__name__)

QUEUE_EVENTS = 10_000
IN_FLIGHT = 20  # Mosquitto's default limit of messages it will hold unacknowledged from one client


class MqttSink(QueuedSink):
    """Publishes events from any thread; connects, retries and acknowledges in a thread of its own."""

    def __init__(
        self,
        target: MqttTarget,
        password: str | None = None,
        *,
        queue_events: int = QUEUE_EVENTS,
        close_timeout_s: float = 3.0,
    ) -> None:
        """Start connecting and return at once; a broker that is down is no error.

        Raises:
            SinkError: the address or topic can never work.
        """
        super().__init__(mqtt_address(target), log)
        self._topic, self._close_timeout_s = target.topic, close_timeout_s
        self._queue: deque[str] = deque()  # payloads that paho was not given yet
        self._queue_events = queue_events
        self._given = 0  # to paho, and not acknowledged
        self._may_give = False  # the broker has answered, and what was given before the connection has been sent
        self._is_giving = False  # one thread at a time, so that order is kept
        self._properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self._properties.ContentType = CONTENT_TYPE
        self._connection = MqttConnection(
            self._complaints,
            on_connect=self._on_connect,
            on_disconnect=self._on_disconnect,
            meanwhile="trying again, events wait",
        )
        client = self._connection.client
        client.max_inflight_messages_set(IN_FLIGHT + 1)  # one is counted still while `_on_publish` gives the next
        client.on_publish = self._on_publish
        self._connection.start(target, password)

    def _enqueue(self, event: AnyEvent) -> str | None:
        payload = event.to_json()
        with self._lock:
            if len(self._queue) + self._given >= self._queue_events:
                return QUEUE_FULL
            self._queue.append(payload)
        self._give()
        return None

    def _give(self) -> None:
        """Hand on what may be sent, in order. Not under the lock: paho holds its own here and in what it calls."""
        while True:
            with self._lock:
                if self._is_giving or not self._may_give or not self._queue or self._given >= IN_FLIGHT:
                    return
                self._is_giving = True
                self._given += 1
                payload = self._queue.popleft()
            try:
                # Should the connection be lost meanwhile, paho keeps it and sends it on the next one
                self._connection.client.publish(self._topic, payload, qos=1, properties=self._properties)
            finally:
                self._is_giving = False

    def close(self) -> None:
        """Wait for what is queued, a few seconds at most, then disconnect; the rest is lost, and counted."""
        deadline = time.monotonic() + self._close_timeout_s
        if not self._take_no_more():
            return
        self._connection.expect_end()
        while self._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        self._connection.close()
        left = self._lose_the_rest()
        if left:
            log.warning("%s: %d events were not acknowledged before the end and count as lost", self.name, left)

    def _on_connect(self) -> None:
        self._complaints.recover(f"connected; {self._waiting} events wait to be sent")
        with self._lock:
            self._may_give = not self._given  # else paho sends those first, and the first answer to them says so
        self._give()

    def _on_disconnect(self) -> None:
        with self._lock:
            self._may_give = False

    def _on_publish(self, client: Any, data: Any, number: int, reason: ReasonCode, properties: Any) -> None:
        self._settle(delivered=not reason.is_failure)
        with self._lock:
            self._given -= 1
            self._may_give = True
        self._give()
        if reason.is_failure:
            self._complaints.complain(f"the broker refuses events: {reason}")
