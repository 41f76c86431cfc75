"""Frames from a gated decoder are those of plain decoding: same pixels, numbers and times, whenever the gate moves."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame

from vedette.edge.stream import gated_decoder
from vedette.edge.stream.camera_gate import WhyOpen
from vedette.edge.stream.decoders import Decoders
from vedette.edge.stream.gated_decoder import GatedDecoder
from vedette.edge.stream.unneeded import Unneeded

FRAMES, WIDTH, HEIGHT, GROUP = 120, 96, 64, 12
X264 = {"preset": "ultrafast", "sc_threshold": "0"}
STREAMS = {
    "h264": ("libx264", {**X264, "bf": "0"}),
    "h264-b": ("libx264", {**X264, "preset": "veryfast", "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}),
    "h264-open": ("libx264", {**X264, "preset": "veryfast", "bf": "3", "x264-params": "open-gop=1:b-adapt=0"}),
    "h265": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:open-gop=0"}),
    "h265-open": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:open-gop=1"}),
    "mpeg4": ("mpeg4", {}),
}


def write_moving_clip(
    path: Path, codec: str, options: dict[str, str], frames: int = FRAMES, group: int = GROUP
) -> Path:
    """Noise that moves: no two frames are alike."""
    texture = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH * 3, 3), np.uint8)
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=30)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size = group
        if codec == "libx265":
            options = {**options, "x265-params": f"{options['x265-params']}:keyint={group}:min-keyint={group}"}
        video.options = options
        for index in range(frames):
            picture = np.ascontiguousarray(texture[:, index : index + WIDTH])
            output.mux(video.encode(VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode())
    return path


@pytest.fixture(scope="module", params=sorted(STREAMS))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return write_moving_clip(folder / "clip.mp4", *STREAMS[request.param])


@dataclass
class ScriptedGate:
    """Shuts and opens when a script says so; the numbers are those of packets, in the order of the file."""

    shut_at: set[int] = field(default_factory=set)
    alarms_at: set[int] = field(default_factory=set)
    differing: set[float] = field(default_factory=set)  # times of keyframes that show something new
    passed_over: set[float] = field(default_factory=set)  # times of keyframes that need not be looked at
    has_signal: bool = True
    shut: bool = False
    why_open: WhyOpen | None = None
    seen: int = -1
    judged: list[tuple[float, int]] = field(default_factory=list)

    def see_packet(self, size_bytes: int, is_keyframe: bool, time_s: float) -> bool:
        self.seen += 1
        if self.seen in self.shut_at:
            self.shut = True
        return self.seen in self.alarms_at

    def wants_keyframe(self, time_s: float) -> bool:
        return time_s not in self.passed_over

    def keyframe_differs(self, frame: VideoFrame, time_s: float, newer: int) -> bool:
        self.judged.append((time_s, newer))
        return time_s in self.differing

    def open(self) -> None:
        self.shut = False

    def stay_open(self) -> None:
        self.shut = False


def plain_frames(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [(frame.time, frame.to_ndarray().tobytes()) for frame in container.decode(stream)]


def gated_frames(
    path: Path, gate: ScriptedGate, every: int = 1
) -> Iterator[tuple[int, VideoFrame, GatedDecoder, list[float]]]:
    """(number, frame, decoder, times left out before it) as a camera would count; the last has no frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_count = 1
        decoders = Decoders(context)
        decoder = GatedDecoder(gate, decoders.decode, decoders)
        index = 0
        if every > 1:
            unneeded = Unneeded(context, lambda ahead, _: (index + ahead) % every == 0)
            decoder.leave_out(lambda ahead, _: (index + ahead) % every == 0, unneeded.begins_anew)
        for packet in container.demux(stream):
            for frame in decoder.take(packet):
                left, decoder.undecoded = decoder.undecoded, []
                index += len(left)
                yield index, frame, decoder, left  # type: ignore[misc]
                index += frame is not None


@pytest.mark.parametrize("every", [5, 7])
def test_an_open_gate_decodes_what_due_frames_build_on(clip: Path, every: int) -> None:
    plain = plain_frames(clip)
    given, left_out = [], []
    for index, frame, _, left in gated_frames(clip, ScriptedGate(), every):
        left_out += left
        if frame is not None:
            assert (frame.time, frame.to_ndarray().tobytes()) == plain[index]
            given.append(index)
    assert set(range(0, FRAMES, every)) <= set(given)
    assert [plain[n][0] for n in range(FRAMES) if n not in given] == left_out
    if clip.parent.name.startswith("h2640"):
        assert len(left_out) >= FRAMES // GROUP  # where nothing is reordered and groups are known to begin anew


