"""One camera's gate: what packets and pictures say together, whether frames are decoded, whether detection is due.

Open, every frame is decoded and each slot looked at: what differs from the picture last detected on is detected on, and
once nothing has moved for half a second and packets have their normal sizes the gate shuts. Shut, only keyframes are
decoded and compared; it opens when packet sizes rise or a keyframe shows a change, and a keyframe with a hint of one is
detected on. Whatever happens, detections are made from time to time, so that what stands still is not forgotten: every
two seconds while open; while shut less and less often, as far as 32 seconds apart. Each cheap judge is taught by
the dearer one: pictures say which packets were still, and detections that pictures were not: when those made in
stillness find things elsewhere again and again, the gate is blind here, and stays open for minutes. Nor is all movement
worth a detection: while those made of it bring no news, they are made at half the rate or less. Time is passed in;
decoding is `gated_decoder`'s.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from av import VideoFrame

from vedette.contracts.gate import GateMode
from vedette.contracts.status import GateState
from vedette.edge.stream.cells import Luma
from vedette.edge.stream.gate import PacketGate
from vedette.edge.stream.luma import cell_size_px, small_luma
from vedette.edge.stream.motion import Change, ChangeFinder, Look, MotionWatch
from vedette.edge.stream.witness import Answer

VERIFY_S = 2.0  # while open and still, and when something was found elsewhere
FIRST_VERIFY_S = 8.0  # while shut at first, doubled each time
MOST_VERIFY_S = 32.0
KEYFRAMES_S = 4.0  # between two that are looked at while sizes tell
VERIFY_EARLY_S = 0.1  # keyframes do not come exactly every two seconds
VERIFY_KEYFRAME_S = 0.9  # with a hint of change; cameras that send several keyframes a second need not detect on each
BUSY_S = 0.25  # what goes on moving is detected on without looking: half of the slots, at six a second
BUSY_SINCE_S = 0.5  # between two looks that see it
DULL = 2  # detections of movement in a row without news
DULL_S = 0.3  # between those that follow: half of the slots, at six a second
ADAPT_S = 4.0  # a picture this long still under large packets: they are its new normal
CHECKS = 4  # detections in stillness, two of which found things elsewhere: blind
REMEMBERED_CHECKS = 64  # a camera may run ahead of what is said of it
BLIND_S, MOST_BLIND_S = 60.0, 3600.0  # everything is detected on for so long; twice as long when it was blind still


class WhyOpen(str, Enum):
    """What keeps packets from being passed over; each is a sentence for a person."""

    LONG_GOP = "keyframes are too far apart to keep the packets between them: every frame is decoded"
    NO_TIMES = "packets have no time stamps: every frame is decoded"
    NO_KEYFRAMES = "keyframes cannot be decoded alone: every frame is decoded"


BLIND = "detections move where pictures show no movement: every frame is decoded, every slot detected on"
NO_SIGNAL = "no signal: packet sizes do not tell movement from noise, keyframes decide"


@dataclass(frozen=True, slots=True)
class GateReport:
    """How a gate stands; `note` is a sentence where there is something to say."""

    state: GateState = GateState.OFF
    note: str = ""
    openings: int = 0


class CameraGate:
    """The gate of one camera, over all rounds of a looped file. For the camera's own thread but for `report`."""

    def __init__(self, mode: GateMode) -> None:
        self.mode = mode
        self.shut = False
        self.openings = 0
        self.why_open: WhyOpen | None = None
        self._packets: PacketGate | None = None
        self._finder: ChangeFinder | None = None
        self._motion: MotionWatch | None = None
        self._still: Luma | None = None  # what keyframes are compared with while shut: the one before
        self._keyframe_s: float | None = None  # when that was
        self._newest_keyframe_s = float("-inf")  # looked at or not
        self._due_s = self._moved_s = self._opened_s = float("-inf")
        self.moving = False  # by the last look, or for all that is known without one
        self._checks: deque[float] = deque(maxlen=REMEMBERED_CHECKS)  # media times of detections made in stillness
        self._moved_at: float | None = None  # the last of them that found things elsewhere
        self._heard: deque[tuple[float, Answer]] = deque()  # from another thread; no more than were asked for
        self._unheard = 0  # detections not heard of yet; those of lost frames, too, where frames are lost
        self._dull = 0  # in a row, without news
        self._rested_s = float("-inf")  # nothing moved then, and what was found up to then is no answer to a movement
        self._turning_blind = False
        self._blind = False
        self._blind_s, self._blind_until_s = BLIND_S, float("-inf")
        self._changed = False  # the keyframe last looked at shows something new
        self._opening = False  # sizes have opened it, and no slot was looked at since
        self._busy = False  # something has been moving for longer than a look
        self._verify_s = FIRST_VERIFY_S
        self._uncalm_s = float("inf")

    @property
    def gates_packets(self) -> bool:
        """Whether it may shut at all."""
        return self.mode is GateMode.BITSTREAM

    def report(self) -> GateReport:
        """From any thread."""
        if self.mode is GateMode.OFF:
            return GateReport()
        packets = self._packets
        if packets is None or (self.gates_packets and not packets.ready):
            state, note = GateState.LEARNING, ""
        else:
            state = GateState.SHUT if self.shut else GateState.OPEN
            note = NO_SIGNAL if self.gates_packets and not packets.has_signal else ""
        if self.why_open is not None:
            note = self.why_open.value
        if self._blind:
            note = BLIND
        return GateReport(state, note, self.openings)

    # -- for `gated_decoder` ----------------------------------------------------------------------------------------

    @property
    def has_signal(self) -> bool:
        """Whether packet sizes can be relied on."""
        return self._packets is not None and self._packets.has_signal

    def see_packet(self, size_bytes: int, is_keyframe: bool, time_s: float) -> bool:
        """Whether packet sizes say that something happens."""
        alarm = self._packets is not None and self._packets.see(size_bytes, is_keyframe, time_s)
        self._weigh_heard()
        return alarm or self._blind

    def wants_keyframe(self, time_s: float) -> bool:
        """While shut: whether this keyframe is to be decoded; not when sizes tell and the next comes soon enough."""
        spacing_s = time_s - self._newest_keyframe_s
        self._newest_keyframe_s = time_s
        if self._keyframe_s is None or self._blind or not self.has_signal:
            return True
        due = time_s - self._due_s >= self._verify_s - VERIFY_EARLY_S
        return due or not 0 < time_s + spacing_s - self._keyframe_s <= KEYFRAMES_S + VERIFY_EARLY_S

    def keyframe_differs(self, frame: VideoFrame, time_s: float, newer: int = 0) -> bool:
        """While shut: whether this keyframe shows anything new. If not, the packets before it were still.

        `newer` packets came since.
        """
        luma = small_luma(frame)
        since_s = 0.0 if self._keyframe_s is None else max(time_s - self._keyframe_s, 0.0)
        if self._finder is None or self._still is None:
            return True
        self._changed = self._finder.compare(luma, self._still, learn_s=since_s) is not Change.NONE
        if self._changed:
            return True
        self._still, self._keyframe_s = luma, time_s
        if self._packets is not None:
            self._packets.settle(moving=False, newer=newer)
        return False

    def open(self) -> None:
        """Frames are decoded from now on."""
        if self.shut:
            self.openings += 1
        self.shut = False
        self._still = self._keyframe_s = None
        self._opening, self._changed = not self._changed, False

    def stay_open(self) -> None:
        """Shutting, if it was asked for, cannot be done."""
        self.shut = False

    # -- for `camera` -----------------------------------------------------------------------------------------------

    def is_due(self, frame: VideoFrame, time_s: float, is_lone_keyframe: bool) -> bool:
        """Whether to detect on this frame, which is a slot. A lone keyframe is one decoded while shut."""
        self._weigh_heard()
        if self._is_blind(time_s):
            self.shut, self.moving = False, True
            self._unheard += 1
            return True
        since_s, self.moving = time_s - self._due_s, False
        if is_lone_keyframe and self._still is not None and self._motion is not None:
            self._motion.restart(self._still, time_s)
            self._rest(time_s)
            due = self._is_keyframe_due(self._motion, since_s)
        else:
            if self._opening:  # what stood still is not detected on anew for that
                self._opened_s, self._opening = time_s, False
            due = self._look(frame, time_s) or min(since_s, time_s - self._opened_s) >= VERIFY_S
        if due and self._motion is not None:
            if since_s >= VERIFY_KEYFRAME_S and not self.moving:
                self._checks.append(time_s)
            self._due_s = time_s
            self._unheard += 1
            self._motion.detected()
        return due

    def _is_keyframe_due(self, motion: MotionWatch, since_s: float) -> bool:
        """While shut: what has changed a little is looked at soon, what has not less and less often."""
        if since_s >= self._verify_s - VERIFY_EARLY_S:
            self._verify_s = min(2 * self._verify_s, MOST_VERIFY_S)
            return True
        return since_s >= VERIFY_KEYFRAME_S and motion.may_have_changed()

    def _look(self, frame: VideoFrame, time_s: float) -> bool:
        """Whether something moves; shuts when nothing does."""
        if self._packets is None or self._finder is None:
            self._packets = PacketGate(frame.width * frame.height)
            self._finder = ChangeFinder(cell_size_px(frame.width))
        if self._motion is None:
            self._motion = MotionWatch(self._finder)
        packets = self._packets
        moved_for_s, is_dull = time_s - self._moved_s, self._dull >= DULL
        if is_dull and 0 <= moved_for_s < BUSY_SINCE_S and 0 <= time_s - self._due_s < DULL_S:
            self.moving = True
            return False
        if self._busy and not is_dull and 0 <= moved_for_s < BUSY_S:
            self.moving = True
            return True
        luma = small_luma(frame)
        look = self._motion.see(luma, time_s)
        if look is not Look.UNSURE:
            packets.settle(moving=look is Look.MOVING)
        self.shut = False  # asked for anew by every look that finds stillness
        if look is Look.MOVING:
            self.moving = True
            self._busy = 0 <= time_s - self._moved_s < BUSY_SINCE_S
            self._moved_s, self._verify_s = time_s, FIRST_VERIFY_S
        if look is not Look.STILL or packets.calm:
            self._uncalm_s = float("inf")
        if look is Look.STILL:
            self._rest(time_s)
            if self.gates_packets:
                self._shut_if_calm(packets, luma, time_s)
        if look is not Look.MOVING and packets.has_signal and not packets.calm:  # something begins, or goes on
            return self._motion.may_have_changed()
        return look is Look.MOVING

    # -- what detections say ----------------------------------------------------------------------------------------

    def hear(self, time_s: float, answer: Answer) -> None:
        """What the detection at this media time says; from any thread."""
        self._heard.append((time_s, answer))

    def must_hear(self) -> bool:
        """Whether what comes next depends on a detection not heard of yet; for who has the time to wait for it."""
        self._weigh_heard()
        return self._unheard > 0 and self._dull + self._unheard >= DULL

    def _weigh_heard(self) -> None:
        while self._heard:
            heard_s, answer = self._heard.popleft()
            self._unheard = max(self._unheard - 1, 0)
            if heard_s > self._rested_s:
                self._dull = 0 if answer.news else self._dull + 1
            if answer.moved and heard_s in self._checks:
                self._verify_s = VERIFY_S  # the next one soon
                last = [time_s for time_s in self._checks if time_s <= heard_s][-CHECKS:]
                self._turning_blind |= self._moved_at in last and self._moved_at != heard_s
                self._moved_at = heard_s
        self._blind |= self._turning_blind

    def _rest(self, time_s: float) -> None:
        """Nothing moves: what moves next is looked at with fresh eyes."""
        self._rested_s, self._dull = time_s, 0

    def _is_blind(self, time_s: float) -> bool:
        """Whether everything is to be detected on, since pictures do not tell what moves."""
        if self._turning_blind:
            still_blind = 0 <= time_s - self._blind_until_s < self._blind_s
            self._blind_s = min(2 * self._blind_s, MOST_BLIND_S) if still_blind else BLIND_S
            self._blind_until_s = time_s + self._blind_s
            self._turning_blind, self._moved_at = False, None
            self._checks.clear()
        elif self._blind and not 0 <= self._blind_until_s - time_s <= self._blind_s:
            self._blind, self._due_s = False, time_s
            self._motion = None  # nothing that it remembers is of now
        return self._blind

    def _shut_if_calm(self, packets: PacketGate, luma: Luma, time_s: float) -> None:
        if packets.calm:
            if packets.ready and self.why_open is None:
                self.shut, self._still, self._keyframe_s = True, luma, None
            return
        self._uncalm_s = min(self._uncalm_s, time_s)
        if time_s - self._uncalm_s >= ADAPT_S:
            packets.start_afresh()
