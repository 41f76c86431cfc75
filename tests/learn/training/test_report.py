"""report.html: complete, offline, safe with any name, live while training, and readable in a browser."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import summarise
from vedette.learn.training.evaluation_files import write_evaluation
from vedette.learn.training.report import RESULTS_COLUMNS, write_report
from vedette.learn.training.report_charts import line_chart, round_step

EVIL = "<script>alert(1)</script>"


class References(HTMLParser):
    """Every address that a page refers to, and its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder after three of five epochs, with hostile names."""
    folder = tmp_path / "my run"
    folder.mkdir()
    rows = [[epoch, epoch * 10, 1 / epoch, 2 / epoch, 0.5, epoch / 5, epoch / 10, 0.5, 0.4, 1e-3, 48.5, 50 - epoch * 10]
            for epoch in (1, 2, 3)]  # fmt: skip
    table = [RESULTS_COLUMNS, *rows]
    (folder / "results.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in table))
    (folder / "settings.json").write_text(json.dumps({"model": "yolov3-tiny", "note": EVIL, "size": [416, 416]}))
    for name in ("PR_curve.png", "val_batch0.jpg", "val_batch10.jpg", "val_batch2.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((30, 40, 3), np.uint8))
    (folder / "best.weights").write_bytes(bytes(200_000))
    box = np.array([[0, 0, 9, 9]], np.float64)
    truth = Truths(box, np.zeros(1, np.int32), np.zeros(1, np.bool_))
    names = (EVIL, "unused")
    found = Detections(box.astype(np.float32), np.ones(1, np.float32), np.zeros(1, np.int32), names)
    write_evaluation(summarise([truth], [found], names, ms_per_picture=7.25).to_json(), folder)
    return folder


def test_finished_report_ties_everything_together_by_relative_links_only(run: Path) -> None:
    page = write_report(run, epochs=3, finished=True, facts={"data digest": "ab" * 32}).read_text()
    references = References()
    references.feed(page)
    local = [address.partition("?")[0] for address in references.addresses if not address.startswith("data:")]
    assert local
    assert all((run / name).is_file() for name in local)
    assert {"PR_curve.png", "val_batch0.jpg", "best.weights", "evaluation.json", "results.csv"} <= set(local)
    for shown in ("finished: 3 epochs", "ab" * 32, "yolov3-tiny", "[416, 416]", "0.600", "7.2 ms a picture", "0.2 MB"):
        assert shown in page
    assert not re.search(r"(https?:)?//", page)
    assert 'http-equiv="refresh"' not in page


def test_pictures_stand_in_the_order_of_their_numbers(run: Path) -> None:
    page = write_report(run, epochs=3, finished=True).read_text()
    assert re.findall(r'src="val_batch(\d+)', page) == ["0", "2", "10"]


def test_names_and_settings_cannot_inject_markup(run: Path) -> None:
    references = References()
    page = write_report(run, epochs=3, finished=True, facts={EVIL: EVIL}).read_text()
    references.feed(page)
    assert references.scripts == 0
    assert "&lt;script&gt;" in page


def test_report_reloads_itself_while_training_and_says_how_long(run: Path) -> None:
    page = write_report(run, epochs=5, finished=False).read_text()
    assert 'http-equiv="refresh" content="5"' in page
    assert "training: epoch 3 of 5 done, about 20 s left" in page


def test_a_run_that_stopped_early_says_so(run: Path) -> None:
    assert "stopped after epoch 3 of 5" in write_report(run, epochs=5, finished=True).read_text()


def test_report_of_an_empty_run_is_a_page_already(tmp_path: Path) -> None:
    page = write_report(tmp_path, epochs=5, finished=False).read_text()
    assert "training: first epoch" in page
    assert page.count("<svg") == 4
    assert not {"NaN", "nan", "None"} & set(re.findall(r"\w+", page))


def test_changed_picture_has_another_address(run: Path) -> None:
    before = re.search(r"PR_curve.png\?v=(\d+)", write_report(run, epochs=3, finished=True).read_text())
    (run / "PR_curve.png").write_bytes((run / "val_batch0.jpg").read_bytes())
    after = re.search(r"PR_curve.png\?v=(\d+)", write_report(run, epochs=3, finished=True).read_text())
    assert before is not None
    assert after is not None
    assert before.group(1) != after.group(1)


def test_broken_settings_are_refused_and_the_old_report_stays(run: Path) -> None:
    old = write_report(run, epochs=3, finished=False).read_text()
    (run / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json is no JSON"):
        write_report(run, epochs=3, finished=True)
    assert (run / "report.html").read_text() == old


def test_chart_goes_through_finite_values_and_ends_at_round_numbers() -> None:
    epochs = np.array([1.0, 2.0, 3.0])
    chart = line_chart("loss", epochs, {"box": np.array([4.3, np.nan, 1.0])}, last_epoch=11)
    (line,) = chart.lines
    assert [dot.text for dot in line.dots] == ["epoch 1: box 4.3", "epoch 3: box 1"]
    assert line.path.startswith("M") and line.path.count("L") == 1
    assert line.latest == "1"
    assert [tick.text for tick in chart.y_ticks] == ["0", "1", "2", "3", "4", "5"]
    assert [tick.text for tick in chart.x_ticks] == ["1", "2", "4", "6", "8", "10"]
    assert line.dots[0].y < line.dots[1].y  # a larger value lies higher


@pytest.mark.parametrize(("value", "step"), [(0.86, 1), (1.0, 1), (1.01, 2), (0.0003, 0.0005), (30, 50), (60, 100)])
def test_steps_are_round(value: float, step: float) -> None:
    assert round_step(value) == pytest.approx(step)


@pytest.mark.slow
@pytest.mark.needs_browser
@pytest.mark.parametrize("width_px", [390, 1280])
def test_report_fits_its_window_and_asks_nobody_for_anything(run: Path, width_px: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    page_address = write_report(run, epochs=3, finished=True).as_uri()
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: {error}")
        page = browser.new_page(viewport={"width": width_px, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        browser.close()
    assert asked
    assert all(address.startswith(("file:", "data:")) for address in asked)


def find_chromium() -> str | None:
    """The system's Chromium; `None` lets Playwright take its own."""
    return next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).is_file()), None)
