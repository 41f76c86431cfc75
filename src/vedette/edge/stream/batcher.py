"""Packs the waiting slots of all cameras into batches for the detector.

`InTurn` is for runs of lossless files only: it takes one slot of each open camera in turn and waits for the camera
whose turn it is, so what a batch holds, and when a camera ends, never depends on timing; of a camera that waits for
answers a batch holds one slot. `AsReady` is for every other run: it takes what is there in the order of
`schedule.Turns` (one slot of each camera a round, the earliest deadline first), and waits only a few milliseconds for
more once something is there; no camera waits for the slowest.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vedette.edge.stream.mailbox import Arrivals, Mailbox, Slot
from vedette.edge.stream.schedule import Turns

LINGER_S = 0.004  # a tenth of a frame interval; saves a batch of one when cameras tick together


@dataclass(slots=True)
class Batch:
    """Slots to detect on, then cameras (their numbers) that are over: no slot of them comes after this batch."""

    slots: list[Slot] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


class Batcher(Protocol):
    """Where the detecting thread waits."""

    def next_batch(self, limit: int) -> Batch | None:
        """Blocks until there is something to do; `None` when all cameras are over or the run is closed."""
        ...


class InTurn:
    """Deterministic: one slot of each open camera in turn."""

    def __init__(self, arrivals: Arrivals, boxes: Sequence[Mailbox]) -> None:
        self._arrivals = arrivals
        self._open = list(enumerate(boxes))
        self._turn = 0

    def next_batch(self, limit: int) -> Batch | None:
        """Up to `limit` slots; fewer when all cameras have ended meanwhile, or one must hear of its slot first."""
        batch = Batch()
        asking: set[int] = set()
        with self._arrivals.lock:
            while self._open and len(batch.slots) < limit:
                number, box = self._open[self._turn]
                if number in asking:
                    break
                while not (box.ready or box.over or self._arrivals.closed):
                    self._arrivals.bell.wait()
                if self._arrivals.closed:
                    return None
                if box.over:
                    batch.ended.append(number)
                    del self._open[self._turn]
                else:
                    batch.slots.append(box.take())
                    self._turn += 1
                    if box.waits_for_answers:
                        asking.add(number)
                self._turn %= max(len(self._open), 1)
        return batch if batch.slots or batch.ended else None


class AsReady:
    """Timely: whatever waits, fairly."""

    def __init__(self, arrivals: Arrivals, boxes: Sequence[Mailbox], linger_s: float = LINGER_S) -> None:
        self._arrivals = arrivals
        self._boxes = list(boxes)
        self._open = set(range(len(boxes)))
        self._turns = Turns(len(boxes))
        self._linger_s = linger_s

    def next_batch(self, limit: int) -> Batch | None:
        """Up to `limit` slots."""
        with self._arrivals.lock:
            while not self._arrivals.closed and self._open and not self._something():
                self._arrivals.bell.wait()
            self._linger(limit)
            if self._arrivals.closed or not self._open:
                return None
            batch = Batch(slots=self._take(limit))
            batch.ended = [number for number in sorted(self._open) if self._boxes[number].over]
            self._open.difference_update(batch.ended)
        return batch

    def _something(self) -> bool:
        return any(self._boxes[number].ready or self._boxes[number].over for number in self._open)

    def _linger(self, limit: int) -> None:
        deadline = time.monotonic() + self._linger_s
        while not self._arrivals.closed:
            waiting = sum(self._boxes[number].ready for number in self._open)
            left_s = deadline - time.monotonic()
            if waiting == 0 or waiting >= min(limit, len(self._open)) or left_s <= 0:
                return
            self._arrivals.bell.wait(left_s)

    def _take(self, limit: int) -> list[Slot]:
        slots: list[Slot] = []
        for box_number in self._open:
            self._line_up(box_number)
        while len(slots) < limit and (number := self._turns.next()) is not None:
            slots.append(self._boxes[number].take())
            self._line_up(number)
        return slots

    def _line_up(self, number: int) -> None:
        box = self._boxes[number]
        if box.ready:
            self._turns.wait(number, box.deadline_s)
