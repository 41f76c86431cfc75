"""The live page as a person sees it: in headless Chromium, on a desk and on a phone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_wall import DrawnPicture, Showing, camera_status, event, stamp, status, tracks
from looking import PHONE, Look, wait_until

from vedette.contracts.status import CameraState, Status
from vedette.edge.live.page import LivePage
from vedette.edge.live.stages import Series
from vedette.edge.live.token_file import Scope, TokenFile

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_server]

FAILURE = "dock: no answer from rtsp://10.0.4.17/1 within 10 s"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">&quot;"


def test_eight_tiles_show_pictures_that_change_with_counts_and_figures(look: Callable[..., Look]) -> None:
    names = [f"camera-{number}" for number in range(8)]
    with LivePage(port=0, status=status(*map(camera_status, names))) as page, Showing(page, names):
        seen = look(page)
        wait_until(seen, lambda: len(seen.serials()) == 8 and all(seen.serials().values()))
        before = seen.serials()
        wait_until(seen, lambda: all(seen.serials()[name] > before[name] for name in names))
        assert seen.texts(".tile h3") == names
        counts = [text.replace(" ", "") for text in seen.texts(".tile:first-child .counts li")]
        assert counts == ["gatea_to_bbolt12", "gateb_to_anut3"]
        figures = " ".join(seen.texts(".tile:first-child .figures div"))
        for figure in ("30.0", "fps", "6.0", "detections/s", "dropped"):
            assert figure in figures
        header = " ".join(seen.texts("#meters div"))
        assert "CPU, process" in header
        assert "CPU, machine" in header
        assert seen.texts("#subtitle") == ["line-3 · parts-7 · OpenVINO 2025.4, fp32"]


def test_nothing_leaves_the_machine_and_nothing_is_complained_of(look: Callable[..., Look]) -> None:
    with LivePage(port=0, status=status(camera_status("north"))) as page, Showing(page, ["north"]):
        page.add_event(event(1))
        page.set_stage("Train", progress=0.5, pictures={"batch": jpeg()})
        seen = look(page)
        wait_until(seen, lambda: seen.serials().get("north", 0) > 0 and len(seen.requests) > 10)
        assert {url for url in seen.requests if not url.startswith(page.url)} == set()
        assert seen.complaints == []


def test_boxes_lines_and_zones_are_drawn_over_the_picture(look: Callable[..., Look]) -> None:
    with LivePage(port=0, status=status(camera_status("north"))) as page:
        page.show(stamp("north", 0), DrawnPicture(0), tracks((800, 200, 1100, 500)), {})
        seen = look(page)
        wait_until(seen, lambda: seen.serials().get("north", 0) > 0)
        picture = [60, 40, 90]

        def is_at(x_px: float, y_px: float, colour: list[int]) -> bool:  # a stroke is less than two pixels wide
            near = [seen.pixel("north", (x_px + beside) / 1280, y_px / 720) for beside in (-1, 0, 1)]
            return any(np.allclose(one, colour, atol=40) for one in near)

        assert np.allclose(seen.pixel("north", 0.95, 0.3), picture, atol=12)
        assert is_at(800, 350, [230, 159, 0])  # the box, class 0
        assert is_at(640, 550, [255, 190, 64])  # the line
        assert not np.allclose(seen.pixel("north", 300 / 1280, 180 / 720), picture, atol=12)  # inside the zone: tinted


def test_events_come_newest_first_and_new_ones_arrive_on_top(look: Callable[..., Look]) -> None:
    with LivePage(port=0, status=status(camera_status("north"))) as page:
        for number in range(3):
            page.add_event(event(number, class_=f"part{number}"))
        seen = look(page)
        wait_until(seen, lambda: len(seen.texts("#event-list li")) == 3)
        assert seen.texts("#event-list .what") == [f"part{number} crossed gate" for number in (2, 1, 0)]
        assert "north · a → b · track 2" in seen.texts("#event-list .where")[0]
        page.add_event(event(3, class_="part3"))
        wait_until(seen, lambda: len(seen.texts("#event-list li")) == 4)
        assert seen.texts("#event-list .what")[0] == "part3 crossed gate"


def test_a_phone_needs_no_sideways_scrolling_and_switches_between_cameras_and_events(look: Callable[..., Look]) -> None:
    names = ["north", "a-camera-with-a-name-as-long-as-names-may-be-0123456789-0123456789"]
    with LivePage(port=0, status=status(*map(camera_status, names))) as page, Showing(page, names):
        page.add_event(event(1))
        for title in ("Draw the scene", "Check the data", "Train", "Pack", "Watch"):
            page.set_stage(title, progress=0.2)
        seen = look(page, PHONE)
        wait_until(seen, lambda: any(seen.serials().values()))
        widths = "[document.documentElement.scrollWidth, window.innerWidth]"
        assert seen.tab.evaluate(widths) == [390, 390]
        assert not seen.tab.locator("#events").is_visible()
        assert "1" in seen.texts("#event-badge")
        seen.tab.click("[data-to=events]")
        assert seen.tab.locator("#events").is_visible()
        assert not seen.tab.locator("#wall").is_visible()
        assert seen.tab.evaluate(widths) == [390, 390]


def test_only_tiles_on_the_screen_are_asked_for(look: Callable[..., Look]) -> None:
    names = [f"camera-{number}" for number in range(8)]
    with LivePage(port=0, status=status(*map(camera_status, names))) as page, Showing(page, names):
        seen = look(page, PHONE)
        wait_until(seen, lambda: seen.serials().get("camera-0", 0) > 0)
        assert seen.serials()["camera-7"] == 0
        seen.tab.locator(".tile").last.scroll_into_view_if_needed()
        wait_until(seen, lambda: seen.serials()["camera-7"] > 0)


def test_a_failed_camera_says_why_and_the_others_go_on(look: Callable[..., Look]) -> None:
    cameras = [
        camera_status("dock", CameraState.FAILED, FAILURE),
        camera_status("north"),
        camera_status("gone", CameraState.ENDED),
        camera_status("late", CameraState.OPENING),
    ]
    with LivePage(port=0, status=status(*cameras)) as page, Showing(page, ["north"]):
        seen = look(page)
        wait_until(seen, lambda: seen.serials().get("north", 0) > 0)
        assert seen.texts("[data-camera=dock] .notice") == [f"Camera failed\n{FAILURE}"]
        assert seen.tab.locator("[data-camera=dock] .notice").is_visible()
        assert seen.tab.locator("[data-camera=dock]").get_attribute("data-state") == "failed"
        assert not seen.tab.locator("[data-camera=north] .notice").is_visible()
        assert seen.texts("[data-camera=gone] .notice b") == ["The video has ended"]
        assert seen.texts("[data-camera=late] .notice b") == ["Opening the camera"]


def test_names_from_files_are_shown_as_text_and_never_run(look: Callable[..., Look]) -> None:
    hostile = camera_status(HOSTILE, CameraState.RUNNING)
    failed = camera_status("failed", CameraState.FAILED, HOSTILE)
    with LivePage(port=0, status=status(hostile, failed)) as page:
        page.add_event(event(1, camera=HOSTILE, line=HOSTILE, class_=HOSTILE))
        page.show(stamp(HOSTILE, 0), DrawnPicture(0), tracks(), {HOSTILE: 1})
        page.set_stage(HOSTILE, note=HOSTILE, lines=[HOSTILE], series=[Series(HOSTILE, ((0, 1), (1, 2)), HOSTILE)])
        seen = look(page)
        wait_until(seen, lambda: any(seen.serials().values()) and bool(seen.texts("#event-list li")))
        seen.tab.click(".steps button")
        assert seen.texts(".tile h3")[0] == HOSTILE
        assert HOSTILE in seen.texts("#event-list .what")[0]
        assert seen.texts(".stage .note") == [HOSTILE]
        assert seen.tab.locator("img[src=x]").count() == 0
        assert seen.tab.title() == "line-3 · Vedette"
        assert seen.complaints == []


def test_stages_show_progress_curves_and_pictures_before_the_wall(look: Callable[..., Look]) -> None:
    cameras: list[Any] = []
    with LivePage(port=0, status=lambda: Status(tuple(cameras))) as page:
        page.plan_stages(["Draw", "Train", "Watch"])
        page.set_stage("Draw", progress=1.0, pictures={"scene": jpeg()})
        curve = tuple((float(epoch), 5 / (epoch + 1)) for epoch in range(20))
        page.set_stage("Train", progress=0.4, note="epoch 4 of 10", series=[Series("loss", curve, "loss")])
        seen = look(page)
        wait_until(seen, lambda: seen.texts(".stage h2") == ["Train"])
        assert seen.texts(".steps .title") == ["Draw", "Train", "Watch"]
        assert "40 %" in seen.texts(".stage .clock")[0]
        assert "left" in seen.texts(".stage .clock")[0]
        assert not seen.tab.locator("#wall").is_visible()
        drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 200)"
        assert seen.tab.locator(".chart canvas").evaluate(drawn)
        seen.tab.click(".steps li:first-child button")
        assert (
            seen.tab.locator(".stage-pictures img").evaluate("image => image.decode().then(() => image.naturalWidth)")
            == 64
        )
        cameras.append(camera_status("north"))
        page.set_stage("Watch", progress=0.1)
        wait_until(seen, lambda: seen.tab.locator("#wall").is_visible())


def test_the_page_says_when_the_run_is_gone_and_comes_back_with_the_next(look: Callable[..., Look]) -> None:
    with LivePage(port=0, status=status(camera_status("north"))) as page:
        page.add_event(event(1))
        seen = look(page)
        wait_until(seen, lambda: len(seen.texts("#event-list li")) == 1)
        assert not seen.tab.locator("#connection").is_visible()
    wait_until(seen, lambda: seen.tab.locator("#connection").is_visible())
    faded = "element => +getComputedStyle(element).opacity"
    assert seen.tab.locator(".tile .state").evaluate(faded) < 0.5  # it is not live any more
    with LivePage(port=page.port, status=status(camera_status("south"))):
        wait_until(seen, lambda: seen.texts(".tile h3") == ["south"])
        assert seen.texts("#event-list li") == []
        assert not seen.tab.locator("#connection").is_visible()


def test_the_tile_opens_the_annotated_picture(look: Callable[..., Look]) -> None:
    with LivePage(port=0, status=status(camera_status("north"))) as page:
        page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
        seen = look(page)
        wait_until(seen, lambda: seen.serials().get("north", 0) > 0)
        with seen.context.expect_page() as opened:
            seen.tab.click(".screen")
        opened.value.wait_for_load_state()
        assert opened.value.url == f"{page.url}snapshot/north.jpg"
        assert opened.value.evaluate("document.images[0].naturalWidth") == 1280


def jpeg() -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((36, 64, 3), 90, np.uint8))[1].tobytes())


def test_a_person_logs_in_with_the_token_and_out_again(look: Callable[..., Look], tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens")
    token = tokens.make(Scope.PAGE)
    with LivePage("0.0.0.0", 0, status=status(camera_status("north")), tokens=tokens) as page:
        page.url = f"http://127.0.0.1:{page.port}/"
        seen = look(page, PHONE)
        assert seen.tab.url == f"{page.url}login"
        seen.tab.fill("#token", "not-it")
        seen.tab.press("#token", "Enter")
        wait_until(seen, lambda: seen.texts("#refused") == ["That is not the page's token."])
        seen.tab.fill("#token", token)
        seen.tab.click("#login button")
        seen.tab.locator(".tile h3").wait_for()
        assert seen.tab.evaluate("document.cookie") == ""
        seen.tab.click("#logout")
        seen.tab.locator("#token").wait_for()
        seen.tab.goto(page.url)
        assert seen.tab.url == f"{page.url}login"
        assert [line for line in seen.complaints if "401" not in line] == []


@pytest.mark.parametrize("count", [1, 8])
def test_the_wall_fills_the_screen_and_no_tile_is_cut_off(look: Callable[..., Look], count: int) -> None:
    size = {"width": 1920, "height": 1080}
    with LivePage(port=0, status=status(*(camera_status(f"camera-{n}") for n in range(count)))) as page:
        seen = look(page, size)
        wait_until(seen, lambda: seen.tab.evaluate("document.querySelector('#wall').style.gridTemplateColumns") != "")
        boxes = [tile.bounding_box() for tile in seen.tab.locator(".tile").all()]
        assert len(boxes) == count
        assert max(box["y"] + box["height"] for box in boxes if box) <= 1080
        assert max(box["x"] + box["width"] for box in boxes if box) <= 1920 - 324, "beside the events"
        assert sum(box["width"] * box["height"] for box in boxes if box) > 0.6 * (1920 - 324) * 1080
