"""What a run keeps of each camera for itself: its tracker, its rules, its counts and figures."""

from dataclasses import dataclass

from vedette.edge.analytics.counts import Counts
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker


@dataclass(slots=True)
class WatchedCamera:
    """One camera's own objects and figures."""

    tracker: ByteTracker
    rules: CameraRules
    totals: Counts  # with what was counted before this run
    slots: int = 0  # frames detected on
    first_s: float = 0.0  # media time of the first and the last of them
    last_s: float = 0.0
    detections: int = 0
    events: int = 0
    error: str | None = None
    misplaced: bool = False  # the error is that a line has no length in the picture

    def note_slot(self, media_time_s: float) -> None:
        """One more frame was detected on."""
        if not self.slots:
            self.first_s = media_time_s
        self.last_s = media_time_s
        self.slots += 1

    @property
    def detected_per_s(self) -> float:
        """Frames detected on, a second of the camera's own time; 0 until there are two."""
        return (self.slots - 1) / (self.last_s - self.first_s) if self.last_s > self.first_s else 0.0
