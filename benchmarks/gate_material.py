"""The films of the gate's proof: long stillness made of held real frames, short real activity spliced in.

A held frame gets fresh sensor noise for every frame, the film goes on from exactly that frame, and the last frame of
the stretch is held in turn, so that nothing jumps. 1920x1080, 30 frames a second, a keyframe every 60, H.264 or H.265
by PyAV. Films are written once to a cache outside the repository (`VEDETTE_CACHE`, else ~/.cache/vedette).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 30, 60
FRAMES = 2700  # 90 s
VERSION = 1  # of the films: part of the cache's path
MAGENTA_YUV = (105, 190, 200)

CORRIDOR = "intel_one-by-one-person-detection.mp4"
BOTTLES = "intel_bottle-detection.mp4"
CARS = "intel_car-detection.mp4"
SHOP = "nvidia_Retail02_short.mp4"
REPEAT = {
    CORRIDOR: 2,
    BOTTLES: 1,
    CARS: 2,
    SHOP: 1,
}  # frames of the film for one of the source: 10, 30, 12.5, 30 a second

ULTRAFAST = {"preset": "ultrafast", "sc_threshold": "0"}
CRF = ("libx264", {**ULTRAFAST, "crf": "23"})
AVERAGE = ("libx264", {**ULTRAFAST, "b": "3000000", "maxrate": "4500000", "bufsize": "6000000"})
CONSTANT = ("libx264", {**ULTRAFAST, "b": "4000000", "maxrate": "4000000", "bufsize": "2000000",
                        "x264-params": "nal-hrd=cbr"})  # fmt: skip
B_FRAMES = ("libx264", {"preset": "veryfast", "sc_threshold": "0", "crf": "23", "bf": "3"})
H265 = ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:crf=26:keyint=60:min-keyint=60:scenecut=0"})


@dataclass(frozen=True)
class Film:
    """What happens in one film. `stretches` are frames (first, last) of the source; `drawn` moves coloured squares."""

    name: str
    source: str
    stretches: tuple[tuple[int, int], ...]
    codec: tuple[str, dict[str, str]] = CRF
    noise: float = 2.0  # standard deviation, levels
    light: str = ""  # "switch", "drift"
    rain: bool = False
    drawn: str = ""  # "small", "gone", "slow", "belt", "parts"
    frames: int = FRAMES

    @property
    def never_still(self) -> bool:
        """Whether something moves all the time: such a film is there for recall only."""
        return self.drawn in NEVER_STILL

    @property
    def plan(self) -> list[tuple[int, int, int]]:
        """(first frame of the film, first of the source, frames of the film) of every stretch, evenly spread."""
        repeat = REPEAT[self.source]
        lengths = [(last - first) * repeat for first, last in self.stretches]
        pause = (self.frames - sum(lengths)) // (len(lengths) + 1)
        begins, now = [], pause
        for length in lengths:
            begins.append(now)
            now += length + pause
        return [(begin, first, n) for begin, (first, _), n in zip(begins, self.stretches, lengths, strict=True)]

    @property
    def active(self) -> list[tuple[int, int]]:
        """Frames of the film in which something happens, drawn objects and light switches included."""
        spans = [(begin, begin + length) for begin, _, length in self.plan]
        if self.light == "switch":
            spans += [(at, at + 4) for at in self.switches]
        spans += [(at, at + length) for at, length in self.passes]
        return sorted(spans)

    @property
    def passes(self) -> list[tuple[int, int]]:
        """When small objects set out, and for how many frames: across keyframes, or `gone` between two of them."""
        if self.drawn == "small":
            return [(self.frames // 2 - 20, 130)]
        if self.drawn == "gone":
            return [(GOP * (self.frames // GOP * n // 4) + 8, 44) for n in range(1, 4)]
        return []

    @property
    def switches(self) -> tuple[int, int]:
        """When the light goes off and on."""
        return self.frames // 5 + 7, self.frames * 4 // 5 + 7


def films() -> list[Film]:
    """All of them."""
    walks = [(56, 92), (174, 207), (224, 251), (427, 457), (498, 534), (590, 609), (670, 709), (742, 771), (842, 878),
             (917, 950), (1172, 1203), (1231, 1264), (1334, 1371)]  # fmt: skip
    belts = [(160, 222), (329, 380), (387, 414), (459, 503), (507, 549), (647, 700), (714, 746), (803, 847), (848, 878),
             (907, 972), (1032, 1080), (1080, 1135)]  # fmt: skip
    drives = [(53, 82), (82, 110), (179, 210), (210, 242), (312, 352)]
    shop = [(n, n + 65) for n in range(5, 590, 65)]
    return [
        Film("corridor-crf", CORRIDOR, tuple(walks[0:2])),
        Film("corridor-average", CORRIDOR, tuple(walks[2:4]), AVERAGE),
        Film("corridor-b-frames", CORRIDOR, tuple(walks[4:6]), B_FRAMES),
        Film("corridor-switch", CORRIDOR, tuple(walks[6:8]), light="switch"),
        Film("corridor-h265", CORRIDOR, tuple(walks[8:10]), H265),
        Film("corridor-drift", CORRIDOR, tuple(walks[10:12]), light="drift"),
        Film("bottles-crf", BOTTLES, tuple(belts[0:3])),
        Film("bottles-noise", BOTTLES, tuple(belts[3:6]), AVERAGE, noise=6.0),
        Film("bottles-constant", BOTTLES, tuple(belts[6:9]), CONSTANT, noise=5.0),
        Film("bottles-rain", BOTTLES, tuple(belts[9:12]), rain=True),
        Film("cars-crf", CARS, tuple(drives[0:2])),
        Film("cars-rain", CARS, tuple(drives[2:4]), rain=True),
        Film("cars-average", CARS, tuple(drives[4:5]), AVERAGE, noise=3.0),
        Film("shop-crf", SHOP, tuple(shop[0:2])),
        Film("shop-average", SHOP, tuple(shop[2:4]), AVERAGE, noise=4.0),
        Film("shop-drift", SHOP, tuple(shop[4:6]), light="drift"),
        Film("shop-switch", SHOP, tuple(shop[6:8]), light="switch"),
        Film("small-crf", CORRIDOR, (), CRF, drawn="small"),
        Film("small-average", SHOP, (), AVERAGE, noise=3.0, drawn="small"),
        Film("gone-crf", CORRIDOR, (), CRF, drawn="gone"),
        Film("gone-average", SHOP, (), AVERAGE, noise=3.0, drawn="gone"),
        Film("slow-crf", CORRIDOR, (), CRF, drawn="slow"),
        Film("belt-crf", CORRIDOR, (), CRF, drawn="belt", frames=BELT_FRAMES),
        Film("belt-average", SHOP, (), AVERAGE, noise=4.0, drawn="belt", frames=BELT_FRAMES),
        Film("parts-crf", CORRIDOR, (), CRF, drawn="parts", frames=BELT_FRAMES),
        Film("parts-average", SHOP, (), AVERAGE, noise=4.0, drawn="parts", frames=BELT_FRAMES),
    ]


def cache_folder() -> Path:
    """Where films lie."""
    root = os.environ.get("VEDETTE_CACHE") or Path.home() / ".cache" / "vedette"
    return Path(root) / "benchmarks" / f"gate-{VERSION}"


def data_folder() -> Path:
    """Where the real clips lie."""
    return Path(os.environ.get("VEDETTE_DATA", "../shared/data")).resolve() / "videos"


def write_films(wanted: list[Film]) -> list[Path]:
    """The films' files, written where they lack; two at a time, each on one core."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    missing = [film for film in wanted if not (folder / f"{film.name}.mp4").is_file()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_write_in_process, [film.name for film in missing]))
    return [folder / f"{film.name}.mp4" for film in wanted]


