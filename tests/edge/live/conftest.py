"""The browser that the tests of the live page share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import DESK, Look

from vedette.edge.live.page import LivePage

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is not installed (Debian's package 'chromium')")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Any) -> Iterator[Callable[..., Look]]:
    looks: list[Look] = []

    def open_page(page: LivePage, size: dict[str, int] = DESK, **context: Any) -> Look:
        looks.append(Look(chromium, page.url, size, **context))
        return looks[-1]

    yield open_page
    for one in looks:
        one.close()
