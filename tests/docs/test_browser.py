"""Every page in a real browser, from the folder it was built into: wide and narrow, light and dark.

Looked for: messages of the console, requests that fail or go elsewhere, text that runs out of the page, text that can
hardly be read against its background. Where there is no Chromium the tests say that they were skipped.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from minilinear.figures import Picture, scrubber
from tests.docs.test_site import site  # noqa: F401

playwright = pytest.importorskip("playwright.sync_api", reason="the browser needs the docs extra")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.docs,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
PARTS = 4  # as many tests, for as many browsers
SCHEMES = ("default", "slate")
OVERFLOWING, FAINT = (Path(__file__).with_name(name).read_text("utf-8") for name in ("overflow.js", "contrast.js"))


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as run:
        flags = ["--no-sandbox", "--allow-file-access-from-files", "--disable-gpu"]  # root has no sandbox
        opened = run.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


def look(page, path: Path, here: str) -> Iterator[str]:
    """What is wrong with a page as it is seen, wide and narrow, light and dark."""
    page.goto(path.as_uri(), wait_until="load")
    page.add_style_tag(content="* { transition: none !important; }")  # colours on their way are no colours
    for device, size in SIZES.items():
        page.set_viewport_size(size)
        if page.evaluate(OVERFLOWING):
            page.wait_for_timeout(300)  # a sidebar may be on its way
            if runs_out := page.evaluate(OVERFLOWING):
                yield f"{here} ({device}): runs out of the page: {runs_out}"
        for scheme in SCHEMES:
            page.evaluate("scheme => document.body.setAttribute('data-md-color-scheme', scheme)", scheme)
            yield from (f"{here} ({device}, {scheme}): {what} {n}" for what, n in page.evaluate(FAINT).items())


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_right_on_a_phone_and_a_desk_in_the_light_and_in_the_dark(browser, site, part):  # noqa: F811
    page = browser.new_page()
    wrong: list[str] = []
    here = ""

    def asked(request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            wrong.append(f"{here}: asks {request.url}")

    def said(message) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"{here}: console {message.type}: {message.text}")

    def failed(request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the next page was opened while an icon was still on its way
            wrong.append(f"{here}: {request.failure}: {request.url}")

    page.on("request", asked)
    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(f"{here}: {error}"))
    page.on("requestfailed", failed)
    paths = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"][part::PARTS]  # 404: on a server
    assert len(paths) > 10
    for path in paths:
        here = path.relative_to(site).as_posix()
        wrong += look(page, path, here)
    page.close()
    assert not wrong, f"{len(wrong)} findings\n" + "\n".join(wrong[:80])


def test_search_finds_the_delta_rule_without_a_server(browser, site):  # noqa: F811
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").click()
    page.keyboard.type("delta rule")
    page.wait_for_selector(".md-search-result__item", timeout=20_000)
    found = page.locator(".md-search-result__item a").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    assert any("10-delta-rule.html" in link for link in found), found
    page.close()


def test_a_slider_shows_one_frame_at_a_time(browser, site):  # noqa: F811
    page = browser.new_page()
    page.goto((site / "learn" / "00-state.html").as_uri())
    slider = page.locator(".ml-scrubber input").first
    frames = page.locator(".ml-scrubber").first.locator(".ml-frame")
    visible = lambda: [frames.nth(i).is_visible() for i in range(frames.count())]
    assert visible() == [True] + [False] * (frames.count() - 1)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert visible().index(True) == 1 and sum(visible()) == 1
    page.close()


def test_a_slider_works_in_a_notebook(browser, tmp_path):
    """Its output is put into a page that knows nothing of the book."""
    frames = [Picture(f'<svg viewBox="0 0 9 9"><text y="9">{t}</text></svg>', f"{t}") for t in range(3)]
    (tmp_path / "cell.html").write_text(scrubber(frames, label="t")._repr_html_() * 2, "utf-8")  # two cells
    page = browser.new_page()
    page.goto((tmp_path / "cell.html").as_uri())
    assert page.locator("input[type=range]").count() == 2
    page.locator("input").last.focus()
    page.keyboard.press("End")
    shown = page.locator(".ml-frame")
    assert [shown.nth(i).is_visible() for i in range(6)] == [True, False, False, False, False, True]
    page.close()


def test_without_script_every_frame_of_a_slider_is_there(browser, site):  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "learn" / "00-state.html").as_uri())
    frames = page.locator(".ml-scrubber").first.locator(".ml-frame")
    assert frames.count() > 1 and all(frames.nth(i).is_visible() for i in range(frames.count()))
    context.close()


def test_the_picture_follows_the_scheme(browser, site):  # noqa: F811
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    colours = set()
    for scheme in SCHEMES:
        page.evaluate("scheme => document.body.setAttribute('data-md-color-scheme', scheme)", scheme)
        colours.add(page.evaluate("getComputedStyle(document.querySelector('.ml-figure svg [fill*=ml-S]')).fill"))
    assert len(colours) == 2
    page.close()


def test_the_site_is_small_enough_to_be_copied(site):  # noqa: F811
    size = sum(path.stat().st_size for path in Path(site).rglob("*") if path.is_file())
    assert size < 120e6, f"{size / 1e6:.0f} MB"
