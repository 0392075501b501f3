"""Draw docs/page.png again: ``python docs/page_picture.py``, with Chromium and Playwright."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browsing import FLAGS, served  # noqa: E402

# Stop while some agents have not posted yet, and wait for the fit of the steps so far.
SOON = "/have shared this news after [5-9] steps/.test(document.body.innerText)"
FITTED = "/up to step [5-9]/.test(document.body.innerText)"


def main() -> None:
    """Open the page, stop it early, and take its picture."""
    log = Path(tempfile.mkdtemp()) / "log"
    with sync_playwright() as running, served("app.py", log) as address:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        page.goto(address)
        page.get_by_label("Who decides").select_option(label="law: FirstRepeat")
        page.wait_for_function(SOON, timeout=120_000)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.wait_for_function(FITTED, timeout=120_000)
        page.locator(".spread-chart summary").click()
        page.screenshot(path=ROOT / "docs" / "page.png")


if __name__ == "__main__":
    main()
