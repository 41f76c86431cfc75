"""Messages from an MQTT topic to a callback: MQTT 5, QoS 1, only those sent while this program listens.

A thread of paho's does all the talking; a broker that is down is tried again after 1, 2, 4 .. 30 s, and the topic is
subscribed to anew. What was sent meanwhile is missed: brokers keep nothing for a reader that may never come back.
"""

import logging
import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from vedette.contracts.pipeline import MqttTarget
from vedette.edge.messaging.errors import SinkError
from vedette.edge.messaging.mqtt import CONNECT_TIMEOUT_S, KEEPALIVE_S, RETRY_FIRST_S, RETRY_MOST_S

log = logging.getLogger(__name__)


class MqttReader:
    """Reads from the moment it is made; `listening` is set while the topic is subscribed to."""

    def __init__(self, target: MqttTarget, on_message: Callable[[bytes], None], password: str | None = None) -> None:
        """Start connecting and return at once. `on_message` is called in a thread of this reader's and must not raise.

        Raises:
            SinkError: the address can never work.
        """
        self._address = f"{'mqtts' if target.tls else 'mqtt'}://{target.host}:{target.port}/{target.topic}"
        self._topic, self._take = target.topic, on_message
        self.listening = threading.Event()
        self._problem: str | None = None
        self._closed = False
        client = self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(RETRY_FIRST_S, RETRY_MOST_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_subscribe = self._on_connect_fail, self._on_subscribe
        client.on_message = self._on_message
        try:
            if target.username is not None:
                client.username_pw_set(target.username, password)
            if target.tls:
                client.tls_set_context(ssl.create_default_context())
            client.connect_async(target.host, target.port, keepalive=KEEPALIVE_S, clean_start=True)
        except ValueError as error:
            raise SinkError(f"{self._address} is no MQTT address: {error}") from error
        client.loop_start()

    @property
    def name(self) -> str:
        """`mqtt://host:port/topic`, without credentials."""
        return self._address

    @property
    def problem(self) -> str | None:
        """Why nothing comes at the moment; None while connected."""
        return self._problem

    def close(self) -> None:
        """Stop reading. Safe to call twice."""
        self._closed = True
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._complain(f"the broker refuses the connection: {reason}")
        else:
            client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, client: Any, data: Any, number: int, reasons: list[ReasonCode], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._complain(f"the broker refuses the subscription: {reasons[0]}")
            return
        if self._problem is not None:
            log.warning("%s: connected", self._address)
        self._problem = None
        self.listening.set()

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:  # what was left for latecomers is of another time
            self._take(bytes(message.payload))

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        reason = sys.exc_info()[1]  # paho calls this while it handles the error, and does not pass it on
        self._complain(f"the broker cannot be reached ({reason}); trying again")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self.listening.clear()
        if not self._closed and self._problem is None:
            self._complain(f"the connection was lost ({reason}); trying again")

    def _complain(self, problem: str) -> None:
        """Say each new problem once."""
        if problem != self._problem:
            log.warning("%s: %s", self._address, problem)
        self._problem = problem
