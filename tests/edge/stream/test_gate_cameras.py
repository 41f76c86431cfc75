"""Whole cameras behind a gate, on drawn clips with exact truth: nothing is missed, and stillness costs little."""

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from simulators.blob_detector import BlobDetector
from simulators.result_log import ResultLog, run_cameras
from simulators.rtsp_camera import RtspCamera, encode_units
from vedette.contracts.detections import Detections
from vedette.contracts.frame import FittedFrame, FrameStamp, Placement, ResizeMode
from vedette.contracts.gate import GateMode
from vedette.contracts.pipeline import Isolation
from vedette.contracts.status import GateState
from vedette.edge.stream.camera_gate import MOST_VERIFY_S, VERIFY_S, CameraGate
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.fitting import FrameFitter
from vedette.edge.stream.mailbox import Arrivals, NewestWins, Slot
from vedette.edge.stream.shared_picture import NoPicture
from vedette.edge.stream.source import open_source
from vedette.edge.stream.statistics import CameraStatistics
from vedette.edge.stream.witness import StillnessWitness
from vedette.vision.resize import plan_placement

WIDTH, HEIGHT, FPS, GROUP, EVERY = 320, 192, 25, 50, 5
Scene = Callable[[int], tuple[int, int] | None]  # frame -> left top corner of the square, if there is one


