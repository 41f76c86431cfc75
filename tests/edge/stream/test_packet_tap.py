"""The camera's own packets, tapped between demuxing and decoding, in processes and in threads."""

import socket
import threading
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from simulators.blob_detector import BlobDetector
from simulators.clips import write_clip
from simulators.result_log import ResultLog, shared_spawner
from simulators.rtsp_camera import RtspCamera
from vedette.contracts.gate import GateMode
from vedette.contracts.pipeline import Isolation
from vedette.contracts.video import VideoFormat, VideoPacket
from vedette.edge.stream import packet_tap
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.packet_tap import PacketTap
from vedette.edge.stream.packet_taps import PacketTaps
from vedette.edge.stream.packet_wire import MESSAGE_BYTES, PacketReader, SocketOutlet, encode_format, encode_packets
from vedette.edge.stream.pipeline import StreamPipeline

FPS, GOP = 25, 10


class PacketLog:
    """A `PacketListener` that keeps everything."""

    def __init__(self) -> None:
        self.packets: list[VideoPacket] = []
        self.changed = threading.Condition()

    def __call__(self, camera: str, packets: Sequence[VideoPacket]) -> None:
        with self.changed:
            self.packets += packets
            self.changed.notify_all()

    def wait_for(self, count: int) -> list[VideoPacket]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.packets) >= count, 20), f"{len(self.packets)} of {count}"
            return list(self.packets)


def watch(spec: CameraSpec, taps: PacketTaps, isolation: Isolation) -> tuple[StreamPipeline, ResultLog]:
    log = ResultLog()
    spawner = shared_spawner() if isolation is Isolation.PROCESSES else None
    return StreamPipeline([spec], BlobDetector(), log, isolation=isolation, spawner=spawner, taps=taps), log


def coded(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("isolation", "gate"), [(Isolation.PROCESSES, GateMode.BITSTREAM), (Isolation.THREADS, GateMode.OFF)]
)
def test_every_packet_of_a_paced_file_crosses_in_order_with_its_media_time(
    tmp_path: Path, isolation: Isolation, gate: GateMode
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=30, gop=GOP, b_frames=2, options={"preset": "veryfast"})
    packets = PacketLog()
    taps = PacketTaps(packets)
    taps.want("a", wanted=True)
    pipeline, log = watch(CameraSpec("a", str(clip), realtime=True, gate=gate), taps, isolation)
    pipeline.run()
    got = packets.wait_for(30)
    assert [packet.data for packet in got] == coded(clip)
    assert got[0].is_keyframe
    assert got[0].format.codec == "h264"
    assert (got[0].format.width_px, got[0].format.height_px) == (160, 96)
    assert all(later.dts_ticks > earlier.dts_ticks for earlier, later in pairwise(got))
    assert any(packet.pts_ticks != packet.dts_ticks for packet in got), "a clip with B-frames"
    first_s = min(packet.pts_ticks for packet in got) / 90_000
    assert got[-1].media_offset_s == pytest.approx(-first_s, abs=1e-3)
    assert taps.dropped == {}
    assert log.ends == [("a", None)]


def test_who_comes_late_begins_at_the_keyframe_before(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=50, gop=50)
    packets = PacketLog()
    taps = PacketTaps(packets)
    pipeline, log = watch(CameraSpec("a", str(clip), realtime=True), taps, Isolation.PROCESSES)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    with log.seen:
        assert log.seen.wait_for(lambda: len(log.results) >= 3, 60)
    assert not packets.packets
    taps.want("a", wanted=True)
    got = packets.wait_for(12)
    assert got[0].is_keyframe
    assert got[0].data == coded(clip)[0]
    taps.want("a", wanted=False)
    pipeline.stop()
    thread.join()


@pytest.mark.slow
def test_a_live_camera_gives_its_packets_though_the_first_has_no_time(tmp_path: Path) -> None:
    packets = PacketLog()
    taps = PacketTaps(packets)
    taps.want("a", wanted=True)
    with RtspCamera() as camera:
        pipeline, _ = watch(CameraSpec("a", camera.url, gate=GateMode.AUTO), taps, Isolation.PROCESSES)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        got = packets.wait_for(20)
        pipeline.stop()
        thread.join()
    assert got[0].is_keyframe
    assert [later.dts_ticks - earlier.dts_ticks for earlier, later in pairwise(got[:10])] == [3600] * 9
    assert got[19].media_offset_s is not None


