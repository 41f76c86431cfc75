"""model.tar.gz becomes a RUN, or nothing: whoever wrote the archive, nothing lies outside the folder afterwards."""

import gzip
import io
import os
import random
import re
import subprocess
import tarfile
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from vedette.contracts.ports import SilentProgress
from vedette.learn.data.errors import DestinationError
from vedette.learn.sagemaker import artefact, tar_members
from vedette.learn.sagemaker.artefact import Unpacked, unpack_run
from vedette.learn.sagemaker.errors import ArtefactError
from vedette.storage.errors import UnreachableError

RUN = {
    "best.weights": os.urandom(300_000),
    "last.weights": os.urandom(1000),
    "model.cfg": b"[net]\nwidth=416\n",
    "names.txt": b"dog\ncat\n",
    "results.csv": b"epoch\n1\n",
    "bundle/bundle.json": b"{}",
    "bundle/model.onnx": b"\x08",
}
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


def entries(contents: dict[str, bytes]) -> list[Entry]:
    return [entry(name, content) for name, content in contents.items()]


def archive(members: list[Entry], layout: int = tarfile.GNU_FORMAT) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz", format=layout) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def unpack(content: bytes, run: Path, block: int = 1 << 20) -> Unpacked:
    blocks = (content[start : start + block] for start in range(0, len(content), block))
    return unpack_run(blocks, len(content), run, SilentProgress())


def refused(content: bytes, tmp_path: Path) -> str:
    """The message; nothing may have come to be, inside or outside."""
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path != place}
    with pytest.raises(ArtefactError) as caught:
        unpack(content, place / "run")
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path != place}
    assert after == before
    return str(caught.value)


def files_of(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("block", [7919, 1 << 20])
def test_an_archive_becomes_the_run_that_was_packed(tmp_path: Path, layout: int, block: int) -> None:
    unpacked = unpack(archive(entries(RUN), layout), tmp_path / "run", block)

    assert files_of(tmp_path / "run") == RUN
    assert unpacked == Unpacked(len(RUN), sum(map(len, RUN.values())), (), True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_folders_dots_and_long_names_are_understood(tmp_path: Path) -> None:
    long = "bundle/" + "n" * 180 + ".onnx"
    for layout in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        members = [
            entry("./", kind=tarfile.DIRTYPE),
            entry("./bundle/", kind=tarfile.DIRTYPE),
            *(entry(f"./{name}", content) for name, content in {**RUN, long: b"long", "ümläut.txt": b"u"}.items()),
        ]
        run = tmp_path / str(layout)

        unpack(archive(members, layout), run)

        assert files_of(run) == {**RUN, long: b"long", "ümläut.txt": b"u"}


def test_what_gnu_tar_writes_of_a_folder_is_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name, content in RUN.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    done = subprocess.run(["tar", "-czf", "-", "-C", source, "."], capture_output=True, check=True)

    unpack(done.stdout, tmp_path / "run")

    assert files_of(tmp_path / "run") == RUN


def test_gzip_in_several_members_and_zeros_at_the_end_are_read(tmp_path: Path) -> None:
    tar = gzip.decompress(archive(entries(RUN)))
    content = b"".join(gzip.compress(tar[start : start + 99_999]) for start in range(0, len(tar), 99_999)) + bytes(700)

    unpack(content, tmp_path / "run", 1000)

    assert files_of(tmp_path / "run") == RUN


def test_hidden_leftovers_are_left_out_and_told(tmp_path: Path) -> None:
    unpacked = unpack(archive(entries({**RUN, ".bundle.partial/x": b"1", "sub/.hidden": b"2"})), tmp_path / "run")

    assert unpacked.left_out == (".bundle.partial/x", "sub/.hidden")
    assert files_of(tmp_path / "run") == RUN


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "a/../../evil", "/tmp/evil", "//evil", "a//b", "a/./b", "..", "a\\b", "C:/evil", "a\nb", "a\x1bb",
        "a" * 256, "a/" * 5 + "b", "a/", "./../evil", "\u009bevil",
    ],
)  # fmt: skip
def test_a_name_that_leads_astray_is_refused(tmp_path: Path, name: str) -> None:
    told = refused(archive([*entries(RUN), entry(name, b"evil")], tarfile.PAX_FORMAT), tmp_path)

    assert "can be no name in a run" in told or "checksum" in told
    assert "\n" not in told
    assert "\x1b" not in told


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    content = archive([*entries(RUN), entry("na\udcffme", b"x")])

    assert "is no UTF-8" in refused(content, tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"S", b"g", b"K"]
)
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    told = refused(archive([*entries(RUN), entry("link", kind=kind, link="../../etc/passwd")]), tmp_path)

    assert "is no regular file" in told


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    link = entry("a\x1b[2Jb\n", kind=tarfile.SYMTYPE, link="x")

    told = refused(archive([*entries(RUN), link], tarfile.PAX_FORMAT), tmp_path)

    assert r"'a\x1b[2Jb\n' is no regular file" in told


