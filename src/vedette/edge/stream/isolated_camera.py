"""One camera in a process of its own, as seen from the run: the same slots, counters and errors as a thread's.

A decoder that dies (a native fault, the kernel's out-of-memory killer, a message that is none) takes nobody along: it
is counted, and another goes on where it was last heard of, with frame numbers, times and counts continued. A file that
kills its decoder `MOST_DEATHS` times without having come a frame further is given up; a live camera that does, or that
ends, is opened again (`reconnect`). A decoder that hangs is killed (`hang_watch`). A bug in our own code there is
raised here.
"""

import array
import contextlib
import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vedette.contracts.frame import FittedFrame, InputShape
from vedette.contracts.ports import FullPicture
from vedette.edge.stream.camera_spec import FIRST_PICTURE_S, CameraSpec, SourceKind
from vedette.edge.stream.decoder_messages import (
    MESSAGE_BYTES,
    PICTURES,
    Beat,
    EndMessage,
    Order,
    Report,
    SlotMessage,
    decode_message,
)
from vedette.edge.stream.errors import CameraError, CameraUnavailableError, DecoderBug, Retry
from vedette.edge.stream.hang_watch import LOOK_EVERY_S, HangWatch, pulse_of
from vedette.edge.stream.mailbox import Mailbox, Slot
from vedette.edge.stream.packet_taps import PacketTaps
from vedette.edge.stream.placing import Placing
from vedette.edge.stream.position import BEGINNING, Position, Start
from vedette.edge.stream.reconnect import Comeback
from vedette.edge.stream.shared_frames import FrameRing, make_ring_fd
from vedette.edge.stream.shared_picture import NoPicture, SharedPicture
from vedette.edge.stream.spawner import DecoderProcess, Spawner
from vedette.edge.stream.statistics import CameraCounters, CameraState
from vedette.edge.stream.witness import Answer

RING_SLOTS = 2  # one is written while the other is copied out; of a live camera none may grow old
# Of a file that waits for the detector: it decodes in bursts of 8 slots, with every 5th 40 frames. Bursts save up to a
# twentieth of all processor time where decoding is cheap, since reference frames stay in the caches; 8 MB at 416x416
LOSSLESS_RING_SLOTS = 16
CREDITS_TOGETHER = 4  # each wakes a decoder that waits, which goes on with half of the ring only
MOST_DEATHS = 3
PAUSE_S = 0.1  # before another try at a place that killed a decoder
FD_BYTES = socket.CMSG_SPACE(array.array("i").itemsize)  # one descriptor
END_S = 1.0  # for a process to end that was killed or has said that it is over
SPARE_S = 5.0  # on top of what a decoder may take to notice that its camera gives nothing
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IsolationSettings:
    """What all isolated cameras of a run share."""

    network_input: InputShape
    every: int
    open_timeout_s: float
    read_timeout_s: float
    pictures: Callable[[str], bool]  # by camera: whether somebody wants to see its next frames
    spawner: Spawner
    fps: float | None = None  # detections a second of media time, instead of every Nth frame
    taps: PacketTaps | None = None  # where somebody may want the cameras' own packets
    give_up_after_s: float | None = None  # for a live camera to come back; None: it has for ever

    @property
    def opening_s(self) -> float:
        """The longest that a sound decoder says nothing before its first frame: connecting, looking, waiting."""
        return 2 * self.open_timeout_s + FIRST_PICTURE_S


