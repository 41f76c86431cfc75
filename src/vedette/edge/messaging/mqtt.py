"""Events to an MQTT broker: `contracts.ports.EventSink`, MQTT 5, QoS 1, one CloudEvent a message (structured mode).

A thread of paho's does all the talking. `publish` only puts the event into a bounded queue, so a broker that is slow,
down or unreachable never slows the video; it is tried again after 1, 2, 4 .. 30 s, and what waits is sent when it is
back. The queue holds `QUEUE_EVENTS` events that the broker has not acknowledged; when it is full the newest are refused
and counted in `lost`. `close` waits a few seconds for the rest, then counts it as lost. Acknowledged is not stored: a
broker killed in that moment may forget it, and nothing here survives a restart of this process.
Source: CloudEvents MQTT binding 1.0.2, section 3.3.
"""

import logging
import ssl
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from vedette.contracts.event import CONTENT_TYPE, Event
from vedette.contracts.pipeline import MqttTarget
from vedette.edge.messaging.errors import SinkError

log = logging.getLogger(__name__)

QUEUE_EVENTS = 10_000
IN_FLIGHT = 20  # Mosquitto's default limit of messages it will hold unacknowledged from one client
CONNECT_TIMEOUT_S = 3.0
KEEPALIVE_S = 30
RETRY_FIRST_S, RETRY_MOST_S = 1, 30


class MqttSink:
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
        self._address = f"{'mqtts' if target.tls else 'mqtt'}://{target.host}:{target.port}/{target.topic}"
        self._topic, self._close_timeout_s = target.topic, close_timeout_s
        self._lock = threading.Lock()
        self._waiting = self._published = self._lost = 0
        self._problem: str | None = None
        self._refusing = self._closed = False
        self._properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self._properties.ContentType = CONTENT_TYPE
        client = self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_queued_messages_set(queue_events)
        client.max_inflight_messages_set(IN_FLIGHT)
        client.reconnect_delay_set(RETRY_FIRST_S, RETRY_MOST_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
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
    def published(self) -> int:
        """Events that the broker has acknowledged."""
        return self._published

    @property
    def lost(self) -> int:
        """Events refused by a full queue, by the broker, or left over at the end."""
        return self._lost

    @property
    def waiting(self) -> int:
        """Events that are not acknowledged yet."""
        return self._waiting

    @property
    def problem(self) -> str | None:
        """What keeps events from leaving at the moment; None while connected."""
        return self._problem

    def publish(self, event: Event) -> None:
        """Queue one event; returns at once, whatever the broker does."""
        with self._lock:
            if self._closed:
                self._lost += 1
                return
            self._waiting += 1
        # not under the lock: paho holds one of its own here and while it calls `_on_publish`
        sent = self._client.publish(self._topic, event.to_json(), qos=1, properties=self._properties)
        if sent.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            self._refusing = False
            return
        with self._lock:
            self._waiting -= 1
            self._lost += 1
        if not self._refusing:
            self._refusing = True
            log.warning("%s: the queue is full (%d events wait); new ones are lost", self._address, self._waiting)

    def close(self) -> None:
        """Wait for what is queued, a few seconds at most, then disconnect; the rest is lost, and counted."""
        deadline = time.monotonic() + self._close_timeout_s
        with self._lock:
            if self._closed:
                return
            self._closed = True
        while self._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()
        with self._lock:
            left, self._waiting = self._waiting, 0
            self._lost += left
        if left:
            log.warning("%s: %d events were not acknowledged before the end and count as lost", self._address, left)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._complain(f"the broker refuses the connection: {reason}")
        else:
            if self._problem is not None:
                log.warning("%s: connected; %d events wait to be sent", self._address, self._waiting)
            self._problem = None

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        reason = sys.exc_info()[1]  # paho calls this while it handles the error, and does not pass it on
        self._complain(f"the broker cannot be reached ({reason}); trying again, events wait")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if not self._closed and self._problem is None:
            self._complain(f"the connection was lost ({reason}); trying again, events wait")

    def _on_publish(self, client: Any, data: Any, number: int, reason: ReasonCode, properties: Any) -> None:
        with self._lock:
            self._waiting -= 1
            if reason.is_failure:
                self._lost += 1
            else:
                self._published += 1
        if reason.is_failure:
            self._complain(f"the broker refuses events: {reason}")

    def _complain(self, problem: str) -> None:
        """Say each new problem once."""
        if problem != self._problem:
            log.warning("%s: %s", self._address, problem)
        self._problem = problem
