"""Write docs/images/report*.webp: what a browser shows of a study's report.

PYTHONPATH=. python docs/pictures.py examples/studies/guide
(from the project's folder, with a Chromium; examples/guide.ipynb makes the study, and judges its holdout)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser import Browser, open_browser
from tuner.reporting.html import gather, page

IMAGES = Path(__file__).with_name("images")
WIDTH, PHONE = 1160, 390
#: Height of the window. Cells that stay in sight are drawn badly in pictures of what is below it.
HEIGHT = 1600


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        report = Path(name) / "report.html"
        report.write_text(page(gather(folder)), encoding="utf-8")
        browser.open(report.as_uri(), height=HEIGHT)
        browser.run("drawn")
        browser.picture(IMAGES / "report.webp", box=(60, 0, WIDTH, min(1560, top_of(browser, "folds") - 16)))
        let_the_bar_go(browser)
        search = top_of(browser, "search")
        height = min(1100, top_of(browser, "params") - search)
        browser.picture(IMAGES / "report-search.webp", box=(60, search - 16, WIDTH, height))
        browser.open(report.as_uri(), width=PHONE, height=HEIGHT, dark=True)
        browser.run("drawn")
        let_the_bar_go(browser)
        browser.picture(IMAGES / "report-phone.webp", box=(0, 0, PHONE, 1500))


def top_of(browser: Browser, section: str) -> int:
    """Return the place of a section of the page, in pixels from its top."""
    return int(browser.run(f"document.getElementById('{section}').getBoundingClientRect().top + scrollY"))


def let_the_bar_go(browser: Browser) -> None:
    """Let the bar that stays at the top of a window stay at the top of the page."""
    browser.run("document.querySelector('.top').style.position = 'static'")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
