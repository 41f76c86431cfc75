"""Releases on a box: old or new whatever happens in between, never half of one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from golden_squares import digest_of, write_golden_bundle
from vedette.bundle_folder import open_bundle
from vedette.edge.update.errors import BusyError, NoReleaseError, ReleasesError
from vedette.edge.update.releases import Releases

PROGRAM = Path(__file__).with_name("interrupted_install.py")


def put(releases: Releases, bundle: Path) -> None:
    with releases.locked(), releases.staging() as folder:
        shutil.copytree(bundle, folder / "bundle")
        releases.switch(releases.keep(open_bundle(folder / "bundle")))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_golden_bundle(folder / f"b{number}", version=str(number)).path for number in range(4)]


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "box")


def pair(releases: Releases) -> list[str | None]:
    found = releases.running()
    return [None if place is None else digest_of(place) for place in (found.current, found.previous)]


def test_the_link_stands_for_the_newest_and_the_one_before_is_kept(releases: Releases, bundles: list[Path]) -> None:
    digests = [digest_of(bundle) for bundle in bundles]
    assert pair(releases) == [None, None]
    expected: list[list[str | None]] = [[digests[0], None], [digests[1], digests[0]], [digests[2], digests[1]]]
    for bundle, wanted in zip(bundles, expected, strict=False):
        put(releases, bundle)
        assert pair(releases) == wanted
        assert digest_of(releases.link) == wanted[0]
    assert len(list((releases.folder / "releases").iterdir())) == 2  # the oldest is gone
    assert len(list((releases.folder / "switches").iterdir())) == 1
    assert list((releases.folder / "staging").iterdir()) == []


def test_going_back_is_undone_by_going_back(releases: Releases, bundles: list[Path]) -> None:
    with releases.locked(), pytest.raises(NoReleaseError, match="no previous release"):
        releases.roll_back()
    put(releases, bundles[0])
    put(releases, bundles[1])
    before = pair(releases)
    with releases.locked():
        releases.roll_back()
    assert pair(releases) == before[::-1]
    with releases.locked():
        releases.roll_back()
    assert pair(releases) == before


def test_the_same_bundle_again_changes_nothing(releases: Releases, bundles: list[Path]) -> None:
    put(releases, bundles[0])
    put(releases, bundles[1])
    before = pair(releases), os.readlink(releases.link)  # noqa: PTH115 - the text itself
    put(releases, bundles[1])
    assert (pair(releases), os.readlink(releases.link)) == before  # noqa: PTH115


def test_a_damaged_release_is_replaced_beside_it_and_never_gone_back_to(
    releases: Releases, bundles: list[Path]
) -> None:
    put(releases, bundles[0])
    put(releases, bundles[1])
    damaged = releases.running().current
    assert damaged is not None
    (damaged / "model.onnx").chmod(0o644)
    (damaged / "model.onnx").write_bytes(b"flash rot")
    put(releases, bundles[1])
    assert digest_of(releases.link) == digest_of(bundles[1])
    assert releases.running().previous == damaged
    with releases.locked(), pytest.raises(NoReleaseError, match=r"damaged and nothing was changed.*model\.onnx"):
        releases.roll_back()
    assert digest_of(releases.link) == digest_of(bundles[1])


def test_only_one_installation_at_a_time(releases: Releases) -> None:
    with releases.locked(), pytest.raises(BusyError, match="another process"), releases.locked():
        pass
    with releases.locked():
        pass


def test_no_room_is_told_before_anything_is_fetched(releases: Releases) -> None:
    with releases.locked(), pytest.raises(ReleasesError, match=r"MB are needed and .* free; make room"):
        releases.require_room(1 << 60)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReleasesError, match="cannot be written"), Releases(tmp_path / "file" / "box").locked():
        pass


@pytest.mark.parametrize("what", ["install", "rollback"])
@pytest.mark.parametrize(("how", "least"), [("kill", 20), ("full", 4)])
def test_interrupted_at_every_step_it_is_old_or_new_and_the_next_attempt_succeeds(
    what: str, how: str, least: int, releases: Releases, bundles: list[Path], tmp_path: Path
) -> None:
    for bundle in bundles[:2]:
        put(releases, bundle)
    done = subprocess.run(
        [sys.executable, PROGRAM, how, what, releases.folder, bundles[2], tmp_path / "scratch"],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["points"] >= least
    if how == "kill":
        assert 0 < report["came"] < report["points"]  # killed before the switch and after it