@pytest.mark.parametrize("seed", [*range(12), 151, 210])  # the last: alarms by pictures that lead a keyframe in
def test_frames_numbers_and_times_are_those_of_plain_decoding(clip: Path, seed: int) -> None:
    chance = random.Random(seed)
    plain = plain_frames(clip)
    gate = ScriptedGate(
        shut_at={chance.randrange(FRAMES) for _ in range(chance.randrange(1, 12))},
        alarms_at={chance.randrange(FRAMES) for _ in range(chance.randrange(6))},
        differing={plain[n][0] for n in range(0, FRAMES, GROUP) if chance.random() < 0.25},
        has_signal=chance.random() < 0.5,
        passed_over={plain[n][0] for n in range(0, FRAMES, GROUP) if chance.random() < 0.4},
    )
    handed, times = 0, []
    for index, frame, _, left in gated_frames(clip, gate, every=chance.choice([1, 5])):
        times += left
        if frame is not None:
            assert (frame.time, frame.to_ndarray().tobytes()) == plain[index]
            times.append(frame.time)
            handed += 1
    assert times == [time for time, _ in plain]  # every frame once, in order: decoded or reported
    assert handed >= FRAMES // GROUP - 1 - len(gate.passed_over)


def test_shut_gate_decodes_keyframes_only(clip: Path) -> None:
    plain = plain_frames(clip)
    gate = ScriptedGate(shut_at={GROUP + 6})
    found = [
        (index, decoder.lone_keyframe) for index, frame, decoder, _ in gated_frames(clip, gate) if frame is not None
    ]
    lone = [index for index, is_lone in found if is_lone]
    assert lone == list(range(2 * GROUP, len(plain), GROUP))
    assert [index for index, is_lone in found if not is_lone] == list(range(len(found) - len(lone)))
    assert len(found) - len(lone) <= GROUP + 8


def test_alarm_decodes_the_kept_packets_from_the_keyframe_on(clip: Path) -> None:
    plain = plain_frames(clip)
    alarm = 5 * GROUP + 9
    gate = ScriptedGate(shut_at={GROUP + 6}, alarms_at={alarm})
    decoded = [index for index, frame, _, _ in gated_frames(clip, gate) if frame is not None]
    assert decoded[-(len(plain) - 5 * GROUP) :] == list(range(5 * GROUP, len(plain)))


def test_keyframe_that_differs_brings_back_the_group_before_it(clip: Path) -> None:
    plain = plain_frames(clip)
    gate = ScriptedGate(shut_at={GROUP + 6}, differing={plain[6 * GROUP][0]})
    backlog, decoded = [], []
    for index, frame, decoder, _ in gated_frames(clip, gate):
        if frame is not None:
            decoded.append(index)
            if decoder.backlog:
                backlog.append(index)
    assert decoded[-(len(plain) - 5 * GROUP) :] == list(range(5 * GROUP, len(plain)))
    assert backlog[0] == 5 * GROUP + 1
    assert len(backlog) >= GROUP - 4  # a decoder that reorders gives its last frames out with the packets that follow


@pytest.mark.parametrize(("codec", "in_order"), [("h264", True), ("h265", False), ("mpeg4", False)])
@pytest.mark.parametrize("differs", [False, True])
def test_a_group_is_not_decoded_again_up_to_where_the_decoder_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, in_order: bool, differs: bool
) -> None:
    """One keyframe is decoded twice, by the decoder beside; where frames are reordered, what came before it is, too."""
    path = write_moving_clip(tmp_path / "clip.mp4", *STREAMS[codec])
    plain, given = plain_frames(path), []
    decode = Decoders.decode

    def counting(decoders: Decoders, packet: "av.Packet | None") -> list[VideoFrame]:
        given.append(packet)
        return decode(decoders, packet)

    monkeypatch.setattr(Decoders, "decode", counting)
    key_s = plain[2 * GROUP][0]
    gate = ScriptedGate(shut_at={GROUP + 6}, differing={key_s} if differs else set())
    decoded = [(index, f.to_ndarray().tobytes()) for index, f, _, _ in gated_frames(path, gate) if f is not None]
    assert key_s in [judged_s for judged_s, _ in gate.judged]
    assert all(pixels == plain[index][1] for index, pixels in decoded)
    sent = sum(packet is not None and packet.size > 0 for packet in given)
    if differs and in_order:
        assert sent == FRAMES
        assert [index for index, _ in decoded] == list(range(FRAMES))
    elif differs:
        assert sent > FRAMES + 6


