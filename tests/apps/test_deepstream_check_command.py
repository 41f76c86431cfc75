"""`vedette deepstream check` on the command line: lines for people, JSON for programs, exit codes for scripts."""

import json
from pathlib import Path

import pytest

from vedette.apps.cli import run_command

APP = "[application]\nenable-perf-measurement=1\n[source0]\nenable=1\ntype=2\nuri=file:///a.mp4\n"


def test_a_good_file_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.txt"
    path.write_text(APP)

    assert run_command(["deepstream", "check", str(path)]) == 0
    assert capsys.readouterr().out == "1 file (deepstream-app): 0 errors, 0 warnings\n"


def test_an_error_is_told_with_file_and_line_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.txt"
    path.write_text(APP.replace("type=2", "type=two"))

    assert run_command(["deepstream", "check", str(path)]) == 1
    assert capsys.readouterr().out.startswith(f"{path}:5: error: [source0] type: 'two' is no integer\n")


def test_a_warning_fails_only_when_it_is_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.txt"
    path.write_text(APP + "colour=red\n")

    assert run_command(["deepstream", "check", str(path)]) == 0
    assert run_command(["deepstream", "check", str(path), "--strict"]) == 1
    assert "0 errors, 1 warnings" in capsys.readouterr().out


def test_yaml_files_beside_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.txt").write_text(APP)
    (tmp_path / "config_tracker.yml").write_text("%YAML:1.0\n")

    assert run_command(["deepstream", "check", str(tmp_path)]) == 0
    assert "1 YAML file not checked" in capsys.readouterr().err


def test_yaml_configurations_are_checked_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = tmp_path / "infer.yml", tmp_path / "other.yml"
    path.write_text("property:\n  network-mode: 2\n  batch-size: four\n")
    other.write_text("services:\n  broker: 0.1\n")

    for asked in (path, tmp_path):
        assert run_command(["deepstream", "check", str(asked)]) == 1
        assert capsys.readouterr().out.startswith(f"{path}:3: error: [property] batch-size: 'four' is no integer\n")
    assert run_command(["deepstream", "check", str(other)]) == 1
    assert "is none of the YAML configurations that are checked" in capsys.readouterr().err


def test_a_trackers_file_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config_tracker.yml"
    path.write_text("%YAML:1.0\nBaseConfig:\n  minDetectorConfidence: much\nTargetManagment:\n  probationAge: 1\n")

    for asked in (path, tmp_path):
        assert run_command(["deepstream", "check", str(asked)]) == 1
        told = capsys.readouterr()
        assert told.out.startswith(f"{path}:3: error: [BaseConfig] minDetectorConfidence: 'much' is no number\n")
        assert f"{path}:4: warning: 'TargetManagment' is no group; did you mean 'TargetManagement'?" in told.out
        assert told.err == ""


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.txt"
    path.write_text(APP.replace("enable=1\n", "enable=yes\n"))

    assert (
        run_command(["deepstream", "check", str(path), "--json", "--deepstream", "6.0.1", "--target", "jetson-nano"])
        == 1
    )
    document = json.loads(capsys.readouterr().out)
    assert document["errors"] == 1
    assert document["files"] == [{"file": str(path), "kind": "deepstream-app"}]
    assert document["findings"][0]["line"] == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.txt"], "cannot be read"),
        (["missing.yml"], "cannot be read"),
        ([".", "--deepstream", "4.0"], "DeepStream 4.0 is not known"),
        ([".", "--deepstream", "7.1", "--target", "jetson-nano"], "does not run on"),
    ],
)
def test_what_cannot_be_checked_is_one_message(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["deepstream", "check", *arguments]) == 1
    assert words in capsys.readouterr().err
