"""5,000 small pictures to and from a local S3 server: `vedette data push` and `pull` beside `aws s3 sync`.

Whole processes, start to end, in turn on the same server (rclone's and moto's, both of the dev extra), the same files,
a fresh prefix each time; a server is started anew for each round, since moto keeps everything in memory. The AWS tool
comes from PyPI into an environment of its own below build/. Claim: pushing is at least 1.5 times as fast on
rclone's server and 3 times on moto's. Pushing again what is there is measured too: sync compares sizes and times;
ours, whose memory of digests is empty here, reads every file.
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from simulators.s3_servers import BUCKET, S3Server, moto_server, rclone_server

FILES = int(os.environ.get("VEDETTE_BENCHMARK_FILES", "5000"))
FILE_BYTES = 30_000
ROUNDS = {"rclone": 3, "moto": 1}  # sync takes minutes on moto
LEAST_TIMES = {"rclone": 1.5, "moto": 3.0}
AWS_HOME = Path(__file__).resolve().parent.parent / "build" / "benchmark-awscli"
PUSH = """
import sys
from pathlib import Path
from vedette.apps import cli, data_transfer
cli.build_app()  # what starting `vedette` takes
data_transfer.push(Path(sys.argv[1]), sys.argv[2])
"""
PULL = PUSH.replace("push(Path(sys.argv[1]), sys.argv[2])", "pull(sys.argv[1], Path(sys.argv[2]))")


def measure() -> dict[str, Any]:
    """Median seconds and files a second of each, for each server, and how many times sync's rate ours is."""
    aws = _aws_program()
    figures: dict[str, Any] = {"files": FILES, "file_bytes": FILE_BYTES, "aws_cli": _aws_version(aws)}
    with tempfile.TemporaryDirectory(prefix="vedette-benchmark-") as scratch:
        source = _make_files(Path(scratch) / "source")
        for name, rounds in ROUNDS.items():
            taken: dict[str, list[float]] = {}
            for number in range(rounds):
                with _server(name, Path(scratch) / "server") as server:
                    _one_round(server, aws, source, Path(scratch), taken, ours_first=number % 2 == 0)
            figures[name] = _summarise(taken, rounds, LEAST_TIMES[name])
    return figures


def _one_round(  # noqa: PLR0917 - all of one round
    server: S3Server, aws: str, source: Path, scratch: Path, taken: dict[str, list[float]], ours_first: bool
) -> None:
    environ = {**os.environ, **server.environment()}
    ours, theirs = f"s3://{BUCKET}/ours", f"s3://{BUCKET}/theirs"
    sync = [aws, "s3", "sync", "--only-show-errors"]
    work: dict[str, dict[str, list[str]]] = {
        "ours": {
            "push": [sys.executable, "-c", PUSH, str(source), ours],
            "push_again": [sys.executable, "-c", PUSH, str(source), ours],
            "pull": [sys.executable, "-c", PULL, ours, str(scratch / "pulled")],
        },
        "sync": {
            "push": [*sync, str(source), theirs],
            "push_again": [*sync, str(source), theirs],
            "pull": [*sync, theirs, str(scratch / "synced")],
        },
    }
    for stage in ("push", "push_again", "pull"):
        for who in ("ours", "sync") if ours_first else ("sync", "ours"):
            with tempfile.TemporaryDirectory(dir=scratch) as cache:  # no digest is known from before
                began = time.perf_counter()
                subprocess.run(
                    work[who][stage], env={**environ, "XDG_CACHE_HOME": cache}, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, check=True,
                )  # fmt: skip
                taken.setdefault(f"{who}_{stage}", []).append(time.perf_counter() - began)
    for folder in ("pulled", "synced"):
        _check_copy(source, scratch / folder)
        shutil.rmtree(scratch / folder)


def _check_copy(source: Path, copy: Path) -> None:
    wrong = [path.name for path in source.iterdir() if (copy / path.name).read_bytes() != path.read_bytes()]
    if wrong or len(list(copy.iterdir())) != FILES:
        raise SystemExit(f"{copy}: not what was sent: {wrong[:3]}")


def _summarise(taken: dict[str, list[float]], rounds: int, least: float) -> dict[str, Any]:
    figures: dict[str, Any] = {"rounds": rounds}
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        figures[name] = {
            "median_s": round(median, 2),
            "all_s": [round(one, 2) for one in seconds],
            "files_per_s": round(FILES / median),
        }
    for stage in ("push", "push_again", "pull"):
        ratio = figures[f"sync_{stage}"]["median_s"] / figures[f"ours_{stage}"]["median_s"]
        figures[f"times_the_rate_of_sync_{stage}"] = round(ratio, 2)
    figures["least_times"] = least
    figures["holds"] = figures["times_the_rate_of_sync_push"] >= least
    return figures


@contextmanager
def _server(name: str, folder: Path) -> Iterator[S3Server]:
    starts: dict[str, Callable[[], AbstractContextManager[S3Server]]] = {
        "rclone": lambda: rclone_server(folder),
        "moto": moto_server,
    }
    with starts[name]() as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


def _make_files(folder: Path) -> Path:
    """Files of random bytes, as hard to compress as pictures are."""
    folder.mkdir()
    drawn = random.Random(1)
    for number in range(FILES):
        (folder / f"{number:05}.jpg").write_bytes(drawn.randbytes(FILE_BYTES))
    return folder


def _aws_program() -> str:
    """The AWS command line, in an environment of its own that is made once."""
    program = AWS_HOME / "bin" / "aws"
    if not program.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(AWS_HOME)], check=True)
        subprocess.run([str(AWS_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "awscli"], check=True)
    return str(program)


def _aws_version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
