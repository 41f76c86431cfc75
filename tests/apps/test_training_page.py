"""The page of `vedette train --show`: what it serves and to whom, what it keeps of a run, how it ends."""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn_shapes import draw_data, write_cfg
from vedette.apps.cli import run_command
from vedette.apps.training_page import routes
from vedette.apps.training_page.page import TrainingPage, parse_address
from vedette.apps.training_page.rendering import Rendering, epochs_expected
from vedette.apps.training_page.showing import showing, shown_too
from vedette.apps.training_page.state import POINTS, TrainingState
from vedette.contracts.errors import InputError, UsageError
from vedette.contracts.ports import SilentProgress
from vedette.learn.training.report import RESULTS_COLUMNS

EVIL = "<script>alert(1)</script>"


def write_epochs(run: Path, count: int) -> None:
    rows = [[n, n * 10, 1 / n, 1, 1, 0.1 * n, 0.05 * n, 0.5, 0.5, 1e-3, 40, 100 - n * 10] for n in range(1, count + 1)]
    lines = [",".join(map(str, row)) for row in [RESULTS_COLUMNS, *rows]]
    (run / "results.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder after two of eight epochs."""
    folder = tmp_path / "run"
    (folder / "worst").mkdir(parents=True)
    write_epochs(folder, 2)
    (folder / "settings.json").write_text(json.dumps({"epochs": 8, "batch": 4, "note": EVIL}))
    for name in ("val_batch0.jpg", "worst/01.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((30, 40, 3), np.uint8))
    (folder / "best.weights").write_bytes(bytes(100))
    return folder


@pytest.fixture
def page(run: Path) -> Iterator[TrainingPage]:
    with TrainingPage("127.0.0.1", 0) as served:
        served.state.follow(run)
        yield served


def get(url: str, host: str | None = None, data: bytes | None = None) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(url, data, {} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace"), dict(error.headers)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_an_address_is_a_port_here_or_a_host_with_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", ":99999", "a b:80", "8080:"])
def test_what_is_no_address_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="--show is a port such as :8080"):
        parse_address(text)


@pytest.mark.needs_server
def test_a_port_in_use_is_refused_before_anything_begins(page: TrainingPage) -> None:
    with pytest.raises(InputError, match=rf"--show: cannot listen on 127\.0\.0\.1:{page.port}: .*; give another port"):
        TrainingPage("127.0.0.1", page.port)


@pytest.mark.needs_server
def test_page_is_the_report_with_the_history_and_a_script_of_its_own(page: TrainingPage) -> None:
    status, text, headers = get(page.url)
    assert status == 200
    assert "training: epoch 2 of 8 done, about 1 min left" in text
    assert text.count("<script") == 1
    assert '<script src="assets/follow.js">' in text
    assert 'http-equiv="refresh"' not in text
    assert "best.weights" not in text  # the server goes with the training: no links that would be dead
    policy = headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert get(page.url + "assets/follow.js")[0] == 200


@pytest.mark.needs_server
def test_moment_tells_stage_speed_loss_and_last_lines_escaped(page: TrainingPage) -> None:
    progress = page.beside(SilentProgress())
    progress.start("epoch 3/8", 10, "batches")
    for loss in (2.5, 1.5):
        progress.advance(loss=loss, run_left_min=2.0)
    progress.say(f"class {EVIL}")
    moment = json.loads(get(page.url + "now.json?viewer=a")[1])
    assert moment["ended"] is False
    for shown in (
        "epoch 3/8: 2 of 10 batches",
        "1.500",
        "pictures/s",
        "2 min 00 s",
        "&lt;script&gt;",
        "Loss of every step",
    ):
        assert shown in moment["html"]
    assert "<script" not in moment["html"]


@pytest.mark.needs_server
def test_only_pictures_of_the_run_are_served_and_only_to_this_machine(page: TrainingPage) -> None:
    assert get(page.url + "val_batch0.jpg")[0] == 200
    assert get(page.url + "worst/01.jpg?v=3")[2]["cache-control"] == "private, max-age=3600"
    for name in ("settings.json", "best.weights", "../x.jpg", "worst/../val_batch0.jpg", "%2e%2e/x.png", "absent.png"):
        assert get(page.url + name)[0] == 404, name
    assert get(page.url, host="evil.example")[0] == 421
    assert get(page.url, host=f"localhost:{page.port}")[0] == 200


@pytest.mark.needs_server
def test_beyond_this_machine_everything_lies_under_a_path_that_nobody_guesses(run: Path) -> None:
    with TrainingPage("0.0.0.0", 0) as page:
        page.state.follow(run)
        path = page.url.partition("//")[2].partition("/")[2]
        assert len(path) >= 16
        assert get(f"http://127.0.0.1:{page.port}/")[0] == 404
        assert get(f"http://127.0.0.1:{page.port}/val_batch0.jpg")[0] == 404
        assert get(f"http://127.0.0.1:{page.port}/{path}")[0] == 200
        assert get(f"http://127.0.0.1:{page.port}/{path}val_batch0.jpg")[0] == 200


def test_report_is_made_anew_only_when_the_run_has_news_and_then_whole(run: Path) -> None:
    state = TrainingState()
    rendering = Rendering(state)
    assert "training: first epoch" in rendering.report()
    state.follow(run)
    first = rendering.report()
    assert rendering.report() is first
    write_epochs(run, 5)  # as a resumed run does: all of its history
    assert "epoch 5 of 8 done" in rendering.report()
    (run / "settings.json").write_text("{")
    assert "epoch 5 of 8 done" in rendering.report()  # half a file is no reason to show nothing


