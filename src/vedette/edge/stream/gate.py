"""What the sizes of a camera's packets say: is its scene still, or does something happen? Pure; knows no codec.

A coded frame costs as many bytes as there is news in it. For each kind of packet (keyframes; frames coded ahead; frames
coded between others) the sizes of packets known to be still are kept, in powers of two, and their median and upper
spread are the camera's own normal; and for each place behind a keyframe the largest of its last three still sizes and
its neighbours', since encoders repair a keyframe's losses, or save up for it, for a second and longer, now a place
earlier, now later. What lies above adds up (Page's cumulative sum, 1954): one packet of many times the normal size
raises the alarm at once, a smaller excess after some packets (a tenth more within a second), noise never. How high
noise adds up is measured on still scenes, so an alarm that proves false makes the next less likely, within bounds.

Only packets that somebody else found still (by looking at pictures) are learned, so activity never becomes normal.
Rate control that pours what stillness saves into noise hides what happens: `has_signal` says whether sizes can tell.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from enum import IntEnum
from typing import NamedTuple

REMEMBERED = 600  # sizes of each kind: 20 s of stillness at 30 frames a second
STRETCHES = 64  # still stretches whose highest sums are kept
LEAST_STRETCH = 24  # packets: sums of shorter ones have no time to add up
FEW_STRETCHES = 6  # below it little is known of noise
LEAST_KNOWN = 8  # sizes before a kind has a normal: a first one; the limit is high while little is known
LEAST_KEYS = 4
UPPER = 0.9
LEAST_ALLOWANCE, MOST_ALLOWANCE = 0.3, 2.0  # powers of two above the median that count as nothing
LEAST_KEY_ALLOWANCE = 0.75  # rate control moves keyframes most, and their pictures are compared anyway
LEAST_LIMIT, FIRST_LIMIT, MOST_LIMIT = 2.5, 4.0, 6.0  # sums, powers of two
HIDDEN_LIMIT = 9.0  # where sizes tell the largest movements at most
MOST_SUM = 12.0
LIMIT_MARGIN, HIDDEN_MARGIN = 1.5, 3.0  # above the sums that noise reaches
JUDGED, MOST_FALSE = 8, 6  # of the last alarms that were looked into, so many false ones make sizes useless
FLOOR_SHARE = 1 / 8192  # bytes per pixel of the picture that no size is told apart below: 253 for 1080p
MOST_PLACES = 300  # behind a keyframe
VISITS = 3  # of each place, whose sizes are kept
LEAST_VISITS = 2  # before a place has a normal of its own
NEIGHBOURS = 2  # places to either side: rate control changes its mind now earlier, now later
BESIDE = 0.03  # powers of two above the largest that count as nothing: 2 %
MOST_EXCESS, LEAST_EXCESS = 1.0, -0.3  # of a size that is usual elsewhere: it came early, or late
WIDTH_FACTOR = 2.5  # of a place's sizes; about one and a half standard deviations of noise
LEAST_WIDTH = 0.06
NOWHERE = -math.inf
# Bytes per pixel of the picture that an object on a twentieth of it costs, at 0.2 bits per moving pixel (measured on
# the Intel clips). Where noise alone takes more, sizes tell nothing; rate control that fills frames up makes it so.
OBJECT_SHARE = 0.05 * 0.2 / 8


class PacketKind(IntEnum):
    """Frames between others are told from those ahead by their time, which lies before one already seen."""

    KEY = 0
    AHEAD = 1
    BETWEEN = 2


class _Seen(NamedTuple):
    """One packet: the place behind its keyframe, its size in powers of two, what sizes added up to with it."""

    kind: PacketKind
    place: int
    value: float
    total: float
    alarm: bool


class _Normal:
    """The last still sizes of one kind, in powers of two, and what they say."""

    def __init__(self, least: int, least_allowance: float = LEAST_ALLOWANCE) -> None:
        self._least = least
        self._least_allowance = least_allowance
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []

    def learn(self, value: float) -> None:
        if len(self._recent) == REMEMBERED:
            gone = self._recent.popleft()
            del self._ordered[bisect_left(self._ordered, gone)]
        self._recent.append(value)
        insort(self._ordered, value)

    def forget(self) -> None:
        self._recent.clear()
        self._ordered.clear()

    @property
    def known(self) -> bool:
        return len(self._ordered) >= self._least

    @property
    def median(self) -> float:
        return self._ordered[len(self._ordered) // 2]

    @property
    def allowance(self) -> float:
        upper = self._ordered[int(UPPER * (len(self._ordered) - 1))]
        return min(max(upper - self.median, self._least_allowance), MOST_ALLOWANCE)

    @property
    def upper(self) -> float:
        return self.median + self.allowance if self.known else math.inf

    def excess(self, value: float) -> float:
        """Above the normal (positive) or within it."""
        return value - self.upper if self.known else 0.0


class _Places:
    """For each kind of packet and place behind a keyframe, the last still sizes, in powers of two."""

    def __init__(self) -> None:
        self._sizes: list[dict[int, list[float]]] = [{} for _ in PacketKind]
        self._widths: list[dict[int, float]] = [{} for _ in PacketKind]
        self._largest = [[NOWHERE] * (MOST_PLACES + 2 * NEIGHBOURS) for _ in PacketKind]  # from place -NEIGHBOURS on

    def largest(self, kind: PacketKind, place: int) -> float | None:
        """Of the last still sizes there and beside it; None where too little is known."""
        largest = self._largest[kind]
        if place >= MOST_PLACES or largest[place + NEIGHBOURS] == NOWHERE:
            return None
        return max(largest[place : place + 2 * NEIGHBOURS + 1])

    def allowance(self, kind: PacketKind) -> float | None:
        """What noise usually takes, powers of two; None where too little is known."""
        widths = self._widths[kind]
        if len(widths) < LEAST_KNOWN:
            return None
        return WIDTH_FACTOR * max(sorted(widths.values())[len(widths) // 2], LEAST_WIDTH)

    def learn(self, kind: PacketKind, place: int, value: float) -> None:
        if place >= MOST_PLACES:
            return
        sizes = self._sizes[kind].setdefault(place, [])
        sizes.append(value)
        if len(sizes) > VISITS:
            del sizes[0]
        if len(sizes) >= LEAST_VISITS:
            least, *_, largest = ordered = sorted(sizes)
            middle, mean = ordered[len(ordered) // 2], sum(sizes) / len(sizes)
            self._largest[kind][place + NEIGHBOURS] = largest
            self._widths[kind][place] = min(largest - mean, middle - least)  # of three one may lie far off


def _normals() -> list[_Normal]:
    """One for each kind of packet."""
    return [_Normal(LEAST_KEYS, LEAST_KEY_ALLOWANCE), _Normal(LEAST_KNOWN), _Normal(LEAST_KNOWN)]


class PacketGate:
    """The packets of one camera whose picture has `picture_px` pixels. Memory is bounded."""

    def __init__(self, picture_px: int) -> None:
        self._floor = max(picture_px * FLOOR_SHARE, 1.0)
        self._object_bytes = picture_px * OBJECT_SHARE
        self._still, self._moving = _normals(), _normals()
        self._places = _Places()
        self._place = 0  # packets since the keyframe
        self._unsettled: deque[_Seen] = deque(maxlen=REMEMBERED)
        self._peaks: deque[float] = deque(maxlen=STRETCHES)  # highest sums of still stretches
        self._alarms: deque[bool] = deque(maxlen=JUDGED)  # whether something did move
        self._found_false = False  # the alarm that goes on
        self._newest_s = -math.inf
        self._sum = 0.0
        self._limit = FIRST_LIMIT
        self.has_signal = False  # whether sizes tell stillness from movement on this camera

    @property
    def ready(self) -> bool:
        """Enough still packets were seen to know what is normal."""
        return self._still[PacketKind.AHEAD].known or self._still[PacketKind.BETWEEN].known

    @property
    def limit(self) -> float:
        """The sum that raises the alarm."""
        return self._limit

    def _find_limit(self) -> float:
        if self.useless:  # nothing is opened by alarms, they are only counted
            return MOST_LIMIT
        few = len(self._peaks) < FEW_STRETCHES
        high = sorted(self._peaks)[int(0.95 * (len(self._peaks) - 1))] if self._peaks else 0.0
        if not self.has_signal:
            return HIDDEN_LIMIT if few else min(max(HIDDEN_MARGIN * high, FIRST_LIMIT), HIDDEN_LIMIT)
        return min(max(LIMIT_MARGIN * high, FIRST_LIMIT if few else LEAST_LIMIT), MOST_LIMIT)

    @property
    def useless(self) -> bool:
        """Alarms are nearly always false."""
        return len(self._alarms) - sum(self._alarms) >= MOST_FALSE

    def _find_signal(self) -> bool:
        if self.useless:
            return False
        for kind in (PacketKind.AHEAD, PacketKind.BETWEEN):
            still, moving = self._still[kind], self._moving[kind]
            if still.known:
                allowance = self._places.allowance(kind) or still.allowance
                noise_bytes = 2**still.median * (2**allowance - 1)
                hidden = moving.known and moving.median - still.median < allowance / 2
                return noise_bytes <= self._object_bytes and not hidden
        return False

    @property
    def calm(self) -> bool:
        """Sizes are back to normal: half the alarm, so that it does not flicker."""
        return self._sum < self.limit / 2

    def see(self, size_bytes: int, is_keyframe: bool, time_s: float) -> bool:
        """Take the next packet; true when sizes say that something happens."""
        if time_s < self._newest_s - 10:  # a clock that was set back
            self._newest_s = -math.inf
        kind = PacketKind.KEY if is_keyframe else PacketKind.BETWEEN if time_s < self._newest_s else PacketKind.AHEAD
        self._newest_s = max(self._newest_s, time_s)
        self._place = 0 if is_keyframe else self._place + 1
        value = math.log2(size_bytes + self._floor)
        self._sum = min(max(self._sum + self._excess(kind, value), 0.0), MOST_SUM)
        alarm = self._sum >= self.limit
        self._found_false &= not self.calm
        self._unsettled.append(_Seen(kind, self._place, value, self._sum, alarm))
        return alarm and not self.useless

    def _excess(self, kind: PacketKind, value: float) -> float:
        if kind is PacketKind.KEY or (largest := self._places.largest(kind, self._place)) is None:
            return self._still[kind].excess(value)
        excess = value - largest - BESIDE
        most = max(self._still[kind].excess(value), MOST_EXCESS)
        return min(max(excess, LEAST_EXCESS), most)

    def settle(self, moving: bool, newer: int = 0) -> None:
        """The packets since the last call, but for so many of the newest, were found still, or moving, by looking."""
        unjudged = [self._unsettled.pop() for _ in range(min(newer, len(self._unsettled)))]
        most = [normal.upper + MOST_EXCESS for normal in self._still]  # one burst of noise hides nothing in its place
        for kind, place, value, _, _ in self._unsettled:
            if moving:
                self._moving[kind].learn(value)
                continue
            self._still[kind].learn(value)
            self._places.learn(kind, place, min(value, most[kind]))
        alarmed = any(seen.alarm for seen in self._unsettled)
        if alarmed and not self._found_false:  # once, however long sizes take to come back to normal
            self._alarms.append(moving)
            self._found_false = not moving
        if moving:
            self._sum = 0.0  # what it was does not speak of what follows
        else:
            self._sum = min(self._sum, self._limit)  # it need not come down from further up
        if not moving and self.ready and (alarmed or len(self._unsettled) >= LEAST_STRETCH):
            self._peaks.append(max(seen.total for seen in self._unsettled))
        self._unsettled.clear()
        self._unsettled.extend(reversed(unjudged))
        self.has_signal = self._find_signal()
        self._limit = self._find_limit()

    def drop_unsettled(self) -> None:
        """Nobody knows what the packets since the last call were."""
        self._unsettled.clear()

    def start_afresh(self) -> None:
        """The scene became another (light, noise, rate): what follows is learned as its normal."""
        for normal in (*self._still, *self._moving):
            normal.forget()
        self._places = _Places()
        self._peaks.clear()
        self._sum, self._limit, self.has_signal = 0.0, FIRST_LIMIT, False
        self.drop_unsettled()
