"""What strace sees: an installation killed, or refused by the disk, at single calls; and what is flushed when."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from golden_squares import digest_of, write_golden_bundle
from vedette.edge.update.releases import Releases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = """
import sys
from pathlib import Path
from interrupted_install import install
from vedette.edge.update.errors import UpdateError
from vedette.contracts.errors import VedetteError
from vedette.edge.update.releases import Releases
try:
    install(Releases(Path(sys.argv[1])), sys.argv[2])
except VedetteError as error:
    sys.exit(f"refused: {error}")
"""
CALLS = ("mkdir", "rename", "symlink", "fsync", "chmod", "unlink", "rmdir", "unlinkat", "flock")


def can_trace() -> bool:
    program = shutil.which("strace")
    return program is not None and subprocess.run([program, "true"], capture_output=True, check=False).returncode == 0


if not can_trace():
    pytest.skip("strace is not installed, or may not trace here", allow_module_level=True)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_golden_bundle(folder / f"b{number}", version=str(number)).path for number in range(2)]


def traced(options: list[str], box: Path, bundle: Path, log: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["strace", "-f", "-o", str(log), *options, sys.executable, "-c", SCRIPT, str(box), str(bundle)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def prepared(box: Path, bundle: Path) -> Path:
    shutil.rmtree(box, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, box, bundle], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return box


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_each_call_of_a_kind(call: str, bundles: list[Path], tmp_path: Path) -> None:
    old, new = (digest_of(bundle) for bundle in bundles)
    number = 0
    while True:
        number += 1
        box = prepared(tmp_path / "box", bundles[0])
        done = traced(["-e", f"inject={call}:signal=SIGKILL:when={number}"], box, bundles[1], tmp_path / "log")
        assert digest_of(box / "current") in {old, new}, number
        if done.returncode == 0:
            break
        prepared_again = traced(["-e", "trace=none"], box, bundles[1], tmp_path / "log")
        assert prepared_again.returncode == 0, prepared_again.stderr
        assert digest_of(box / "current") == new
        pair = Releases(box).running()
        assert pair.previous is not None and digest_of(pair.previous) == old
    assert number > 1 or call in {"unlink", "rmdir", "unlinkat", "chmod"}  # whichever of a family Python uses


@pytest.mark.parametrize("call", ["mkdir", "rename", "symlink", "fsync"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EROFS"])
def test_refused_by_the_disk_at_the_first_call_of_a_kind(
    call: str, error: str, bundles: list[Path], tmp_path: Path
) -> None:
    old = digest_of(bundles[0])
    box = prepared(tmp_path / "box", bundles[0])
    done = traced(["-e", f"inject={call}:error={error}:when=1+"], box, bundles[1], tmp_path / "log")
    assert done.returncode == 1
    assert done.stderr.startswith("refused: ") and "cannot be written" in done.stderr
    assert digest_of(box / "current") == old


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EROFS"])
def test_refused_by_the_disk_at_every_single_call(error: str, bundles: list[Path], tmp_path: Path) -> None:
    """One call fails and those after it work again, as on a disk that fills up for a moment."""
    old, new = (digest_of(bundle) for bundle in bundles)
    base = prepared(tmp_path / "base", bundles[0])
    points = refused = 0
    for call in ("mkdir", "rename", "symlink", "fsync", "write", "chmod"):
        number = 0
        while True:
            number += 1
            box, log = tmp_path / f"{call}-{number}", tmp_path / "log"
            shutil.copytree(base, box, symlinks=True)
            done = traced(["-e", f"inject={call}:error={error}:when={number}"], box, bundles[1], log)
            if "(INJECTED)" not in log.read_text():
                assert digest_of(box / "current") == new
                break
            points += 1
            if done.returncode:
                refused += 1
                assert done.stderr.startswith("refused: "), done.stderr
                assert "cannot be written" in done.stderr
            assert digest_of(box / "current") in ({old} if done.returncode and call != "fsync" else {old, new})
            if digest_of(box / "current") == old:
                again = traced(["-e", "trace=none"], box, bundles[1], log)
                assert again.returncode == 0, again.stderr
            assert digest_of(box / "current") == new
            shutil.rmtree(box)
        assert number > 1 or call == "chmod"
    sys.stdout.write(f"{error}: {points} points, {refused} refused, the others of no consequence\n")
    assert refused > 10


def test_everything_is_flushed_before_the_link_points_at_it(bundles: list[Path], tmp_path: Path) -> None:
    """A kill cannot find a missing flush: the order of the calls can."""
    box = prepared(tmp_path / "box", bundles[0])
    log = tmp_path / "log"
    assert traced(["-y", "-e", "trace=fsync,rename,renameat,renameat2"], box, bundles[1], log).returncode == 0
    calls = [line for line in log.read_text().splitlines() if str(box) in line]
    link = next(number for number, line in enumerate(calls) if re.search(r'rename\w*\(.*/staging/link"', line))
    flushed = {match[1] for line in calls[:link] if (match := re.search(r"fsync\(\d+<(.*?)>\)", line))}
    staged = {path.removeprefix(f"{box}/staging/fetched/bundle") for path in flushed if "/staging/fetched" in path}
    assert {f"/{path.name}" for path in bundles[1].iterdir()} | {""} <= staged
    assert {f"{box}/releases", f"{box}/staging/switch", f"{box}/switches"} <= flushed
    assert any(re.search(rf"fsync\(\d+<{re.escape(str(box))}>\)", line) for line in calls[link:])
