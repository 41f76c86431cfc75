"""Which camera to open and how: a plain value, its kind told by its URL. Opens nothing.

Credentials are fields, never part of the URL, and never shown by `repr`. Schemes are those of
`contracts.pipeline.check_camera_url`.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

from vedette.contracts.camera_url import hide_query_secrets
from vedette.contracts.gate import GateMode

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 3.5  # a camera that gives nothing is noticed within 5 s, also on a busy machine
FIRST_PICTURE_S = 15.0  # for a live camera's first keyframe, while packets come: some send one every ten seconds


class SourceKind(str, Enum):
    """What stands behind a camera's URL."""

    FILE = "file"
    RTSP = "rtsp"
    HTTP = "http"
    USB = "usb"
    CSI = "csi"


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera. `loop` and `realtime` are for files: start again at the end; pace by the timestamps.

    `gate` says what is spared while nothing happens. With `decode_all` an unpaced file costs what a live camera does:
    frames that no due frame builds on are decoded, too.
    """

    name: str
    url: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    loop: bool = False
    realtime: bool = False
    gate: GateMode = GateMode.OFF
    decode_all: bool = False

    @property
    def shown(self) -> str:
        """The URL for people: values of its query that look like secrets are masked."""
        return hide_query_secrets(self.url)

    @property
    def kind(self) -> SourceKind:
        """A local file unless the URL starts with a known scheme."""
        match = re.match(r"^(rtsps?|https?)://|^(usb|csi):", self.url, re.IGNORECASE)
        if match is None:
            return SourceKind.FILE
        return SourceKind(match.group(0).lower().rstrip(":/").replace("rtsps", "rtsp").replace("https", "http"))

    @property
    def is_lossless(self) -> bool:
        """An unpaced file: waits for the detector instead of dropping."""
        return self.kind is SourceKind.FILE and not self.realtime

    @property
    def gating(self) -> GateMode:
        """What `gate` means for this camera. A sensor without packets (`csi:`) can be spared detection only."""
        mode = self.gate
        if mode is GateMode.AUTO:
            mode = GateMode.OFF if self.is_lossless else GateMode.BITSTREAM
        return GateMode.MOTION if mode is GateMode.BITSTREAM and self.kind is SourceKind.CSI else mode