def test_epochs_of_a_time_budget_are_estimated(run: Path) -> None:
    assert epochs_expected(run) == 8
    (run / "settings.json").write_text(json.dumps({"epochs": 100, "time_budget_s": 100.0}))
    assert epochs_expected(run) == 10  # 2 in 20 s, 80 s left
    assert epochs_expected(run / "absent") == 1


def test_losses_of_many_steps_stay_bounded_and_keep_their_mean(run: Path) -> None:
    state = TrainingState()
    state.follow(run)
    for epoch in range(1, 6):
        state.start(f"epoch {epoch}/5", 1000, "batches")
        for step in range(1000):
            state.advance(1, {"loss": float(step % 2)})
    steps = np.array(state.now().steps)
    assert POINTS / 2 < len(steps) <= 2 * POINTS
    assert (np.diff(steps[:, 0]) > 0).all()
    assert steps[-1, 0] == pytest.approx(5, abs=0.02)
    np.testing.assert_allclose(steps[:, 1], 0.5)
    state.start("reading pictures", 3, "pictures")
    state.advance(1, {"loss": 9.0})
    assert len(state.now().steps) == len(steps)  # only epochs have losses


@pytest.mark.needs_server
def test_the_end_waits_for_who_looks_and_for_nobody_else(page: TrainingPage) -> None:
    page.finish()  # nobody looks: at once
    assert json.loads(get(page.url + "now.json?viewer=a")[1])["ended"] is True
    assert "finished" in get(page.url)[1] or "stopped after" in get(page.url)[1]
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (page.finish(), done.set()), daemon=True)
    waiting.start()
    assert not done.wait(0.3)
    assert get(page.url + "seen?viewer=a", data=b"")[0] == 200
    assert done.wait(20)


@pytest.mark.needs_server
def test_however_many_look_or_say_so_little_is_remembered(page: TrainingPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MOST_VIEWERS", 3)
    for number in range(6):
        get(f"{page.url}now.json?viewer={number}")
        get(f"{page.url}seen?viewer={number}", data=b"")
        get(f"{page.url}seen?viewer=nobody-{number}", data=b"")
    assert [*page._routes._asked] == ["3", "4", "5"]
    assert page._routes._seen == {"3", "4", "5"}


@pytest.mark.needs_server
def test_runs_draw_themselves_on_the_open_page_and_on_none_otherwise(
    run: Path, free_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SilentProgress()
    assert shown_too(silent, run) is silent
    with showing(None):
        assert shown_too(silent, run) is silent
    with showing(f":{free_port}", run):
        assert "epoch 2 of 8" in get(f"http://localhost:{free_port}/")[1]  # the history, before the training is there
        shown_too(silent, run).say("hello from the run")
        assert "hello from the run" in get(f"http://localhost:{free_port}/now.json")[1]
    assert f"watch it: http://127.0.0.1:{free_port}/" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    with showing(f":{free_port}"):  # only the first of several processes serves
        assert shown_too(silent, run) is silent


@pytest.mark.slow
@pytest.mark.needs_server
@pytest.mark.needs_browser
def test_a_page_that_is_open_sees_a_real_run_through_and_keeps_its_report(tmp_path: Path, free_port: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    command = ["train", "--data", str(draw_data(tmp_path / "data", 16)), "--model", str(write_cfg(tmp_path))]
    command += ["--out", str(tmp_path / "run"), "--epochs", "4", "--batch", "4", "--device", "cpu"]
    command += ["--precision", "fp32", "--show", f":{free_port}"]
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: {error}")
        page = browser.new_page(viewport={"width": 390, "height": 800})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        training = subprocess.Popen(
            [sys.executable, "-m", "vedette", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        wait_for_answer(f"http://127.0.0.1:{free_port}/")
        page.goto(f"http://127.0.0.1:{free_port}/")
        page.wait_for_selector("#now .keys", timeout=60_000)
        page.wait_for_selector("html[data-ended=yes]", state="attached", timeout=200_000)
        _, said = training.communicate(timeout=60)
        assert (training.returncode, b"watch it: " in said) == (0, True)
        assert "finished: 4 epochs" in page.inner_text("#status")
        assert "The training has ended" in page.inner_text("#now")
        assert page.locator("#classes").count() == 1
        assert page.locator(".chart path").first.get_attribute("d").count("L") == 3  # every epoch
        assert page.evaluate("[...document.images].every(i => i.src.startsWith('blob:') && i.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert wrong == []
        browser.close()


def wait_for_answer(url: str, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            get(url)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")


def find_chromium() -> str | None:
    """The system's Chromium; `None` lets Playwright take its own."""
    return next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).is_file()), None)


def test_show_is_refused_where_nothing_trains_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["train", "--out", str(tmp_path / "r"), "--data", "x", "--show", "nowhere"]) == 2
    assert "--show is a port" in capsys.readouterr().err
    assert run_command(["train", "--out", str(tmp_path / "r"), "--data", "x", "--show", ":1", "--on", "simulator"]) == 2
    assert "leave out --on or --show" in capsys.readouterr().err


@pytest.mark.needs_server
@pytest.mark.needs_browser
def test_page_of_a_training_that_does_not_answer_says_so_until_it_does(page: TrainingPage) -> None:
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip(f"no browser: {chromium} is not installed (Debian's package 'chromium')")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.url)
        training = "#status.live:has-text('training: epoch 2 of 8 done')"
        tab.wait_for_selector(training, timeout=60_000)
        tab.route("**/now.json*", lambda request: request.abort())
        tab.wait_for_selector("#status:not(.live):has-text('no answer')", timeout=60_000)
        assert "The training was stopped, or this computer cannot reach it" in tab.inner_text("#now")
        tab.unroute("**/now.json*")
        tab.wait_for_selector(training, timeout=60_000)
        browser.close()