def test_a_file_below_a_link_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    members = [entry("bundle", kind=tarfile.SYMTYPE, link=str(tmp_path / "outside")), entry("bundle/evil", b"evil")]

    refused(archive([*members, *entries(RUN)]), tmp_path)

    assert [*(tmp_path / "outside").iterdir()] == []


@pytest.mark.parametrize(
    "twice", [["model.cfg"], ["bundle"], ["model.cfg/below"], ["./model.cfg"], ["bundle/model.onnx"]]
)
def test_names_that_take_the_place_of_others_are_refused(tmp_path: Path, twice: list[str]) -> None:
    told = refused(archive([*entries(RUN), *(entry(name, b"other") for name in twice)]), tmp_path)

    assert "is in the archive twice, or is both file and folder" in told


@pytest.mark.parametrize("name", ["best.weights", "model.cfg", "names.txt"])
def test_an_archive_without_a_run_is_refused(tmp_path: Path, name: str) -> None:
    contents = {key: content for key, content in RUN.items() if key != name}

    assert f"{name} is not at its root" in refused(archive(entries(contents)), tmp_path)


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = archive(entries({**RUN, "best.weights": b"w" * 3000}))
    generator = random.Random(0)

    for cut in [0, 1, 9, 10, 11, len(content) - 1, len(content) - 8, *generator.sample(range(len(content)), 60)]:
        assert "truncated" in refused(content[:cut], tmp_path)


def test_an_archive_with_any_byte_changed_is_refused_or_read_the_same(tmp_path: Path) -> None:
    content = archive(entries({**RUN, "best.weights": b"w" * 3000}))
    whole = {**RUN, "best.weights": b"w" * 3000}
    generator, refusals = random.Random(0), 0

    for number in range(150):
        at = generator.randrange(len(content))
        changed = content[:at] + bytes([content[at] ^ (1 << generator.randrange(8))]) + content[at + 1 :]
        run = tmp_path / str(number)
        try:
            unpack(changed, run)
        except ArtefactError:
            refusals += 1
            assert not run.exists()
        else:
            assert files_of(run) == whole  # a byte of gzip's header: time, system
    assert refusals > 130


