"""What `contracts.ports.EventSink`s share that hand events to a broker's client and hear later what became of them.

Guarantees: `publish` only puts the event into the client's bounded queue; when that is full the newest events are
refused; each event is counted once, as waiting, published or lost. Connecting, sending and waiting at the end are the
sinks' own.
"""

import logging
import threading
from abc import ABC, abstractmethod

from vedette.contracts.event import AnyEvent
from vedette.edge.messaging.complaints import Complaints

QUEUE_FULL = "the queue is full"


class QueuedSink(ABC):
    """Counts events and keeps what is wrong; publishes from any thread."""

    def __init__(self, address: str, log: logging.Logger) -> None:
        self._complaints = Complaints(address, log)
        self._log = log
        self._lock = threading.Lock()
        self._waiting = self._published = self._lost = 0
        self._refusing = False
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        """The broker's address and topic, without credentials."""
        return self._complaints.address

    @property
    def published(self) -> int:
        """Events that the broker has acknowledged; in Kafka, every replica in sync."""
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
        """What keeps events from leaving at the moment; None while they leave."""
        return self._complaints.problem

    def publish(self, event: AnyEvent) -> None:
        """Queue one event; returns at once, whatever the broker does."""
        with self._lock:
            if self._closed.is_set():
                self._lost += 1
                return
            self._waiting += 1
        # not under the lock: clients hold one of their own here and while they tell what became of an event
        refusal = self._enqueue(event)
        if refusal is None:
            self._refusing = False
            return
        self._settle(delivered=False)
        if not self._refusing:
            self._refusing = True
            self._log.warning("%s: %s (%d events wait); new ones are lost", self.name, refusal, self._waiting)

    @abstractmethod
    def close(self) -> None:
        """Wait for what is queued, a few seconds at most; the rest is lost, and counted."""

    @abstractmethod
    def _enqueue(self, event: AnyEvent) -> str | None:
        """Hand the event to the client at once; why it takes none (`QUEUE_FULL`, say), or None when it did."""

    def _settle(self, *, delivered: bool) -> None:
        """Count what became of one waiting event."""
        with self._lock:
            self._waiting -= 1
            if delivered:
                self._published += 1
            else:
                self._lost += 1

    def _take_no_more(self) -> bool:
        """Refuse events from now on; False when it was so already."""
        with self._lock:
            was_open = not self._closed.is_set()
            self._closed.set()
        return was_open

    def _lose_the_rest(self) -> int:
        """Count all that waits as lost, when nothing is told of it any more; how many."""
        with self._lock:
            left, self._waiting = self._waiting, 0
            self._lost += left
        return left
