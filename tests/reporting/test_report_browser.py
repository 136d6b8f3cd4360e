"""The report in a real browser, at the width of a desk and of a phone, in light and in dark."""

from __future__ import annotations

import pytest

from benchmarks.made_study import make_study
from tests.browser import chromium, open_browser
from tests.reporting.test_report import ATTRIBUTE, HOSTILE
from tuner.reporting.html import gather, page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs a Chromium"),
]
WIDTHS = {"desk": (1280, False), "phone": (390, True)}
#: Boxes of the drawings in sight, and texts that reach beyond the page.
BOXES = """[...document.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect())
    .filter(box => box.width > 0).map(box => [box.width, box.height, box.right])"""
WIDE_TEXTS = """[...document.querySelectorAll("figure svg text")].map(text => text.getBoundingClientRect())
    .filter(box => box.width > 0 && box.right > document.documentElement.clientWidth).length"""


@pytest.fixture(scope="module")
def browser():
    with open_browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of a study with hostile names."""
    folder = tmp_path_factory.mktemp("studies") / "made"
    named = {"sasrec": 0.049, "popular": 0.02, HOSTILE: 0.03, ATTRIBUTE: 0.025}
    make_study(folder, 60, name=f"shop {HOSTILE}", baselines=named, further={"Serendipity@10": "maximize"})
    path = folder / "report.html"
    path.write_text(page(gather(folder)), encoding="utf-8")
    return path.as_uri()


def open_drawn(browser, address, **screen):
    """Open the page and wait until it has drawn its figures."""
    browser.open(address, **screen)
    browser.run("drawn")


@pytest.mark.parametrize("screen", WIDTHS)
def test_the_page_is_whole_quiet_and_fits(browser, address, screen):
    width, dark = WIDTHS[screen]
    open_drawn(browser, address, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    boxes = browser.run(BOXES)
    assert len(boxes) >= 13
    assert all(across > 8 and high > 8 and right <= width for across, high, right in boxes)
    assert browser.run(WIDE_TEXTS) == 0
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 19, 24)" if dark else "rgb(246, 247, 249)")
    assert browser.run("window.hacked === undefined")
    assert browser.complaints() == []
    assert browser.requests() == [address]


def test_the_leaderboard_sorts_filters_and_unfolds(browser, address):
    browser.open(address)
    values = "[...board.tBodies].filter(one => !one.hidden).map(one => one.rows[0].cells[3].dataset.v)"
    browser.run("board.tHead.rows[0].cells[3].click()")
    down = [float(value) for value in browser.run(values) if value]
    assert down == sorted(down, reverse=True)
    assert len(down) > 20
    browser.run("board.tHead.rows[0].cells[3].click()")
    assert [float(value) for value in browser.run(values) if value] == sorted(down)
    browser.run("document.querySelector('.kinds [data-kind=baseline]').click()")
    assert len(browser.run(values)) == 4
    browser.run("filter = document.getElementById('filter'); filter.value = 'sasrec'")
    browser.run("filter.dispatchEvent(new Event('input'))")
    assert len(browser.run(values)) == 1
    assert browser.run("document.getElementById('shown').textContent") == "1 of 64 rows"
    browser.run("board.querySelector('tbody:not([hidden]) button.open').click()")
    assert browser.run("board.querySelector('tr.more.on').getBoundingClientRect().height") > 20
    assert browser.complaints() == []


def test_any_two_metrics_are_drawn_against_each_other(browser, address):
    open_drawn(browser, address)
    labels = "[...document.querySelectorAll('#explorer-plot text')].map(text => text.textContent)"
    assert {"NDCG@10", "Serendipity@10", "sasrec", "popular"} <= set(browser.run(labels)), "points have names"
    before = browser.run("document.querySelectorAll('#explorer-plot [data-t]').length")
    chosen = "[...select.options].findIndex(one => one.text === 'Intersection@10_popular')"
    browser.run(f"select = document.getElementById('x-metric'); select.selectedIndex = {chosen}")
    changed = "new Promise(done => new MutationObserver(done).observe(plot, {childList: true}))"
    browser.run("plot = document.getElementById('explorer-plot')")
    browser.run(f"(changes = {changed}, select.dispatchEvent(new Event('change')), changes)")
    assert "Intersection@10_popular" in browser.run(labels)
    assert browser.run("document.querySelectorAll('#explorer-plot [data-t]').length") == before > 20


def test_one_trial_is_marked_in_all_figures_and_told(browser, address):
    open_drawn(browser, address)
    browser.run(
        "mark = document.querySelector('#figure-folds [data-t]');"
        "mark.dispatchEvent(new PointerEvent('pointerover', {bubbles: true, clientX: 5, clientY: 5}))"
    )
    assert browser.run("document.getElementById('tip').hidden") is False
    assert "#" in browser.run("document.getElementById('tip').textContent")
    assert (
        browser.run(
            "new Set([...document.querySelectorAll('.on')].map(one => one.closest('figure').id)).size"
        )
        > 4
    )


def test_without_scripts_everything_but_the_tools_is_there(browser, address):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(address)
        assert browser.run("getComputedStyle(document.getElementById('explorer')).display") == "none"
        assert browser.run("getComputedStyle(document.querySelector('tr.more')).display") == "table-row"
        shown = browser.run("document.querySelector('#figure-parallel').innerText")
        assert "This figure needs JavaScript" in shown
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
