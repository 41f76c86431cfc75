"""`vedette run` with the cameras' own video: clips of events, publishing, the flags and the pipeline file for them."""

import json
import re
from pathlib import Path
from typing import Any

import av
import pytest

from simulators.rtsp_server import RtspServer
from small_bundle import make_bundle, write_walk
from vedette.apps.cli import run_command
from vedette.apps.pipeline_file import PipelineError, flags_to_pipeline, read_pipeline
from vedette.apps.video import opened_video
from vedette.apps.video_flags import parse_quota
from vedette.contracts.errors import InputError, UsageError

RIGHTWARD = [(column, 1) for column in (0, 1, 2, 3)]
ONE = {"bundle": "b", "cameras": ["a.mp4"]}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle").path


def run(*arguments: str | Path) -> int:
    return run_command(["run", *map(str, arguments), "--counts", "off"])


@pytest.mark.parametrize("isolation", [pytest.param("processes", marks=pytest.mark.slow), "threads"])
def test_an_event_of_a_file_names_a_clip_of_its_own_packets(tmp_path: Path, bundle: Path, isolation: str) -> None:
    film = write_walk(tmp_path / "walk.mp4", [*RIGHTWARD, *RIGHTWARD[::-1]] * 3)
    events, clips = tmp_path / "events.jsonl", tmp_path / "clips"
    code = run(
        "--bundle", bundle, "--camera", f"door={film}", "--line", "gate=50%,0%,50%,100%", "--events", events,
        "--clips", clips, "--isolation", isolation,
    )  # fmt: skip
    assert code == 0
    names = [json.loads(line)["data"].get("clip") for line in events.read_text().splitlines()]
    assert names
    assert all(re.fullmatch(r"door/\d{8}T\d{6}\.\d{3}Z-[\w.-]+\.mp4", str(name)) for name in names), names
    with av.open(str(film)) as container:
        own = {bytes(packet) for packet in container.demux(video=0)}
    for name in set(names):
        with av.open(str(clips / name)) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        assert packets
        assert set(packets) <= own


@pytest.mark.needs_server
@pytest.mark.slow
def test_a_paced_camera_is_published(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_walk(tmp_path / "walk.mp4", RIGHTWARD * 20)
    with RtspServer() as server:
        code = run(
            "--bundle", bundle, "--camera", f"door={film}", "--realtime", "--loop", "--publish",
            f"{server.url}/{{camera}}", "--duration", "8s",
        )  # fmt: skip
        assert code == 0
        assert len(server.units["/door"]) > 20
        assert f"camera 'door': published at {server.url}/door" in capsys.readouterr().err


def test_flags_and_file_say_the_same(tmp_path: Path) -> None:
    flags = flags_to_pipeline(**ONE, clips="clips", clips_quota="500MB, 14d", publish="rtsp://media:8554/wall")
    (tmp_path / "p.yaml").write_text(
        "bundle: b\ncameras: [{name: a, url: a.mp4}]\n"
        "clips: {folder: clips, most_gb: 0.5, most_days: 14}\n"
        "publish: {url: 'rtsp://media:8554/wall', username: box, password_file: secret}\n"
    )
    file = read_pipeline(tmp_path / "p.yaml")
    assert flags.clips is not None
    assert file.clips is not None
    assert file.publish is not None
    assert (flags.clips.most_gb, flags.clips.most_days) == (file.clips.most_gb, file.clips.most_days) == (0.5, 14)
    assert file.clips.folder == str(tmp_path / "clips")
    assert file.publish.password_file == str(tmp_path / "secret")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"clips_quota": "5GB"}, "--clips-quota: is for clips; give --clips as well"),
        ({"clips": "c", "clips_quota": "5 cm"}, "give what all clips may take, as 20GB or 500MB"),
        ({"publish": "http://media/x"}, "give rtsp(s)://host[:port]/path of a media server"),
        ({"publish": "rtsp://u:canary@media/x"}, "a user name or password in a URL can be seen"),
        ({"publish": "rtsps://media/x?token=canary"}, "--publish: rtsps://media/x?token=***: a password in a URL can"),
        ({"publish": "rtsp://media/x", "cameras": ["a.mp4", "b.mp4"]}, "write {camera} in the path"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        flags_to_pipeline(**{**ONE, **flags})
    assert words in str(refused.value)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("publish", "words"),
    [
        ("{url: 'rtsp://media/x', password_file: f}", "publish: a password needs a 'username'"),
        ("{url: 'rtsp://media/x', username: u, password_file: f, password_env: E}", "not both"),
        ("{url: 'rtsp://media/x', ca_file: own.pem}", "publish: 'ca_file' is for rtsps://"),
    ],
)
def test_what_a_file_says_of_publishing_fits_together(tmp_path: Path, publish: str, words: str) -> None:
    (tmp_path / "p.yaml").write_text(f"bundle: b\ncameras: [{{name: a, url: a.mp4}}]\npublish: {publish}\n")
    with pytest.raises(PipelineError, match=words):
        read_pipeline(tmp_path / "p.yaml")


def test_who_vouches_for_a_media_server_is_looked_for_beside_the_file_and_loaded_first(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "bundle: b\ncameras: [{name: a, url: a.mp4}]\npublish: {url: 'rtsps://media/x', ca_file: own.pem}\n"
    )
    settings = read_pipeline(tmp_path / "p.yaml")
    assert settings.publish is not None and settings.publish.ca_file == str(tmp_path / "own.pem")
    with pytest.raises(InputError, match=r"publish.ca_file: .*own.pem cannot be read"), opened_video(settings):
        pass


def test_days_alone_limit_no_bytes() -> None:
    assert parse_quota("14d") == {"most_gb": None, "most_days": 14.0}
    assert parse_quota("20GB") == {"most_gb": 20.0}
