"""`vedette run` with live cameras that go away, as a person and a service see it; and a password planted in them."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import psutil
import pytest

from simulators.http_camera import HttpCamera
from simulators.lag_meter import LagMeter
from simulators.moods import Mood
from simulators.rtsp_camera import RtspCamera
from small_bundle import make_bundle
from vedette.apps.cli import run_command
from vedette.apps.run_report import CameraSummary, RunSummary

pytestmark = pytest.mark.needs_server
PATIENCE_S = 90.0
CANARY = "c@nary:w/rd %41"
FORMS = (
    CANARY, quote(CANARY), quote(CANARY, safe=""), quote(CANARY, safe="").lower(),
    base64.b64encode(f"watch:{CANARY}".encode()).decode()[8:-4], "c4nary",
)  # fmt: skip
PIPELINE = """
bundle: bundle
cameras:
- {{name: gate, url: '{rtsp}', username: watch, password_file: secret}}
- {{name: yard, url: '{http}', username: watch, password_env: YARD_PASSWORD}}
- {{name: wrong, url: '{locked}', username: watch, password_file: secret}}
- {{name: cheap, url: '{cheap}?user=admin&pwd=c4nary'}}
detect: {{every: 5}}
lines: [{{name: middle, start: ['50%', 0], end: ['50%', '100%']}}]
events: [{{kind: file, path: events.jsonl}}]
record: films
clips: {{folder: clips}}
publish: {{url: 'rtsp://127.0.0.1:9/{{camera}}', username: watch, password_file: secret}}
show: {{port: {port}}}
"""


class Run:
    """`vedette run` as a process, with its page."""

    def __init__(self, folder: Path, port: int) -> None:
        self.page = f"http://127.0.0.1:{port}/"
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "dev", "-m", "vedette", "run", str(folder / "site.yaml"), "--json"],
                stdout=out, stderr=err, env=os.environ | {"YARD_PASSWORD": CANARY, "XDG_STATE_HOME": str(folder)},
            )  # fmt: skip

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.page + path, timeout=10) as answer:
            return bytes(answer.read())

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The cameras' status, by name, once it is so."""
        until, cameras = time.monotonic() + PATIENCE_S, {}
        while time.monotonic() < until and self.process.poll() is None:
            try:
                cameras = {camera["name"]: camera for camera in json.loads(self.get("status.json"))["cameras"]}
            except OSError:
                cameras = {}
            if cameras and condition(cameras):
                return cameras
            time.sleep(0.1)
        raise AssertionError(f"not in time: {cameras}\n{self.err.read_text()}")


def test_a_planted_password_shows_nowhere_and_a_stop_with_cameras_away_is_clean(tmp_path: Path, free_port: int):
    make_bundle(tmp_path / "bundle")
    (tmp_path / "secret").write_text(CANARY + "\n")
    key = ("watch", CANARY)
    with (
        RtspCamera(credentials=key) as rtsp,
        HttpCamera(credentials=key) as http,
        RtspCamera(credentials=("watch", "other")) as locked,
        HttpCamera() as cheap,
    ):
        cheap.bodies["/video?user=admin&pwd=c4nary"] = ("text/plain", lambda: iter([b"no video\n"]))
        urls = {"rtsp": rtsp.url, "http": http.url("live.ts"), "locked": locked.url, "cheap": cheap.url("video")}
        (tmp_path / "site.yaml").write_text(PIPELINE.format(port=free_port, **urls))
        run = Run(tmp_path, free_port)
        try:
            run.wait(lambda cameras: min(cameras[name]["frames"] for name in ("gate", "yard")) > 10)
            published = lambda: json.loads(run.get("status.json"))["publishing"]  # noqa: E731
            run.wait(lambda _: [one["state"] for one in published()[:2]] == ["stopped"] * 2)
            assert published()[0]["problem"] == (
                "camera 'gate': cannot be published at rtsp://127.0.0.1:9/gate (Connection refused)"
            )
            seen = [run.get(path) for path in ("", "status.json", "metrics", "snapshot/gate.jpg")]
            rtsp.kill()
            http.mood = Mood.SILENT
            away = run.wait(lambda cameras: all(camera["state"] == "offline" for camera in cameras.values()))
            seen += [run.get(path) for path in ("status.json", "metrics")]
            for process in psutil.Process(run.process.pid).children(recursive=True):
                seen += [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
            seen.append(Path(f"/proc/{run.process.pid}/cmdline").read_bytes())
            with LagMeter() as lag:
                began = time.monotonic()
                run.process.send_signal(signal.SIGTERM)
                code = run.process.wait(60)
                assert time.monotonic() - began < 3.0 + lag.slack_s
        finally:
            run.process.kill()
            run.process.wait()
    err, document = run.err.read_text(), json.loads(run.out.read_text())
    assert code == 0 and "Traceback" not in err
    seen += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("secret",)
             and path.name != "site.yaml"]  # fmt: skip
    for content in seen:
        assert not any(form.encode() in content for form in FORMS)
    assert "refuses the user name and password" in away["wrong"]["error"]
    assert "pwd=***" in away["cheap"]["error"]
    assert all(camera["offline_since_unix_s"] == pytest.approx(time.time(), abs=120) for camera in away.values())
    assert err.count("camera 'wrong'") == 1, "said once"
    states = {camera["name"]: camera["offline_since_unix_s"] is not None for camera in document["cameras"]}
    assert states == dict.fromkeys(("gate", "yard", "wrong", "cheap"), True)
    assert {error["camera"] for error in document["errors"] if "camera" in error} == set(states)
    assert sum("cannot be published" in error["message"] for error in document["errors"]) == 2
    for name in ("gate", "yard"):
        with av.open(str(tmp_path / "films" / f"{name}.mp4")) as film:
            assert sum(1 for _ in film.decode(video=0)) >= 2


