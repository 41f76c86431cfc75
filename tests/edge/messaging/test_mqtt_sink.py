"""Events to a real broker: delivered while it is up, waiting while it is down, never slowing the caller."""

import logging
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sample_events import make_events

from simulators.lag_meter import LagMeter
from vedette.contracts.event import Event
from vedette.contracts.pipeline import MqttTarget
from vedette.edge.messaging.mqtt import MqttSink

pytestmark = pytest.mark.needs_server
TOPIC = "site/events"


def target_of(broker, **more):
    return MqttTarget(kind="mqtt", host="127.0.0.1", port=broker.port, topic=TOPIC, **more)


class Listener:
    """A subscriber that remembers every message."""

    def __init__(self, port, username=None, password=None):
        self.messages, self._subscribed = [], threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = lambda client, *_: client.subscribe(TOPIC, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(60)

    def expect(self, ids, seconds=60.0):
        assert within(seconds, lambda: {e.id for e in self.events()} >= set(ids)), [e.id for e in self.events()]

    def wait_subscribed_again(self):
        self._subscribed.clear()
        assert self._subscribed.wait(60)

    def events(self):
        return [Event.from_json(message.payload) for message in list(self.messages)]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def timed_publish(sink, events):
    """Milliseconds that each call took, sorted, and what they may: 5, and what a busy machine holds anybody up for."""
    spent = []
    with LagMeter() as lag:
        for event in events:
            began = time.perf_counter()
            sink.publish(event)
            spent.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.001)
    return sorted(spent), 5 + lag.slack_s * 1e3


def test_events_arrive_in_order_as_cloud_events_with_qos_1(broker):
    broker.start()
    listener, events = Listener(broker.port), make_events(200)
    sink = MqttSink(target_of(broker))
    for event in events:
        sink.publish(event)
    sink.close()
    assert (sink.published, sink.lost, sink.waiting) == (200, 0, 0)
    listener.expect([event.id for event in events])
    assert listener.events() == events
    assert listener.messages[0].qos == 1
    assert listener.messages[0].properties.ContentType == "application/cloudevents+json"
    listener.close()


def test_a_broker_that_is_down_at_the_start_gets_everything_once_it_is_up(broker, caplog):
    events = make_events(50)
    with caplog.at_level(logging.WARNING):
        sink = MqttSink(target_of(broker), close_timeout_s=60)
        spent_ms, limit_ms = timed_publish(sink, events)
        assert within(60, lambda: sink.problem is not None)
    assert "refused" in str(sink.problem)
    assert len(caplog.records) == 1
    assert spent_ms[-1] < limit_ms
    assert (sink.published, sink.waiting) == (0, 50)
    broker.start()
    assert within(60, lambda: sink.published == 50)
    assert sink.problem is None
    sink.close()
    assert sink.lost == 0


def test_a_broker_killed_midway_and_started_again_gets_the_rest(broker):
    broker.start()
    listener = Listener(broker.port)
    sink = MqttSink(target_of(broker), close_timeout_s=60)
    events = make_events(300)
    for event in events[:100]:
        sink.publish(event)
    assert within(60, lambda: sink.published == 100)
    listener.expect([event.id for event in events[:100]])
    broker.kill()
    spent_ms, limit_ms = timed_publish(sink, events[100:])
    assert spent_ms[int(len(spent_ms) * 0.98)] < limit_ms, spent_ms[-5:]
    assert sink.waiting > 0
    broker.start()
    sink.close()
    assert (sink.published, sink.lost) == (300, 0)
    listener.close()


def test_a_full_queue_loses_the_newest_and_counts_them(broker, caplog):
    with caplog.at_level(logging.WARNING):
        sink = MqttSink(target_of(broker), queue_events=10, close_timeout_s=60)
        for event in make_events(25):
            sink.publish(event)
    assert (sink.lost, sink.waiting) == (15, 10)
    assert sum("queue is full" in record.message for record in caplog.records) == 1
    broker.start()
    listener = Listener(broker.port)
    sink.close()
    assert (sink.published, sink.lost) == (10, 15)
    listener.close()


def test_closing_without_a_broker_ends_soon_and_counts_what_was_left(broker):
    sink = MqttSink(target_of(broker), close_timeout_s=0.3)
    for event in make_events(7):
        sink.publish(event)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 5
    sink.publish(make_events(1)[0])
    assert (sink.published, sink.lost, sink.waiting) == (0, 8, 0)


def test_user_name_and_password_open_a_guarded_broker_and_are_never_shown(guarded_broker):
    sink = MqttSink(target_of(guarded_broker, username="camera"), "s3cret", close_timeout_s=60)
    sink.publish(make_events(1)[0])
    sink.close()
    assert (sink.published, sink.lost) == (1, 0)
    assert "s3cret" not in sink.name + repr(sink)


def test_a_wrong_password_is_said_and_the_caller_goes_on(guarded_broker):
    sink = MqttSink(target_of(guarded_broker, username="camera"), "wrong", close_timeout_s=0.3)
    sink.publish(make_events(1)[0])
    assert within(60, lambda: sink.problem is not None)
    assert "refuses" in str(sink.problem)
    sink.close()
    assert (sink.published, sink.lost) == (0, 1)
