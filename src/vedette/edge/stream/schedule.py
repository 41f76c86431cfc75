"""Shares one detector among cameras: whose slot goes next, and how many detections a second each camera may ask for.

Pure policy; time and measurements are passed in. `Turns` packs batches: one slot of each waiting camera a round (start-
time fair queueing with equal weights), within a round by deadline. `fair_rates` is max-min fairness. `RateControl` is
`--detect-fps auto`: it follows the processors' load, so that detection takes what decoding leaves, and gives way at
once when decoders are late.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_PER_S = 1.0  # detections a second of a camera, however little the machine gives; newest wins does the rest
BUSY_TARGET = 0.88  # of the processors' time; keyframes of many cameras may fall together
LEAST_SHARE = 0.4  # of the processors that a run may use however busy others keep them, while its decoders are on time
BUSY_LATE = 0.75  # with less, late decoders wait for a network, not for a processor
GIVE_WAY = 0.7  # a decoder was late: at once to this share
BEHIND = 0.9  # the detector was behind: a little below what it did
BEHIND_LOSS = 0.05  # share of slots overtaken that means behind, not jitter
GAIN = 0.5  # of the spare time is handed out at a time: the cost of a detection is an estimate
MOST_GROWTH = 1.5  # over what was used, in one step


class Turns:
    """Which waiting camera is served next; cameras are numbers.

    Cameras that always have something waiting are served equally often, give or take one. A newer slot that takes the
    place of a waiting one keeps its turn and deadline, so that being overtaken never moves a camera back: of n cameras
    a waiting one sees at most 2 (n - 1) others served first. One that had nothing to do saves up no claims.
    """

    def __init__(self, cameras: int) -> None:
        self._rounds = [0] * cameras  # in which each camera is served next
        self._round = 0  # of the last one served
        self._deadlines_s: dict[int, float] = {}  # of those that wait

    def wait(self, camera: int, deadline_s: float) -> None:
        """This camera has something waiting; said again, the first time counts."""
        if camera not in self._deadlines_s:
            self._rounds[camera] = max(self._rounds[camera], self._round)
            self._deadlines_s[camera] = deadline_s

    def next(self) -> int | None:
        """The camera to serve now; it waits again only when `wait` says so."""
        if not self._deadlines_s:
            return None
        camera = min(self._deadlines_s, key=lambda one: (self._rounds[one], self._deadlines_s[one], one))
        del self._deadlines_s[camera]
        self._round = self._rounds[camera]
        self._rounds[camera] += 1
        return camera


def fair_rates(total: float, wanted: Sequence[float]) -> list[float]:
    """Max-min fair shares of `total`: nobody gets more than wanted, whoever gets less gets as much as anybody."""
    shares = [0.0] * len(wanted)
    left, open_ = max(total, 0.0), sorted(range(len(wanted)), key=lambda one: wanted[one])
    for place, camera in enumerate(open_):
        shares[camera] = min(wanted[camera], left / (len(open_) - place))
        left -= shares[camera]
    return shares


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen since the last look. Rates are per second of wall clock; shares are 0..1."""

    busy_share: float  # of the time of all processors that we may use, whoever used it
    our_share: float  # of the same, by this run: its decoders and its engine
    processors: int
    cpu_s_per_detection: float  # 0 where nothing was detected
    detected_per_s: float
    overtaken_per_s: float  # slots that waited for the detector until a newer one came
    decoders_late: bool  # frames or slots were given up since decoding was behind


class RateControl:
    """How many detections a second all cameras together may ask for."""

    def __init__(self, cameras: int, start_per_s: float) -> None:
        self._least = cameras * LEAST_PER_S
        self.total_per_s = max(start_per_s, self._least)

    def update(self, seen: Observed) -> float:
        """The new total."""
        total = self.total_per_s
        if seen.decoders_late and seen.busy_share >= BUSY_LATE:
            total *= GIVE_WAY
        elif seen.overtaken_per_s > BEHIND_LOSS * seen.detected_per_s:
            total = min(total, BEHIND * seen.detected_per_s)
        elif seen.cpu_s_per_detection > 0:
            others_share = max(seen.busy_share - seen.our_share, 0.0)
            spare_s = (max(BUSY_TARGET - others_share, LEAST_SHARE) - seen.our_share) * seen.processors
            wanted = total + GAIN * spare_s / seen.cpu_s_per_detection
            # What nobody asks for proves no capacity: cameras that are quiet now may all wake at once
            ceiling = max(MOST_GROWTH * seen.detected_per_s, min(total, self._least * MOST_GROWTH))
            total = max(min(wanted, ceiling), total / 2)
        self.total_per_s = max(total, self._least)
        return self.total_per_s


def demand_per_s(frames_per_s: float, asked_per_s: float, detected_per_s: float) -> float:
    """What a camera could use: all its frames, unless it left half of what it was given (a gate is shut)."""
    if detected_per_s >= asked_per_s / 2:
        return max(frames_per_s, LEAST_PER_S)
    return min(max(2 * detected_per_s, LEAST_PER_S), max(frames_per_s, LEAST_PER_S))
