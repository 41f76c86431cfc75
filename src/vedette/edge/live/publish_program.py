"""The program that pushes cameras' packets to a media server; `publishing` starts it and feeds its standard input.

A process of its own, because FFmpeg's RTSP muxer holds Python's lock while it connects: a server that does not answer
would stop the whole run for seconds. It ends when its input does. Each camera has a thread and a bounded queue; a
connection that breaks is tried again with growing pauses. Reports (whether it is up, what was sent and dropped so far)
go to standard output, a line of JSON each.
"""

import io
import json
import os
import queue
import random
import struct
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.error import FFmpegError
from av.packet import Packet

from vedette.edge.live.server_trust import tls_options, why_not_trusted

TARGET, START, PICTURE = range(3)
HEAD = struct.Struct(">BHIqqIB")  # kind, camera, size; dts, pts, duration, keyframe of a picture
MOST_QUEUED = 300  # pictures of a camera: 10 s
TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
REPORT_EVERY_S = 1.0
TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True, slots=True)
class Item:
    """A start (init segment) or a picture."""

    kind: int
    data: bytes
    dts: int = 0
    pts: int = 0
    duration: int = 0
    is_keyframe: bool = False


class Publisher:
    """One camera's connection."""

    def __init__(self, camera: str, url: str, ca_file: str | None = None) -> None:
        self.camera = camera
        self._url, self._ca_file = url, ca_file
        self.items: queue.Queue[Item] = queue.Queue(MOST_QUEUED)
        self._start = b""
        self._pause_s = FIRST_PAUSE_S
        self._holed = False  # something of what was queued was let go
        self._pictures = self._bytes = self._dropped = 0
        self._reported_s = 0.0
        threading.Thread(target=self._run, name=f"publish-{camera}", daemon=True).start()

    def put(self, item: Item) -> None:
        """Queue, or let everything go that is queued: what comes next begins with a keyframe again."""
        if item.kind == START:
            self._start = item.data
        try:
            self.items.put_nowait(item)
        except queue.Full:
            self._holed = True
            self._dropped += 1 + self.items.qsize()
            while not self.items.empty():
                self.items.get_nowait()
            self._report()

    def _run(self) -> None:
        while True:
            try:
                self._publish()
                self._pause_s = FIRST_PAUSE_S
            except (FFmpegError, OSError, ValueError) as error:
                words = why_not_trusted(self._url, self._ca_file) or getattr(error, "strerror", None)
                self._report(up=False, error=words or type(error).__name__)
                time.sleep(self._pause_s * random.uniform(0.7, 1.3))
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _publish(self) -> None:
        """Push until something else comes, or the server goes."""
        self._holed = False
        first = self._next_keyframe()
        with av.open(io.BytesIO(self._start)) as template:
            options = {"rtsp_transport": "tcp", "timeout": str(round(TIMEOUT_S * 1e6))}
            options |= tls_options(self._url, self._ca_file)
            output = av.open(self._url, "w", format="rtsp", options=options)
            try:
                stream = output.add_stream_from_template(template.streams.video[0])
                output.start_encoding()
                self._report(up=True)
                item: Item | None = first
                while item is not None:
                    output.mux_one(packet_of(item, stream))
                    self._pause_s = FIRST_PAUSE_S
                    self._pictures += 1
                    self._bytes += len(item.data)
                    if time.monotonic() >= self._reported_s + REPORT_EVERY_S:
                        self._report()
                    item = self.items.get()
                    if item.kind == START or self._holed:  # what was lost may have been a start, too
                        return
            finally:
                close(output)

    def _next_keyframe(self) -> Item:
        while True:
            item = self.items.get()
            if item.kind == PICTURE and item.is_keyframe and self._start:
                return item
            self._dropped += item.kind == PICTURE

    def _report(self, **what: object) -> None:
        self._reported_s = time.monotonic()
        report(self.camera, pictures=self._pictures, bytes=self._bytes, dropped=self._dropped, **what)


def packet_of(item: Item, stream: Any) -> "Packet[Any]":
    """For the muxer."""
    packet: Packet[Any] = Packet(item.data)
    packet.time_base = TIME_BASE
    packet.dts, packet.pts, packet.duration = item.dts, item.pts, item.duration
    packet.is_keyframe = item.is_keyframe
    packet.stream = stream
    return packet


def close(output: Any) -> None:
    """Say goodbye, if anybody listens."""
    try:
        output.close()
    except (FFmpegError, OSError):
        return


def report(camera: str, **what: object) -> None:
    """A line for the parent."""
    os.write(sys.stdout.fileno(), json.dumps({"camera": camera, **what}).encode() + b"\n")  # one write a line


def main(source: BinaryIO | None = None) -> None:
    """Read to the end of the input."""
    stdin = source or sys.stdin.buffer
    publishers: dict[int, Publisher] = {}
    while head := stdin.read(HEAD.size):
        kind, camera, size, dts, pts, duration, key = HEAD.unpack(head)
        data = stdin.read(size)
        if kind == TARGET:
            document = json.loads(data)
            publishers[camera] = Publisher(document["camera"], document["url"], document["ca_file"])
        else:
            publishers[camera].put(Item(kind, data, dts, pts, duration, bool(key)))
