"""`vedette install` and `vedette rollback`: from folders, archives and S3; what is wrong changes nothing."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from golden_squares import digest_of, flip_bit, write_golden_bundle
from simulators.s3_servers import BUCKET, S3Server
from small_bundle import make_bundle
from vedette.apps.cli import run_command
from vedette.apps.object_storage import open_place
from vedette.apps.remote_bundles import upload_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_golden_bundle(folder / f"b{number}", version=str(number)).path for number in range(3)]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "box"


def install(source: object, box: Path, *flags: str) -> int:
    return run_command(["install", str(source), "--to", str(box), "--engine", "onnxruntime", *flags])


def archive(bundle: Path, place: Path, inside: str = "bundle/") -> Path:
    """A model.tar.gz as a job leaves it: the run's files, and the bundle in a folder."""
    with tarfile.open(place, "w:gz") as file:
        for name, content in {"best.weights": b"w" * 1000, "history.jsonl": b"{}\n"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        for path in sorted(bundle.iterdir()):
            file.add(path, f"{inside}{path.name}")
    return place


def test_install_then_another_then_back(
    bundles: list[Path], box: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert install(bundles[0], box) == 0
    told = capsys.readouterr()
    assert f"bundle: {box / 'current'}" in told.out
    assert "reproduces 3 golden detections" in told.err
    assert "rollback" not in told.out  # nothing to go back to yet
    assert run_command(["rollback", "--to", str(box)]) == 1
    assert "no previous release" in capsys.readouterr().err

    assert install(archive(bundles[1], tmp_path / "model.tar.gz"), box, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["changed"], report["golden_detections"]) == (True, 3)
    assert report["current"]["digest"] == digest_of(bundles[1]) == digest_of(box / "current")
    assert report["previous"]["version"] == "0"
    assert report["engine"].startswith("onnxruntime")

    assert run_command(["rollback", "--to", str(box), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["current"]["digest"] == digest_of(bundles[0])
    assert digest_of(box / "current") == digest_of(bundles[0])


def test_the_folder_may_be_named_by_way_of_another(
    bundles: list[Path], box: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (box.parent / "beside").mkdir()
    monkeypatch.chdir(box.parent / "beside")
    for bundle in (bundles[0], bundles[1], bundles[1]):
        assert install(bundle, Path("..", box.name)) == 0
    assert digest_of(box / "current") == digest_of(bundles[1])
    assert "was installed already" in capsys.readouterr().out
    assert run_command(["rollback", "--to", f"../{box.name}"]) == 0
    assert digest_of(box / "current") == digest_of(bundles[0])
    assert len(list((box / "releases").iterdir())) == 2


def test_install_from_s3_a_bundle_and_what_a_job_left(
    bundles: list[Path], box: Path, rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rclone_s3.environment().items():
        monkeypatch.setenv(name, value)
    place = f"s3://{BUCKET}/install/{tmp_path.name}"
    upload_bundle(open_place(f"{place}/bundle"), bundles[0])
    content = archive(bundles[1], tmp_path / "model.tar.gz").read_bytes()
    open_place(place).write("job/output/model.tar.gz", content)

    assert install(f"{place}/bundle", box) == 0
    assert digest_of(box / "current") == digest_of(bundles[0])
    assert install(f"{place}/job/output/model.tar.gz", box) == 0
    assert digest_of(box / "current") == digest_of(bundles[1])
    assert install(f"{place}/nothing", box) == 1
    assert install(f"{place}/job/nothing.tar.gz", box) == 1
    assert digest_of(box / "current") == digest_of(bundles[1])


def test_a_running_pipeline_reads_one_release_through_the_link(bundles: list[Path], box: Path) -> None:
    from vedette.apps.library import load
    from vedette.apps.object_storage import local_bundle

    assert install(bundles[0], box) == 0
    taken = local_bundle(box / "current")
    assert install(bundles[1], box) == 0
    assert digest_of(taken) == digest_of(bundles[0])
    assert load(box / "current").manifest.version == "1"


def test_an_engine_that_does_not_reproduce_the_golden_pictures_is_not_installed(
    bundles: list[Path], box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(bundles[0], box) == 0
    before = sorted(box.rglob("*"))
    wrong = write_golden_bundle(tmp_path / "wrong", broken=True)
    assert install(wrong.path, box) == 1
    assert "does not reproduce the golden pictures" in capsys.readouterr().err
    assert install(make_bundle(tmp_path / "plain").path, box) == 1
    assert "no golden pictures" in capsys.readouterr().err
    assert sorted(box.rglob("*")) == before


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "does not exist"),
        ("gs://bucket/x", "no address that Vedette reads"),
        ("nowhere.tar.gz", "cannot be read"),
        ("../folder.tar.gz", "folder.tar.gz: cannot be read: Is a directory"),
        (".", "bundle.json is missing"),
    ],
)
def test_sources_that_are_none_are_one_sentence(
    source: str, words: str, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("here", "folder.tar.gz"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert install(source, box) in {1, 2}
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
    assert not (box / "current").exists()


def test_going_back_where_nothing_was_installed_makes_no_folder(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rollback", "--to", str(box)]) == 1
    assert "nothing was ever installed here" in capsys.readouterr().err
    assert not box.exists()


def test_whatever_is_damaged_is_refused_and_nothing_changes(bundles: list[Path], box: Path, tmp_path: Path) -> None:
    assert install(bundles[0], box) == 0
    before = sorted(box.rglob("*"))
    rng = np.random.default_rng(5)
    for path in sorted(bundles[1].iterdir()):
        size = path.stat().st_size
        for cut in (0, size // 2, size - 1, size + 1, None):
            damaged = tmp_path / "damaged"
            shutil.copytree(bundles[1], damaged)
            one = damaged / path.name
            if cut is None:
                flip_bit(one, rng)
            else:
                one.write_bytes((one.read_bytes() + b"\0")[:cut])
            assert install(damaged, box) == 1, (path.name, cut)
            shutil.rmtree(damaged)
    assert sorted(box.rglob("*")) == before
    assert digest_of(box / "current") == digest_of(bundles[0])


def test_a_damaged_archive_is_refused_or_gives_what_was_packed(
    bundles: list[Path], box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(bundles[0], box) == 0
    rng = np.random.default_rng(6)
    good = archive(bundles[1], tmp_path / "good.tar.gz").read_bytes()
    bad = tmp_path / "bad.tar.gz"
    for cut in (0, 1, 10, len(good) // 2, len(good) - 1):
        bad.write_bytes(good[:cut])
        assert install(bad, box) == 1, cut
    refused = 0
    for _ in range(30):
        bad.write_bytes(good)
        flip_bit(bad, rng)
        refused += install(bad, box)
        assert digest_of(box / "current") in {digest_of(bundles[0]), digest_of(bundles[1])}
    assert refused > 20  # the rest hit a field of gzip that says nothing, such as the time
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("inside", ["bundle/../../", "bundle/sub/", "bundle/."])
def test_an_archive_writes_nothing_but_flat_names(
    inside: str, bundles: list[Path], box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(archive(bundles[0], tmp_path / "evil.tar.gz", inside), box) == 1
    assert "can be no file of a bundle" in capsys.readouterr().err
    assert not (tmp_path / "bundle.json").exists()


def test_an_archive_without_a_bundle_says_what_to_do(
    bundles: list[Path], box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(archive(bundles[0], tmp_path / "run.tar.gz", "other/"), box) == 1
    assert "vedette pack --run" in capsys.readouterr().err


def test_installing_and_the_doctor_need_no_pyav(bundles: list[Path], box: Path) -> None:
    """JetPack 4: no PyAV of today has a wheel for its glibc."""
    script = (
        "import sys\n"
        "for name in ('av', 'torch', 'boto3', 'onnx', 'openvino'): sys.modules[name] = None\n"
        "from vedette.apps.cli import run_command\n"
        f"assert run_command(['install', {str(bundles[0])!r}, '--to', {str(box)!r}, '--engine', 'onnxruntime']) == 0\n"
        f"assert run_command(['rollback', '--to', {str(box)!r}]) == 1\n"
        "assert run_command(['doctor']) in {0, 1}\n"
        "assert run_command(['jetson', 'provision', '--board', 'jetson-nano']) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "decoding" not in done.stderr and "no previous release" in done.stderr