WRONG_PASSWORD = """
bundle: bundle
cameras:
- {{name: gate, url: '{url}', username: watch, password_file: secret}}
show: {{port: {port}}}
"""


@pytest.mark.parametrize("by", ["signal", "page"])
def test_a_password_put_right_in_its_file_is_tried_as_soon_as_somebody_says_so(by: str, tmp_path: Path, free_port: int):
    make_bundle(tmp_path / "bundle")
    (tmp_path / "secret").write_text("wrong\n")
    with RtspCamera(credentials=("watch", "right")) as server:
        (tmp_path / "site.yaml").write_text(WRONG_PASSWORD.format(url=server.url, port=free_port))
        run = Run(tmp_path, free_port)

        def retry(camera: str) -> int:
            head = {"X-Vedette-CSRF": json.loads(run.get("session"))["csrf"], "Content-Type": "application/json"}
            question = urllib.request.Request(f"{run.page}retry/{camera}", b"", head, method="POST")
            try:
                with urllib.request.urlopen(question, timeout=10) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return int(error.code)

        try:
            away = run.wait(lambda cameras: cameras["gate"]["state"] == "offline")
            assert "refuses the user name and password" in away["gate"]["error"]
            if by == "page":
                (tmp_path / "secret").unlink()
                assert [retry("nobody"), retry("gate")] == [404, 422]
            (tmp_path / "secret").write_text("right\n")

            def is_back(cameras: dict[str, Any]) -> bool:
                if cameras["gate"]["frames"] == 0:  # it may have been about to wait
                    run.process.send_signal(signal.SIGUSR1) if by == "signal" else retry("gate")
                return bool(cameras["gate"]["frames"])

            run.wait(is_back)
        finally:
            run.process.terminate()
            run.process.wait(60)
    assert "Traceback" not in run.err.read_text()


@pytest.mark.slow
def test_a_live_camera_can_be_given_up(tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]):
    bundle = make_bundle(tmp_path / "bundle").path
    camera = f"gate=rtsp://127.0.0.1:{free_port}/live"
    code = run_command(["run", "--bundle", str(bundle), "--camera", camera, "--give-up-after", "0.5s", "--json"])
    out, err = capsys.readouterr()
    assert code == 1 and "did not come back within 0.5 s and is given up" in json.loads(out)["errors"][0]["message"]
    assert "it is tried again until it answers" in err or "Traceback" not in err


@pytest.mark.parametrize(
    ("frames", "since", "error", "state", "all_failed"),
    [
        (9, None, None, "ended", False),
        (9, 1.7e9, "it went silent", "offline", False),
        (0, 1.7e9, "it refuses", "offline", True),
        (9, None, "it broke off", "failed", True),
    ],
)
def test_a_run_has_failed_when_no_camera_gave_anything_not_when_all_were_away_at_its_end(
    frames: int, since: float | None, error: str | None, state: str, all_failed: bool
):
    figures = dict.fromkeys(("slots", "detections", "events", "drops", "restarts", "reconnects", "gated"), 0)
    camera = CameraSummary("gate", frames, **figures, gated_slots=0, offline_since_unix_s=since, fps=0.0,
                           detected_per_s=0.0, error=error)  # fmt: skip
    summary = RunSummary([camera], {}, "engine", 1.0, 0, 0)
    assert (camera.state, summary.all_failed) == (state, all_failed)
    assert [one["message"] for one in summary.errors] == ([error] if error else [])


@pytest.mark.parametrize(
    ("flag", "said"), [(["--give-up-after", "soon"], "--give-up-after: 'soon' is no duration"),
                       (["--camera", "http://h/x?pwd=c4nary"], "a password in a URL can be seen")]
)  # fmt: skip
def test_wrong_flags_for_cameras_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: list[str], said: str
):
    assert run_command(["run", "--bundle", str(tmp_path), "--camera", "a.mp4", *flag]) == 2
    err = capsys.readouterr().err
    assert said in err and "c4nary" not in err
