"""The body of a decoder process: runs one camera as `camera.CameraWorker` does, and hands its slots to the parent.

The camera's own thread takes the credits for slots of the ring, and waits for them: nothing else wakes for a frame. A
thread listens to the parent: another rate, what detections say against the gate, and the end of the conversation, which
means stop; once a second it says to it that this process lives. When the camera does not end then, because a read
inside FFmpeg blocks, the thread reports in its place. So there is always an `EndMessage` with the last counts, but when
the process is killed or its native code dies: what it is there for.
"""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections import deque
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from vedette.edge.stream.camera import CameraSettings, CameraWorker, Ending
from vedette.edge.stream.camera_spec import SourceKind
from vedette.edge.stream.decoder_messages import (
    BEAT_EVERY_S,
    MESSAGE_BYTES,
    PICTURES,
    REPORT_EVERY_S,
    Beat,
    EndMessage,
    Message,
    Order,
    Report,
    SlotMessage,
    encode_message,
)
from vedette.edge.stream.errors import CameraInputError
from vedette.edge.stream.fitting import FullFrame, quarter_turns
from vedette.edge.stream.mailbox import Slot
from vedette.edge.stream.masking import masked_traceback
from vedette.edge.stream.packet_tap import PacketTap
from vedette.edge.stream.packet_wire import SocketOutlet
from vedette.edge.stream.shared_frames import FrameRing
from vedette.edge.stream.shared_picture import share_picture
from vedette.edge.stream.statistics import CameraCounters, CameraState
from vedette.edge.stream.witness import Answer

MOST_PICTURES = 2  # full ones under way of a camera that waits for the detector
STUCK_S = 0.3  # for the camera to end by itself when it is asked to


def decode_camera(socket_fd: int, ring_fd: int) -> NoReturn:
    """Take the order, run the camera to its end, say so, end the process."""
    link = socket.socket(fileno=socket_fd)
    packet, fds, _, _ = socket.recv_fds(link, MESSAGE_BYTES, 2)
    if packet:
        credit, *taps = (socket.socket(fileno=fd) for fd in fds)
        _run(link, credit, Order.decode(packet), ring_fd, taps)
    os._exit(0)


def _run(link: socket.socket, credit: socket.socket, order: Order, ring_fd: int, taps: list[socket.socket]) -> None:
    counters = CameraCounters(order.spec.name)
    counters.adopt(order.tally, time.monotonic())
    stop = threading.Event()
    ring = FrameRing(ring_fd, order.ring_slots, order.network_input.width, order.network_input.height)
    outbox = RingOutbox(link, credit, ring, stop, order)
    timeouts_s = (order.open_timeout_s, order.read_timeout_s)
    settings = CameraSettings(order.network_input, order.every, *timeouts_s, stop, order.fps)
    worker = CameraWorker(order.spec, settings, outbox, counters, order.start)
    outbox.worker = worker
    worker.refuse = lambda why: outbox.end(Ending(CameraState.FAILED, why, CameraInputError.retry))
    for tap in taps:  # one, where somebody may want the packets
        worker.tap = PacketTap(SocketOutlet(tap, waits=order.spec.is_lossless))
    threading.Thread(target=outbox.listen, name="listener", daemon=True).start()
    ending = worker.watch()
    outbox.end(ending, None if worker.crash is None else masked_traceback(worker.crash, order.spec))