def test_any_bytes_at_all_end_in_one_kind_of_error(tmp_path: Path) -> None:
    """Below gzip's checksum, so that headers are reached."""
    small = {**RUN, "best.weights": b"w" * 600}
    tar = bytearray(gzip.decompress(archive(entries(small), tarfile.PAX_FORMAT)).rstrip(b"\0") + bytes(1024 + 511))
    tar = tar[: len(tar) // 512 * 512]
    generator = random.Random(1)

    for number in range(200):
        changed = bytearray(tar)
        for _ in range(generator.randrange(1, 4)):
            block = generator.randrange(len(tar) // 512) * 512
            at = block + generator.randrange(512)
            changed[at] = generator.randrange(256)
            if generator.random() < 0.8:  # a right checksum, so that the change counts
                changed[block + 148 : block + 156] = b" " * 8
                changed[block + 148 : block + 156] = b"%06o\0 " % sum(changed[block : block + 512])
        run = tmp_path / "runs" / str(number)
        try:
            unpack(gzip.compress(bytes(changed), 1), run)
        except ArtefactError:
            assert not run.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert all(re.fullmatch(r"[0-9]+", path.name) for path in (tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"", mtime=0), gzip.compress(b"x" * 600, mtime=0)]
)  # without a time: processes that share the tests must find the same ones
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "archive" in refused(content, tmp_path)


def test_something_behind_the_end_is_refused(tmp_path: Path) -> None:
    tar = gzip.decompress(archive(entries(RUN)))

    assert "something follows" in refused(gzip.compress(tar + b"x" * 512), tmp_path)
    assert "damaged, or no gzip" in refused(gzip.compress(tar) + b"garbage", tmp_path)


def zeros(count: int) -> Iterator[bytes]:
    """A gzipped tar with one file of zeros, block by block."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    info = tarfile.TarInfo("best.weights")
    info.size = count
    yield deflate.compress(info.tobuf(tarfile.GNU_FORMAT))
    for _ in range(count // (1 << 20)):
        yield deflate.compress(bytes(1 << 20))
    yield deflate.flush()


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ArtefactError, match="compressed more than 100 times"):
            unpack_run(zeros(1 << 30), 1, tmp_path / "run", SilentProgress())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20
    assert [*tmp_path.iterdir()] == []


def test_sizes_and_numbers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive(entries(RUN))
    for limits, told in (
        (tar_members.Limits(bytes=100_000), "'best.weights' claims 300000 bytes; at most 100000"),
        (tar_members.Limits(bytes=300_600), "holds more than 300600 bytes"),
        (tar_members.Limits(members=6), "more than 6 members"),
    ):
        with pytest.raises(ArtefactError, match=told):
            (tmp_path / "there").mkdir(exist_ok=True)
            artefact._unpack([content], tmp_path / "there", limits)
        for path in sorted((tmp_path / "there").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("kind", [b"x", b"L"])
def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 4 << 30
    content = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))

    tracemalloc.start()
    try:
        told = refused(content, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert "a header claims 4294967296 bytes" in told
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "records",
    [
        b"garbage",
        b"9 path=\n",
        b"20 path=a\n",
        b"0 \n",
        b"13 nosign\n....",
        b"26 GNU.sparse.major=1\nxxx",
        b"9 size=x\n",
    ],
)
def test_extended_headers_that_make_no_sense_are_refused(tmp_path: Path, records: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", len(records)
    padded = records + bytes(-len(records) % 512)
    file = tarfile.TarInfo("model.cfg").tobuf(tarfile.USTAR_FORMAT)

    refused(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + padded + file + bytes(1024)), tmp_path)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("mine")

    class Unbegun(SilentProgress):
        def start(self, stage: str, total: int, unit: str) -> None:
            pytest.fail(f"{stage} was begun")

    with pytest.raises(DestinationError, match="not empty"):
        unpack_run([archive(entries(RUN))], 1, tmp_path / "run", Unbegun())

    assert files_of(tmp_path / "run") == {"mine": b"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_download_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield archive(entries(RUN))[:100_000]
        raise UnreachableError("cut")

    with pytest.raises(UnreachableError, match="cut"):
        unpack_run(broken(), 1, tmp_path / "run", SilentProgress())

    assert [*tmp_path.iterdir()] == []


def test_progress_counts_the_bytes_that_came(tmp_path: Path) -> None:
    class Counting(SilentProgress):
        total = done = 0

        def start(self, stage: str, total: int, unit: str) -> None:
            assert (stage, unit) == ("fetching", "bytes")
            self.total = total

        def advance(self, count: int = 1, **figures: float) -> None:
            self.done += count

    content, progress = archive(entries(RUN)), Counting()
    unpack_run([content[:1000], content[1000:]], len(content), tmp_path / "run", progress)

    assert (progress.total, progress.done) == (len(content), len(content))
