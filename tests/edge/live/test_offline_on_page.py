"""What the live page says of a camera that is away: in the status, for Prometheus, and in headless Chromium."""

import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from live_wall import DrawnPicture, camera_status, stamp, status, tracks
from test_live_page_in_browser import Look, wait_until

from vedette.contracts.status import CameraState, Status
from vedette.edge.live.metrics_text import metrics_text
from vedette.edge.live.page import LivePage
from vedette.edge.live.retry_routes import retry_routes

REASON = "camera 'gate': rtsp://10.0.0.5/live refuses the connection; check the port and that the camera is on"


def away(since_unix_s: float):
    return replace(
        camera_status("gate"), state=CameraState.OFFLINE, error=REASON, offline_since_unix_s=since_unix_s, reconnects=3
    )


def test_the_status_and_the_metrics_say_since_when():
    here, gone = camera_status("yard").to_json(), away(1.7e9).to_json()
    assert (here["state"], here["offline_since_unix_s"], here["reconnects"]) == ("running", None, 0)
    assert (gone["state"], gone["offline_since_unix_s"], gone["reconnects"]) == ("offline", 1.7e9, 3)
    document = {**Status(cameras=(camera_status("yard"), away(1.7e9))).to_json(), "now_unix_s": 1.7e9 + 90}
    lines = metrics_text(document).splitlines()
    assert 'vedette_camera_offline_seconds{camera="yard"} 0' in lines
    assert 'vedette_camera_offline_seconds{camera="gate"} 90' in lines
    assert 'vedette_camera_reconnects_total{camera="gate"} 3' in lines
    assert 'vedette_camera_running{camera="gate"} 0' in lines


@pytest.mark.needs_browser
@pytest.mark.needs_server
def test_a_camera_that_is_away_says_since_when_and_why_over_its_last_picture(look: Callable[..., Look]):
    with LivePage(port=0, status=status(away(time.time() - 130), camera_status("yard"))) as page:
        page.show(stamp("gate", 0), DrawnPicture(0), tracks((800, 200, 1100, 500)), {})
        seen = look(page)
        wait_until(seen, lambda: seen.texts(".tile h3") == ["gate", "yard"])
        first = seen.texts(".tile")[0]
        assert re.search(r"offline since \d\d:\d\d:\d\d \(2 min\)", first)
        assert (
            re.search(r"Offline since \d\d:\d\d:\d\d \(2 min\), trying again", first)
            and REASON.partition(": ")[2] in first
        )
        wait_until(seen, lambda: seen.serials().get("gate", 0) > 0)
        assert seen.tab.locator(".tile:first-child .notice").is_visible()
        asked: list[str] = []
        with page.serving(retry_routes(lambda camera: not asked.append(camera))):
            before = seen.tab.url
            seen.tab.get_by_role("button", name="try now").click()
            wait_until(seen, lambda: asked == ["gate"])
            assert seen.tab.url == before and len(seen.tab.context.pages) == 1, "the tile is a link, the button is not"
            wait_until(seen, lambda: seen.tab.get_by_role("button", name="try now").is_enabled())
        assert seen.tab.locator(".tile:last-child .retry").count() == 0, "it is well"
        assert not [text for text in seen.complaints if "error" in text.lower()]