class RingOutbox:
    """`mailbox.Outbox` across the border. A lossless camera waits for a free slot; any other loses the frame."""

    worker: CameraWorker  # set before it runs; the two know each other

    def __init__(
        self, link: socket.socket, credit: socket.socket, ring: FrameRing, stop: threading.Event, order: Order
    ) -> None:
        self._link = link
        self._credit = credit
        self._ring = ring
        self._stop = stop
        self._lossless = order.spec.is_lossless
        self._pictures = order.pictures
        self._free = deque(range(ring.slots))
        self._pictured: set[int] = set()  # slots under way with a full picture
        self._next_report_s = 0.0
        self._next_beat_s = time.monotonic() + BEAT_EVERY_S
        self._ending = threading.Lock()
        self._waits = False  # for the parent, which is no work
        self._live = order.spec.kind is not SourceKind.FILE

    def report(self) -> Report:
        """How far the camera is."""
        return Report(self.worker.counters.tally(), self.worker.position)

    def make_room(self, *, patient: bool) -> NDArray[np.uint8] | None:
        """The next free slot of the ring; None when there is none, and `put` will say what is lost."""
        self._take_credits(wait=self._lossless or patient)
        return self._ring.room(self._free[0]) if self._free else None

    def put(self, slot: Slot) -> int:
        """Hand a slot over, for which room was made; returns how many were lost by it."""
        if self._stop.is_set():
            return 0
        if not self._free:
            return 1
        ring_slot = self._free.popleft()
        pixel_type = self._ring.write(ring_slot, slot.frame.pixels_hwc_rgb)
        fds: list[int] = []
        form = None
        if self._pictures and isinstance(slot.picture, FullFrame):
            fd, form = share_picture(slot.picture.frame, quarter_turns(slot.picture.frame))
            fds.append(fd)
            self._pictured.add(ring_slot)
        self.send(SlotMessage(self.report(), ring_slot, pixel_type, slot.patient, slot.frame.stamp, form), fds)
        return 0

    def _take_credits(self, *, wait: bool) -> None:
        """Hear which slots are free again.

        Who waits, waits for half of the ring: decoding goes on in bursts, with warm caches and fewer wake-ups.
        """
        hungry = wait and self._has_less_than(1)
        while True:
            self._waits = hungry
            try:
                told = self._credit.recv(self._ring.slots, 0 if hungry else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            finally:
                self._waits = False
            if not told:  # the parent is gone, or the listener was told to stop
                self._stop.set()
                return
            freed = [credit & ~PICTURES for credit in told]
            self._free.extend(freed)
            self._pictured.difference_update(freed)
            self._pictures = bool(told[-1] & PICTURES)
            hungry = hungry and self._has_less_than(1 if self._pictures else self._ring.slots // 2)
            if not hungry:
                return

    def _has_less_than(self, free: int) -> bool:
        """Slots, or more full pictures under way than is good for the memory."""
        return len(self._free) < free or (self._pictures and len(self._pictured) >= MOST_PICTURES)

    def keep_informed(self, now: float) -> None:
        """Report when the last report is old."""
        if now >= self._next_report_s:
            self.send(self.report())

    def finish(self) -> None:
        """`EndMessage` says so, when it is known how."""

    def send(self, message: Message, fds: list[int] | None = None) -> None:
        """To the parent; when that is gone there is nothing left to do."""
        self._next_report_s = time.monotonic() + REPORT_EVERY_S
        try:
            if fds:
                socket.send_fds(self._link, [encode_message(message)], fds)
            else:
                self._link.send(encode_message(message))
        except OSError:
            os._exit(0)
        for fd in fds or ():
            os.close(fd)

    def end(self, ending: Ending, crash: str | None = None) -> NoReturn:
        """Say how the camera ended, and end the process; from whichever thread knows it first."""
        with self._ending:
            self.send(EndMessage(self.report(), ending.state, ending.error, crash, ending.retry, ending.seen_s))
            os._exit(0)

    def listen(self) -> None:
        """The body of the listening thread."""
        if self._live:  # whoever waits for a file has time
            self._link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(BEAT_EVERY_S), 0))
        while packet := self._receive():
            message = json.loads(packet)
            if "fps" in message:
                self.worker.ask_fps(message["fps"])
            else:
                media_time_s, *answer = message["found"]
                self.worker.tell_found(media_time_s, Answer(*answer))
        self._stop.set()
        with contextlib.suppress(OSError):  # it is gone already
            self._credit.shutdown(socket.SHUT_RD)  # who waits for a slot waits no more
        self.worker.counters.state = CameraState.STOPPED
        self.send(self.report())  # the parent waits longer for who has heard it
        time.sleep(STUCK_S)
        self.end(Ending(CameraState.STOPPED))

    def _receive(self) -> bytes:
        while True:
            try:
                packet = self._link.recv(MESSAGE_BYTES)
            except BlockingIOError:
                self._beat()
            except OSError:
                return b""
            else:
                if self._live and time.monotonic() >= self._next_beat_s:  # each message lets the time limit begin anew
                    self._beat()
                return packet

    def _beat(self) -> None:
        now = time.monotonic()
        self._next_beat_s = now + BEAT_EVERY_S
        beat = Beat(None if self._waits else self.worker.working_s(now))
        with contextlib.suppress(OSError):  # full: who is told enough needs no beat; gone: the next read says it
            self._link.send(encode_message(beat), socket.MSG_DONTWAIT)
