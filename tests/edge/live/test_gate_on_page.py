"""What the live page says of a camera's gate, in the status and in headless Chromium."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from live_wall import camera_status, status
from looking import Look, wait_until

from vedette.contracts.status import GateState
from vedette.edge.live.page import LivePage

NOTE = "no signal: packet sizes do not tell movement from noise, keyframes decide"


def test_the_status_holds_state_note_and_savings() -> None:
    camera = replace(camera_status("yard"), gate=GateState.SHUT, gate_note=NOTE, gated=870, gated_slots=150)
    document: dict[str, Any] = camera.to_json()
    assert document["gate"] == {"state": "shut", "note": NOTE, "gated": 870, "gated_slots": 150}
    assert camera_status("yard").to_json()["gate"]["state"] == "off"


@pytest.mark.needs_browser
@pytest.mark.needs_server
def test_a_still_camera_says_so_and_how_much_was_not_decoded(look: Callable[..., Look]) -> None:
    still = replace(camera_status("yard"), gate=GateState.SHUT, gate_note=NOTE, gated=8100)
    with LivePage(port=0, status=status(still, camera_status("door"))) as page:
        seen = look(page)
        wait_until(seen, lambda: seen.texts(".tile h3") == ["yard", "door"])
        first, second = seen.texts(".tile")
        assert "still" in first
        assert "90 %" in " ".join(seen.texts(".tile:first-child .figures div"))
        assert "still" not in second
        assert "not decoded" not in second
        titles = seen.tab.locator(".tile:first-child [title]").evaluate_all("all => all.map(one => one.title)")
        assert NOTE in titles
        assert [text for text in seen.complaints if "error" in text.lower()] == []
