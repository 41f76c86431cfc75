"""What the sizes of a camera's packets say: is its scene still, or does something happen? Pure; knows no codec.

A coded frame costs as many bytes as there is news in it. For each kind of packet (keyframes; frames coded ahead; frames
coded between others) the sizes of packets known to be still are kept, in powers of two, and their median and upper
spread are the camera's own normal. What lies above it adds up (Page's cumulative sum, 1954): one packet of several
times the normal size raises the alarm at once, a smaller excess after a few packets, noise never. How high noise adds
up is measured on still scenes, so an alarm that proves false makes the next less likely, within bounds.

Only packets that somebody else found still (by looking at pictures) are learned, so activity never becomes normal.
Rate control that pours what stillness saves into noise hides what happens: `has_signal` says whether sizes can tell.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from enum import IntEnum

REMEMBERED = 600  # sizes of each kind: 20 s of stillness at 30 frames a second
STRETCHES = 64  # still stretches whose highest sums are kept
LEAST_KNOWN = 20  # sizes before a kind has a normal
LEAST_KEYS = 4
UPPER = 0.9
LEAST_ALLOWANCE, MOST_ALLOWANCE = 0.3, 2.0  # powers of two above the median that count as nothing
LEAST_LIMIT, MOST_LIMIT = 2.0, 6.0  # sums, powers of two
LIMIT_MARGIN = 1.3
JUDGED, MOST_FALSE = 8, 6  # of the last alarms that were looked into, so many false ones make sizes useless
FLOOR_SHARE = 1 / 8192  # bytes per pixel of the picture that no size is told apart below: 253 for 1080p
# Bytes per pixel of the picture that an object on a tenth of it costs, at 0.2 bits per moving pixel (measured on the
# Intel clips). Where a still frame costs as much, rate control fills frames up, and sizes tell nothing.
OBJECT_SHARE = 0.1 * 0.2 / 8


class PacketKind(IntEnum):
    """Frames between others are told from those ahead by their time, which lies before one already seen."""

    KEY = 0
    AHEAD = 1
    BETWEEN = 2


class _Normal:
    """The last still sizes of one kind, in powers of two, and what they say."""

    def __init__(self, least: int) -> None:
        self._least = least
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
        return min(max(upper - self.median, LEAST_ALLOWANCE), MOST_ALLOWANCE)

    def excess(self, value: float) -> float:
        """Above the normal (positive) or within it."""
        return value - self.median - self.allowance if self.known else 0.0


class PacketGate:
    """The packets of one camera whose picture has `picture_px` pixels. Memory is bounded."""

    def __init__(self, picture_px: int) -> None:
        self._floor = max(picture_px * FLOOR_SHARE, 1.0)
        self._object_bytes = picture_px * OBJECT_SHARE
        self._still = [_Normal(LEAST_KEYS), _Normal(LEAST_KNOWN), _Normal(LEAST_KNOWN)]
        self._moving = [_Normal(LEAST_KEYS), _Normal(LEAST_KNOWN), _Normal(LEAST_KNOWN)]
        self._unsettled: deque[tuple[PacketKind, float]] = deque(maxlen=REMEMBERED)
        self._peaks: deque[float] = deque(maxlen=STRETCHES)  # highest sums of still stretches
        self._alarms: deque[bool] = deque(maxlen=JUDGED)  # whether something did move
        self._alarmed = False
        self._newest_s = -math.inf
        self._sum = 0.0
        self._peak = 0.0

    @property
    def ready(self) -> bool:
        """Enough still packets were seen to know what is normal."""
        return self._still[PacketKind.AHEAD].known or self._still[PacketKind.BETWEEN].known

    @property
    def limit(self) -> float:
        """The sum that raises the alarm."""
        if not self._peaks:
            return LEAST_LIMIT
        high = sorted(self._peaks)[int(0.95 * (len(self._peaks) - 1))]
        return min(max(LIMIT_MARGIN * high, LEAST_LIMIT), MOST_LIMIT)

    @property
    def useless(self) -> bool:
        """Alarms are nearly always false."""
        return len(self._alarms) - sum(self._alarms) >= MOST_FALSE

    @property
    def has_signal(self) -> bool:
        """Whether sizes tell stillness from movement on this camera."""
        if self.useless:
            return False
        for still, moving in zip(self._still[1:], self._moving[1:], strict=True):
            if still.known:
                shows = 2**still.median - self._floor <= self._object_bytes
                return shows and not (moving.known and moving.median - still.median < still.allowance / 2)
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
        value = math.log2(size_bytes + self._floor)
        self._unsettled.append((kind, value))
        self._sum = min(max(self._sum + self._still[kind].excess(value), 0.0), 2 * MOST_LIMIT)
        self._peak = max(self._peak, self._sum)
        alarm = self._sum >= self.limit
        self._alarmed |= alarm
        return alarm and not self.useless

    def settle(self, moving: bool) -> None:
        """The packets since the last call were found still, or moving, by looking."""
        normals = self._moving if moving else self._still
        for kind, value in self._unsettled:
            normals[kind].learn(value)
        if self._alarmed:
            self._alarms.append(moving)
        if not moving and self.ready:
            self._peaks.append(self._peak)
        self.drop_unsettled()

    def drop_unsettled(self) -> None:
        """Nobody knows what the packets since the last call were."""
        self._unsettled.clear()
        self._peak, self._alarmed = self._sum, False

    def start_afresh(self) -> None:
        """The scene became another (light, noise, rate): what follows is learned as its normal."""
        for normal in (*self._still, *self._moving):
            normal.forget()
        self._peaks.clear()
        self._sum = 0.0
        self.drop_unsettled()