class IsolatedCamera:
    """Runs one camera; `run` is the body of a thread that only listens."""

    def __init__(
        self, spec: CameraSpec, settings: IsolationSettings, mailbox: Mailbox, counters: CameraCounters
    ) -> None:
        self.spec = spec
        self.counters = counters
        self.crash: BaseException | None = None
        self._settings = settings
        self._mailbox = mailbox
        self._fps = settings.fps
        self._placing = Placing(settings.network_input)
        self._position: Position = BEGINNING
        self._heard_s: float | None = None
        self._away = False  # since then it was the camera, not its decoder, that gave nothing
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._link: socket.socket | None = None
        self._process: DecoderProcess | None = None
        self._lent: set[int] = set()  # slots of the ring that are being detected on, or wait for it
        self._given_back: list[int] = []  # those that were, and of which the decoder has not heard yet
        self._hurry = threading.Event()
        self._comeback = Comeback(spec, counters, self._hurry, settings.give_up_after_s)

    def run(self) -> None:
        """Watch until the end, the stop or the death of the camera. Never raises."""
        state, error = CameraState.ENDED, None
        self.counters.begin(time.monotonic())
        try:
            state, error = self._watch()
        except CameraError as failure:
            state, error = CameraState.FAILED, str(failure)
        except BaseException as bug:  # noqa: BLE001 - a thread's last stop: StreamPipeline.run raises it
            self.crash = bug
            state, error = CameraState.FAILED, f"camera '{self.spec.name}': unexpected {type(bug).__name__}"
        if self._stopped.is_set() and self.crash is None:
            state, error = CameraState.STOPPED, None
        self.counters.finish(state, error, time.monotonic())
        self._mailbox.finish()

    def stop(self) -> None:
        """Let the decoder end; from any thread."""
        with self._lock:
            self._stopped.set()
            self._hurry.set()
            if self._link is not None:
                _hang_up(self._link)

    def kill(self) -> None:
        """End a decoder that does not react; from any thread."""
        with self._lock:
            process = self._process
        if process is not None:
            self._settings.spawner.kill(process)

    def try_now(self, spec: CameraSpec) -> None:
        """Open the camera again at once if it is away, with this password; from any thread."""
        with self._lock:
            self.spec = spec
        if self.counters.offline_since_unix_s is not None:
            self._hurry.set()

    def ask_fps(self, fps: float) -> None:
        """Another rate of detections, for a run by rate; from any thread."""
        with self._lock:
            self._fps = fps
            if self._link is not None:
                _tell(self._link, {"fps": fps})

    def tell_found(self, media_time_s: float, answer: Answer) -> None:
        """What the detection at this time says to the gate; from any thread."""
        with self._lock:
            if self._link is not None:
                _tell(self._link, {"found": [media_time_s, *answer]})

    @property
    def decoder_pid(self) -> int | None:
        """The process that decodes now."""
        process = self._process
        return None if process is None else process.pid

    def _watch(self) -> tuple[CameraState, str | None]:
        wanted = self._settings.network_input
        slots = LOSSLESS_RING_SLOTS if self.spec.is_lossless else RING_SLOTS
        deaths, died_at = 0, -1
        while not self._stopped.is_set():
            # Pictures of the one before may still be detected on, so a new decoder gets a ring of its own
            ring = FrameRing(make_ring_fd(slots, wanted.width, wanted.height), slots, wanted.width, wanted.height)
            self._lent, self._given_back = set(), []
            try:
                with contextlib.closing(ring):
                    end, cause = self._decode(ring)
            except CameraUnavailableError as error:  # no decoder can be started; of a live camera one may be later
                given_up = self._pause(str(error), error.retry, self._heard_s)
                if given_up is not None:
                    return CameraState.FAILED, given_up
                continue
            if end is not None and end.crash is not None:
                raise DecoderBug(end.crash)
            if self._stopped.is_set():
                break
            if end is None:
                deaths = deaths + 1 if self._position.index == died_at else 1
                died_at = self._position.index
                if deaths < MOST_DEATHS:
                    self._tell_of_death(cause)
                    self._stopped.wait(PAUSE_S if deaths > 1 else 0.0)
                    continue
            elif end.state is not CameraState.FAILED or end.error is None:
                return end.state, end.error
            given_up = self._wait_for_return(end, cause)
            if given_up is not None:
                return CameraState.FAILED, given_up
        return CameraState.STOPPED, None

    def _wait_for_return(self, end: EndMessage | None, cause: str) -> str | None:
        """The camera failed, or killed its decoders: until it is to be opened again; a sentence when it is over."""
        if end is None or end.error is None:
            return self._pause(self._explain_deaths(cause), Retry.SOON, self._heard_s)
        self._heard_s, self._away = end.seen_s, True
        return self._pause(end.error, end.retry, end.seen_s)

    def _pause(self, reason: str, retry: Retry, seen_s: float | None) -> str | None:
        """Nothing when the run is stopped: whoever stops it is in a hurry, too, and may have been before the wait."""
        if self._stopped.is_set():
            return None
        return self._comeback.wait(reason, retry, seen_s)

    def _decode(self, ring: FrameRing) -> tuple[EndMessage | None, str]:
        """One decoder's life: how it ended by itself, or what it died of."""
        if self._process is not None:
            self._process.ended.wait(END_S)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        credit, their_credit = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        taps = [] if self._settings.taps is None else [self._settings.taps.attach(self.spec.name)]
        with ours, credit:
            with their_credit, contextlib.ExitStack() as their_taps:
                fds = [their_credit.fileno(), *(their_taps.enter_context(tap).fileno() for tap in taps)]
                with theirs:
                    process = self._settings.spawner.start_decoder(self.spec.name, theirs.fileno(), ring.fd)
                with self._lock:
                    self._link, self._process = ours, process
                    with contextlib.suppress(ConnectionError):  # it has died already, which the first read says
                        socket.send_fds(ours, [self._order(ring.slots).encode()], fds)
                    if self._stopped.is_set():
                        _hang_up(ours)
            try:
                end, cause = self._listen(ours, credit, ring)
            finally:
                with self._lock:
                    self._link = None
        if end is None:
            self._settings.spawner.kill(process)
        if end is None or end.state is not CameraState.FAILED:  # who failed says so at once
            process.ended.wait(END_S)
        return end, cause or process.cause

    def _order(self, ring_slots: int) -> Order:
        settings = self._settings
        return Order(
            spec=self.spec,
            network_input=settings.network_input,
            every=settings.every,
            fps=self._fps,
            open_timeout_s=settings.open_timeout_s,
            read_timeout_s=settings.read_timeout_s,
            ring_slots=ring_slots,
            pictures=settings.pictures(self.spec.name),
            tally=self.counters.tally() | {"state": CameraState.OPENING.value},
            start=Start(self._position, self._heard_s, self._away),
        )

    def _listen(self, link: socket.socket, credit: socket.socket, ring: FrameRing) -> tuple[EndMessage | None, str]:
        """Take what the decoder says to its end; the second value is a cause of death that its status does not say."""
        buffer = bytearray(MESSAGE_BYTES)
        is_live = self.spec.kind is not SourceKind.FILE
        watch = HangWatch(self._settings.opening_s + SPARE_S, lambda: pulse_of(self.decoder_pid))
        frames_before = self.counters.frames
        if is_live:
            _wait_at_most(link, LOOK_EVERY_S)
        while True:
            fds: list[int] = []
            try:
                packet, fds = _receive(link, buffer)
                if not packet:
                    return None, ""
                message = decode_message(packet, self.spec.name)
                slot = self._slot(message, fds, ring, credit) if isinstance(message, SlotMessage) else None
            except ConnectionError:
                return None, ""
            except BlockingIOError:
                if (hangs := watch.miss()) is not None:
                    return None, hangs
                continue
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                return None, f"a message that is none: {error}"
            finally:
                for fd in fds:
                    os.close(fd)
            if isinstance(message, Beat):
                if is_live and (hangs := watch.beat(message.working_s)) is not None:
                    return None, hangs
                continue
            watch.move()
            self._note(message)
            if self.counters.frames > frames_before:
                watch.patience_s = self._settings.read_timeout_s + SPARE_S
            if isinstance(message, EndMessage):
                return message, ""
            if isinstance(message, SlotMessage) and slot is not None:
                self._pass_on(slot, credit, message.ring_slot)

    def _pass_on(self, slot: Slot, credit: socket.socket, ring_slot: int) -> None:
        """To the detector; a slot whose pixels were copied gives its place in the ring back at once."""
        self.counters.overtaken += self._mailbox.put(slot)
        if slot.done is None:
            self._give_credit(credit, [ring_slot])

    def _give_credit(self, credit: socket.socket, ring_slots: Sequence[int]) -> None:
        """The decoder may use slots of the ring again."""
        pictures = PICTURES if self._settings.pictures(self.spec.name) else 0
        with contextlib.suppress(OSError):  # it is gone, which the next read says
            credit.send(bytes(slot | pictures for slot in ring_slots), socket.MSG_DONTWAIT)

    def _note(self, message: Report | SlotMessage | EndMessage) -> None:
        report = message if isinstance(message, Report) else message.report
        now = time.monotonic()
        if report.position.index > self._position.index:
            self._heard_s, self._away = now, False
        self._position = report.position
        self.counters.adopt(report.tally, now)

    def _slot(self, message: SlotMessage, fds: list[int], ring: FrameRing, credit: socket.socket) -> Slot:
        """The slot of a message: its pixels lie in the ring until detection is over, where enough of it stays free.

        A camera that does not wait for the detector has a small ring, and shall not lose frames to a slow one.
        """
        picture: FullPicture = NoPicture()
        if message.picture is not None:
            (fd,) = fds
            picture = SharedPicture(fd, message.picture)
            fds.clear()  # it is the picture's now
        stamp = message.stamp
        placement = self._placing.place(stamp.width_px, stamp.height_px)
        pixels = ring.read(message.ring_slot, message.pixel_type)
        out_of_use = len(self._given_back) + len(self._lent)  # a decoder that waits goes on with the other half
        if message.picture is not None or not self.spec.is_lossless or out_of_use >= ring.slots // 2:
            return Slot(FittedFrame(stamp, placement, pixels.copy()), picture, message.patient)
        number, lent, given_back = message.ring_slot, self._lent, self._given_back
        lent.add(number)

        def take_back() -> None:
            given_back.append(number)  # first: who counts both in another thread must not find it in neither
            lent.discard(number)
            if len(given_back) >= CREDITS_TOGETHER:
                self._give_credit(credit, given_back)
                given_back.clear()

        return Slot(FittedFrame(stamp, placement, pixels), picture, message.patient, take_back)

    def _tell_of_death(self, cause: str) -> None:
        self.counters.restarts += 1
        self.counters.state = CameraState.OPENING
        _LOG.warning(
            "camera '%s': its decoder died (%s) after frame %d; it is opened again and goes on",
            self.spec.name, cause, self._position.index,
        )  # fmt: skip

    def _explain_deaths(self, cause: str) -> str:
        where = f"after frame {self._position.index}" if self._position.index else "before its first frame"
        return (
            f"camera '{self.spec.name}': {self.spec.shown} killed its decoder {MOST_DEATHS} times {where} ({cause}); "
            "record or encode it anew, and report it to FFmpeg"
        )


def _receive(link: socket.socket, buffer: bytearray) -> tuple[bytes, list[int]]:
    """The decoder's next message, empty behind the last one, and the descriptors that came with it.

    Linux says once that a decoder went without having read all that it was told, ahead of what it said before.
    """
    try:
        size, ancillary, _, _ = link.recvmsg_into([buffer], FD_BYTES)
    except ConnectionResetError:
        size, ancillary, _, _ = link.recvmsg_into([buffer], FD_BYTES)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return bytes(memoryview(buffer)[:size]), list(fds)


def _wait_at_most(link: socket.socket, wait_s: float) -> None:
    """By the kernel: a time limit of Python's would ask it once more before each message."""
    seconds, rest = divmod(wait_s, 1.0)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(seconds), int(rest * 1e6)))


def _hang_up(link: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is gone already
        link.shutdown(socket.SHUT_WR)


def _tell(link: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # it is gone, which the next read says
        # A decoder that does not listen is as good as gone
        link.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)
