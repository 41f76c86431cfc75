"""Counts over time, heat and the times of stages beside a camera, in headless Chromium."""

import numpy as np
import pytest
from live_wall import DrawnPicture, camera_status, stamp, status, tracks
from looking import DESK, PHONE, wait_until

from vedette.edge.live.page import LivePage

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_server]
BUSY = {"decoding": 0.2, "inference": 0.93, "results": 0.03}


class DrawnInsight:
    """An `Insight` of made-up figures: all objects stood in the cell at three quarters of the picture, both ways."""

    def timing(self):
        means = {"decoding": 4.0, "waiting": 31.4, "inference": 22.7, "tracking": 0.41, "events": 0.06}
        stages = [{"name": name, "mean_ms": mean, "p95_ms": None} for name, mean in means.items()]
        return {"stages": stages, "busy": BUSY, "bottleneck": "Inference is the bottleneck: busy 93 % of the time."}

    def history(self, camera, hours):
        if camera != "north":
            return None
        begins = [f"2026-11-22T{hour:02d}:00+00:00" for hour in range(24)]
        counts = [{"name": "gate a→b", "counts": list(range(24))}, {"name": "<b>", "counts": [1] * 24}]
        return {"by": "hour", "step_s": 3600, "begins": begins[: min(hours, 24)], "series": counts, "kept": True}

    def heat(self, camera, hours):
        cells = np.zeros((4, 4))
        cells[3, 3] = 3600.0 * hours
        return {"rows": 4, "columns": 4, "seconds": cells.ravel().tolist()}

    def figures(self):
        raise NotImplementedError


@pytest.mark.parametrize("size", [DESK, pytest.param(PHONE, marks=pytest.mark.slow)])
def test_beside_a_camera_stand_its_counts_its_heat_and_what_takes_the_time(look, size):
    with LivePage(port=0, status=status(camera_status("north"), camera_status("south"))) as page:
        page.set_insight(DrawnInsight())
        page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
        seen = look(page, size)
        seen.tab.locator("[data-camera=north] .closely").click()
        seen.tab.locator(".stages-ms div").first.wait_for()
        assert seen.texts(".verdict") == ["Inference is the bottleneck: busy 93 % of the time."]
        assert " ".join(seen.texts(".stages-ms .ms")[2].split()) == "22.7 ms · busy 93 %"
        assert seen.texts(".legend li") == ["gate a→b276", "<b>24"]
        inked = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value > 200)"
        assert seen.tab.locator(".bars").evaluate(inked)
        assert seen.tab.locator(".heat").count() == 0
        seen.tab.locator(".insight input[type=checkbox]").check()
        assert "60 min" in " ".join(seen.texts(".insight .quiet"))
        opacity = """(canvas, [x, y]) => canvas.getContext('2d').getImageData(
            Math.round(canvas.width * x), Math.round(canvas.height * y), 1, 1).data[3]"""
        heat = seen.tab.locator(".heat")
        assert heat.evaluate(opacity, [0.9, 0.9]) > 100 and heat.evaluate(opacity, [0.2, 0.2]) == 0
        seen.tab.locator("[aria-label='Over how long']").select_option("6")
        wait_until(seen, lambda: "6.0 h" in " ".join(seen.texts(".insight .quiet")))
        assert seen.tab.evaluate("document.documentElement.scrollWidth") == size["width"]
        seen.tab.locator(".back").click()
        wait_until(seen, lambda: seen.texts(".tile:visible h3") == ["north", "south"])
        assert seen.tab.locator(".heat").count() == 0
        seen.tab.go_back()
        seen.tab.locator(".legend li").first.wait_for()
        assert [line for line in seen.complaints if "getImageData" not in line] == []
