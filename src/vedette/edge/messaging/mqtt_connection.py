"""One connection to an MQTT broker, for writing or reading: MQTT 5, credentials, TLS, and what is said of its troubles.

A thread of paho's does all the talking; a broker that is down is tried again after 1, 2, 4 .. 30 s.
"""

import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from vedette.contracts.pipeline import MqttTarget
from vedette.edge.messaging.complaints import Complaints
from vedette.edge.messaging.errors import SinkError

CONNECT_TIMEOUT_S = 3.0
KEEPALIVE_S = 30
RETRY_FIRST_S, RETRY_MOST_S = 1, 30


def mqtt_address(target: MqttTarget) -> str:
    """`mqtt://host:port/topic`, without credentials."""
    return f"{'mqtts' if target.tls else 'mqtt'}://{target.host}:{target.port}/{target.topic}"


class MqttConnection:
    """A client of paho's, set up; what it does with messages may be set until `start`, as paho allows it only then."""

    def __init__(
        self,
        complaints: Complaints,
        *,
        on_connect: Callable[[], None],
        on_disconnect: Callable[[], None] = lambda: None,
        meanwhile: str = "trying again",
    ) -> None:
        """`meanwhile` ends what is said of a broker that is away."""
        self._complaints, self._meanwhile = complaints, meanwhile
        self._then_connected, self._then_disconnected = on_connect, on_disconnect
        self._ending = threading.Event()
        client = self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(RETRY_FIRST_S, RETRY_MOST_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail = self._on_connect_fail

    def start(self, target: MqttTarget, password: str | None) -> None:
        """Begin to connect, and return at once.

        Raises:
            SinkError: the address can never work.
        """
        client = self.client
        try:
            if target.username is not None:
                client.username_pw_set(target.username, password)
            if target.tls:
                client.tls_set_context(ssl.create_default_context())
            client.connect_async(target.host, target.port, keepalive=KEEPALIVE_S, clean_start=True)
        except ValueError as error:
            raise SinkError(f"{self._complaints.address} is no MQTT address: {error}") from error
        client.loop_start()

    def expect_end(self) -> None:
        """No longer call it a trouble when the broker hangs up."""
        self._ending.set()

    def close(self) -> None:
        """Disconnect. Safe to call twice."""
        self.expect_end()
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._complaints.complain(f"the broker refuses the connection: {reason}")
        else:
            self._then_connected()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        reason = sys.exc_info()[1]  # paho calls this while it handles the error, and does not pass it on
        self._complaints.complain(f"the broker cannot be reached ({reason}); {self._meanwhile}")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._then_disconnected()
        if not self._ending.is_set() and self._complaints.problem is None:
            self._complaints.complain(f"the connection was lost ({reason}); {self._meanwhile}")
