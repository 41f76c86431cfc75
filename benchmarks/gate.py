"""The gate's proof: what it saves in stillness, which events it costs, and where it fails.

Films (`gate_material`): minutes of stillness, at most 5 % activity. Each is run with `--gate off` and `bitstream` by
yolo-fastest-1.1-xl (or, drawn objects, by their colour), tracked, with a counting line every 2.5 % of the width. True
events are the crossings that gate off tells while something moves, of tracks that went as far as from one line to the
next within two seconds; that gate off tells on every 4th frame instead, too; and that are not taken back within a
second. A held frame holds no movement, and what is told there is a trembling box; what another choice of frames does
not tell is chance; a line crossed forth and back is a box that jumps between neighbours. An event is caught
when the gated run tells one of the same line and direction within `TOLERANCE_S`, one to one. CPU seconds are those of
the whole process without start-up: demuxing, gate, decoding, detecting, tracking; on quiet stretches they are measured
on the longest one of each film, cut out without re-encoding, between its fourth second (before, the gate learns) and
its last three. Films named `gone`, whose objects come and go between two keyframes, are counted like all others, and
recall is stated without the one that hides them in noise, too; films of belts that never stop are counted apart. Named
clips are run as they are (`gate_clips`). Needs VEDETTE_DATA; films are cached.
"""

import contextlib
import io
import json
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av

from benchmarks import gate_clips
from benchmarks.gate_material import BELTS, FPS, GOP, NEVER_STILL, Film, cache_folder, data_folder, films, write_films

EVERY, OTHER_EVERY = 5, 4
TOLERANCE_S = 2.2  # a group of pictures: what moves slowly is seen at keyframes
AROUND_ACTIVITY_S = 0.5  # the last movement is told by a slot behind it
SAVING_WANTED = 8.0
SETTLED_S, BEFORE_END_S = 4.0, 3.0
JUMP_S = 1.0
FOUND_AGAIN_S = 0.3  # one slot and a half
SAMPLE_S = 0.005
HIDING = ("gone-average",)  # rate control fills frames with noise that costs more than the objects do
DRAWN = ("small", "gone", "slow", "belt", "parts")
LINE_SPACING = 0.025  # of the width
MOVED_PX = LINE_SPACING * 1920
SLOW_LINES_PX = (525, 529, 533, 537)
BELT_LINES_PX = (480, 960, 1440)
Event = tuple[float, str, str]  # media time, line, direction


def measure() -> dict[str, Any]:
    """Everything; twenty minutes, and once a quarter of an hour for writing the films."""
    wanted = films()
    paths = write_films(wanted)
    bundle = pack_bundle()
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda pair: _film_row(*pair, bundle), zip(wanted, paths, strict=True)))
    return {"films": rows, "all": _totals(rows), "clips": gate_clips.measure(bundle)}


