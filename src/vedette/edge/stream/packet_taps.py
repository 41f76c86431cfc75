"""The parent's end of every camera's packet tap: says which cameras' packets are wanted and hands them on.

Guarantees: a camera whose packets nobody wants sends none; a decoder that died and its successor are one camera to the
listener; a thread for each decoder reads and ends with it. What the decoders could not send is in `dropped`.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Sequence

from vedette.contracts.video import PacketListener, VideoPacket
from vedette.edge.stream.packet_wire import PacketReader

RECEIVE_BYTES = 1 << 20  # what the kernel may keep for a reader that is late; it gives what it allows
_LOG = logging.getLogger(__name__)


class PacketTaps:
    """Thread-safe. Packets come to the listener from several threads, those of one camera in order."""

    def __init__(self, listener: PacketListener) -> None:
        self.listener = listener
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._links: dict[str, socket.socket] = {}
        self._local: dict[str, LocalOutlet] = {}
        self._dropped: dict[str, int] = {}

    def attach(self, camera: str) -> socket.socket:
        """The end for a new decoder process of this camera, which the caller closes when it is handed over."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BYTES)
        with self._lock:
            self._links[camera] = ours
            if camera in self._wanted:
                ours.send(b"\1")
        threading.Thread(target=self._read, args=(camera, ours), name=f"packets-{camera}", daemon=True).start()
        return theirs

    def local(self, camera: str) -> "LocalOutlet":
        """The outlet of a camera that decodes in this process."""
        with self._lock:
            outlet = self._local[camera] = LocalOutlet(self, camera)
            outlet.wanted = camera in self._wanted
        return outlet

    def want(self, camera: str, wanted: bool) -> None:
        """From now on, or no longer; the first packets are those since the last keyframe. From any thread."""
        with self._lock:
            if wanted == (camera in self._wanted):
                return
            (self._wanted.add if wanted else self._wanted.discard)(camera)
            link, outlet = self._links.get(camera), self._local.get(camera)
            if outlet is not None:
                outlet.wanted = wanted
                outlet.anew = outlet.anew or wanted
            if link is not None:
                with contextlib.suppress(OSError):  # it is gone; its successor is told when it is attached
                    link.send(b"\1" if wanted else b"\0", socket.MSG_DONTWAIT)

    @property
    def dropped(self) -> dict[str, int]:
        """Packets that were wanted and could not be sent in time, by camera."""
        with self._lock:
            return dict(self._dropped)

    def note_dropped(self, camera: str, dropped: int) -> None:
        """How many, so far, of this decoder."""
        if dropped or camera in self._dropped:
            with self._lock:
                self._dropped[camera] = dropped

    def _read(self, camera: str, link: socket.socket) -> None:
        reader = PacketReader()
        before = self._dropped.get(camera, 0)
        with link:
            while True:
                try:
                    packets = reader.read(link)
                except OSError:
                    break
                except (ValueError, TypeError, KeyError) as error:
                    _LOG.warning("camera '%s': its video cannot be shown or kept: %s", camera, error)
                    break
                if packets is None:
                    break
                self.note_dropped(camera, before + reader.dropped)
                if packets:
                    self.listener(camera, packets)
            with self._lock:
                if self._links.get(camera) is link:
                    del self._links[camera]


class LocalOutlet:
    """`packet_tap.Outlet` without a border."""

    def __init__(self, taps: PacketTaps, camera: str) -> None:
        self._taps = taps
        self._camera = camera
        self.wanted = self.anew = False

    def wish(self) -> tuple[bool, bool]:
        """As the taps say."""
        anew, self.anew = self.anew, False
        return self.wanted, anew and self.wanted

    def take(self, packets: Sequence[VideoPacket], dropped: int) -> bool:
        """Hand on at once."""
        self._taps.note_dropped(self._camera, dropped)
        self._taps.listener(self._camera, packets)
        return True
