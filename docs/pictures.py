"""Write docs/images/report*.webp: what a browser shows of a study's report.

python docs/pictures.py studies/beauty
(from the project's folder, with a Chromium; the study with its holdout judged)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser import Browser, open_browser
from tuner.reporting.html import gather, page

IMAGES = Path(__file__).with_name("images")
WIDTH, PHONE = 1160, 390


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        report = Path(name) / "report.html"
        report.write_text(page(gather(folder)), encoding="utf-8")
        browser.open(report.as_uri())
        browser.run("drawn")
        browser.picture(IMAGES / "report.webp", box=(60, 0, WIDTH, 1560))
        let_the_bar_go(browser)
        search = int(browser.run("document.getElementById('search').getBoundingClientRect().top + scrollY"))
        browser.picture(IMAGES / "report-search.webp", box=(60, search - 16, WIDTH, 900))
        browser.open(report.as_uri(), width=PHONE, dark=True)
        browser.run("drawn")
        let_the_bar_go(browser)
        browser.picture(IMAGES / "report-phone.webp", box=(0, 0, PHONE, 1500))


def let_the_bar_go(browser: Browser) -> None:
    """Let the bar that stays at the top of a window stay at the top of the page."""
    browser.run("document.querySelector('.top').style.position = 'static'")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