def _film_row(film: Film, path: Path, bundle: Path) -> dict[str, Any]:
    off, on = (run_gated(path, film.drawn or "real", gate, EVERY, bundle) for gate in ("off", "bitstream"))
    spans = [(begin / FPS, end / FPS + AROUND_ACTIVITY_S) for begin, end in film.active]
    if film.never_still:
        spans = [(0.0, film.frames / FPS)]
    moving = [event for event in off["events"] if _within(event[0], spans)]
    steady = moving if film.drawn in BELTS else without_jumps(moving)  # belts run both ways
    if film.drawn != "slow":
        steady = [event for event in steady if event in off["moved"]]
    other = run_gated(path, film.drawn or "real", "off", OTHER_EVERY, bundle)["events"]
    by_chance = missed_events(steady, other)
    truth = [event for event in steady if event not in by_chance]
    missed = missed_events(truth, on["events"])
    quiet_off, quiet_on = (
        run_gated(_quiet(film, path), film.drawn or "real", g, EVERY, bundle) for g in ("off", "bitstream")
    )
    return {
        "film": film.name,
        "seconds": film.frames / FPS,
        "active_share": round(sum(end - begin for begin, end in film.active) / film.frames, 4),
        "true_events": len(truth),
        "missed": len(missed),
        "missed_events": missed,
        "trembling_in_activity": len(moving) - len(steady),
        "told_by_chance": len(by_chance),
        "told_in_stillness_off": len(off["events"]) - len(moving),
        "told_in_stillness_on": len([event for event in on["events"] if not _within(event[0], spans)]),
        "gated_share": round(on["gated"] / film.frames, 4),
        "openings": on["openings"],
        "note": on["note"],
        "cpu_s_off": round(off["cpu_s"], 3),
        "cpu_s_on": round(on["cpu_s"], 3),
        "saving": round(off["cpu_s"] / on["cpu_s"], 2),
        "quiet_ms_a_second_off": quiet_off["settled_ms_a_second"],
        "quiet_ms_a_second_on": quiet_on["settled_ms_a_second"],
        "quiet_saving": round(quiet_off["settled_ms_a_second"] / quiet_on["settled_ms_a_second"], 2),
    }


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all films; those that are never still count for recall only, belts apart from the others."""
    still = [row for row in rows if not row["film"].startswith(NEVER_STILL)]
    belts = [row for row in rows if row["film"].startswith(tuple(BELTS))]
    rows = [row for row in rows if row not in belts]
    seconds = sum(row["seconds"] for row in still)
    off, on = (sum(row[f"quiet_ms_a_second_{gate}"] for row in still) for gate in ("off", "on"))
    told_off, told_on = (sum(row[f"told_in_stillness_{gate}"] for row in rows) for gate in ("off", "on"))
    return {
        "minutes": round(seconds / 60, 1),
        "active_share": round(sum(row["active_share"] * row["seconds"] for row in still) / seconds, 4),
        "recall": _recall(rows),
        "recall_without_hiding_noise": _recall([row for row in rows if row["film"] not in HIDING]),
        "recall_of_real_footage": _recall([row for row in rows if not row["film"].startswith(DRAWN)]),
        "recall_of_belts": _recall(belts),
        "told_in_stillness_off": told_off,
        "told_in_stillness_on": told_on,
        "gated_share": round(sum(row["gated_share"] * row["seconds"] for row in still) / seconds, 4),
        "saving": round(sum(row["cpu_s_off"] for row in still) / sum(row["cpu_s_on"] for row in still), 2),
        "quiet_saving": round(off / on, 2),
        "quiet_saving_least": min(row["quiet_saving"] for row in still),
        "films_below_wanted_saving": [row["film"] for row in still if row["quiet_saving"] < SAVING_WANTED],
    }


def _recall(rows: list[dict[str, Any]]) -> dict[str, Any]:
    truth, missed = (sum(row[name] for row in rows) for name in ("true_events", "missed"))
    caught = truth - missed
    return {"events": truth, "caught": caught, "share": round(caught / truth, 4), "wilson_95": wilson(caught, truth)}


def without_jumps(events: list[Event]) -> list[Event]:
    """Events whose line is not crossed the other way within `JUMP_S`."""
    return [
        event
        for event in events
        if not any(
            other[1] == event[1] and other[2] != event[2] and abs(other[0] - event[0]) <= JUMP_S for other in events
        )
    ]


def missed_events(truth: list[Event], found: list[Event]) -> list[Event]:
    """True events without one found of the same line and direction at about the time; each found one serves once."""
    left, missed = list(found), []
    for event in truth:
        near = [other for other in left if other[1:] == event[1:] and abs(other[0] - event[0]) <= TOLERANCE_S]
        if near:
            left.remove(min(near, key=lambda other: abs(other[0] - event[0])))
        else:
            missed.append(event)
    return missed


def wilson(good: int, of: int) -> list[float]:
    """95 % confidence interval of a share (Wilson 1927)."""
    z = 1.96
    share, scale = good / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / scale
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / scale
    return [round(middle - half, 4), round(min(middle + half, 1.0), 4)]


def _within(time_s: float, spans: list[tuple[float, float]]) -> bool:
    return any(begin <= time_s <= end for begin, end in spans)


def _quiet(film: Film, path: Path) -> Path:
    """The longest still stretch of a film, from keyframe to keyframe, as a file of its own."""
    cut = path.with_name(f"{film.name}.quiet.mp4")
    if cut.is_file():
        return cut
    edges = [0, *(edge for span in film.active for edge in span), film.frames]
    stretches = [(-(-a // GOP) * GOP, b // GOP * GOP) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    first, last = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    partial = cut.with_suffix(".part.mp4")
    with av.open(str(path)) as source, av.open(str(partial), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        interval = round(1 / (FPS * stream.time_base))
        for packet in source.demux(stream):
            if packet.pts is not None and first <= round(packet.pts / interval) < last:
                packet.stream = copy
                output.mux(packet)
    partial.replace(cut)
    return cut


def pack_bundle() -> Path:
    """The bundle of the real detector, packed once."""
    from vedette.apps.cli import run_command

    bundle = cache_folder() / "yolo-fastest-xl.bundle"
    if not bundle.is_dir():
        folder = data_folder().parent / "weights" / "yolo-fastest" / "ModelZoo" / "yolo-fastest-1.1_coco"
        model = [f"--cfg={folder / 'yolo-fastest-1.1-xl.cfg'}", f"--weights={folder / 'yolo-fastest-1.1-xl.weights'}"]
        with contextlib.redirect_stdout(io.StringIO()):
            code = run_command(["pack", *model, f"--names={folder / 'coco.names'}", f"--out={bundle}"])
        if code != 0:
            raise SystemExit(f"packing failed with exit code {code}")
    return bundle


def run_gated(path: Path, kind: str, gate: str, every: int, bundle: Path, *, sampled: bool = True) -> dict[str, Any]:
    """One run in a process of its own; sampled, it is looked at 200 times a second, at 1 to 2 % of its CPU time."""
    command = [sys.executable, "-m", "benchmarks.gate", str(path), kind, gate, str(every), str(bundle)]
    command += [] if sampled else ["unsampled"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for name in ("events", "moved"):
        document[name] = [tuple(event) for event in document[name]]
    return document


def _watch(path: Path, kind: str, gate: str, every: int, bundle: Path, *, sampled: bool) -> dict[str, Any]:
    from vedette.apps.pipeline_file import camera_specs
    from vedette.apps.run import open_pipeline_detector
    from vedette.apps.watching import Watch, WatchOutlets
    from vedette.contracts.pipeline import Camera, Detect, EngineChoice, Isolation, Line, Pipeline

    places = [f"{100 * LINE_SPACING * n:g}%" for n in range(1, round(1 / LINE_SPACING))]
    lines = [Line(name=f"at-{at[:-1]}", start=(at, "0%"), end=(at, "100%")) for at in places]
    if kind in NEVER_STILL:
        at_px = SLOW_LINES_PX if kind == "slow" else BELT_LINES_PX
        lines = [Line(name=f"at-{at}", start=(at, 0), end=(at, 1080)) for at in at_px]
    pipeline = Pipeline(
        bundle=str(bundle),
        cameras=(Camera(name="film", url=str(path)),),
        lines=tuple(lines),
        detect=Detect(every=every, batch=1, gate=gate, engine=EngineChoice.OPENVINO),
        isolation=Isolation.THREADS,
    )
    seen = _Seen(kind)
    if kind not in DRAWN:
        opened, detector = open_pipeline_detector(pipeline)
        digest = opened.digest
    else:
        from benchmarks.gate_detector import ColourDetector

        detector, digest = ColourDetector(), "0" * 64
    outlets = WatchOutlets(views=[seen], listeners=[seen.add])
    watch = Watch(pipeline, camera_specs(pipeline), detector, digest, outlets)
    over = threading.Event()
    sampler = threading.Thread(target=_sample, args=(watch, seen, over))
    began = time.process_time()
    if sampled:
        sampler.start()
    watch.run()
    cpu_s = time.process_time() - began
    if sampled:
        over.set()
        sampler.join()
    (camera,) = watch.statistics()
    assert camera.slots == camera.detected + camera.drops + camera.gated_slots
    return {
        "events": [event for event, _ in seen.events],
        "moved": [event for event, track in seen.events if seen.has_moved(track, event[0])],
        "cpu_s": cpu_s,
        "settled_ms_a_second": seen.settled_ms_a_second(),
        "frames": camera.frames,
        "frames_all": camera.frames + camera.gated,
        "gated": camera.gated,
        "slots": camera.slots,
        "gated_slots": camera.gated_slots,
        "openings": camera.gate_openings,
        "note": camera.gate_note,
        "in_view": seen.in_view,
    }


def _sample(watch: Any, seen: "_Seen", over: threading.Event) -> None:
    """How CPU time goes with media time: a gate that is shut shows nothing for seconds of film."""
    while not over.wait(SAMPLE_S):
        for camera in watch.statistics():
            seen.samples.append(((camera.frames + camera.gated) / FPS, time.process_time()))


class _Seen:
    """A view that keeps where tracks were, which frames had something in view, and how CPU time went with media time.

    What is looked for is a class, or anything.
    """

    def __init__(self, wanted: str) -> None:
        self.in_view: list[int] = []  # frames with it
        self.events: list[tuple[Event, int]] = []
        self._wanted = wanted
        self.samples: list[tuple[float, float]] = []
        self._places: dict[int, list[tuple[float, float]]] = {}  # track -> time, centre

    def add(self, event: Any) -> None:
        data = event.data
        told = (round(data.media_time_s, 3), data.line or "", data.direction.value if data.direction else "")
        self.events.append((told, data.track_id))

    def has_moved(self, track: int, time_s: float) -> bool:
        """Whether it went far enough around that time to be no tremble, and was not found again elsewhere just then."""
        before = [at for at, _ in self._places[track] if at < time_s]
        found_again = bool(before) and time_s - before[-1] > FOUND_AGAIN_S
        near = [x for at, x in self._places[track] if abs(at - time_s) <= 1.0]
        return not found_again and max(near) - min(near) >= MOVED_PX

    def settled_ms_a_second(self) -> float:
        """CPU milliseconds a second of film, once the gate has learned, and before the film's end shows."""
        end_s = self.samples[-1][0] if self.samples else 0.0
        settled = [s for s in self.samples if SETTLED_S <= s[0] <= end_s - BEFORE_END_S]
        if len(settled) < 2:
            return 0.0
        (first_s, first_cpu_s), (last_s, last_cpu_s) = settled[0], settled[-1]
        return round(1000 * (last_cpu_s - first_cpu_s) / (last_s - first_s), 2)

    def show(self, stamp: Any, picture: Any, tracks: Any, counts: Any) -> None:
        for track, box in zip(tracks.track_ids.tolist(), tracks.boxes_xyxy_px.tolist(), strict=True):
            self._places.setdefault(track, []).append((stamp.media_time_s, (box[0] + box[2]) / 2))
        names = {tracks.class_names[number] for number in tracks.class_ids}
        if self._wanted in names or (names and self._wanted in (*DRAWN, "real")):
            self.in_view.append(stamp.index)

    def close(self) -> None:
        """Nothing to close."""


if __name__ == "__main__":
    film, wanted, mode, nth, packed, *rest = sys.argv[1:]
    print(json.dumps(_watch(Path(film), wanted, mode, int(nth), Path(packed), sampled=rest != ["unsampled"])))
