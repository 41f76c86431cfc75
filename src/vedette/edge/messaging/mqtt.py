"""Events to an MQTT broker: `contracts.ports.EventSink`, MQTT 5, QoS 1, one CloudEvent a message (structured mode).

A thread of paho's does all the talking, so a broker that is slow, down or unreachable never slows the video; what waits
is sent when it is back. The queue holds `QUEUE_EVENTS` events that the broker has not acknowledged; when it is full the
newest are refused and counted in `lost`. `close` waits a few seconds for the rest, then counts it as lost. Acknowledged
is not stored: a broker killed in that moment may forget it, and nothing here survives a restart of this process.
Source: CloudEvents MQTT binding 1.0.2, section 3.3.
"""

import logging
import time
from typing import Any

from paho.mqtt.enums import MQTTErrorCode
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
        self._properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self._properties.ContentType = CONTENT_TYPE
        self._connection = MqttConnection(
            self._complaints, on_connect=self._on_connect, meanwhile="trying again, events wait"
        )
        client = self._connection.client
        client.max_queued_messages_set(queue_events)
        client.max_inflight_messages_set(IN_FLIGHT)
        client.on_publish = self._on_publish
        self._connection.start(target, password)

    def _enqueue(self, event: AnyEvent) -> str | None:
        sent = self._connection.client.publish(self._topic, event.to_json(), qos=1, properties=self._properties)
        return QUEUE_FULL if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else None

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

    def _on_publish(self, client: Any, data: Any, number: int, reason: ReasonCode, properties: Any) -> None:
        self._settle(delivered=not reason.is_failure)
        if reason.is_failure:
            self._complaints.complain(f"the broker refuses events: {reason}")
