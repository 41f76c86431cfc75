"""Messages from an MQTT topic to a callback: MQTT 5, QoS 1, only those sent while this program listens.

After a broker was away the topic is subscribed to anew. What was sent meanwhile is missed: brokers keep nothing for a
reader that may never come back.
"""

import logging
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from vedette.contracts.pipeline import MqttTarget
from vedette.edge.messaging.broker_reader import BrokerReader
from vedette.edge.messaging.mqtt_connection import MqttConnection, mqtt_address

log = logging.getLogger(__name__)


class MqttReader(BrokerReader):
    """Reads from the moment it is made; `listening` is set while the topic is subscribed to."""

    def __init__(self, target: MqttTarget, on_message: Callable[[bytes], None], password: str | None = None) -> None:
        """Start connecting and return at once. `on_message` is called in a thread of this reader's and must not raise.

        Raises:
            SinkError: the address can never work.
        """
        super().__init__(mqtt_address(target), log)
        self._topic, self._take = target.topic, on_message
        self._connection = MqttConnection(
            self._complaints, on_connect=self._subscribe, on_disconnect=self.listening.clear
        )
        self._connection.client.on_subscribe = self._on_subscribe
        self._connection.client.on_message = self._on_message
        self._connection.start(target, password)

    def close(self) -> None:
        """Stop reading. Safe to call twice."""
        self._connection.close()

    def _subscribe(self) -> None:
        self._connection.client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, client: Any, data: Any, number: int, reasons: list[ReasonCode], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._complaints.complain(f"the broker refuses the subscription: {reasons[0]}")
            return
        self._complaints.recover("connected")
        self.listening.set()

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:  # what was left for latecomers is of another time
            self._take(bytes(message.payload))