def test_a_stream_without_parameters_in_reach_is_decoded_by_its_own_decoder(tmp_path: Path) -> None:
    """A second decoder that cannot start with a keyframe costs nothing but time."""
    path = write_moving_clip(tmp_path / "clip.mp4", *STREAMS["h264"])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        keys = [packet for packet in container.demux(stream) if packet.is_keyframe]
        decoders = Decoders(stream.codec_context)
        assert decoders.decode(keys[0])
        beside = decoders.decode_beside(keys[1])
        assert beside is not None and beside.pts == keys[1].pts
        broken = av.Packet(b"\0\0\0\1\x65" + bytes(40))
        broken.pts = keys[2].pts
        assert decoders.decode_beside(broken) is None  # type: ignore[arg-type]
        decoders.go_on_beside()  # nothing to go on with: the first one stays
        assert decoders.decode(keys[1])[0].to_ndarray().tobytes() == beside.to_ndarray().tobytes()


def test_keyframes_that_need_not_be_looked_at_are_left_undecoded(clip: Path) -> None:
    plain = plain_frames(clip)
    over = {plain[n][0] for n in range(3 * GROUP, FRAMES, 2 * GROUP)}
    gate = ScriptedGate(shut_at={GROUP + 6}, passed_over=over)
    lone = [index for index, frame, decoder, _ in gated_frames(clip, gate) if frame and decoder.lone_keyframe]
    assert lone[:4] == list(range(2 * GROUP, FRAMES, 2 * GROUP))
    assert {time_s for time_s, _ in gate.judged[:4]}.isdisjoint(over)


@pytest.mark.parametrize("differs", [False, True])
def test_an_alarm_behind_a_keyframe_left_out_has_it_looked_at_first(clip: Path, differs: bool) -> None:
    """Only where it shows something new are the groups before it decoded, too."""
    plain = plain_frames(clip)
    over = {plain[n * GROUP][0] for n in (4, 5)}
    key_s = plain[5 * GROUP][0]
    alarm = 5 * GROUP + 5
    gate = ScriptedGate({GROUP + 6}, {alarm}, differing={key_s} if differs else set(), passed_over=over)
    decoded = [index for index, frame, _, _ in gated_frames(clip, gate) if frame is not None]
    first = (3 if differs else 5) * GROUP
    assert decoded[-(FRAMES - first) :] == list(range(first, FRAMES))
    judged_s, newer = gate.judged[-1]
    assert judged_s == key_s
    assert 5 <= newer <= 8  # packets that came since, of which a keyframe says nothing; some before it in time


def test_no_more_is_kept_than_may_be_whatever_need_not_be_looked_at(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gated_decoder, "MOST_PACKETS", 4 * GROUP)
    every_key = {time_s for time_s, _ in plain_frames(clip)}
    kept = [decoder.kept for *_, decoder, _ in gated_frames(clip, ScriptedGate({GROUP + 6}, passed_over=every_key))]
    assert 3 * GROUP <= max(kept) <= 4 * GROUP


@pytest.mark.parametrize("has_signal", [True, False])
def test_last_group_is_decoded_when_sizes_tell_nothing(clip: Path, has_signal: bool) -> None:
    plain = plain_frames(clip)
    gate = ScriptedGate(shut_at={GROUP + 6}, has_signal=has_signal)
    last = [index for index, frame, _, _ in gated_frames(clip, gate) if frame is not None][-1]
    assert (last == len(plain) - 1) is not has_signal


def test_group_that_is_too_long_is_decoded_whole_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated_decoder, "MOST_PACKETS", 20)
    path = write_moving_clip(tmp_path / "long.mp4", *STREAMS["h264-b"], frames=150, group=50)
    gate = ScriptedGate(shut_at=set(range(6, 150)))
    plain = plain_frames(path)
    indices = []
    for index, frame, decoder, _ in gated_frames(path, gate):
        assert decoder.kept <= 21
        if frame is not None:
            assert frame.to_ndarray().tobytes() == plain[index][1]
            indices.append(index)
    assert indices == list(range(150))
    assert gate.why_open is WhyOpen.LONG_GOP


def test_packets_without_time_stamps_are_decoded_whole_and_said(tmp_path: Path) -> None:
    path = write_moving_clip(tmp_path / "raw.h264", *STREAMS["h264"])
    with av.open(str(path)) as container:
        assert next(container.demux(video=0)).pts is None
    gate = ScriptedGate(shut_at={3})
    assert sum(frame is not None for _, frame, _, _ in gated_frames(path, gate)) == FRAMES
    assert gate.why_open is WhyOpen.NO_TIMES
