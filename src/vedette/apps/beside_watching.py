"""What stands beside watching: recording, clips, publishing. How each is, and the event when one stops or goes on.

The thread that writes tells of it; events go to the same targets as those of lines and zones, once for each stop and
once for each return.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vedette.contracts.event import RecordingData, RecordingEvent, RecordingEventType
from vedette.contracts.ports import RecordingView
from vedette.contracts.status import Outlets, RecordingStatus
from vedette.edge.analytics.events import format_utc

if TYPE_CHECKING:
    from vedette.apps.video import VideoParts
    from vedette.contracts.ports import RecordingDisk, View


class BesideWatching:
    """Of one run; `publish` is called from the threads that write."""

    def __init__(
        self,
        views: Sequence[View],
        video: VideoParts | None,
        name: tuple[str, str],
        publish: Callable[[RecordingEvent], None],
    ) -> None:
        """`name` is that of the box and of the run."""
        self._box, self._run = name
        self._publish = publish
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._views = [view for view in views if isinstance(view, RecordingView)]
        self._clips = None if video is None else video.clips
        self._publishing = None if video is None else video.publishing

    def listen(self) -> None:
        """From here on, tell."""
        disks: list[RecordingDisk] = [view.disk for view in self._views]
        if self._clips is not None:
            disks.append(self._clips.disk)
        for disk in disks:
            disk.tell(self._tell)

    def status(self) -> Outlets:
        """How all of it is now; from any thread."""
        return Outlets(
            recording=self._views[0].disk.status() if self._views else None,
            clips=None if self._clips is None else self._clips.disk.status(),
            publishing=() if self._publishing is None else self._publishing.status(),
        )

    def finish_clips(self) -> None:
        """Write the clips that are open to their end, while events can still be sent."""
        if self._clips is not None:
            self._clips.close()

    def _tell(self, status: RecordingStatus) -> None:
        with self._lock:
            number = next(self._numbers)
        self._publish(make_recording_event(status, self._box, f"{self._run}-{status.what}-{number:06d}"))


def make_recording_event(status: RecordingStatus, box: str, event_id: str) -> RecordingEvent:
    """That writing stopped, or goes on."""
    wall_time = format_utc(time.time())
    goes_on = "films are recorded again" if status.what == "recording" else "clips are cut again"
    data = RecordingData(
        what="recording" if status.what == "recording" else "clips",
        wall_time=wall_time,
        folder=status.folder,
        disk_full=status.disk_full,
        message=status.problem or f"{goes_on} in {status.folder}",
        free_bytes=status.free_bytes,
        files=status.files,
        bytes=status.bytes,
        dropped=status.dropped,
    )
    return RecordingEvent(
        id=event_id,
        source=f"vedette/{box}",
        type=RecordingEventType.RESUMED if status.problem is None else RecordingEventType.STOPPED,
        time=wall_time,
        subject=data.what,
        data=data,
    )
