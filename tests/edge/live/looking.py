"""One tab of headless Chromium: what a person sees of the live page, and what the page asked for and complained of."""

import time
from collections.abc import Callable
from typing import Any

DESK, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


class Look:
    """One browser tab that remembers what it asked for and what it complained of."""

    def __init__(self, browser: Any, url: str, size: dict[str, int], **context: Any) -> None:
        self.context = browser.new_context(viewport=size, **context)
        self.tab = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.goto(url)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.tab.locator(selector).all_inner_texts()]

    def serials(self) -> dict[str, int]:
        """Of each tile, the serial of the picture on it; 0 before the first."""
        script = """() => [...document.querySelectorAll('.tile')].map(
            tile => [tile.dataset.camera, +tile.querySelector('canvas').dataset.serial || 0])"""
        return dict(self.tab.evaluate(script))

    def pixel(self, camera: str, x: float, y: float) -> list[int]:
        """RGB of a tile's canvas at fractions of its width and height."""
        script = """([camera, x, y]) => {
            const tile = [...document.querySelectorAll('.tile')].find(tile => tile.dataset.camera === camera);
            const canvas = tile.querySelector('canvas');
            const at = [Math.round(canvas.width * x), Math.round(canvas.height * y), 1, 1];
            return [...canvas.getContext('2d').getImageData(...at).data].slice(0, 3);
        }"""
        found: list[int] = self.tab.evaluate(script, [camera, x, y])
        return found

    def close(self) -> None:
        self.context.close()


def wait_until(look: Look, condition: Callable[[], bool], within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        look.tab.wait_for_timeout(50)
