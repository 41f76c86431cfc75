"""Opens one camera and yields its decoded frames, on one thread without extra ones.

Guarantees: the video stream is found wherever it stands (cover pictures are none), damaged packets are counted and
passed over up to a limit, a live camera that gives no picture, with packets or without, is an error after the timeout,
errors are single sentences without passwords. Leaves pace, numbering and conversion to `camera`. A live stream is
decoded from its first keyframe on.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

import av
from av import VideoFrame
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from vedette.edge.stream.address import resolve_address
from vedette.edge.stream.camera_spec import FIRST_PICTURE_S, OPEN_TIMEOUT_S, READ_TIMEOUT_S, CameraSpec, SourceKind
from vedette.edge.stream.decoders import Decoders
from vedette.edge.stream.diagnosis import check_file, explain_opening, explain_reading, explain_silence
from vedette.edge.stream.errors import CameraHopelessError, CameraInputError, CameraUnavailableError
from vedette.edge.stream.gated_decoder import NOTHING_YET, Gate, GatedDecoder
from vedette.edge.stream.packet_tap import PacketTap
from vedette.edge.stream.redirects import Refuse, redirects_refused
from vedette.edge.stream.resuming import Resuming
from vedette.edge.stream.unneeded import Unneeded

MAX_ERRORS_IN_A_ROW = 300  # damaged packets without one frame between them: 10 s at 30 frames a second
MOST_STREAMS = 16  # whose limit is told to FFmpeg (PyAV takes mappings, whatever its stub says)
MOST_PIXELS = 8192 * 4608  # 8K; a header that says more would cost gigabytes for a few bytes
MAX_PACKETS_TO_KEYFRAME = 300  # streams that refresh without keyframes exist; then decode what comes
TEXT_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})  # FFmpeg draws text files as video


class FrameSource(Protocol):
    """Frames of one camera. Everything but `close` is for one thread."""

    codec: str
    live: bool
    interval_s: float | None  # between frames, where the stream says
    expected_frames: int | None  # in the whole file, as it says or by its length; None for live cameras
    has_time_stamps: bool
    decode_errors: int  # damaged packets and frames so far
    skipped: int  # frames left undecoded so far
    gated: GatedDecoder | None  # says more about each frame, where a gate is used
    unneeded: Unneeded | None  # knows what was left out, where that was asked for
    working_since_s: float | None  # on one packet, by the monotonic clock; None while it waits for the next

    def frames(self) -> Iterator[VideoFrame | None]: ...

    def skip_to(self, pts_s: float | None) -> None: ...

    def resume_after(self, pts_s: float | None, frames: int) -> None: ...

    def leave_out(self, is_wanted: Callable[[int, float], bool]) -> None: ...

    def close(self) -> None: ...


def open_source(
    spec: CameraSpec,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    gate: Gate | None = None,
    tap: PacketTap | None = None,
    *,
    refuse: Refuse | None = None,
) -> "FrameSource":
    """Open a camera; blocks up to the timeout. Packets pass the tap, then the gate, where there are such.

    `refuse`: see `redirects`.

    Raises:
        CameraInputError: the address or file is wrong.
        CameraUnavailableError: the camera, its network or its driver is missing or down.
    """
    if spec.kind is SourceKind.CSI:
        from vedette.edge.stream.csi import CsiSource

        return CsiSource(spec)
    with redirects_refused(spec, refuse):
        return AvSource(spec, open_timeout_s, read_timeout_s, gate, tap)


class AvSource:
    """A file, RTSP, HTTP or USB camera by FFmpeg."""

    def __init__(
        self,
        spec: CameraSpec,
        open_timeout_s: float,
        read_timeout_s: float,
        gate: Gate | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        self._spec = spec
        self._tap = tap
        self._read_timeout_s = read_timeout_s
        self.live = spec.kind is not SourceKind.FILE
        self.decode_errors = self.skipped = 0
        self._errors_in_a_row = self._frames = 0
        self._is_alive = True  # a picture came since the last look, or packets were left undecoded on purpose
        self._alive_s = self._asked_s = 0.0  # when that was; when the next packet was asked for
        self.working_since_s: float | None = None
        # Live: wait for a keyframe, nothing before it can be decoded. None: not skipping; -inf: any keyframe will do
        self._skip_until_s: float | None = float("-inf") if self.live and spec.kind is not SourceKind.USB else None
        self._starting = self._skip_until_s is not None
        self._packets_skipped = 0
        self._resuming: Resuming | None = None
        self.unneeded: Unneeded | None = None
        self._container = _open_container(spec, open_timeout_s, read_timeout_s)
        try:
            self._stream = _video_stream(self._container, spec)
        except CameraInputError:
            self._container.close()
            raise
        self._stream.codec_context.thread_count = 1  # fastest for many streams; facts: one thread per camera
        self._stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        self._decoders: Decoders | None = None
        self.gated: GatedDecoder | None = None
        if gate is not None:
            self._decoders = Decoders(self._stream.codec_context)
            self.gated = GatedDecoder(gate, self._send, self._decoders)
        self.codec = self._stream.codec_context.name
        if tap is not None:
            tap.open(self._stream)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.interval_s = float(1 / rate) if rate else None
        self.expected_frames = None if self.live else self._count_expected()
        # Motion JPEG over HTTP has no time stamps, but FFmpeg makes some up as if it were 25 frames a second
        self.has_time_stamps = self._container.format.name != "mpjpeg"

    def _count_expected(self) -> int | None:
        if self._stream.frames:
            return self._stream.frames
        length = self._container.duration  # microseconds
        return round(length / av.time_base / self.interval_s) if length and self.interval_s else None

    def __enter__(self) -> "AvSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the connection or file."""
        self.gated = None  # it knows `_send`: a circle would keep FFmpeg's memory until Python looks for circles
        self.unneeded = self._decoders = None  # what they hold is FFmpeg's memory
        self._container.close()

    def skip_to(self, pts_s: float | None) -> None:
        """Leave frames undecoded up to the first keyframe at or after this time stamp (`None`: the next keyframe)."""
        self._skip_until_s = float("-inf") if pts_s is None else pts_s
        self._packets_skipped = 0

    def resume_after(self, pts_s: float | None, frames: int) -> None:
        """Go on behind a file's frame of this time stamp (or, without time stamps, number) with the next keyframe."""
        self._resuming = Resuming(pts_s, frames)
        if pts_s is not None and self._stream.time_base:
            # Only saves time: what cannot be sought in is read from its beginning
            with contextlib.suppress(FFmpegError):
                self._container.seek(int(pts_s / self._stream.time_base), stream=self._stream)

    def leave_out(self, is_wanted: Callable[[int, float], bool]) -> None:
        """From here on decode only what due frames build on (`unneeded`), of that what a gate opens for."""
        unneeded = Unneeded(self._stream.codec_context, is_wanted)
        if self.gated is None:
            self.unneeded = unneeded
        else:
            self.gated.leave_out(is_wanted, unneeded.begins_anew)

    def frames(self) -> Iterator[VideoFrame | None]:
        """Every decoded frame, in order of presentation, to the end of the file or the death of the camera.

        None comes for packets that a gate leaves undecoded, or a live camera that catches up.

        Raises:
            CameraInputError: nothing, or nothing any more, can be decoded.
            CameraUnavailableError: the camera fell silent or closed the connection.
        """
        ended = False
        while not ended:
            try:
                self._asked_s = time.monotonic()
                for packet in self._container.demux(self._stream):
                    if self.live:
                        self._watch_packets()
                    if self._tap is not None:
                        self._tap.take(packet)
                    if self._resuming is not None and not self._is_resumed(self._resuming, packet):
                        continue
                    for needed in (packet,) if self.unneeded is None else self.unneeded.take(packet):
                        yield from self._decode(needed)
                    if self.live:
                        self._watch_pictures()
                ended = True
            except FFmpegError as error:
                if self.live and self._container.duration:
                    raise CameraHopelessError(str(explain_reading(error, self._spec, self._read_timeout_s))) from None
                if self.live or not isinstance(error, av.error.InvalidDataError):
                    raise explain_reading(error, self._spec, self._read_timeout_s) from None
                self._count_error(error)
        if self.live and not self._container.duration:
            raise CameraUnavailableError(
                f"camera '{self._spec.name}': {self._spec.shown} closed the connection; check the camera"
            )
        if not self._frames and self._resuming is None:
            raise CameraInputError(
                f"camera '{self._spec.name}': {self._spec.shown} holds a {self.codec} video stream, but not one frame "
                "of it can be decoded; copy or record it again"
            )

    def _decode(self, packet: "Packet[VideoStream]") -> Iterator[VideoFrame | None]:
        if self._skip_until_s is not None and packet.size and self._skips(packet):
            if self.gated is not None:
                self.gated.restart()
            if self.live:
                yield None  # the camera is well
            return
        given = self._send(packet) if self.gated is None else self.gated.take(packet)
        if given is NOTHING_YET:
            self._is_alive = True
            yield None
            return
        for frame in given:
            if frame is not None:
                is_corrupt = frame.is_corrupt
                self.decode_errors += is_corrupt
                if is_corrupt and self.live and not self._frames:
                    continue  # made up by the decoder: a camera begins with a whole picture
                self._frames += 1
                self._is_alive |= not is_corrupt
            else:
                self._is_alive = True
            yield frame

    def _watch_packets(self) -> None:
        """Notice silence: FFmpeg gives a last packet when the time is over, and the error only after as long again."""
        self.working_since_s = now = time.monotonic()
        if now - self._asked_s >= self._read_timeout_s:
            raise explain_silence(self._spec, self._read_timeout_s)

    def _watch_pictures(self) -> None:
        """Notice a live camera whose packets give no picture; called after each of them."""
        now = time.monotonic()
        self._asked_s, self.working_since_s = now, None
        if self._is_alive:
            self._is_alive, self._alive_s = False, now
            return
        waits = self._skip_until_s is not None or not self._frames  # for a keyframe
        limit_s = FIRST_PICTURE_S if waits else self._read_timeout_s
        if now - self._alive_s > limit_s:
            raise CameraUnavailableError(
                f"camera '{self._spec.name}': {self._spec.shown} sends packets, but no whole picture came out of them "
                f"for {limit_s:g} s ({self.codec}, {self.decode_errors} damaged); check the camera's stream settings"
            )

    def _send(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        """Frames that the decoder gives for a packet, or when it is drained."""
        try:
            decoder = self._decoders or self._stream.codec_context
            frames = decoder.decode(packet)
        except FFmpegError as error:
            self._count_error(error)
            frames = []
        if frames:
            self._errors_in_a_row = 0
        if self.unneeded is not None and packet is not None:
            self.unneeded.see(packet, frames)
        return frames

    def _is_resumed(self, resuming: Resuming, packet: "Packet[VideoStream]") -> bool:
        skipped_before = resuming.skipped
        wanted = resuming.wants(packet)
        self.skipped += resuming.skipped - skipped_before
        return wanted

    def _skips(self, packet: "Packet[VideoStream]") -> bool:
        until_s = self._skip_until_s
        pts_s = None if packet.pts is None else float(packet.pts * packet.time_base)
        reached = packet.is_keyframe and (pts_s is None or until_s is None or pts_s >= until_s)
        if reached or self._packets_skipped >= MAX_PACKETS_TO_KEYFRAME:
            self._skip_until_s = None
            self._starting = False
            return False
        self._packets_skipped += 1
        if not self._starting:
            self.skipped += 1
        return True

    def _count_error(self, error: FFmpegError) -> None:
        self.decode_errors += 1
        self._errors_in_a_row += 1
        if self._errors_in_a_row > MAX_ERRORS_IN_A_ROW:
            kind = CameraUnavailableError if self.live else CameraInputError
            raise kind(
                f"camera '{self._spec.name}': {self._errors_in_a_row} packets in a row of {self._spec.shown} cannot be "
                f"decoded as {self.codec} ({error.strerror}); check the camera's settings, or copy the file again"
            ) from None


def _open_container(spec: CameraSpec, open_timeout_s: float, read_timeout_s: float) -> InputContainer:
    address = resolve_address(spec)
    if spec.kind is SourceKind.FILE:
        check_file(spec)
    began = time.monotonic()
    try:
        return av.open(
            address.url,
            format=address.demuxer,
            options=address.options,
            stream_options=[{"max_pixels": str(MOST_PIXELS)}] * MOST_STREAMS,  # type: ignore[list-item]
            timeout=None if spec.kind is SourceKind.FILE else (open_timeout_s, read_timeout_s),
        )
    except FFmpegError as error:
        waited_s = time.monotonic() - began
        timed_out = isinstance(error, av.error.ExitError | av.error.TimeoutError) or waited_s >= 0.95 * open_timeout_s
        # The FFmpeg error repeats the URL with the password, so it must not be chained into a traceback
        raise explain_opening(error, spec, open_timeout_s if timed_out else None) from None


def _video_stream(container: InputContainer, spec: CameraSpec) -> VideoStream:
    start = f"camera '{spec.name}': {spec.shown}"
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        found = f"only {' and '.join(kinds)}" if kinds else "nothing that can be read"
        raise CameraInputError(f"{start} holds no video stream ({found}); give a source with video")
    usable = [stream for stream in streams if stream.codec_context is not None]
    if not usable:
        raise CameraInputError(f"{start}: there is no decoder for its video; set the camera to H.264 or H.265")
    if all(stream.codec_context.name in TEXT_CODECS for stream in usable):
        raise CameraInputError(f"{start} is text, not video; give a video file")
    best = container.streams.best("video")
    return best if best in usable else usable[0]