def _write_in_process(name: str) -> None:
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-m", "benchmarks.gate_material", name], check=True, cwd=root)


# -- pictures ---------------------------------------------------------------------------------------------------------


def _source_frames(film: Film) -> dict[int, Any]:
    """Frames of the source that the film needs, by number: (1620, 1920) uint8, planes of YUV 4:2:0."""
    wanted = {n for first, last in film.stretches for n in range(first, last + 1)} or {20}
    found = {}
    with av.open(str(data_folder() / film.source)) as container:
        for number, frame in enumerate(container.decode(container.streams.video[0])):
            if number in wanted:
                found[number] = frame.reformat(WIDTH, HEIGHT, "yuv420p").to_ndarray()
            if number >= max(wanted):
                break
    return found


def source_numbers(film: Film) -> list[int]:
    """Which frame of the source each frame of the film shows."""
    repeat, plan = REPEAT[film.source], film.plan
    numbers, current = [], plan[0][1] if plan else 20
    spans = iter([*plan, (film.frames, 0, 0)])
    begin, first, length = next(spans)
    for index in range(film.frames):
        if index >= begin + length:
            begin, first, length = next(spans)
        if begin <= index:
            current = first + (index - begin) // repeat
        numbers.append(current)
    return numbers


SMALL_PX, SMALL_ROWS = 24, 6
NEVER_STILL = ("slow", "belt", "parts")


