"""The page in a real browser, without a screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.paths import DATA_VARIABLE

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser until the block ends; without one the test is skipped."""
    if CHROMIUM is None:
        pytest.skip(f"chromium is not installed (a failure where {DATA_VARIABLE} is set)")
    with sync_playwright() as playwright:
        # Chromium wants no root without this, and tests in containers often are.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page whose errors, and requests to other servers, are kept.

    Args:
        browser: the browser.
        address: the server's, `HOST:PORT`.
        options: the browser context's: viewport, color_scheme, ...
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page: Page = browser.new_context(**options).new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)

    def open(self, fragment: str = "") -> Page:
        """Show the page with a view, and wait for a book."""
        self.page.goto(f"http://{self.address}/{fragment}")
        self.page.wait_for_selector("#ladder tbody tr")
        return self.page

    def _on_console(self, message: Any) -> None:
        # A response that is a problem is logged by the browser too; the page shows it.
        if message.type == "error" and "status of" not in message.text:
            self.errors.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((f"http://{self.address}/", "data:")):
            self.foreign.append(request.url)
