"""The simulator's one address beside moto's own: `data push` of 500 small pictures, single objects, one large object.

In turn on the same moto, a fresh prefix each time, both ways in each round. Claim: no work takes more than twice as
long; moto's own pace varies by half.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np

from simulators.s3_servers import ACCESS_KEY, BUCKET, moto_server
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.versions_digests import DigestMemory
from vedette.learn.data.versions_push import push_version
from vedette.learn.sagemaker.simulator.front import serve_front
from vedette.learn.sagemaker.simulator.service import TrainingJobs
from vedette.storage.parallel import in_parallel
from vedette.storage.store import Store, open_store

PICTURES, PICTURE_BYTES, LARGE_BYTES = 500, 20_000, 64 << 20
ROUNDS = 5
MOST_TIMES = 2.0


def measure() -> dict[str, Any]:
    """Median wall and processor seconds (of clients and front, moto's not) of each, and their ratios."""
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="vedette-benchmark-") as scratch, moto_server() as moto:
        pictures = _draw(Path(scratch))
        jobs = TrainingJobs("us-east-1", lambda _: None, lambda _: None)
        with serve_front(jobs, ACCESS_KEY, moto.url, moto.url) as front:
            for number in range(ROUNDS):
                ways = {"direct": moto.url, "front": front}
                for way, address in sorted(ways.items(), reverse=bool(number % 2)):
                    place = f"s3://{BUCKET}/{way}-{number}"
                    store = open_store(place, replace(moto.settings(), endpoint_url=address))
                    for name, work in _works(store, Path(scratch), pictures).items():
                        taken.setdefault(name, {}).setdefault(way, []).append(_timed(work))
    figures: dict[str, Any] = {"pictures": PICTURES, "picture_bytes": PICTURE_BYTES, "large_bytes": LARGE_BYTES}
    for name, ways in taken.items():
        wall = {way: statistics.median(one[0] for one in times) for way, times in ways.items()}
        cpu = {way: statistics.median(one[1] for one in times) for way, times in ways.items()}
        times = wall["front"] / wall["direct"]
        figures[name] = {"wall_s": wall, "cpu_s": cpu, "front_times_direct": times, "meets_claim": times <= MOST_TIMES}
    return figures


def _draw(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(PICTURES)]
    for path in paths:
        path.write_bytes(random.bytes(PICTURE_BYTES))
    return paths


def _works(store: Store, folder: Path, pictures: list[Path]) -> dict[str, Callable[[], object]]:
    block = os.urandom(1 << 20)
    return {
        "push": lambda: push_version(folder, store, "x", SilentProgress(), DigestMemory(None)),
        "objects": lambda: [*in_parallel(lambda path: store.write(path.name, path.read_bytes()), pictures)],
        "large_up": lambda: store.upload("large", (block for _ in range(LARGE_BYTES >> 20))),
        "large_down": lambda: store.read("large", LARGE_BYTES),
    }


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall_s, cpu_s = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - wall_s, time.process_time() - cpu_s
