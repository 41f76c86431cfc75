"""What waits between a camera's thread and the detector: one bounded box per camera, its policy in its name.

All boxes of a run share one lock (`Arrivals`): a few hundred slots pass in a second, so it is never contended, and the
batcher can look at every camera at once. Boxes are closed by the camera (`finish`) or for everybody (`Arrivals.close`).
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.frame import FittedFrame
from vedette.contracts.ports import FullPicture

FIRST_SPACING_S = 1 / 6  # from slot to slot, until two were seen: every 5th frame of 30 a second
MOST_SPACING_S = 1.0  # after a gap, which says nothing about the next slot


@dataclass(frozen=True, slots=True)
class Slot:
    """A frame that detection is due on, fitted, with the full picture behind it.

    A patient one is late on purpose (a gate opened and looked back) and must not be overtaken. `done`, where there is
    one, is called when detection is over and the frame's pixels may be written over; they are kept by nobody.
    """

    frame: FittedFrame
    picture: FullPicture
    patient: bool = False
    done: Callable[[], None] | None = None


class Outbox(Protocol):
    """What a camera hands its slots to: a `Mailbox`, or from another process the way to one."""

    def make_room(self, *, patient: bool) -> NDArray[np.uint8] | None:
        """Before the next slot is fitted: where its pixels, (input height, input width, 3), may be written to at once.

        Waits as `put` would. None: `put` takes them from anywhere.
        """
        ...

    def put(self, slot: Slot) -> int:
        """Hand a slot over; returns how many slots were lost by it."""
        ...

    def keep_informed(self, now: float) -> None:
        """Called after every frame with the monotonic clock."""
        ...

    def finish(self) -> None:
        """The camera is over."""
        ...


@dataclass(slots=True)
class Arrivals:
    """The lock and the bell of all boxes of a run."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False
    bell: threading.Condition = field(init=False)
    _boxes: "list[Mailbox]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bell = threading.Condition(self.lock)

    def add(self, box: "Mailbox") -> None:
        """Count a box in, so that closing reaches it."""
        self._boxes.append(box)

    def close(self) -> None:
        """Nobody waits any more; from any thread."""
        with self.lock:
            self.closed = True
            self.bell.notify_all()
            for box in self._boxes:
                box.wake()


class Mailbox:
    """What the two policies share. The reading side (`ready`, `take`, `over`) is called with the lock held."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._slots: deque[Slot] = deque()
        self._finished = False
        self.waits_for_answers = (
            False  # the camera may give its next slot only once it knows what was found in the last
        )
        self.overtaken = 0  # slots lost to newer ones so far
        arrivals.add(self)

    @property
    def ready(self) -> bool:
        """Something waits."""
        return bool(self._slots)

    @property
    def over(self) -> bool:
        """Nothing waits and nothing will come."""
        return self._finished and not self._slots

    @property
    def deadline_s(self) -> float:
        """When what waits has waited too long, on the monotonic clock; never where nothing is lost by waiting."""
        return float("inf")

    def take(self) -> Slot:
        """The oldest waiting slot."""
        return self._slots.popleft()

    def make_room(self, *, patient: bool) -> None:
        """Nothing to do: pixels are taken where they are."""

    def put(self, slot: Slot) -> int:
        """Hand a slot over; returns how many slots were lost by it."""
        raise NotImplementedError

    def keep_informed(self, now: float) -> None:
        """Nothing to do: whoever looks sees the camera's counters themselves."""

    def finish(self) -> None:
        """The camera is over; what waits will still be taken."""
        with self._arrivals.lock:
            self._finished = True
            self._arrivals.bell.notify_all()

    def wake(self) -> None:
        """Called with the lock held when the run is closed: what waits will not be taken any more."""
        self._slots.clear()


class NewestWins(Mailbox):
    """Holds one slot; a newer one takes its place. Never blocks, but for patient slots, of which none is lost."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__(arrivals)
        self._taken = threading.Condition(arrivals.lock)
        self._waiting = False  # the camera, for room
        self._since_s = 0.0  # when the first of the slots that took each other's place came
        self._last_media_s: float | None = None
        self._spacing_s = FIRST_SPACING_S

    @property
    def deadline_s(self) -> float:
        """When the camera's next slot is due."""
        return self._since_s + self._spacing_s

    def put(self, slot: Slot) -> int:
        """Hand a slot over; returns 1 when an older one was lost by it."""
        with self._arrivals.lock:
            while self._slots and (slot.patient or self._slots[-1].patient) and not self._arrivals.closed:
                self._waiting = True
                self._taken.wait()
            self._waiting = False
            lost = len(self._slots)
            self._slots.clear()
            self.overtaken += lost
            self._note_times(slot, overtakes=lost > 0)
            if not self._arrivals.closed:
                self._slots.append(slot)
                self._arrivals.bell.notify_all()
        return lost

    def _note_times(self, slot: Slot, overtakes: bool) -> None:
        media_s, last_s = slot.frame.stamp.media_time_s, self._last_media_s
        self._last_media_s = media_s
        if last_s is not None:
            self._spacing_s = min(max(media_s - last_s, 0.0), MOST_SPACING_S)
        if not overtakes:
            self._since_s = time.monotonic()

    def take(self) -> Slot:
        """The waiting slot; a camera that waits may go on."""
        slot = super().take()
        if self._waiting:
            self._taken.notify()
        return slot

    def wake(self) -> None:
        """Let the camera go."""
        super().wake()
        self._taken.notify_all()


class LosslessQueue(Mailbox):
    """Holds up to `room` slots and makes the camera wait when they are full. Loses nothing."""

    def __init__(self, arrivals: Arrivals, room: int, *, waits_for_answers: bool = False) -> None:
        super().__init__(arrivals)
        self.waits_for_answers = waits_for_answers
        self._room = room
        self._taken = threading.Condition(arrivals.lock)

    def put(self, slot: Slot) -> int:
        """Hand a slot over; blocks while the queue is full, unless the run is closed."""
        with self._arrivals.lock:
            while len(self._slots) >= self._room and not self._arrivals.closed:
                self._taken.wait()
            if not self._arrivals.closed:
                self._slots.append(slot)
                self._arrivals.bell.notify_all()
        return 0

    def take(self) -> Slot:
        """The oldest waiting slot; the camera may go on."""
        slot = super().take()
        self._taken.notify()
        return slot

    def wake(self) -> None:
        """Let the camera go."""
        super().wake()
        self._taken.notify_all()
