"""The demo: refusals, the way with one's own pictures and videos, the report, and (slow) the whole drawn factory."""

import json
import threading
import urllib.request
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from drawn_shapes import draw_data
from simulators.lag_meter import LagMeter
from small_bundle import make_bundle, write_walk
from vedette.apps import demo
from vedette.apps.cli import run_command
from vedette.apps.demo_report import DemoReport, Gallery, ReportTable, Tile, write_demo_report
from vedette.apps.demo_stages import DemoInput
from vedette.apps.demo_watch import WatchOutcome, watch_demo
from vedette.apps.run_report import CameraSummary, RunSummary
from vedette.contracts.ports import SilentProgress
from vedette.edge.live.page import LivePage
from vedette.learn.data.scenes.factory import Crossing
from vedette.learn.data.scenes.writing import Clip


def outcome(
    counted: dict[str, int], true: dict[str, int] | None, missed: int = 0, error: str | None = None
) -> WatchOutcome:
    spared = {"gated": 0, "gated_slots": 0}
    lost = {"restarts": 0, "reconnects": 0, "offline_since_unix_s": None}
    camera = CameraSummary("a", 100, 20, 30, 5, missed, **lost, **spared, fps=30.0, detected_per_s=6.0, error=error)
    summary = RunSummary([camera], {}, "engine", 3.3, 0, 0)
    return WatchOutcome(summary, Counter(counted), true, 20, missed)


@pytest.mark.parametrize(
    ("made", "good"),
    [
        (outcome({"gear": 100, "ring": 99}, {"gear": 100, "ring": 100}), True),
        (outcome({"gear": 94, "ring": 106}, {"gear": 100, "ring": 100}), False),  # the sum agrees, the classes do not
        (outcome({"gear": 90}, {"gear": 100}), False),
        (outcome({"gear": 100}, {"gear": 100}, missed=1), False),
        (outcome({"gear": 100}, {"gear": 100}, error="gone"), False),
        (outcome({"gear": 7}, None), True),
    ],
)
def test_a_demo_is_good_when_counts_cameras_and_slots_are(made: WatchOutcome, good: bool) -> None:
    assert made.is_good(tolerance=0.05, missed_limit=0.05) is good


def test_rows_compare_every_class_and_the_sum() -> None:
    assert outcome({"gear": 9, "new": 1}, {"gear": 10}).class_rows() == [
        ["gear", "10", "9", "10.0%"],
        ["new", "0", "1", "–"],
        ["all", "10", "10", "0.0%"],
    ]


def test_the_report_is_one_page_without_requests_and_escapes_names(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    report = DemoReport(
        "T",
        "S",
        [Tile("label", "<b>5</b>", mood="good")],
        [ReportTable("Table", ["class"], [["<script>"]], ["all"])],
        [Gallery("Pictures", {"one": b"\x89PNG1", "two": b"\xff\xd8jpeg"})],
    )
    write_demo_report(report, page)
    text = page.read_text()
    assert "&lt;script&gt;" in text and "&lt;b&gt;5" in text and "<script" not in text
    assert "data:image/png;base64" in text and "data:image/jpeg;base64" in text
    assert "http" not in text.replace("http-equiv", "")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "arguments", [["--data", "x"], ["--video", "x.mp4"], ["--train-time", "soon"], ["--show", "x:y:z"]]
)
def test_wrong_flags_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["demo", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_nothing_of_the_users_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run_command(["demo", "--keep", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def write_video(path: Path) -> Path:
    """Two seconds of a rectangle that walks from left to right."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 192, 128, "yuv420p"
        video.options = {"preset": "ultrafast"}
        for number in range(50):
            picture = np.full((128, 192, 3), 110, np.uint8)
            picture[40:80, 3 * number : 3 * number + 40] = (210, 40, 40)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode())
    return path


def test_ones_own_pictures_and_videos_go_the_whole_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "MISSED_LIMIT", 1.1)  # what a busy machine misses in real time is no fault of the way
    data, video = draw_data(tmp_path / "data", 24), write_video(tmp_path / "walk.mp4")
    kept = tmp_path / "kept"
    arguments = ["--data", data, "--video", video, "--video", video, "--keep", kept, "--train-time", "6s"]
    with LagMeter() as lag:
        code = run_command(["demo", *map(str, arguments), "--size", "96x64", "--show", f":{free_port}", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    document = json.loads(out)
    assert document["true"] is None and document["slots"] == 20
    assert document["missed_slots"] == 0 or lag.slack_s > 0.5
    assert [camera["name"] for camera in document["run"]["cameras"]] == ["camera-1", "camera-2"]
    assert f"http://127.0.0.1:{free_port}/" in err
    page = Path(document["report"])
    assert page.parent == kept and "What the cameras saw" in page.read_text()
    assert sorted(path.name for path in kept.iterdir()) == ["bundle", "run", page.name]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{free_port}/", timeout=2)


class Said(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Viewer:
    """Looks at the video of the first camera as soon as there is any, until left."""

    def __init__(self, url: str) -> None:
        self.starts = 0
        self._url, self._stop = f"{url}video?camera=belt-1", threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.is_set() and not self.starts:
            try:
                with urllib.request.urlopen(self._url, timeout=2) as answer:
                    heard = b""
                    while not self._stop.is_set() and not self.starts:
                        heard += answer.read(50)
                        self.starts += b'"mime": "video/mp4; codecs=' in heard
            except OSError:  # there is no video yet, or none any more
                self._stop.wait(0.02)

    def __enter__(self) -> "Viewer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_what_a_machine_misses_is_counted_again_without_the_clock(tmp_path: Path, free_port: int) -> None:
    cells = [(column, 1) for column in (0, 1, 2, 3)]
    clips = tuple(
        Clip(
            name=f"belt-{number}",
            video=write_walk(tmp_path / f"belt-{number}.mp4", cells * 3),
            truth=tmp_path / "none",
            line_xyxy_px=(128, 0, 128, 256),
            crossings=(Crossing("count", "right", "red", 10),) * 3,
        )
        for number in (1, 2)
    )
    made, bundle, said = DemoInput(tmp_path, clips, ()), make_bundle(tmp_path / "bundle").path, Said()
    with LivePage("127.0.0.1", free_port) as page:
        page.plan_stages(["Watching"])
        with Viewer(page.url) as viewer:
            outcome = watch_demo(made, bundle, page, said, missed_limit=0.0)  # no machine misses less
        assert viewer.starts and not page._routes._feed.has_video, "the clips' own video, as in `vedette run`"
    assert outcome.counted_unpaced
    assert outcome.counted_by_class == {"red": 6} and outcome.is_good(tolerance=0.0, missed_limit=0.0)
    assert any("too small or too busy for 2 streams" in line for line in said.lines)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_drawn_factory_is_counted_within_five_per_cent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    kept = tmp_path / "kept"
    code = run_command(["demo", "--keep", str(kept), "--show", f":{free_port}", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert sum(document["true"].values()) >= 200 and len(document["true"]) >= 3
    assert document["error"] <= 0.05 and document["missed"] < 0.05
    assert len(document["run"]["cameras"]) == 8
    assert code == 0
