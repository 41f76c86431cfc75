"""Pictures a second of what `vedette label` and `vedette evaluate` do, by cores: processes of one computer, and Ray.

Drawn 1280x720 stills through a yolov3-tiny 416x416 (FP32, automatic engine), reading and decoding included. A core is
one that the processes are bound to. All configurations are started and warmed up first; short rounds then go through
them in turn over the same pictures. The median counts; CPU time stands beside it. What every configuration finds is
compared bit for bit. On a machine that others use, VEDETTE_BENCHMARK_REALTIME=1 (as root) keeps them off the cores for
the second that a round takes, but for the 5 % that Linux leaves them; Ray is then judged by its CPU time alone. The
plot goes to docs/images/labelling.png.

    python -m benchmarks labelling
"""

import hashlib
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.stream_material import cache_folder, scene_bundle, whole
from benchmarks.stream_measuring import ROOT
from vedette.apps.label import LabelOpener
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.pictures import picture_size
from vedette.learn.data.scenes.writing import write_stills
from vedette.learn.predicting.outcomes import Found, Outcome
from vedette.learn.predicting.processes import WorkerPool

PICTURES = int(os.environ.get("VEDETTE_BENCHMARK_PICTURES", "40"))
ROUNDS = 7
REALTIME = os.environ.get("VEDETTE_BENCHMARK_REALTIME") == "1"
RAY_PICTURES, RAY_ROUNDS = 240, 3  # starting a cluster takes its time
WARM_UP = 16  # pictures of a cluster that has just started
DRAWN, SEED = 60, 5
PLOT = ROOT / "docs" / "images" / "labelling.png"


@dataclass(frozen=True)
class Way:
    """How the work is spread."""

    label: str
    cores: int
    processes: int
    threads: int


WAYS = (
    Way("1 core, 1 process", 1, 1, 1),
    Way("2 cores, 1 process of 2 threads", 2, 1, 2),
    Way("2 cores, 2 processes", 2, 2, 1),
)


def measure() -> dict[str, Any]:
    """Rates, CPU seconds and ratios by configuration; whether all found the same."""
    opener = LabelOpener(str(scene_bundle()), "auto", "fp32", None, None, None)
    pictures = _stills(PICTURES)
    load = round(os.getloadavg()[0], 1)
    taken: dict[Way, list[float]] = {way: [] for way in WAYS}
    cpu_s = dict.fromkeys(WAYS, 0.0)
    digests: set[str] = set()
    with ExitStack() as pools:
        with _priority(1):  # this process above its workers, which it must feed
            opened = {way: pools.enter_context(_opened(opener, way, pictures)) for way in WAYS}
        pools.enter_context(_priority(2))
        for number in range(ROUNDS):
            for way in WAYS if number % 2 == 0 else reversed(WAYS):
                rate, used_s, outcomes = _round(opened[way], pictures)
                taken[way].append(rate)
                cpu_s[way] += used_s
                digests.add(_digest(outcomes))
    found = {
        "pictures_a_round": PICTURES,
        "picture_px": picture_size(pictures[0]),
        "rounds": ROUNDS,
        "load_average_before": load,  # what else this machine was doing
        "realtime": REALTIME,
        "processes": {way.label: _summary(way, taken[way], cpu_s[way]) for way in WAYS},
        "ray": _ray(opener, _stills(RAY_PICTURES), digests),
    }
    found["same_results"] = len(digests) == 1
    draw(found, PLOT)
    return found


@contextmanager
def _opened(opener: LabelOpener, way: Way, pictures: list[Path]) -> Iterator[WorkerPool]:
    """Workers on their cores, their detectors opened."""
    with WorkerPool(opener.with_threads(way.threads), way.processes) as pool:
        with _bound_to(way.cores):
            dict(pool.outcomes(pictures))
        yield pool


def _round(pool: WorkerPool, pictures: list[Path]) -> tuple[float, float, dict[int, Outcome]]:
    """Pictures a second, CPU seconds, what was found."""
    workers = [psutil.Process(), *(psutil.Process(pid) for pid in pool.process_ids)]
    before_s, began = _cpu_s(workers), time.monotonic()
    outcomes = dict(pool.outcomes(pictures))
    return len(pictures) / (time.monotonic() - began), _cpu_s(workers) - before_s, outcomes


def _stills(count: int) -> list[Path]:
    """Drawn pictures, kept in the cache; each may come several times."""
    workers = os.cpu_count() or 1
    drawn = cache_folder() / "labelling-stills"
    folder = whole(drawn, lambda part: write_stills(part, DRAWN, SEED, SilentProgress(), workers))
    stills = sorted(folder.rglob("*.jpg"))
    return [stills[number % len(stills)] for number in range(count)]


