"""Bounded boxes with a stated policy, and batches that are deterministic for files and timely for the rest."""

import threading
import time

import numpy as np
import pytest

from vedette.contracts.frame import FittedFrame, FrameStamp, Placement
from vedette.edge.stream.batcher import AsReady, InTurn
from vedette.edge.stream.mailbox import Arrivals, LosslessQueue, NewestWins, Slot


def slot(camera: str, index: int) -> Slot:
    stamp = FrameStamp(camera, index, index / 25, 0.0, 4, 4)
    frame = FittedFrame(stamp, Placement(4, 4, 4, 4, 4, 4), np.zeros((4, 4, 3), np.uint8))
    return Slot(frame, picture=None)  # type: ignore[arg-type]


def names(slots: list[Slot]) -> list[str]:
    return [f"{s.frame.stamp.camera}{s.frame.stamp.index}" for s in slots]


def test_the_newest_slot_wins_and_the_loss_is_told():
    box = NewestWins(Arrivals())
    assert [box.put(slot("a", index)) for index in range(3)] == [0, 1, 1]
    assert names([box.take()]) == ["a2"] and not box.ready


def test_a_full_lossless_queue_makes_the_camera_wait():
    arrivals = Arrivals()
    box = LosslessQueue(arrivals, room=2)
    done = threading.Event()

    def fill() -> None:
        for index in range(4):
            assert box.put(slot("a", index)) == 0
        done.set()

    thread = threading.Thread(target=fill)
    thread.start()
    assert not done.wait(0.05)
    taken = []
    while len(taken) < 4:
        with arrivals.lock:
            taken += [box.take()] if box.ready else []
    thread.join()
    assert names(taken) == ["a0", "a1", "a2", "a3"]


def test_closing_lets_a_waiting_camera_go():
    arrivals = Arrivals()
    box = LosslessQueue(arrivals, room=1)
    thread = threading.Thread(target=lambda: [box.put(slot("a", index)) for index in range(3)])
    thread.start()
    arrivals.close()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("delays", [(0, 0.01, 0), (0.01, 0, 0.02)])
def test_files_in_turn_give_the_same_batches_whatever_their_speed(delays: tuple[float, ...]):
    arrivals = Arrivals()
    boxes = [LosslessQueue(arrivals, room=2) for _ in delays]
    lengths = (2, 5, 3)

    def feed(number: int) -> None:
        for index in range(lengths[number]):
            time.sleep(delays[number])
            boxes[number].put(slot("abc"[number], index))
        boxes[number].finish()

    threads = [threading.Thread(target=feed, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    batcher, batches = InTurn(arrivals, boxes), []
    while (batch := batcher.next_batch(4)) is not None:
        batches.append((names(batch.slots), batch.ended))
    for thread in threads:
        thread.join()
    assert batches == [
        (["a0", "b0", "c0", "a1"], []),
        (["b1", "c1", "b2", "c2"], [0]),
        (["b3", "b4"], [2, 1]),
    ]


def test_a_batch_holds_one_slot_of_each_camera_that_waits_for_answers():
    arrivals = Arrivals()
    boxes = [LosslessQueue(arrivals, 4, waits_for_answers=waits) for waits in (True, False)]
    for index in range(2):
        boxes[0].put(slot("a", index))
    for index in range(4):
        boxes[1].put(slot("b", index))
    batcher, batches = InTurn(arrivals, boxes), []
    batches.append(batcher.next_batch(8))  # it would wait for ever for a camera that waits for it
    batches.append(batcher.next_batch(8))
    boxes[0].finish()
    boxes[1].finish()
    batches.append(batcher.next_batch(8))
    assert [names(batch.slots) for batch in batches if batch] == [["a0", "b0"], ["a1", "b1"], ["b2", "b3"]]
    assert batcher.next_batch(8) is None


def test_what_is_ready_does_not_wait_for_the_slowest():
    arrivals = Arrivals()
    boxes = [NewestWins(arrivals) for _ in range(3)]
    boxes[1].put(slot("b", 0))
    batch = AsReady(arrivals, boxes).next_batch(4)  # a batcher that waits for the others waits for ever
    assert batch is not None and names(batch.slots) == ["b0"] and not batch.ended


def test_cameras_are_served_in_rounds():
    arrivals = Arrivals()
    boxes = [NewestWins(arrivals) for _ in range(5)]
    batcher = AsReady(arrivals, boxes)
    served = []
    for _ in range(5):
        for number, box in enumerate(boxes):  # every camera always has something new
            box.put(slot("abcde"[number], 0))
        batch = batcher.next_batch(2)
        assert batch is not None
        served += names(batch.slots)
    assert sorted(served) == sorted(f"{camera}0" for camera in "aabbccddee")


def test_an_end_is_told_once_and_after_the_last_slot():
    arrivals = Arrivals()
    boxes = [NewestWins(arrivals), NewestWins(arrivals)]
    batcher = AsReady(arrivals, boxes)
    boxes[0].finish()
    boxes[1].put(slot("b", 0))
    boxes[1].finish()
    batch = batcher.next_batch(4)
    assert batch is not None and names(batch.slots) == ["b0"] and batch.ended == [0, 1]
    assert batcher.next_batch(4) is None


def test_a_closed_run_has_no_batch():
    arrivals = Arrivals()
    boxes = [NewestWins(arrivals)]
    boxes[0].put(slot("a", 0))
    arrivals.close()
    assert AsReady(arrivals, boxes).next_batch(4) is None
    assert InTurn(arrivals, boxes).next_batch(4) is None
