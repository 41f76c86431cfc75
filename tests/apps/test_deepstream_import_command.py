"""`vedette deepstream import` on the command line: a pipeline file that `vedette run` reads, notes beside it."""

import json
from pathlib import Path

import pytest

from vedette.apps.cli import run_command
from vedette.apps.pipeline_file import parse_pipeline, read_pipeline

APP = """\
[application]
[source0]
enable=1
type=4
uri=rtsp://admin:hunter2@10.0.0.1/main
[primary-gie]
enable=1
interval=2
[tracker]
enable=1
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "app.txt"
    path.write_text(APP)
    return path


def test_the_file_written_is_a_pipeline(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = config.parent / "site.yaml"

    assert run_command(["deepstream", "import", str(config), "--out", str(out), "--bundle", "mine"]) == 0
    pipeline = read_pipeline(out)
    told = capsys.readouterr()

    assert pipeline.detect.every == 3
    assert (pipeline.cameras[0].username, pipeline.cameras[0].password_env) == ("admin", "CAMERA_0_PASSWORD")
    assert "1 camera; 2 notes" in told.out
    assert f"{config}:9: [tracker] left out" in told.err
    assert "hunter2" not in told.err + told.out + out.read_text()


def test_without_out_the_pipeline_goes_to_standard_output(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["deepstream", "import", str(config)]) == 0

    assert parse_pipeline(capsys.readouterr().out).cameras[0].url == "rtsp://10.0.0.1/main"


def test_json_holds_pipeline_and_notes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["deepstream", "import", str(config), "--json", "--bundle", "b"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["pipeline"]["bundle"] == "b"
    assert len(document["notes"]) == 2


def test_a_file_that_is_there_is_kept(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["deepstream", "import", str(config), "--out", str(config)]) == 2
    assert config.read_text() == APP
    assert "is there already" in capsys.readouterr().err


def test_what_is_no_application_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["deepstream", "import", str(tmp_path / "missing.txt")]) == 1
    assert "cannot be read" in capsys.readouterr().err
