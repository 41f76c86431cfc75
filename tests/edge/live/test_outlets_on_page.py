"""What the live page says of films, clips and publishing, and of what has stopped; in headless Chromium."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from live_wall import camera_status
from looking import DESK, PHONE, Look, wait_until

from vedette.contracts.status import Outlets, OutletState, PublishingStatus, RecordingStatus, Status
from vedette.edge.live.page import LivePage

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_server]

FULL = "clips have stopped: the disk of /var/clips is full (0.0 GB free)"
REFUSED = "camera 'gate': cannot be published at rtsp://media/gate (Connection refused)"
LATE = "mqtt://broker:1883/events: 40 events wait; it does not answer"
CLIPS = RecordingStatus("clips", "/var/clips", files=1200, bytes=3_400_000_000)
PUBLISHED = (
    PublishingStatus("yard", "rtsp://media/yard", OutletState.WORKING, bytes=12_000_000, dropped=7),
    PublishingStatus("gate", "rtsp://media/gate", OutletState.WAITING),
)
GOOD = Outlets(clips=CLIPS, publishing=PUBLISHED)
BAD = Outlets(
    clips=replace(CLIPS, state=OutletState.STOPPED, problem=FULL, disk_full=True, stopped_since_unix_s=time.time()),
    publishing=(PUBLISHED[0], replace(PUBLISHED[1], state=OutletState.STOPPED, problem=REFUSED)),
)


def told(outlets: Outlets, *sink_problems: str) -> Callable[[], Status]:
    cameras = (camera_status("yard"), camera_status("gate"), camera_status("roof"))
    return lambda: Status(cameras=cameras, outlets=outlets, sink_problems=sink_problems)


@pytest.mark.parametrize("size", [DESK, pytest.param(PHONE, marks=pytest.mark.slow)])
def test_what_stops_is_said_on_top_until_it_goes_on_again(look: Callable[..., Look], size: dict[str, int]) -> None:
    with LivePage(port=0, status=told(GOOD)) as page:
        seen = look(page, size)
        problems = seen.tab.locator("#problems")
        wait_until(seen, lambda: seen.texts(".tile h3") == ["yard", "gate", "roof"])
        assert problems.is_hidden()
        assert seen.texts(".tile .published:not([hidden])") == ["published", "publishing …"]
        assert seen.tab.locator(".published").first.get_attribute("title") == (
            "Published at rtsp://media/yard: 12 MB; 7 pictures were left out"
        )
        if size is DESK:
            assert "Clips 1,200· 3.4 GB" in " ".join(" ".join(seen.texts("#meters > div")).split())
        page.set_status(told(BAD, LATE))
        wait_until(seen, problems.is_visible)
        said = seen.texts("#problems li")
        assert said[0].startswith("Clips have stopped: the disk of /var/clips is full (0.0 GB free) (since ")
        assert said[1:] == [REFUSED[0].upper() + REFUSED[1:], LATE[0].upper() + LATE[1:]]
        assert seen.texts(".tile .published:not([hidden])") == ["published", "not published"]
        assert seen.tab.locator("#meters .hot").count() == 1, "on a phone, too"
        wide = "() => document.documentElement.scrollWidth <= window.innerWidth"
        assert seen.tab.evaluate(wide)
        none = tuple(replace(one, state=OutletState.STOPPED, problem=f"{one.camera}: no") for one in PUBLISHED)
        page.set_status(told(Outlets(publishing=none)))
        wait_until(seen, lambda: seen.texts("#problems li") == ["Yard: no; nor can gate"])
        page.set_status(told(GOOD))
        wait_until(seen, problems.is_hidden)
        assert not [text for text in seen.complaints if "error" in text.lower()]