@pytest.mark.slow
def test_a_camera_that_goes_away_and_comes_back_begins_another_run_with_a_keyframe() -> None:
    packets = PacketLog()
    taps = PacketTaps(packets)
    taps.want("a", wanted=True)
    with RtspCamera(close_after_s=1.5) as camera:
        pipeline, _ = watch(CameraSpec("a", camera.url), taps, Isolation.PROCESSES)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        with packets.changed:
            assert packets.changed.wait_for(lambda: len({id(one.format) for one in packets.packets}) >= 2, 60)
        pipeline.stop()
        thread.join()
    runs: dict[int, list[VideoPacket]] = {}
    for packet in packets.packets:
        runs.setdefault(id(packet.format), []).append(packet)
    assert all(run[0].is_keyframe for run in runs.values())


def test_a_file_that_begins_again_and_a_clock_that_was_set_back_begin_another_run(tmp_path: Path) -> None:
    taken: list[VideoPacket] = []
    tap = PacketTap(KeptOutlet(taken))
    clip = write_clip(tmp_path / "clip.mp4", frames=40, gop=GOP)
    for _ in range(2):
        feed(tap, clip)
    feed(tap, clip, again=True)
    runs = {id(packet.format) for packet in taken}
    assert len(runs) == 3
    assert len(taken) == 120


def test_what_cannot_be_sent_in_time_is_dropped_up_to_the_next_keyframe_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packet_tap, "MOST_KEPT", 5)
    taken: list[VideoPacket] = []
    outlet = KeptOutlet(taken)
    tap = PacketTap(outlet)
    clip = write_clip(tmp_path / "clip.mp4", frames=40, gop=GOP)
    outlet.room = 0
    feed(tap, clip, range(12))  # ten of one group, two of the next
    outlet.room = 100
    feed(tap, clip, range(12, 40), opened=False)
    assert taken[0].is_keyframe
    assert taken[0].data == coded(clip)[10]
    assert [packet.data for packet in taken] == coded(clip)[10:]
    assert tap.dropped == 10


def test_a_reader_that_sleeps_costs_the_camera_packets_but_no_time(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        tap = PacketTap(SocketOutlet(theirs))
        ours.send(b"\1")
        clip = write_clip(tmp_path / "clip.mp4", frames=50, gop=GOP, size=(640, 360), options={"crf": "1"})
        for _ in range(60):
            feed(tap, clip)  # returns, though nobody reads
        assert tap.dropped > 0
        reader, got = PacketReader(), []
        ours.settimeout(0.2)
        while True:
            try:
                got += reader.read(ours) or []
            except TimeoutError:
                break
        assert got[0].is_keyframe
        for earlier, later in pairwise(got):
            assert later.is_keyframe or later.dts_ticks > earlier.dts_ticks


def test_what_is_no_message_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    form = VideoFormat("h264", b"", 16, 16)
    packets = [VideoPacket(form, b"abc", 0, 0, 1, is_keyframe=True)]
    whole = encode_packets(packets, 0) + b"abc"
    with ours, theirs:
        reader = PacketReader()
        theirs.send(encode_format(form))
        assert reader.read(ours) == []
        theirs.send(whole)
        (packet,) = reader.read(ours) or []
        assert packet.data == b"abc"
        for wrong in (
            b"P",
            b"X" + whole[1:],
            whole[:-1],
            whole + b"d",
            b"F[1]",
            b"F" + b"9" * 50,
            b"P" * MESSAGE_BYTES,
        ):
            theirs.send(wrong[:60_000])
            with pytest.raises((ValueError, TypeError, KeyError)):
                reader.read(ours)


class KeptOutlet:
    """An `Outlet` with room for so many packets."""

    def __init__(self, taken: list[VideoPacket]) -> None:
        self.taken, self.room = taken, 1000

    def wish(self) -> tuple[bool, bool]:
        return True, False

    def take(self, packets: Sequence[VideoPacket], dropped: int) -> bool:
        if len(packets) > self.room:
            return False
        self.taken += packets
        return True


def feed(tap: PacketTap, clip: Path, which: Any = None, *, opened: bool = True, again: bool = False) -> None:
    """Give a tap the packets of a file; with `again` twice in one run, as a camera whose clock is set back does."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        if opened and not again:
            tap.open(stream)
        for index, packet in enumerate(container.demux(stream)):
            if which is None or index in which:
                packet.time_base = packet.time_base or Fraction(1, 90_000)
                tap.take(packet)
