"""How packets travel from a decoder process to its parent: a socket of their own, beside that of the slots.

Each message is a packet of the socket: a format (JSON behind a byte) or pictures (counts and headers, packed, then
their bytes; many bytes lie in a piece of shared memory whose descriptor comes along). The parent says with a byte
whether it wants any. A message that the socket cannot take at once is not sent, unless `waits`. What comes from a
decoder is checked here and nowhere believed: it may have been taken over by a stream.
"""

import array
import contextlib
import fcntl
import json
import math
import os
import socket
import struct
import termios
from collections.abc import Sequence

from vedette.contracts.video import TICKS_PER_S, VideoFormat, VideoPacket
from vedette.edge.stream.packet_tap import CODECS, MOST_BYTES

FORMAT, PACKETS = b"F", b"P"
HEAD = struct.Struct("<cQIId")  # kind, dropped so far, packets, bytes of them all, media offset (NaN: unknown)
ENTRY = struct.Struct("<qqIB")  # pts, dts, duration, keyframe; then the size
SIZE = struct.Struct("<I")
INLINE_BYTES = 32_768
MESSAGE_BYTES = 1 << 16
MOST_PACKETS = 1000
MOST_UNDER_WAY = 2 * MOST_BYTES  # in shared memory, until the parent has read all that was sent
MOST_TICKS = TICKS_PER_S * 86_400 * 366 * 100
FD_BYTES = socket.CMSG_SPACE(array.array("i").itemsize)


class SocketOutlet:
    """`packet_tap.Outlet` in a decoder process."""

    def __init__(self, link: socket.socket, *, waits: bool = False) -> None:
        self._link = link
        self._waits = waits
        self._wanted = False
        self._told: VideoFormat | None = None
        self._under_way_bytes = 0

    def wish(self) -> tuple[bool, bool]:
        """What the parent said last; "no" and "yes" since the last call mean anew."""
        try:
            said = self._link.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._wanted, False
        except OSError:
            said = b"\0"
        anew = bool(said[-1:] == b"\1" and (not self._wanted or b"\0" in said))
        self._wanted = said[-1:] == b"\1"
        return self._wanted, anew

    def take(self, packets: Sequence[VideoPacket], dropped: int) -> bool:
        """Send them, if the socket has room for them all."""
        form = packets[0].format
        try:
            if self._told is not form:
                self._send(encode_format(form), None)
                self._told = form
            for start in range(0, len(packets), MOST_PACKETS):
                self._send_packets(packets[start : start + MOST_PACKETS], dropped)
        except BlockingIOError:
            return False
        except OSError:  # the parent is gone, which its own socket says
            self._wanted = False
            return False
        return True

    def _send_packets(self, packets: Sequence[VideoPacket], dropped: int) -> None:
        head = encode_packets(packets, dropped)
        data = b"".join(packet.data for packet in packets)
        if len(head) + len(data) <= INLINE_BYTES:
            self._send(head + data, None)
            return
        if not self._waits:
            self._check_room(len(data))
        fd = os.memfd_create("vedette-packets", os.MFD_CLOEXEC)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            self._send(head, fd)
        finally:
            os.close(fd)
        self._under_way_bytes += len(data)

    def _check_room(self, size_bytes: int) -> None:
        unread = array.array("i", [0])
        fcntl.ioctl(self._link.fileno(), termios.TIOCOUTQ, unread)
        if not unread[0]:
            self._under_way_bytes = 0
        if self._under_way_bytes + size_bytes > MOST_UNDER_WAY:
            raise BlockingIOError

    def _send(self, message: bytes, fd: int | None) -> None:
        flags = 0 if self._waits else socket.MSG_DONTWAIT
        if fd is None:
            self._link.send(message, flags)
        else:
            socket.send_fds(self._link, [message], [fd], flags)


class PacketReader:
    """The parent's end: messages -> packets. One thread."""

    def __init__(self) -> None:
        self._format: VideoFormat | None = None
        self.dropped = 0

    def read(self, link: socket.socket) -> list[VideoPacket] | None:
        """The next packets, none for a format; `None` behind the last. Blocks.

        Raises:
            ValueError, TypeError, KeyError: it is no message.
        """
        message, ancillary, _, _ = link.recvmsg(MESSAGE_BYTES, FD_BYTES)
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        try:
            if not message:
                return None
            if message[:1] == FORMAT:
                self._format = decode_format(message)
                return []
            return self._packets(message, list(fds))
        finally:
            for fd in fds:
                with contextlib.suppress(OSError):
                    os.close(fd)

    def _packets(self, message: bytes, fds: list[int]) -> list[VideoPacket]:
        try:
            kind, dropped, count, size, offset_s = HEAD.unpack_from(message)
            if kind != PACKETS or self._format is None or count > MOST_PACKETS or size > MOST_UNDER_WAY:
                raise ValueError(f"a message of {len(message)} bytes that is none")
            at, heads = HEAD.size, []
            for _ in range(count):
                heads.append((*ENTRY.unpack_from(message, at), *SIZE.unpack_from(message, at + ENTRY.size)))
                at += ENTRY.size + SIZE.size
        except struct.error as error:
            raise ValueError(f"a message of {len(message)} bytes that does not fit: {error}") from error
        data = os.pread(fds[0], size, 0) if fds else message[at:]
        if len(data) != size or sum(head[4] for head in heads) != size:
            raise ValueError(f"{len(data)} bytes of packets that say {size}")
        self.dropped = dropped
        packets, at = [], 0
        for pts, dts, duration, key, length in heads:
            if max(abs(pts), abs(dts)) > MOST_TICKS:
                raise ValueError(f"a packet of the time {pts}")
            content = data[at : at + length]
            known = None if math.isnan(offset_s) else offset_s
            packets.append(VideoPacket(self._format, content, pts, dts, duration, bool(key), known))
            at += length
        return packets


def encode_format(form: VideoFormat) -> bytes:
    """One message."""
    document = [form.codec, form.extradata.hex(), form.width_px, form.height_px, form.quarter_turns]
    return FORMAT + json.dumps(document).encode()


def decode_format(message: bytes) -> VideoFormat:
    """What `encode_format` made.

    Raises:
        ValueError, TypeError: it is none.
    """
    codec, extradata, width_px, height_px, turns = json.loads(message[1:])
    if codec not in CODECS or not (0 < width_px <= 16_384 and 0 < height_px <= 16_384):
        raise ValueError(f"video of {width_px} x {height_px} in {str(codec)[:20]}")
    return VideoFormat(str(codec), bytes.fromhex(extradata), int(width_px), int(height_px), int(turns) % 4)


def encode_packets(packets: Sequence[VideoPacket], dropped: int) -> bytes:
    """All of a message but the bytes of the pictures."""
    offset_s = packets[-1].media_offset_s
    size = sum(len(packet.data) for packet in packets)
    parts = [HEAD.pack(PACKETS, dropped, len(packets), size, math.nan if offset_s is None else offset_s)]
    for packet in packets:
        duration = min(packet.duration_ticks, 0xFFFFFFFF)
        parts.append(ENTRY.pack(packet.pts_ticks, packet.dts_ticks, duration, packet.is_keyframe))
        parts.append(SIZE.pack(len(packet.data)))
    return b"".join(parts)
