"""The power cut and the full disk, on a real ext4: what the disk holds at that moment is mounted and looked at.

The file behind a loop device holds exactly what has reached "the disk"; the page cache of the mounted file system is
what a power cut loses. So a copy of that file, mounted, is the box after the cut.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from golden_squares import digest_of, write_golden_bundle
from vedette.edge.update.errors import ReleasesError
from vedette.edge.update.releases import Releases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
COMMIT_S = 7  # ext4 commits its journal every 5 s: metadata may then be on the disk without the data


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=60, check=False)


def make_disk(place: Path, megabytes: int) -> Path:
    with place.open("wb") as file:
        file.truncate(megabytes << 20)
    done = run("mkfs.ext4", "-q", "-F", place)
    assert done.returncode == 0, done.stderr
    return place


@contextmanager
def mounted(disk: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    done = run("mount", "-o", "loop", disk, place)
    assert done.returncode == 0, done.stderr
    try:
        yield place
    finally:
        for _ in range(100):  # a process that has just ended may hold it for a moment
            if run("umount", place).returncode == 0:
                break
            time.sleep(0.1)


@pytest.fixture(scope="module", autouse=True)
def loop_mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("mounting a file system needs root and mkfs.ext4")
    folder = tmp_path_factory.mktemp("probe")
    (folder / "m").mkdir()
    if run("mount", "-o", "loop", make_disk(folder / "disk", 4), folder / "m").returncode != 0:
        pytest.skip("loop devices cannot be mounted here")
    run("umount", folder / "m")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_golden_bundle(folder / f"b{number}", version=str(number)).path for number in range(3)]


def put(box: Path, bundle: Path) -> None:
    from interrupted_install import install

    install(Releases(box), str(bundle))


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def pair(box: Path) -> list[str | None]:
    """The digests of the pair, every byte of both verified."""
    found = Releases(box).running()
    return [None if place is None else digest_of(place) for place in (found.current, found.previous)]


def cuts(disk: Path, box: Path, bundle: Path, folder: Path) -> Iterator[tuple[Path, bool]]:
    """What the disk holds at every step of an installation, and after it; true once success was reported."""
    copy = folder / "cut.img"
    child = subprocess.Popen(
        [sys.executable, HERE / "stopped_install.py", box, bundle],
        env=os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parents[1]}", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        while True:
            _, status = os.waitpid(child.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            shutil.copyfile(disk, copy)
            yield copy, False
            os.kill(child.pid, signal.SIGCONT)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
    finally:
        if child.returncode is None:
            child.kill()
            child.wait()
    for wait_s in (0, COMMIT_S):
        time.sleep(wait_s)
        shutil.copyfile(disk, copy)
        yield copy, True


def test_the_power_cut_at_every_step_leaves_old_or_new(bundles: list[Path], tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", 40)
    points = came = 0
    with mounted(disk, tmp_path / "disk") as mount:
        box = mount / "box"
        put(box, bundles[0])
        put(box, bundles[1])
        old = pair(box)
        new = [digest_of(bundles[2]), old[0]]
        for copy, reported in cuts(disk, box, bundles[2], tmp_path):
            with mounted(copy, tmp_path / "after") as after:
                found = pair(after / "box")
                assert found in (old, new), points
                assert found == new or not reported
                put(after / "box", bundles[2])
                assert pair(after / "box") == new
            points, came = points + 1, came + (found == new)
    assert points > 30
    assert 2 < came < points


def fill(filler: Path, free_kb: int) -> None:
    """Fill the disk to its last block, then leave so much."""
    with filler.open("wb", buffering=0) as file:
        size = 0
        try:
            while True:
                size += file.write(b"x" * 1024)
        except OSError:
            file.truncate(max(0, size - free_kb * 1024))


def test_a_disk_that_is_full_at_any_size_keeps_the_old_one(
    bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Releases, "require_room", lambda *_: None)  # which would refuse before
    refused = []
    with mounted(make_disk(tmp_path / "disk.img", 4), tmp_path / "disk") as mount:
        box, filler = mount / "box", mount / "filler"
        put(box, bundles[0])
        put(box, bundles[1])
        old = pair(box)
        for free_kb in range(0, 60, 2):
            fill(filler, free_kb)
            try:
                put(box, bundles[2])
            except ReleasesError as error:
                assert "No space left on device; what is installed goes on running" in str(error)
                refused.append(free_kb)
                assert pair(box) == old
                filler.unlink()
                continue
            break
        assert pair(box) == [digest_of(bundles[2]), old[0]]
    assert len(refused) > 3
