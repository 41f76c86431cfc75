"""Lines and zones drawn on the live page with mouse, finger and keys, in headless Chromium."""

import json

import pytest
from live_wall import Showing, camera_status, status
from looking import DESK, PHONE, wait_until

from vedette.apps.rules_desk import RulesDesk
from vedette.contracts.pipeline import Camera, Line, Pipeline, Zone
from vedette.edge.live.page import LivePage

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_server]
NAMES = ["north", "south"]


@pytest.fixture
def forced():
    return []


@pytest.fixture
def page(forced):
    cameras = tuple(Camera(name=name, url=f"rtsp://10.0.0.{number}/1") for number, name in enumerate(NAMES, 1))
    gate = Line(name="gate", start=(640, 700), end=(640, 20))
    bay = Zone(name="bay", polygon=((100, 100), (500, 120), (480, 400), (90, 380)), dwell_s=20)
    north = cameras[0].model_copy(update={"lines": (gate,), "zones": (bay,)})
    pipeline = Pipeline(bundle="parts", cameras=(north, cameras[1]))
    with LivePage(port=0, status=status(*map(camera_status, NAMES))) as page, Showing(page, NAMES):
        page.set_rules(RulesDesk(pipeline, forced.append, None))
        yield page


class Drawing:
    """Fractions of the picture on the screen."""

    def __init__(self, seen):
        self.seen = seen
        seen.tab.goto(f"{seen.tab.url}#camera=north")
        seen.tab.locator("#edit-rules").click()
        self.box = seen.tab.locator(".overlay").bounding_box()

    def at(self, x, y):
        return self.box["x"] + x * self.box["width"], self.box["y"] + y * self.box["height"]

    def drag(self, *points):
        mouse = self.seen.tab.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point))
        mouse.up()

    def tap(self, *points):
        for point in points:
            self.seen.tab.touchscreen.tap(*self.at(*point))

    def said(self):
        return self.seen.texts(".said")[0]


def near(point, x, y):
    return [float(value[:-1]) for value in point] == [pytest.approx(100 * x, abs=0.6), pytest.approx(100 * y, abs=0.6)]


def test_with_a_mouse_a_line_is_drawn_moved_named_refused_and_saved(look, page, forced):
    seen = look(page, DESK)
    drawing = Drawing(seen)
    assert seen.texts(".tile:visible h3") == ["north"]
    seen.tab.click("[data-new=line]")
    drawing.drag((0.6, 0.8), (0.7, 0.7), (0.9, 0.4))
    assert seen.tab.input_value("#rule-name") == "line-1"
    drawing.drag((0.9, 0.4), (0.85, 0.45), (0.8, 0.5))  # its end
    drawing.drag((0.5, 0.5), (0.45, 0.5), (0.4, 0.5))  # the whole gate
    seen.tab.click("text=line-1")
    seen.tab.fill("#rule-name", "bay")
    seen.tab.click("#save-rules")
    wait_until(seen, lambda: "needs a name of its own" in drawing.said())
    assert forced == []
    seen.tab.fill("#rule-name", "exit")
    seen.tab.click("#save-rules")
    wait_until(seen, lambda: "Counted from now on" in drawing.said())
    north, south = forced[-1].cameras
    assert [line.name for line in north.lines] == ["gate", "exit"] and south.lines == ()
    assert near(north.lines[0].start, 0.4, 700 / 720) and near(north.lines[0].end, 0.4, 20 / 720)
    assert near(north.lines[1].start, 0.6, 0.8) and near(north.lines[1].end, 0.8, 0.5)
    assert north.zones[0].polygon[0] == (100, 100)  # not touched, so as it was written
    assert seen.texts(".rules li") == ["gate", "exit", "bay"]
    with seen.tab.expect_download() as taken:
        seen.tab.click(".said a")
    assert "exit" in taken.value.path().read_text()
    seen.tab.keyboard.press("Escape")
    wait_until(seen, lambda: seen.texts(".tile:visible h3") == NAMES)
    assert [line for line in seen.complaints if "422" not in line] == []


def test_with_a_finger_a_zone_is_drawn_corner_by_corner(look, page, forced):
    seen = look(page, PHONE, has_touch=True, is_mobile=True)
    drawing = Drawing(seen)
    seen.tab.tap("[data-new=zone]")
    drawing.tap((0.55, 0.2), (0.9, 0.2), (0.9, 0.6))
    assert "Tap the first corner again" in seen.texts(".hint")[0]
    drawing.tap((0.6, 0.6), (0.56, 0.21))
    seen.tab.fill("#rule-name", "dock")
    seen.tab.locator("[aria-label^='Report a stay']").fill("45")
    seen.tab.locator("[aria-label^='Report a stay']").blur()
    seen.tab.tap("text=At every camera")
    assert seen.tab.evaluate("document.documentElement.scrollWidth") == 390
    seen.tab.tap("#save-rules")
    wait_until(seen, lambda: "Counted from now on" in drawing.said())
    (dock,) = forced[-1].zones
    assert (dock.name, dock.dwell_s, len(dock.polygon)) == ("dock", 45, 4) and near(dock.polygon[0], 0.55, 0.2)


def test_with_keys_alone_a_line_is_made_moved_and_deleted(look, page, forced):
    seen = look(page, DESK)
    drawing = Drawing(seen)
    seen.tab.focus("[data-new=line]")
    seen.tab.keyboard.press("Enter")
    seen.tab.focus(".overlay")
    for _ in range(4):
        seen.tab.keyboard.press("Shift+ArrowDown")
    seen.tab.focus("text=bay")
    seen.tab.keyboard.press("Enter")
    seen.tab.focus(".overlay")
    seen.tab.keyboard.press("Delete")
    seen.tab.focus("#save-rules")
    seen.tab.keyboard.press("Enter")
    wait_until(seen, lambda: "Counted from now on" in drawing.said())
    (north, _) = forced[-1].cameras
    assert north.zones == () and [line.name for line in north.lines] == ["gate", "line-1"]
    assert north.lines[1].start == ("25%", "70%") and json.dumps(north.lines[0].start) == "[640.0, 700.0]"
