"""A real browser without a window, for tests of pages; skipped in one line where there is none."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest


@contextmanager
def opened(path, width=1400, height=900):
    """A page in headless Chromium, and what its console said: (page, messages).  Nothing may be fetched."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    options = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=options)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(120_000)
            messages, fetched = [], []
            page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: messages.append(str(error)))
            page.on("request", lambda request: fetched.append(request.url))
            page.goto(path.absolute().as_uri())
            yield page, messages
            away = [url for url in fetched if not url.startswith(("file:", "data:", "blob:"))]
            assert not away, away
        finally:
            browser.close()
