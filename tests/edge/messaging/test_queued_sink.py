"""What sinks with a queue count and say, whatever broker is behind them."""

import logging
import threading
from collections import deque

import pytest
from sample_events import make_events

from vedette.contracts.event import Event
from vedette.edge.messaging.complaints import Complaints
from vedette.edge.messaging.queued_sink import QUEUE_FULL, QueuedSink

log = logging.getLogger(__name__)


class Shelf(QueuedSink):
    """Holds so many events until somebody takes them."""

    def __init__(self, room: int) -> None:
        super().__init__("shelf://here", log)
        self.room = room
        self.held: deque[Event] = deque()

    def _enqueue(self, event: Event) -> str | None:
        if len(self.held) >= self.room:
            return QUEUE_FULL
        self.held.append(event)
        return None

    def take(self, *, delivered: bool = True) -> None:
        self.held.popleft()
        self._settle(delivered=delivered)

    def close(self) -> None:
        if self._take_no_more():
            self._lose_the_rest()


def counts(sink: QueuedSink) -> tuple[int, int, int]:
    return sink.published, sink.lost, sink.waiting


def test_every_event_is_counted_once() -> None:
    sink = Shelf(room=3)
    for event in make_events(5):
        sink.publish(event)
    assert counts(sink) == (0, 2, 3)
    sink.take()
    sink.take(delivered=False)
    assert counts(sink) == (1, 3, 1)
    sink.close()
    sink.close()
    assert counts(sink) == (1, 4, 0)
    sink.publish(make_events(1)[0])
    assert counts(sink) == (1, 5, 0) and len(sink.held) == 1


def test_the_newest_are_refused_and_that_is_said_once_for_each_time_the_queue_is_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, events = Shelf(room=2), make_events(7)
    for event in events[:4]:
        sink.publish(event)
    assert [event.id for event in sink.held] == ["e-0", "e-1"]
    full = "shelf://here: the queue is full (2 events wait); new ones are lost"
    assert caplog.messages == [full]
    sink.take()
    for event in events[4:]:
        sink.publish(event)
    assert [event.id for event in sink.held] == ["e-1", "e-4"]
    assert caplog.messages == [full, full]


def test_events_of_several_threads_are_all_counted() -> None:
    sink = Shelf(room=10_000)
    threads = [threading.Thread(target=lambda: [sink.publish(event) for event in make_events(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(sink) == (0, 0, 2000)


def test_a_problem_is_said_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints("broker", log)
    complaints.recover("back")
    for problem in ("away", "away", "wrong password"):
        complaints.complain(problem)
    assert complaints.problem == "wrong password"
    complaints.recover("back")
    assert complaints.problem is None
    assert caplog.messages == ["broker: away", "broker: wrong password", "broker: back"]


def test_other_words_for_the_same_trouble_are_kept_but_not_said(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints("broker", log)
    for problem in ("timed out", "refused"):
        complaints.complain_at_first(problem)
    assert complaints.problem == "refused"
    assert caplog.messages == ["broker: timed out"]
