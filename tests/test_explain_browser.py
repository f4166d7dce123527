"""One step in slow motion in Chromium: as the documentation site has it, opened from a file without a network, and in JupyterLab."""
import importlib.util
from pathlib import Path

import pytest
from conftest import bare_page, fits_and_can_be_read

from tofy.one_step import QUESTIONS, RUNS
from tools.lab import CHROMIUM, jupyterlab, open_notebook, write_notebook

pytestmark = [pytest.mark.browser,
              pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    "A folder with two pages that hold the widget as the site's pages do: the ready-made runs, and the five words."
    from tools.site.chapters import step_in_the_page
    folder = tmp_path_factory.mktemp("pages")
    for name, steps in dict(ready=12, toy=1).items():
        text = bare_page("One step in slow motion", f"<h2>Runs</h2>{step_in_the_page(steps)}")
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def show(offline, home):
    "A function that opens a page, offline."
    return lambda name="toy", **looks: offline(home, f"{name}.html", ".stage h3", **looks)


def stage(page) -> str:
    return page.locator(".stage h3").inner_text()


def test_every_stage_of_every_step_opens_forwards_and_back(show):
    page = show("ready")
    assert page.locator("[data-do=choose] option").count() == len(RUNS) * len(QUESTIONS) == 12
    for number in (0, 3, 6, 9):                                          # a phrase of each run
        page.locator("[data-do=choose]").select_option(str(number))
        page.locator("[data-do=open]").select_option(label="ids")
        there, names = page.locator("[data-do=forth]"), []
        while True:
            names.append(stage(page))
            assert page.locator(".numbers td[data-place]").count() and page.locator(".formula").first.inner_text()
            if there.is_disabled():
                break
            there.click()
        assert {"rows", "attention 1", "hidden", "prediction", "cosines", "softmax", "rank", "loss", "gradient of cosines", "move of the table",
                "how far each row moved", "next prediction", "next softmax"} <= set(names) and len(names) == len(set(names)) > 25
        page.locator("[data-do=back]").click()
        assert stage(page) == names[-2]


def test_a_number_leads_to_those_it_comes_from(show):
    page = show()
    page.locator("[data-do=open]").select_option(label="prediction")
    page.locator("td[data-place='2']").click()
    said = page.locator(".trace").inner_text()
    shown = page.locator("td[data-place='2']").inner_text()
    assert f"prediction [3] = {shown}" in said and f"computed again here: {shown}" in said and page.locator(".trace li").count() == 9
    page.locator(".trace li button").first.click()
    assert stage(page) == "hidden" and page.locator("td[aria-current]").count() == 1
    page.locator("[data-do=jump]").get_by_text("state at the blank", exact=True).first.click()
    assert stage(page) == "state at the blank"
    page.locator("[data-do=open]").select_option(label="gradient of table")
    page.locator("td[data-place='30']").click()
    assert "slope" in page.locator(".trace").inner_text()


def test_by_keyboard_and_aloud(show):
    page = show()
    page.locator("[data-do=forth]").focus()
    page.keyboard.press("Enter")
    assert stage(page) == "rows" and page.locator("[role=status]").inner_text().startswith("rows, 2 of")
    page.keyboard.press("ArrowLeft")
    assert stage(page) == "ids"
    page.locator("[data-do=open]").select_option(label="rows")
    page.locator(".numbers").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert "rows [drinks, 2]" in page.locator(".trace").inner_text()
    assert "Heat map of rows: from" in page.locator("canvas").get_attribute("aria-label")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1100])
def test_it_fits_and_can_be_read(show, width, dark):
    "No sideways scrolling; names, contrasts and roles as axe wants them; pictures to look at."
    page = show("ready", width=width, color_scheme="dark" if dark else "light")
    for name in ("attention 2", "softmax", "rows"):
        page.locator("[data-do=open]").select_option(label=name)
        page.locator("td[data-place='1']").click()
        fits_and_can_be_read(page, ".tofy-slow", f"step-{name.replace(' ', '-')}")
    paper = page.evaluate("getComputedStyle(document.querySelector('.tofy-slow').shadowRoot.querySelector('.tofy-step')).backgroundColor")
    assert paper == ("rgb(20, 24, 27)" if dark else "rgb(251, 250, 247)")


@pytest.mark.slow   # JupyterLab as a home of widgets: test_playground_browser
@pytest.mark.skipif(importlib.util.find_spec("anywidget") is None, reason="there is no anywidget here: pip install -e '.[notebooks]'")
def test_jupyterlab_shows_the_same(browser, tmp_path):
    write_notebook(tmp_path / "one.ipynb", 'from tofy.one_step import explain_step, five_words\nexplain_step(five_words(), "cat drinks _ => milk").show()')
    with jupyterlab(tmp_path) as address:
        page = open_notebook(browser, address, "one.ipynb")
        page.wait_for_selector(".stage h3")
        page.locator("[data-do=forth]").click()
        assert stage(page) == "rows"
        page.close()
