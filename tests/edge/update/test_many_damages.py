"""Damaged bundles by the thousand: each is refused before a parser sees a byte of it, and the box stays as it is."""

import io
import itertools
import random
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from golden_squares import digest_of, write_golden_bundle
from vedette import bundle_folder
from vedette.apps import install as command
from vedette.bundle_folder import BundleError
from vedette.contracts.bundle import MANIFEST_NAME
from vedette.contracts.errors import VedetteError
from vedette.edge.engines import opening
from vedette.edge.update import gate
from vedette.edge.update.errors import NoReleaseError
from vedette.edge.update.releases import Releases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FLIPS, CUTS = 500, 64  # of every file
LARGE_BYTES = (2 << 30) + 1
Damage = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_golden_bundle(folder / f"b{number}", version=str(number)).path for number in range(2)]


@pytest.fixture
def box(tmp_path: Path, bundles: list[Path]) -> Path:
    put(bundles[0], tmp_path / "box")
    return tmp_path / "box"


def put(source: Path, box: Path) -> None:
    command.install(str(source), to=box, engine="onnxruntime")


@pytest.fixture
def guarded_box(box: Path, monkeypatch: pytest.MonkeyPatch, bundles: list[Path]) -> Path:
    """A box on which whatever parses manifest, detections, pictures or model fails for a damaged bundle."""
    good = (bundles[1] / MANIFEST_NAME).read_bytes()
    parse = bundle_folder._parse_manifest

    def parse_good(path: Path, content: bytes) -> object:
        assert content == good, "the manifest is parsed though it is damaged"
        return parse(path, content)

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("a damaged bundle came to a parser")

    monkeypatch.setattr(bundle_folder, "_parse_manifest", parse_good)
    monkeypatch.setattr(bundle_folder, "read_golden", reached)
    monkeypatch.setattr(opening, "open_detector", reached)
    monkeypatch.setattr(gate, "require_golden", reached)
    return box


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damages(content: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    size = len(content)
    for cut in sorted({0, 1, size // 2, size - 1} | {chance.randrange(size) for _ in range(CUTS)}):
        yield f"cut at {cut}", content[:cut]
    yield "one byte more", content + b"\0"
    yield "a hundred bytes more", content + bytes(100)
    for _ in range(FLIPS):
        bit = chance.randrange(8 * size)
        yield f"bit {bit}", flip(content, bit)


def snapshot(box: Path) -> list[tuple[str, int, int]]:
    return [
        (str(one), status.st_ino, status.st_mtime_ns)
        for one in sorted(box.rglob("*"))
        if not one.is_dir() and (status := one.lstat())
    ]


def test_every_damaged_file_is_refused_before_it_is_read(
    bundles: list[Path], guarded_box: Path, tmp_path: Path
) -> None:
    box = guarded_box
    before, chance, count = snapshot(box), random.Random(5), 0
    source = tmp_path / "source"
    shutil.copytree(bundles[1], source)
    names = sorted(path.name for path in source.iterdir())
    for name in names:
        good = (source / name).read_bytes()
        for what, bad in damages(good, chance):
            (source / name).write_bytes(bad)
            with pytest.raises(BundleError):
                put(source, box)
                pytest.fail(f"{name}, {what}: installed")
            count += 1
        with (source / name).open("r+b") as file:
            file.truncate(LARGE_BYTES)  # sparse
        with pytest.raises(BundleError):
            put(source, box)
        (source / name).write_bytes(good)
        count += 1
    for one, other in itertools.combinations(names, 2):
        swap(source / one, source / other)
        if (source / one).read_bytes() != (source / other).read_bytes():
            with pytest.raises(BundleError):
                put(source, box)
            count += 1
        swap(source / one, source / other)
    assert snapshot(box) == before
    sys.stdout.write(f"{count} damaged bundles of {len(names)} files refused\n")
    assert count > len(names) * FLIPS


def swap(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_a_damaged_archive_is_refused_or_gives_exactly_what_was_packed(
    bundles: list[Path], box: Path, tmp_path: Path
) -> None:
    good, bad, chance = tmp_path / "good.tar.gz", tmp_path / "bad.tar.gz", random.Random(6)
    with tarfile.open(good, "w:gz") as file:
        member = tarfile.TarInfo("best.weights")
        member.size = 100
        file.addfile(member, io.BytesIO(bytes(100)))
        for path in sorted(bundles[1].iterdir()):
            file.add(path, f"bundle/{path.name}")
    content, old, new = good.read_bytes(), digest_of(bundles[0]), digest_of(bundles[1])
    refused = harmless = 0
    for what, damaged in damages(content, chance):
        bad.write_bytes(damaged)
        try:
            put(bad, box)
        except VedetteError:
            assert digest_of(box / "current") == old, what
            refused += 1
            continue
        assert digest_of(box / "current") == new, what  # a field that says nothing, or bytes behind the end
        harmless += 1
        command.rollback(to=box)
    sys.stdout.write(f"{refused} damaged archives refused, {harmless} gave what was packed\n")
    assert refused > (FLIPS + CUTS) * 0.8


def test_a_damaged_release_is_never_gone_back_to(bundles: list[Path], box: Path) -> None:
    put(bundles[1], box)
    found, chance = Releases(box).running(), random.Random(7)
    assert found.previous is not None
    files = sorted(found.previous.iterdir())
    for path in files:
        path.chmod(0o644)
    link = (box / "current").readlink()
    for number in range(FLIPS):
        path = files[number % len(files)]
        good = path.read_bytes()
        path.write_bytes(flip(good, chance.randrange(8 * len(good))))
        with pytest.raises(NoReleaseError, match="nothing was changed"):
            command.rollback(to=box)
        assert (box / "current").readlink() == link
        path.write_bytes(good)
    command.rollback(to=box)
    assert digest_of(box / "current") == digest_of(bundles[0])