@dataclass(frozen=True)
class Belts:
    """Dark belts side by side, running to the right and to the left in turn, full of squares, and never stopping."""

    count: int
    square_px: int
    spacing_px: int
    px_a_frame: int

    def places(self, index: int) -> Iterator[tuple[int, int]]:
        """Left top corner of every square in a frame, those half in view, too."""
        height = HEIGHT // self.count
        for row in range(self.count):
            shift = (self.px_a_frame * index + 37 * row) % self.spacing_px
            for place in range(-self.spacing_px, WIDTH + self.spacing_px, self.spacing_px):
                x = place + shift if row % 2 == 0 else WIDTH - place - shift
                yield x, row * height + (height - self.square_px) // 2

    @property
    def ground(self) -> list[tuple[int, int]]:
        """First and last row of pixels of every belt: a tenth of the height lies between them."""
        height = HEIGHT // self.count
        return [(row * height + height // 20, (row + 1) * height - height // 20) for row in range(self.count)]


BELTS = {"belt": Belts(3, 120, 260, 6), "parts": Belts(12, 24, 96, 3)}
BELT_LUMA = 40
BELT_FRAMES = 1800  # 60 s
SLOW_PX_PER_S = (0.3, 0.4, 0.6)


def drawn_boxes(film: Film, index: int) -> list[tuple[int, int, int, int]]:
    """x, y, width, height of every drawn object in this frame."""
    for begin, length in film.passes:
        if begin <= index < begin + length:  # four to eight pixels a frame
            return [
                (100 + (index - begin) * (4 + 4 * row // SMALL_ROWS), 120 + 150 * row, SMALL_PX, SMALL_PX)
                for row in range(SMALL_ROWS)
            ]
    if film.drawn in BELTS:
        belts = BELTS[film.drawn]
        sides = [(max(x, 0), min(x + belts.square_px, WIDTH), y) for x, y in belts.places(index)]
        return [(left, y, right - left, belts.square_px) for left, right, y in sides if left < right]
    if film.drawn == "slow":
        return [(500 + int(speed * index / FPS), 100 + 330 * row, 40, 80) for row, speed in enumerate(SLOW_PX_PER_S)]
    return []


@cache
def _noise_fields(sigma: float) -> list[Any]:
    """(HEIGHT + 64, WIDTH + 64) int16 each; every frame takes a random window of one."""
    random = np.random.default_rng(7)
    return [np.rint(random.normal(0, sigma, (HEIGHT + 64, WIDTH + 64))).astype(np.int16) for _ in range(6)]


def _draw(film: Film, planes: Any, index: int, random: Any) -> Any:
    """One frame: objects, light, rain, noise."""
    image = planes.copy()
    luma = image[:HEIGHT]
    chroma = image[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    for first, last in BELTS[film.drawn].ground if film.drawn in BELTS else ():
        luma[first:last] = BELT_LUMA
        chroma[:, first // 2 : last // 2] = 128
    for x, y, w, h in drawn_boxes(film, index):
        luma[y : y + h, x : x + w] = MAGENTA_YUV[0]
        for plane, value in zip(chroma, MAGENTA_YUV[1:], strict=True):
            plane[y // 2 : (y + h) // 2, x // 2 : (x + w) // 2] = value
    gain = _gain(film, index)
    if gain != 1.0:
        cv2.convertScaleAbs(luma, luma, gain)
    if film.rain:
        streaks = luma.copy()
        for x, y, length in random.integers((0, 0, 25), (WIDTH, HEIGHT, 45), (120, 3)):
            cv2.line(streaks, (int(x), int(y)), (int(x) + 4, int(y) + int(length)), 235, 2)
        cv2.addWeighted(streaks, 0.35, luma, 0.65, 0, luma)
    fields = _noise_fields(film.noise)
    top, left, which = random.integers((0, 0, 0), (64, 64, len(fields)))
    field = fields[which][top : top + HEIGHT, left : left + WIDTH]
    cv2.add(luma, field, luma, dtype=cv2.CV_8U)
    return image


def _gain(film: Film, index: int) -> float:
    if film.light == "drift":
        return float(1 - 0.2 * np.sin(2 * np.pi * index / (80 * FPS)))
    if film.light == "switch":
        off, on = film.switches
        ramp = min(max((index - off) / 3, 0), 1) - min(max((index - on) / 3, 0), 1)
        return float(1 - 0.45 * ramp)
    return 1.0


def drawn_frames(film: Film) -> Iterator[Any]:
    """Every frame of the film, (1620, 1920) uint8."""
    sources = _source_frames(film)
    random = np.random.default_rng(len(film.name))
    for index, number in enumerate(source_numbers(film)):
        yield _draw(film, sources[number], index, random)


def write_film(film: Film, path: Path) -> None:
    """Encode on one thread; the file appears when it is whole."""
    codec, options = film.codec
    partial = path.with_suffix(".part.mp4")
    with av.open(str(partial), "w") as output:
        stream = output.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.codec_context.thread_count = 1
        stream.options = (
            options if codec == "libx264" else {**options, "x265-params": f"{options['x265-params']}:pools=1"}
        )
        for image in drawn_frames(film):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="yuv420p")))
        output.mux(stream.encode())
    partial.replace(path)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    (chosen,) = [film for film in films() if film.name == sys.argv[1]]
    write_film(chosen, cache_folder() / f"{chosen.name}.mp4")
