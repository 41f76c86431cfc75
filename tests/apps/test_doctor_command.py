"""`vedette doctor`: its report, its exit code, and the cameras that it asks."""

import json
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from box_images import IMAGES, write_image
from vedette.apps.camera_reach import listening_ports
from vedette.apps.cli import run_command
from vedette.apps.doctor import installing, with_own_python, without_pyav
from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.examining import examine
from vedette.edge.jetson.findings import Verdict


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that answers every connection with the same bytes; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    line.recv(1000)
                    line.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_the_report_of_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_image(tmp_path, IMAGES["nano-4.6"])
    assert run_command(["doctor", "--root", str(root)]) == 1
    told = capsys.readouterr().out
    assert "Jetson Nano (4 GB, developer kit)" in told
    assert "$ sudo nvpmodel -m 0" in told
    assert "gaps to mend" in told

    assert run_command(["doctor", "--root", str(root), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["box"]["jetpack"] == "4.6"
    assert document["gaps"] == sum(one["verdict"] == "gap" for one in document["findings"])
    assert "engines" not in {one["topic"] for one in document["findings"]}  # this machine's are not the image's


def test_this_machine_and_its_engines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--json"]) in {0, 1}
    document = json.loads(capsys.readouterr().out)
    engines = next(one for one in document["findings"] if one["topic"] == "engines")
    assert "onnxruntime" in engines["text"]


def test_cameras_are_asked(tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"")
    with (
        answering(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n") as good,
        answering(b"HTTP/1.1 400 no\r\n\r\n") as web,
    ):
        pipeline = tmp_path / "pipeline.yaml"
        pipeline.write_text(
            f"""
bundle: bundle
cameras:
  - {{name: good, url: "rtsp://127.0.0.1:{good}/stream"}}
  - {{name: web, url: "rtsp://127.0.0.1:{web}/stream"}}
  - {{name: dead, url: "rtsp://127.0.0.1:{free_port}/stream"}}
  - {{name: page, url: "http://127.0.0.1:{web}/video"}}
  - {{name: file, url: yard.mp4}}
  - {{name: nofile, url: nothing.mp4}}
  - {{name: usb, url: "usb:97"}}
"""
        )
        assert run_command(["doctor", str(pipeline), "--json"]) == 1
    found = {one["topic"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    verdicts = {
        name: found[f"camera {name}"]["verdict"] for name in ("good", "web", "dead", "page", "file", "nofile", "usb")
    }
    assert verdicts == {
        "good": "good", "web": "gap", "dead": "gap", "page": "good", "file": "good", "nofile": "gap", "usb": "gap"
    }  # fmt: skip
    assert "does not speak RTSP" in found["camera web"]["text"]
    assert found["camera web"]["remedy"] == [listening_ports("127.0.0.1")]
    assert all(one["remedy"] for one in found.values() if one["verdict"] == "gap" and one["topic"].startswith("camera"))
    assert "cannot be reached" in found["camera dead"]["text"]
    assert found["camera dead"]["remedy"] == ["ping -c 3 127.0.0.1"]
    assert found["camera nofile"]["remedy"] == [f"ls -l {tmp_path}"]


def test_the_command_for_a_wrong_port_finds_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b"") as port:
        monkeypatch.setattr("vedette.apps.camera_reach.CAMERA_PORTS", ("1", str(port)))
        command = listening_ports("127.0.0.1")
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [str(port)]


def test_the_commands_are_for_the_python_that_runs() -> None:
    assert installing("vedette").startswith(
        (f"{sys.executable} -m pip install", f"uv pip install --python {sys.executable}")
    )
    assert without_pyav("2.36").verdict is without_pyav("").verdict is Verdict.GAP
    assert without_pyav("2.36").remedy == (installing("'vedette[edge]'"),)


def test_a_nano_set_up_as_it_can_be_has_no_gap_for_its_old_glibc_and_python(tmp_path: Path) -> None:
    assert without_pyav("2.27").verdict is Verdict.NOTE and without_pyav("2.27").remedy == ()
    found = examine(BoxFiles(write_image(tmp_path, IMAGES["nano-4.6.6"]))).findings
    before, after = (next(one for one in some if one.topic == "Python") for some in (found, with_own_python(found)))
    assert before.verdict is Verdict.GAP and "3.6" in before.text
    assert after.verdict is Verdict.GOOD and platform.python_version() in after.text
    assert [one for one in with_own_python(found) if one != after] == [one for one in found if one != before]


def test_a_root_that_is_none_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--root", str(tmp_path / "nothing")]) == 1
    assert "is no folder" in capsys.readouterr().err
