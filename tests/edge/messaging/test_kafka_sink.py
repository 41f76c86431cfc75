"""Events to a real, if small, Kafka cluster: each once, in order, waiting while it is down, never in the way."""

import logging
import time

import pytest
from kafka_cluster import KafkaCluster
from sample_events import make_events

from vedette.contracts.event import Event
from vedette.contracts.pipeline import KafkaTarget
from vedette.edge.messaging.errors import SinkError
from vedette.edge.messaging.kafka import KafkaSink

TOPIC = "site.events"


@pytest.fixture
def cluster():
    cluster = KafkaCluster()
    cluster.make_topic(TOPIC)
    yield cluster
    cluster.close()


def target_of(cluster, **more):
    return KafkaTarget(kind="kafka", brokers=(cluster.address,), topic=TOPIC, **more)


def events_of(cameras, count):
    """`count` events, turn by turn of these cameras."""
    made = []
    for number, event in enumerate(make_events(count)):
        data = event.data.model_copy(update={"camera": cameras[number % len(cameras)]})
        made.append(event.model_copy(update={"data": data}))
    return made


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    return condition()


def by_camera(messages):
    """Ids by key, in the order of the partition; each camera is in one partition."""
    found, places = {}, {}
    for message in messages:
        camera = message.key().decode()
        found.setdefault(camera, []).append(Event.from_json(message.value()).id)
        assert places.setdefault(camera, message.partition()) == message.partition()
    return found


def ids_of(events):
    found = {}
    for event in events:
        found.setdefault(event.data.camera, []).append(event.id)
    return found


def test_events_arrive_once_in_order_keyed_by_camera_as_cloud_events(cluster):
    sink, events = KafkaSink(target_of(cluster)), events_of(["door", "yard", "hall"], 300)
    for event in events:
        sink.publish(event)
    sink.close()
    assert (sink.published, sink.lost, sink.waiting, sink.problem) == (300, 0, 0, None)
    messages = cluster.read(TOPIC, 300)
    assert by_camera(messages) == ids_of(events)
    assert messages[0].headers() == [("content-type", b"application/cloudevents+json")]
    assert {message.value() for message in messages} == {event.to_json().encode() for event in events}


def test_brokers_that_go_and_come_lose_nothing_and_double_nothing(cluster, caplog):
    caplog.set_level(logging.WARNING)
    sink, events = KafkaSink(target_of(cluster)), events_of(["door", "yard"], 400)
    for number, event in enumerate(events):
        if number == 100:
            assert within(60, lambda: sink.published == 100)
            cluster.go_down()
        if number == 300:
            assert within(60, lambda: sink.problem is not None)
            assert sink.waiting == 200
            cluster.come_up()
        began = time.perf_counter()
        sink.publish(event)
        assert time.perf_counter() - began < 0.25  # 5 microseconds; never as long as a broker that is away
    assert within(60, lambda: sink.published == 400), (sink.published, sink.problem)
    assert sink.problem is None
    sink.close()
    assert (sink.published, sink.lost) == (400, 0)
    assert by_camera(cluster.read(TOPIC, 400)) == ids_of(events)
    said = [record.getMessage() for record in caplog.records if record.name.endswith("kafka")]
    assert sum("cannot be reached" in line for line in said) == 1
    assert sum("connected" in line for line in said) == 1


def test_a_full_queue_refuses_the_newest_and_counts_them(cluster):
    cluster.go_down()
    sink, events = KafkaSink(target_of(cluster), queue_events=50, close_timeout_s=0.2), events_of(["door"], 80)
    for event in events:
        sink.publish(event)
    assert (sink.waiting, sink.lost) == (50, 30)
    cluster.come_up()
    assert within(60, lambda: sink.published == 50)
    sink.close()
    assert by_camera(cluster.read(TOPIC, 50)) == {"door": [f"e-{number}" for number in range(50)]}


def test_what_waits_at_the_end_is_lost_in_good_time_and_counted(cluster, caplog):
    caplog.set_level(logging.WARNING)
    cluster.go_down()
    sink = KafkaSink(target_of(cluster), close_timeout_s=0.3)
    for event in events_of(["door"], 7):
        sink.publish(event)
    began = time.monotonic()
    sink.close()
    sink.close()
    assert time.monotonic() - began < 10
    sink.publish(make_events(1)[0])
    assert (sink.published, sink.lost, sink.waiting) == (0, 8, 0)
    assert sum("7 events are lost" in record.getMessage() for record in caplog.records) == 1


def test_brokers_that_never_were_are_a_problem_and_no_error(free_port):
    sink = KafkaSink(KafkaTarget(kind="kafka", brokers=(f"127.0.0.1:{free_port}",), topic=TOPIC), close_timeout_s=0.1)
    sink.publish(make_events(1)[0])
    assert within(60, lambda: sink.problem is not None)
    assert "cannot be reached" in sink.problem
    sink.close()
    assert sink.lost == 1


def test_a_password_is_in_no_name_problem_or_log(cluster, caplog):
    caplog.set_level(logging.DEBUG)
    target = target_of(cluster, username="box-7", mechanism="SCRAM-SHA-256")  # which this cluster does not speak
    sink = KafkaSink(target, "canary-secret", close_timeout_s=0.1)
    sink.publish(make_events(1)[0])
    assert within(60, lambda: sink.problem is not None)
    told = f"{sink.name} {sink.problem} {sink!r} {caplog.text}"
    sink.close()
    assert sink.lost == 1 and "canary-secret" not in told + caplog.text


def test_settings_that_librdkafka_refuses_are_one_sentence(cluster):
    with pytest.raises(SinkError, match=r"queue\.buffering\.max\.messages") as caught:
        KafkaSink(target_of(cluster), queue_events=-5)
    assert "\n" not in str(caught.value)


def test_brokers_that_want_no_more_of_it_are_said_and_the_caller_goes_on(cluster, caplog):
    cluster.refuse_producers()
    sink, events = KafkaSink(target_of(cluster)), make_events(4)
    sink.publish(events[0])
    assert within(60, lambda: sink.lost == 1)
    for event in events[1:]:
        sink.publish(event)
    assert (sink.published, sink.lost, sink.waiting) == (0, 4, 0)
    assert within(60, lambda: sink.problem is not None)
    assert "cannot be sent any more" in sink.problem and "authoriz" in sink.problem.lower()
    sink.close()
    said = [record.getMessage() for record in caplog.records if record.name.endswith("kafka")]
    assert sum("cannot be sent any more" in line for line in said) == 1
    assert sum("new ones are lost" in line for line in said) == 1
    assert "4 events are lost" in said[-1]