def write_scene(path: Path, frames: int, scene: Scene, noise: float = 1.0, gain: Callable[[int], float] = lambda n: 1.0,
                b_frames: int = 0, side: int = 32, grain: Callable[[int], float] = lambda n: 0.0) -> Path:  # fmt: skip
    """A bright square over a ramp, with sensor noise."""
    random = np.random.default_rng(3)
    ground = np.tile(np.linspace(40, 90, WIDTH), (HEIGHT, 1))
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "gray"
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = GROUP
        preset = "veryfast" if b_frames else "ultrafast"
        video.options = {"preset": preset, "sc_threshold": "0", "bf": str(b_frames), "crf": "23"}
        for index in range(frames):
            image = ground * gain(index)
            place = scene(index)
            if place is not None:
                image[place[1] : place[1] + side, place[0] : place[0] + side] = 235
            image = np.clip(image + random.normal(0, noise + grain(index), image.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p")
            output.mux(video.encode(frame))
        output.mux(video.encode())
    return path


def walks_at(*starts: int) -> Scene:
    """A square that walks through the picture in 40 frames."""

    def scene(index: int) -> tuple[int, int] | None:
        for start in starts:
            if start <= index < start + 40:
                return 4 + 7 * (index - start), 80
        return None

    return scene


def watch(path: Path, gate: GateMode, **settings: object) -> tuple[ResultLog, CameraStatistics]:
    spec_settings = {name: settings.pop(name) for name in ("realtime", "loop") if name in settings}
    spec = CameraSpec("a", str(path), gate=gate, **spec_settings)  # type: ignore[arg-type]
    log, (camera,) = run_cameras([spec], every=EVERY, **settings)  # type: ignore[arg-type]
    assert camera.error is None
    assert camera.slots == camera.detected + camera.drops + camera.gated_slots
    return log, camera


def boxes_by_time(log: ResultLog) -> dict[tuple[int, float], list[dict[str, object]]]:
    return {(stamp.index, stamp.media_time_s): boxes for stamp, boxes in log.results}


@pytest.fixture(scope="module")
def two_walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 s; something walks by at 8 s and at 17 s, each time inside a group of pictures."""
    return write_scene(tmp_path_factory.mktemp("gate") / "walks.mp4", 600, walks_at(208, 431))


@pytest.mark.parametrize("isolation", [Isolation.THREADS, Isolation.PROCESSES])
def test_what_moves_is_detected_on_as_without_a_gate(two_walks: Path, isolation: Isolation) -> None:
    off, plain = watch(two_walks, GateMode.OFF, isolation=isolation)
    on, gated = watch(two_walks, GateMode.BITSTREAM, isolation=isolation)
    assert (plain.gated, plain.gate_state) == (0, GateState.OFF)
    assert gated.frames + gated.gated == plain.frames == 600
    seen, truth = boxes_by_time(on), boxes_by_time(off)
    assert seen.items() <= truth.items()  # the same pictures, numbers and times; only fewer
    with_object = {at for at, boxes in truth.items() if boxes}
    assert len(with_object) >= 14
    assert with_object <= seen.keys()
    assert gated.gated > 300
    assert gated.detected < plain.detected / 2
    assert gated.gate_openings == 2
    assert [stamp.index for stamp in on.stamps("a")] == sorted(stamp.index for stamp in on.stamps("a"))


def test_streams_with_b_frames_lose_nothing_either(tmp_path: Path) -> None:
    clip = write_scene(tmp_path / "b.mp4", 400, walks_at(230), b_frames=3)
    truth = boxes_by_time(watch(clip, GateMode.OFF)[0])
    on, gated = watch(clip, GateMode.BITSTREAM)
    seen = boxes_by_time(on)
    assert seen.items() <= truth.items()
    assert {at for at, boxes in truth.items() if boxes} <= seen.keys()
    assert gated.gated > 200


def test_motion_mode_decodes_everything_and_detects_when_something_moves(two_walks: Path) -> None:
    truth = boxes_by_time(watch(two_walks, GateMode.OFF)[0])
    on, camera = watch(two_walks, GateMode.MOTION)
    assert (camera.frames, camera.gated) == (600, 0)
    assert camera.gated_slots > 50
    assert {at for at, boxes in truth.items() if boxes} <= boxes_by_time(on).keys()
    times = [stamp.media_time_s for stamp in on.stamps("a")]
    assert max(later - earlier for earlier, later in pairwise(times)) <= VERIFY_S + EVERY / FPS + 0.01


def test_every_other_keyframe_is_decoded_while_packet_sizes_tell(tmp_path: Path) -> None:
    clip = write_scene(tmp_path / "still.mp4", 24 * FPS, lambda _: None)
    _, camera = watch(clip, GateMode.BITSTREAM)
    to_shut = 3 * EVERY + 1
    assert 5 <= camera.frames - to_shut <= 8  # of eleven keyframes: the first, every other, those to be detected on
    assert camera.frames + camera.gated == 24 * FPS


def test_a_rise_of_sizes_alone_makes_nothing_be_detected_on(tmp_path: Path) -> None:
    """Grain that comes for a second is no movement."""
    clip = write_scene(tmp_path / "grain.mp4", 400, lambda _: None, grain=lambda n: 8.0 * (260 <= n < 285))
    on, camera = watch(clip, GateMode.BITSTREAM)
    assert camera.gate_openings >= 1
    assert not [stamp for stamp in on.stamps("a") if 250 < stamp.index < 299]


@pytest.mark.parametrize(("usual_bytes", "tells"), [(60, True), (4000, False)])
def test_a_hint_of_change_is_detected_on_where_sizes_rise_and_tell(usual_bytes: int, tells: bool) -> None:
    """A patch trembles by less than counts as movement; noise that costs more than an object hides what sizes say."""
    gate, chance = CameraGate(GateMode.BITSTREAM), random.Random(2)
    due = []
    for index in range(250):
        rise = 3 if 205 <= index < 235 else 1
        gate.see_packet(int(usual_bytes * rise * chance.lognormvariate(0, 0.15)), index % GROUP == 0, index / FPS)
        if index % EVERY == 0:
            image = np.full((HEIGHT, WIDTH), 80, np.uint8)
            image[80:120, 100:140] += 6 * (index // EVERY % 2)
            if gate.is_due(av.VideoFrame.from_ndarray(image, format="gray"), index / FPS, False):
                due.append(index)
    assert gate.has_signal is tells
    assert any(205 <= index < 245 for index in due) is tells  # one in two seconds is due anyway: at 200, at 250


def test_stamps_tell_how_long_nothing_happened(two_walks: Path) -> None:
    log, _ = watch(two_walks, GateMode.BITSTREAM)
    stamps = log.stamps("a")
    for before, after in pairwise(stamps):
        gap_s = after.media_time_s - before.media_time_s
        assert after.still_s == pytest.approx(max(gap_s - EVERY / FPS, 0), abs=0.05)
    assert sum(stamp.still_s for stamp in stamps) > 10


def test_what_stands_still_is_detected_on_less_and_less_often(tmp_path: Path) -> None:
    """It comes in, stands for 20 s, and goes on."""

    def scene(index: int) -> tuple[int, int] | None:
        return (4 + 4 * min(max(index - 100, 0), 30) + 4 * max(index - 630, 0), 80) if 100 <= index < 670 else None

    clip = write_scene(tmp_path / "stands.mp4", 720, scene)
    truth = boxes_by_time(watch(clip, GateMode.OFF)[0])
    on, camera = watch(clip, GateMode.BITSTREAM)
    seen = boxes_by_time(on)
    stood = [index / FPS for (index, _), boxes in sorted(seen.items()) if boxes and 130 <= index < 630]
    gaps_s = [later - earlier for earlier, later in pairwise(stood)]
    assert max(gaps_s) <= MOST_VERIFY_S + GROUP / FPS
    assert len(stood) <= 9
    assert camera.gated > 400
    moved = {at for at, boxes in truth.items() if boxes and not 130 <= at[0] <= 630}
    assert len(moved) > 10
    assert moved <= seen.keys()


def test_an_object_that_creeps_is_followed(tmp_path: Path) -> None:
    """A pixel in two seconds."""
    clip = write_scene(tmp_path / "creeps.mp4", 500, lambda index: (100 + index // 50, 80), noise=0.5)
    on, _ = watch(clip, GateMode.BITSTREAM)
    lefts = [boxes[0]["box_xyxy_px"][0] for _, boxes in on.results]  # type: ignore[index]
    assert len(lefts) >= 4
    assert lefts[-1] - lefts[0] >= 6


def test_a_light_switch_opens_the_gate_for_a_bounded_time(tmp_path: Path) -> None:
    clip = write_scene(tmp_path / "light.mp4", 750, lambda index: None, gain=lambda n: 1.0 if n < 310 else 1.8)
    log, camera = watch(clip, GateMode.BITSTREAM)
    detected = [stamp.index for stamp in log.stamps("a") if stamp.index > 310]
    assert camera.gate_openings >= 1
    assert sum(index > 310 + 8 * FPS for index in detected) <= 8  # shut again: a few keyframes
    assert camera.gated > 450


def test_a_paced_file_is_caught_up_with_and_the_gate_loses_nothing(tmp_path: Path) -> None:
    clip = write_scene(tmp_path / "paced.mp4", 200, walks_at(138))
    truth = boxes_by_time(watch(clip, GateMode.OFF)[0])
    on, camera = watch(clip, GateMode.BITSTREAM, realtime=True)
    assert camera.gated > 30  # 83 where nothing is skipped because the machine is busy
    assert camera.seconds > 200 / FPS - 0.5  # not faster than its own time, though nothing was decoded
    missing = {at for at, boxes in truth.items() if boxes} - boxes_by_time(on).keys()
    assert len(missing) <= camera.drops  # of a machine that is too busy; on an idle one there are none


def test_a_patient_slot_waits_for_room_and_is_not_overtaken() -> None:
    arrivals = Arrivals()
    box = NewestWins(arrivals)

    def slot(index: int, patient: bool) -> Slot:
        placement = plan_placement(8, 8, 8, 8, ResizeMode.STRETCH)
        pixels = np.zeros((8, 8, 3), np.uint8)
        return Slot(FittedFrame(FrameStamp("a", index, 0.0, 0.0, 8, 8), placement, pixels), NoPicture(), patient)

    taken: list[int] = []

    def take(count: int) -> None:
        while len(taken) < count:
            with arrivals.lock:
                arrivals.bell.wait_for(lambda: box.ready, timeout=60)
                taken.append(box.take().frame.stamp.index)
            time.sleep(0.01)

    reader = threading.Thread(target=take, args=(5,))
    reader.start()
    lost = [box.put(slot(index, patient=index < 4)) for index in range(5)]
    reader.join(60)
    assert lost == [0] * 5
    assert taken == [0, 1, 2, 3, 4]
    assert [box.put(slot(index, patient=False)) for index in range(2)] == [0, 1]  # the newest wins again
    waiting = threading.Thread(target=box.put, args=(slot(9, patient=True),))
    waiting.start()
    arrivals.close()
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.fixture(scope="module")
def tiny_walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square of 8 pixels, below what counts as a movement, walks for 50 s and stands for 40."""

    def scene(index: int) -> tuple[int, int]:
        return 10 + 2 * min(index, 50 * FPS) % 290, 90

    return write_scene(tmp_path_factory.mktemp("gate") / "tiny.mp4", 90 * FPS, scene, side=8)


@pytest.mark.parametrize("mode", [GateMode.MOTION, GateMode.BITSTREAM])
def test_detections_open_a_gate_that_cannot_see_what_moves(tiny_walk: Path, mode: GateMode) -> None:
    found = detected_in_step(tiny_walk, mode)
    assert len([at for at in found if 15 <= at < 50]) == 35 * FPS / EVERY  # it has been found out by then
    assert len([at for at in found if at >= 75]) <= 8  # nothing moves any more, and the gate is believed again
    assert len(found) < 90 * FPS / EVERY - 60


def detected_in_step(path: Path, mode: GateMode) -> list[float]:
    """Times of detections, each of which the gate hears of before the next frame: a file's camera would run ahead."""
    gate, witness, detector = CameraGate(mode), StillnessWitness(), BlobDetector()
    fitter = FrameFitter(detector.manifest.input)
    source = open_source(CameraSpec("a", str(path)), 5.0, 5.0, gate if gate.gates_packets else None)
    found: list[float] = []
    index, still = 0, False
    for frame in source.frames():
        left_out = source.gated.take_undecoded() if source.gated else []
        index, still = index + len(left_out), still or bool(left_out)
        if frame is None:
            continue
        lone = source.gated is not None and source.gated.lone_keyframe
        if index % EVERY == 0 or lone:
            assert frame.time is not None
            if gate.is_due(frame, frame.time, lone):
                pixels, placement = fitter.fit(frame)
                (boxes,) = detector.detect_fitted(pixels[None], [placement])
                gate.hear(frame.time, witness.compare(boxes, after_stillness=still))
                found.append(frame.time)
                still = False
            else:
                still = True
        index += 1
    source.close()
    return found


@pytest.mark.parametrize("isolation", [Isolation.THREADS, Isolation.PROCESSES])
def test_a_camera_hears_what_detections_say_against_its_gate(tiny_walk: Path, isolation: Isolation) -> None:
    _, camera = watch(tiny_walk, GateMode.MOTION, isolation=isolation, batch=1)
    assert camera.detected > 200  # for a minute each slot; without being told 45 in all, one in two seconds


@pytest.fixture(scope="module")
def long_walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something walks across again and again for 20 s, then nothing moves for 5 s, then it walks on for 5 s."""

    def scene(index: int) -> tuple[int, int]:
        steps = min(index, 20 * FPS) + max(index - 25 * FPS, 0)
        return 10 + 4 * (steps % 64), 80

    return write_scene(tmp_path_factory.mktemp("gate") / "long-walk.mp4", 30 * FPS, scene)


class Overlooks(BlobDetector):
    """Finds nothing but between these slots."""

    def __init__(self, first: int = 0, end: int = 0) -> None:
        super().__init__()
        self.asked, self._seen = 0, range(first, end)

    def detect_fitted(self, images_nhwc_rgb_u8: np.ndarray, placements: Sequence[Placement]) -> list[Detections]:
        found = super().detect_fitted(images_nhwc_rgb_u8, placements)
        nothing = Detections.empty(("blob",))
        numbers = range(self.asked, self.asked + len(found))
        self.asked += len(found)
        return [one if number in self._seen else nothing for number, one in zip(numbers, found, strict=True)]


@pytest.mark.parametrize("mode", [GateMode.MOTION, GateMode.BITSTREAM])
def test_movement_without_news_is_detected_on_half_as_often(long_walk: Path, mode: GateMode) -> None:
    seen, _ = watch(long_walk, mode)
    log, camera = watch(long_walk, mode, detector=Overlooks())
    walking = [stamp.media_time_s for stamp in seen.stamps("a") if stamp.media_time_s < 20]
    assert len(walking) >= 20 * FPS / EVERY - 2  # each slot, while each says something new
    times_s = [stamp.media_time_s for stamp in log.stamps("a")]
    assert 0.45 <= len([at for at in times_s if at < 20]) / len(walking) <= 0.6
    assert max(later - at for at, later in pairwise([at for at in times_s if at < 20])) <= 2 * EVERY / FPS + 1e-6
    again = [at for at in times_s if at > 25]
    assert again[1] - again[0] == pytest.approx(EVERY / FPS)  # what begins to move is looked at with fresh eyes
    assert not any(stamp.still_s for stamp in log.stamps("a") if 1 < stamp.media_time_s < 20)  # time goes on for tracks
    assert camera.slots == 30 * FPS / EVERY


def test_news_is_followed_at_the_full_rate_at_once(long_walk: Path) -> None:
    log, _ = watch(long_walk, GateMode.MOTION, detector=Overlooks(20, 60))
    times_s = [stamp.media_time_s for stamp in log.stamps("a")]
    spacings = np.round(np.diff(times_s[5:66]) * FPS / EVERY).astype(int).tolist()
    assert spacings[:15] == [2] * 15 and spacings[16:54] == [1] * 38 and spacings[-3:] == [2] * 3


@pytest.mark.parametrize("isolation", [Isolation.THREADS, Isolation.PROCESSES])
@pytest.mark.parametrize("batch", [1, 8])
def test_what_a_gated_file_is_detected_on_does_not_depend_on_who_is_quicker(
    long_walk: Path, isolation: Isolation, batch: int
) -> None:
    specs = [CameraSpec(name, str(long_walk), gate=GateMode.BITSTREAM) for name in "ab"]
    plain = CameraSpec("c", str(long_walk))
    log, cameras = run_cameras([*specs, plain], every=EVERY, detector=Overlooks(), isolation=isolation, batch=batch)
    gated_s, same_s, every_s = ([stamp.media_time_s for stamp in log.stamps(name)] for name in "abc")
    alone, _ = watch(long_walk, GateMode.BITSTREAM, detector=Overlooks())
    assert gated_s == same_s == [stamp.media_time_s for stamp in alone.stamps("a")]
    assert len(every_s) == cameras[2].slots == 30 * FPS / EVERY > 1.5 * len(gated_s)


def test_auto_gates_paced_files_only() -> None:
    assert CameraSpec("a", "film.mp4", gate=GateMode.AUTO).gating is GateMode.OFF
    assert CameraSpec("a", "film.mp4", gate=GateMode.AUTO, realtime=True).gating is GateMode.BITSTREAM
    assert CameraSpec("a", "rtsp://127.0.0.1/x", gate=GateMode.AUTO).gating is GateMode.BITSTREAM
    assert CameraSpec("a", "csi:0", gate=GateMode.AUTO).gating is GateMode.MOTION
    assert CameraSpec("a", "film.mp4", gate=GateMode.BITSTREAM).gating is GateMode.BITSTREAM


def test_a_looped_file_keeps_what_the_gate_has_learned(tmp_path: Path) -> None:
    clip = write_scene(tmp_path / "loop.mp4", 150, lambda index: None)
    log = ResultLog()
    spec = CameraSpec("a", str(clip), loop=True, gate=GateMode.BITSTREAM)
    log, (camera,) = run_cameras([spec], every=EVERY, stop_after_results=40, detector=BlobDetector())
    indices = [stamp.index for stamp in log.stamps("a")]
    assert camera.loops >= 2
    assert indices == sorted(set(indices))
    assert sum(index >= 150 for index in indices) < (indices[-1] - 150) / EVERY * 0.8


@pytest.mark.slow
@pytest.mark.needs_server
def test_a_live_camera_is_gated_and_every_walk_is_seen() -> None:
    """In each round of 8 s something walks by for a second and a half."""

    def draw(index: int, width: int, height: int) -> np.ndarray:
        image = np.full((height, width, 3), 60, np.uint8)
        image[::4] = 90
        if 113 <= index < 150:
            image[30:60, 3 * (index - 113) : 3 * (index - 113) + 30] = 235
        return image

    with RtspCamera(frames=encode_units(draw, clip_frames=200)) as server:
        spec = CameraSpec("a", server.url, gate=GateMode.BITSTREAM)
        log, (camera,) = run_cameras([spec], every=EVERY, stop_after_results=36)
    assert camera.state.value == "stopped"
    assert camera.gated > 50
    walks = [stamp.index for stamp, boxes in log.results if boxes]
    first = [index for n, index in enumerate(walks) if n == 0 or index - walks[n - 1] > 100]
    assert first
    for start in first[:1]:
        seen = [index for index in walks if start <= index < start + 40]
        assert len(seen) >= 7 - camera.drops  # every fifth of 37 frames; a machine that is too busy drops some


@pytest.mark.parametrize("watched", ["to its end", "not to its end"])
def test_a_closed_source_is_gone_at_once_with_ffmpegs_memory(tmp_path: Path, watched: str) -> None:
    film = write_scene(tmp_path / "film.mp4", 60, lambda _: None)
    source = open_source(CameraSpec("a", str(film), realtime=True), 5.0, 5.0, CameraGate(GateMode.BITSTREAM))
    frames, gone = source.frames(), weakref.ref(source)
    assert sum(frame is not None for frame in (frames if watched == "to its end" else islice(frames, 3)))
    gc.disable()  # which would find circles, some time
    try:
        source.close()
        del source, frames
        assert gone() is None
    finally:
        gc.enable()
