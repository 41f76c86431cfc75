"""Events to a real broker: delivered while it is up, waiting while it is down, never slowing the caller."""

import contextlib
import logging
import socket
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
    return MqttTarget(kind="mqtt", host="127.0.0.1", topic=TOPIC, **{"port": broker.port, **more})


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


class SlowToAnswer:
    """Stands before a broker, and holds back its first answer to each connection until it is told to go on."""

    def __init__(self, broker_port):
        self._broker_port, self._server = broker_port, socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.asked, self.go_on, self.connections = threading.Event(), threading.Event(), []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                self.connections.append((client, broker))
                threading.Thread(target=self._pass_on, args=(client, broker, None), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(broker, client, self.go_on), daemon=True).start()

    def _pass_on(self, source, target, first):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if first is not None:
                    self.asked.set()
                    first.wait(60)
                    first = None
                target.sendall(data)

    def hang_up(self):
        self.asked.clear()
        self.go_on.clear()
        for pair in self.connections:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.hang_up()
        self._server.close()


def test_events_stay_in_order_while_a_broker_takes_its_time_to_answer(broker):
    """Before the connection, between it and the broker's answer, after it; and the same on the next connection."""
    broker.start()
    listener, events = Listener(broker.port), make_events(400)
    between = SlowToAnswer(broker.port)
    sink = MqttSink(target_of(broker, port=between.port), close_timeout_s=60)
    try:
        for begin in (0, 200):
            for event in events[begin : begin + 60]:
                sink.publish(event)
            assert between.asked.wait(60)
            for event in events[begin + 60 : begin + 120]:
                sink.publish(event)
            between.go_on.set()
            for event in events[begin + 120 : begin + 200]:
                sink.publish(event)
            assert within(60, lambda: sink.waiting == 0)
            if not begin:
                between.hang_up()
        sink.close()
    finally:
        between.close()
    assert (sink.published, sink.lost) == (400, 0)
    listener.expect([event.id for event in events])
    assert listener.events() == events
    listener.close()


def test_events_on_their_way_when_a_connection_breaks_come_before_those_that_wait(broker):
    broker.start()
    listener, events = Listener(broker.port), make_events(120)
    between = SlowToAnswer(broker.port)
    sink = MqttSink(target_of(broker, port=between.port), close_timeout_s=60)
    try:
        between.go_on.set()
        sink.publish(events[0])
        assert within(60, lambda: sink.published == 1)
        broker.pause()  # takes events and acknowledges none
        for event in events[1:60]:
            sink.publish(event)
        time.sleep(0.2)
        assert sink.waiting == 59
        between.hang_up()
        broker.go_on()
        assert between.asked.wait(60)
        for event in events[60:]:
            sink.publish(event)
        between.go_on.set()
        sink.close()
    finally:
        between.close()
    assert (sink.published, sink.lost) == (120, 0)
    listener.expect([event.id for event in events])
    told = [event.id for event in listener.events()]
    first = list(dict.fromkeys(told))  # what was on its way may come twice: QoS 1
    assert first == [event.id for event in events]
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
