"""`vedette data push|pull` as a person meets them: what is printed, the exit codes, one sentence for each mistake."""

import json
from pathlib import Path

import pytest
from cyclopts import App

from label_sets import write_voc
from simulators.s3_servers import BUCKET, S3Server
from vedette.apps.data_transfer import pull, push
from vedette.contracts.errors import VedetteError


@pytest.fixture(autouse=True)
def environment(rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**rclone_s3.environment(), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/commands/{tmp_path.name}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "data", {"one": [("dog", (1, 1, 20, 20))], "two": []})


def run(command: str, *argv: str) -> int | None:
    app = App(name="data")
    app.command(push)
    app.command(pull)
    result: int | None = app([command, *argv], exit_on_error=False, result_action="return_value")
    return result


def test_a_version_goes_and_comes(data: Path, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("push", str(data), place, "--tag", "first")
    told = capsys.readouterr()
    digest = next(line.split()[1].rstrip(",") for line in told.out.splitlines() if line.startswith("version "))
    assert len(digest) == 64
    assert f"{place}: 4 files, 0.0 MB; 4 sent (0.0 MB)" in told.out
    assert f"vedette data pull {place}#first FOLDER" in told.out
    assert "pushing: " in told.err

    assert run("pull", f"{place}#first", str(tmp_path / "copy")) == 0
    assert f"version {digest}" in capsys.readouterr().out
    assert run("pull", f"{place}#{digest}", str(tmp_path / "copy"), "--check") == 0
    assert "files are right" in capsys.readouterr().out


def test_json_says_what_was_done(data: Path, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("push", str(data), place, "--json")
    first = json.loads(capsys.readouterr().out)
    run("push", str(data), place, "--json")
    second = json.loads(capsys.readouterr().out)
    assert first["sent_files"] > 0
    assert (second["version"], second["sent_files"], second["sent_bytes"]) == (first["version"], 0, 0)

    run("pull", place, str(tmp_path / "copy"), "--json")
    pulled = json.loads(capsys.readouterr().out)
    assert pulled["version"] == first["version"]
    assert pulled["received_files"] == first["sent_files"]
    assert pulled["extra"] == []


def test_check_tells_what_differs(data: Path, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("push", str(data), place)
    files = sorted(path for path in data.rglob("*") if path.is_file())
    files[0].unlink()
    files[1].write_bytes(b"changed")
    (data / "new.txt").write_text("new")
    capsys.readouterr()

    assert run("pull", place, str(data), "--check") == 1
    told = capsys.readouterr().out
    assert f"missing: 1: {files[0].relative_to(data).as_posix()}" in told
    assert f"other content: 1: {files[1].relative_to(data).as_posix()}" in told
    assert "not part of the version, left alone: 1: new.txt" in told
    assert not files[0].exists()
    assert files[1].read_bytes() == b"changed"

    with pytest.raises(VedetteError, match="other content than the version"):
        run("pull", place, str(data))
    assert run("pull", place, str(data), "--overwrite") == 0
    assert run("pull", place, str(data), "--check") == 0
    assert (data / "new.txt").read_text() == "new"


def test_a_folder_is_a_place_too(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("push", str(data), str(tmp_path / "store"))
    assert run("pull", f"{tmp_path / 'store'}", str(tmp_path / "copy")) == 0
    assert run("pull", f"{tmp_path / 'store'}#latest", str(tmp_path / "copy"), "--check") == 0
    assert "4 of 4 files are right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["push", "DATA", "PLACE#v1"], "--tag v1"),
        (["push", "DATA", "PLACE", "--tag", "a/b"], "cannot name a version"),
        (["push", "s3://bucket/x", "PLACE"], "must be on this computer"),
        (["push", "DATA", "s3://nobody-has-it/x"], "there is no bucket 'nobody-has-it'"),
        (["push", "DATA", "gs://bucket/x"], "gs:// is no address that Vedette reads"),
        (["pull", "PLACE", "s3://bucket/x"], "must be on this computer"),
        (["pull", "PLACE", "FOLDER"], "holds no data that `vedette data push` put there"),
        (["pull", "PLACE", "FOLDER", "--check", "--overwrite"], "leave out --overwrite"),
    ],
)
def test_a_mistake_is_one_sentence(argv: list[str], message: str, data: Path, place: str, tmp_path: Path) -> None:
    names = {"DATA": str(data), "FOLDER": str(tmp_path / "copy")}
    given = [names.get(word, word.replace("PLACE", place)) for word in argv]

    with pytest.raises(VedetteError) as caught:
        run(*given)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "copy").exists()


def test_wrong_keys_no_keys_and_no_endpoint(data: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-canary")
    with pytest.raises(VedetteError, match="the secret key is wrong") as caught:
        run("push", str(data), place)
    assert "canary" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    with pytest.raises(VedetteError, match="endpoint is no address"):
        run("push", str(data), place)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(VedetteError, match="no AWS credentials found"):
        run("push", str(data), place)


def test_nothing_is_read_again_when_nothing_changed(
    data: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vedette.learn.data.versions_digests.SETTLED_S", -1.0)
    run("push", str(data), place)
    monkeypatch.setattr("vedette.learn.data.versions_push.file_blocks", None)  # nothing can be read

    run("push", str(data), place)

    assert "4 files, 0.0 MB; nothing to send" in capsys.readouterr().out
    next(data.rglob("*.jpg")).touch()
    with pytest.raises(TypeError):
        run("push", str(data), place)