def _ray(opener: LabelOpener, pictures: list[Path], digests: set[str]) -> dict[str, Any]:
    """Between the first results and the last, since Ray takes seconds to start; CPU time is all its processes'."""
    import ray

    from vedette.learn.predicting.ray_cluster import outcomes_on_ray

    found = {}
    for actors in (1, 2):
        rates, cpu_ms, starts = [], [], []
        for _ in range(RAY_ROUNDS):
            with _bound_to(actors):
                began, first, used_s = time.monotonic(), 0.0, 0.0
                cluster: list[psutil.Process] = []
                outcomes: dict[int, Outcome] = {}
                for number, outcome in outcomes_on_ray(opener.with_threads(1), pictures, actors, SilentProgress()):
                    outcomes[number] = outcome
                    if not cluster and len(outcomes) >= WARM_UP:
                        first, before = time.monotonic(), len(outcomes)
                        cluster = [psutil.Process(), *psutil.Process().children(recursive=True)]
                        used_s = _cpu_s(cluster)
                    elif len(outcomes) == len(pictures):
                        done = len(pictures) - before
                        cpu_ms.append(1e3 * (_cpu_s(cluster) - used_s) / done)
                        rates.append(done / (time.monotonic() - first))
                starts.append(first - began)
            digests.add(_digest(outcomes))
        label = f"{actors} core{'s' if actors > 1 else ''}, {actors} actor{'s' if actors > 1 else ''}"
        used_ms = statistics.median(cpu_ms)
        found[label] = {
            "cores": actors,
            "pictures_per_s": round(statistics.median(rates), 1),
            "cpu_ms_per_picture": round(used_ms, 2),
            "pictures_per_s_by_cpu_time": round(1e3 * actors / used_ms, 1),
            f"s_until_{WARM_UP}_pictures": round(statistics.median(starts), 1),
        }
        print(label, found[label], flush=True)
    return {"version": ray.__version__, "rounds": RAY_ROUNDS, **found}


@contextmanager
def _bound_to(cores: int) -> Iterator[None]:
    """This process, and what it starts, on so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _priority(level: int) -> Iterator[None]:
    """Before everybody who has no such priority, where that is asked for; what is started meanwhile inherits it."""
    if not REALTIME:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(level))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


def _digest(outcomes: dict[int, Outcome]) -> str:
    """Of what was found in the first of the pictures, which every configuration is given."""
    digest = hashlib.sha256()
    for number in range(PICTURES):
        outcome = outcomes[number]
        if not isinstance(outcome, Found):
            raise SystemExit(outcome.reason)
        found = outcome.detections
        digest.update(found.boxes_xyxy_px.tobytes() + found.scores.tobytes() + found.class_ids.tobytes())
    return digest.hexdigest()


def _summary(way: Way, rates: list[float], cpu_s: float) -> dict[str, Any]:
    cpu_ms = 1e3 * cpu_s / (PICTURES * ROUNDS)
    return {
        "cores": way.cores,
        "pictures_per_s": round(statistics.median(rates), 1),
        "lowest_and_highest": [round(min(rates), 1), round(max(rates), 1)],
        "cpu_ms_per_picture": round(cpu_ms, 2),
        "pictures_per_s_by_cpu_time": round(1e3 * way.cores / cpu_ms, 1),
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """Rate against cores: one line for processes, one for Ray, and what twice one core would be."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    one, threads, two = (found["processes"][way.label] for way in WAYS)
    ray = [figures for figures in found["ray"].values() if isinstance(figures, dict)]
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    base = one["pictures_per_s"]
    axes.plot([1, 2], [base, 2 * base], color="0.6", linestyle="--", linewidth=1, label="twice one core")
    of_ray = "pictures_per_s_by_cpu_time" if found["realtime"] else "pictures_per_s"
    for label, points, marker, key in (
        ("processes", [one, two], "o", "pictures_per_s"),
        ("Ray, after its start" + (", by its CPU time" if found["realtime"] else ""), ray, "s", of_ray),
    ):
        rates = [point[key] for point in points]
        (line,) = axes.plot([point["cores"] for point in points], rates, marker=marker, markersize=6, label=label)
        above = 8 if marker == "o" else -16
        for point, rate in zip(points, rates, strict=True):
            place = {"textcoords": "offset points", "xytext": (0, above), "ha": "center", "color": line.get_color()}
            axes.annotate(f"{rate:.0f}", (point["cores"], rate), **place)
    axes.plot([2], [threads["pictures_per_s"]], "x", color="0.3", markersize=8, label="one process of two threads")
    axes.set(xlabel="processor cores", ylabel="pictures a second", xticks=[1, 2], xlim=(0.8, 2.2))
    axes.set_ylim(0, 1.2 * max(2 * base, two["pictures_per_s"]))
    axes.set_title("Pre-labelling 1280x720 pictures, yolov3-tiny 416x416 FP32", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
