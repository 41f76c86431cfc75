"""Temporary folders of simulators: gone in the end, those of killed ones too; nothing of anybody else's is touched."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vedette.learn.sagemaker.simulator.scratch import MARKER, scratch_folder

HOLDER = """
import sys
from vedette.learn.sagemaker.simulator.scratch import scratch_folder
with scratch_folder("vedette-simulator-") as folder:
    (folder / "channel").mkdir(mode=0o555)  # as FastFile mode leaves it
    sys.stdout.write(str(folder) + "\\n"); sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_simulator_left_is_removed_and_what_a_living_one_has_is_not(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(place)},
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        with scratch_folder("vedette-") as ours:
            assert {*place.iterdir()} == {theirs, ours}
        assert [*place.iterdir()] == [theirs]
        holder.kill()
    assert [*place.iterdir()] == [theirs]
    with scratch_folder("vedette-") as ours:
        assert [*place.iterdir()] == [ours]
    assert [*place.iterdir()] == []


def test_folders_without_the_marker_and_links_are_left_alone(place: Path) -> None:
    for name in ("vedette-mine", "elsewhere"):
        (place / name).mkdir()
    (place / "elsewhere" / MARKER).touch()
    (place / "vedette-linked").symlink_to(place / "elsewhere")
    (place / "vedette-tricked").mkdir()
    (place / "vedette-tricked" / MARKER).symlink_to(place / "elsewhere" / MARKER)
    before = {*place.rglob("*")}
    with scratch_folder("vedette-"):
        pass
    assert {*place.rglob("*")} == before
