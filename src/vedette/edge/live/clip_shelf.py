"""The folder of clips: their names, and the quota that removes the oldest.

A clip lies in its camera's folder and is named by time and event: `north/20261123T034805.123Z-1863c1-000007.mp4`.
Only files of such names are counted and removed. One that is being written is never removed.
"""

import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

NAME = re.compile(r"^\d{8}T\d{6}\.\d{3}Z-[A-Za-z0-9._-]{1,120}\.mp4$")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ClipQuota:
    """What may lie in the folder; None: without limit."""

    most_bytes: int | None = None
    most_days: float | None = None


def clip_name(camera: str, unix_s: float, event_id: str) -> str:
    """Below the folder for clips."""
    moment = datetime.fromtimestamp(unix_s, tz=timezone.utc)
    text = moment.strftime("%Y%m%dT%H%M%S.") + f"{moment.microsecond // 1000:03d}Z"
    return f"{folder_name(camera)}/{text}-{_safe(event_id)}.mp4"


def folder_name(camera: str) -> str:
    """A camera's folder."""
    return _safe(camera).lstrip(".") or "camera"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:100]


class ClipShelf:
    """One folder. For one thread."""

    def __init__(self, folder: Path, quota: ClipQuota) -> None:
        self.folder = folder
        self.removed = 0
        self._quota = quota

    def tidy(self, writing: Collection[Path], now_unix_s: float | None = None) -> None:
        """Remove clips, the oldest first, until the quota is kept.

        Raises:
            OSError: the folder cannot be read, or a clip not be removed.
        """
        quota = self._quota
        if quota.most_bytes is None and quota.most_days is None:
            return
        now_unix_s = time.time() if now_unix_s is None else now_unix_s
        clips = self._clips()
        total = sum(size for _, _, size in clips)
        for path, changed_unix_s, size in clips:
            too_old = quota.most_days is not None and changed_unix_s < now_unix_s - quota.most_days * DAY_S
            too_many = quota.most_bytes is not None and total > quota.most_bytes
            if not (too_old or too_many):
                return
            if path not in writing:
                path.unlink(missing_ok=True)
                self.removed += 1
                total -= size

    def find(self, name: str) -> Path | None:
        """The clip of this name, if there is one; a name from outside reaches nothing else."""
        camera, _, file = name.partition("/")
        path = self.folder / camera / file
        if camera != folder_name(camera) or not NAME.match(file) or not path.is_file():
            return None
        return path

    def _clips(self) -> list[tuple[Path, float, int]]:
        found = []
        for path in self.folder.glob("*/*.mp4"):
            if NAME.match(path.name):
                try:
                    state = path.stat()
                except FileNotFoundError:  # removed by somebody else
                    continue
                found.append((path, state.st_mtime, state.st_size))
        return sorted(found, key=lambda clip: clip[0].name)
