"""The live panels in Chromium: as the documentation site has them, opened from a file without a network, and in JupyterLab."""
from pathlib import Path

import pytest
from conftest import bare_page, fits_and_can_be_read

from tools.lab import CHROMIUM, ROOT, jupyterlab, open_notebook, write_notebook

pytestmark = [pytest.mark.browser,
              pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]
PICTURES = ROOT / "build" / "screenshots"
PANELS = "LossPanel", "MaskingPanel", "SchedulePanel", "CrowdingPanel", "FillPanel", "GapPanel", "SizingPanel"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    "A folder with a page for each panel, made from what a notebook's output says, as the site makes its pages."
    from tools.site.chapters import live_panel
    folder = tmp_path_factory.mktemp("pages")
    for name in PANELS:
        (folder / f"{name}.html").write_text(bare_page(name, live_panel(f"{name}: run this cell in JupyterLab to use it")), encoding="utf-8")
    return folder


@pytest.fixture
def show(offline, home):
    "A function that opens the page of a panel, offline."
    return lambda name, **looks: offline(home, f"{name}.html", ".tofy-live", **looks)


def middle(page, css: str) -> tuple[float, float]:
    page.locator(css).first.scroll_into_view_if_needed()
    box = page.locator(css).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, begin, end) -> None:
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()


def test_the_prediction_is_dragged_onto_its_answer(show):
    "By mouse and by keyboard; at the answer nothing of the direction pulls any more."
    page = show("LossPanel")
    svg = page.locator("svg.circle")
    pull = page.locator("[data-pull=mse]")
    assert pull.inner_text() == "1.732"
    x, y = middle(page, "svg.circle")
    far = svg.bounding_box()["width"] * 100 / 304
    drag(page, (x + .17 * far, y - .98 * far), (x + .94 * far, y - .342 * far))          # from 80° to 20°
    assert svg.get_attribute("aria-valuenow") == "20" and pull.inner_text() == "0.000"
    assert "nearest word: cat" in page.locator(".said").inner_text()
    svg.focus()
    page.keyboard.press("ArrowLeft")
    assert svg.get_attribute("aria-valuenow") == "21" and page.locator("[data-knob=angle]").input_value() == "21"
    wide = page.locator("[data-knob=angle]").bounding_box()["width"]
    assert wide > .9 * page.locator(".tofy-live").bounding_box()["width"]                # a track as wide as the page
    page.locator("[data-knob=mse]").fill("0")
    assert page.locator("[data-pull=mse]").inner_text() == "0.000"


def test_masking_and_the_schedule_answer_their_knobs(show):
    page = show("MaskingPanel")
    here = page.locator("[data-row=here] td").first
    few = int(here.inner_text())
    page.locator("[data-knob=rate]").fill("1")
    assert int(here.inner_text()) > 2 * few
    page.locator("[data-knob=mode]").select_option("one")
    assert here.inner_text() == "4" and page.locator("[data-knob=rate]").is_disabled()
    before = page.locator(".phrases").inner_text()
    page.get_by_role("button", name="Other phrases").click()
    assert page.locator(".phrases").inner_text() != before
    page.locator("[data-knob=low]").fill("0.95")
    assert page.locator("[data-knob=high]").input_value() == "0.95"                      # no handle passes the other
    page = show("SchedulePanel")
    x, y = middle(page, "svg")
    drag(page, (x, y), (x - 250, y))
    assert "flat" in page.locator(".said").inner_text()
    page.locator("[data-knob=warmup]").fill("1")
    assert "climbing" in page.locator(".said").inner_text()


def test_the_film_plays_and_a_word_is_found(show):
    page = show("CrowdingPanel")
    maps = page.locator("canvas")
    assert maps.count() == 2 and "step 0" in maps.first.get_attribute("aria-label")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("""() => document.querySelector('.tofy-live-panel').shadowRoot.querySelectorAll('canvas')[0].getAttribute('aria-label').includes('step 1000')""")
    page.get_by_role("button", name="Pause").click()
    page.locator("[data-do=find]").fill("lisb")
    page.locator("[data-do=find]").press("Enter")
    assert "lisbon is marked" in maps.first.get_attribute("aria-label") and "distance on the map" in page.locator(".near").inner_text()
    page.locator("[data-do=seek]").fill("1")
    assert "cosine" in page.locator(".near").inner_text() and "step 2400" in maps.first.get_attribute("aria-label")
    assert "effective rank" in page.locator(".figures").inner_text()
    places = page.get_by_role("button", name="places")
    places.click()
    assert places.get_attribute("aria-pressed") == "true"
    box = maps.first.bounding_box()
    maps.first.click(position=dict(x=box["width"] / 2, y=box["height"] / 2))
    still = show("CrowdingPanel", reduced_motion="reduce")
    still.get_by_role("button", name="Play").click()
    assert "step 2400" in still.locator("canvas").first.get_attribute("aria-label")


def test_a_word_is_dragged_out(show):
    "The blank moves, its arcs and answers follow; the arcs stand above the words, in view without scrolling."
    page = show("FillPanel")
    assert page.locator("svg.over").bounding_box()["y"] < 700 and "looks" in page.locator("svg.over").get_attribute("aria-label")
    assert page.locator("svg.over path").count() > 5
    word, gap = page.locator(".word").nth(2), page.locator(".word[data-blank]")
    name, before = word.inner_text(), gap.get_attribute("data-place")
    x, y = middle(page, ".word[data-place='2']")
    drag(page, (x, y), (x + 5, y + 10))                                                  # not far enough
    assert gap.get_attribute("data-place") == before
    drag(page, (x, y), (x + 10, y + 90))
    assert gap.get_attribute("data-place") == "2" and name in page.locator(".said").inner_text()
    assert "number" in page.locator(".answers").inner_text()
    page.locator("[data-knob=beside]").select_option("collapsed")
    assert page.locator(".answers .card").count() == 2 and page.locator("svg.under").is_visible()
    gap.press("Enter")                                                                   # by keyboard: the word is put back
    assert gap.count() == 0 and "drag one out" in page.locator(".said").inner_text()


def test_the_number_of_candidates_is_moved(show):
    "By slider and by keyboard; at all words the curve is the ordinary figure, and a broken way costs what it costs."
    page = show("GapPanel")
    said = page.locator(".said")
    assert "among 33 candidates" in said.inner_text()
    page.locator("[data-knob=k]").focus()
    page.keyboard.press("End")
    assert "among 1,146 candidates" in said.inner_text()
    before = page.locator(".bars").inner_text()
    page.locator("[data-way]").first.click()
    assert page.locator(".bars").inner_text() != before and page.locator("[data-way]").first.get_attribute("aria-pressed") == "true"


def test_the_largest_part_is_seen_and_follows_the_sliders(show):
    "A small batch makes the model's own parts the largest; a large one asks for more than a laptop's card."
    page = show("SizingPanel")
    said, best = page.locator(".telling"), page.locator("[data-bar='0'].largest")
    first = page.locator("[data-bar='0']")
    widths = {first.nth(i).get_attribute("data-part"): float(first.nth(i).get_attribute("width")) for i in range(first.count())}
    assert best.get_attribute("data-part") == max(widths, key=widths.get) == "activations" and "of 116 MB" in page.locator(".headline").text_content()
    assert "The largest part, 59%: activations" in said.inner_text() and page.locator("[data-count=all]").inner_text() == "556,609"
    assert "8 GB" not in page.locator(".sizes svg").text_content()
    batch, dim = page.locator("[data-knob=batch]"), page.locator("[data-knob=dim]")
    batch.focus()
    page.keyboard.press("ArrowRight")                                                    # from auto to 8
    dim.fill("512")
    assert best.get_attribute("data-part") in ("weights", "gradients", "moments") and "a smaller batch does not help" in said.inner_text()
    before = page.locator("[data-row='parameters an example'] td").inner_text()
    page.locator("[data-knob=max_vocab]").fill("0")
    page.locator("[data-knob=max_seq]").fill("0")
    assert "tokens are unknown" in said.inner_text() and "warnings, see below" in page.locator(".sizes svg").text_content()
    assert page.locator("[data-row='parameters an example'] td").inner_text() != before
    assert page.locator("[data-knob=phrases]").is_hidden()
    page.locator("[data-knob=text]").select_option("size")
    page.set_viewport_size(dict(width=390, height=900))
    name, card = page.locator(".headline").bounding_box(), page.locator(".sizes").bounding_box()
    assert card["x"] < name["x"] and name["x"] + name["width"] < card["x"] + card["width"]        # the name of a part at the edge is not cut off
    page.locator("[data-knob=phrases]").fill("6")
    batch.press("End")
    page.locator("[data-knob=max_seq]").press("End")
    assert "8 GB: a laptop’s card" in page.locator(".sizes svg").text_content() and "make --batch smaller first" in said.inner_text()
    assert page.locator("[data-row='phrases to train on'] td").inner_text() == "1,000,000"


@pytest.mark.parametrize("name", PANELS)
def test_it_fits_and_can_be_read(show, name):
    "No sideways scrolling at 390 pixels, in the dark; names, contrasts and roles as axe wants them, in both themes; pictures to look at."
    for width, scheme in ((390, "dark"), (1100, "light")):
        page = show(name, width=width, color_scheme=scheme, reduced_motion="reduce")
        fits_and_can_be_read(page, ".tofy-live-panel", name)


@pytest.mark.slow   # JupyterLab as a home of widgets: test_playground_browser
def test_jupyterlab_shows_the_same_and_python_hears_the_knobs(browser, tmp_path):
    "One page: a knob reaches Python, Python moves a knob, a dragged word asks the model, another run is read."
    write_notebook(tmp_path / "one.ipynb", "from tofy.panels import CrowdingPanel, FillPanel, LossPanel\nloss = LossPanel()\nloss",
                   "loss.turn(negatives=7)", "fill = FillPanel()\nfill", "CrowdingPanel()", "from tofy.panels import SizingPanel\nsize = SizingPanel('builtin:300')\nsize", "size.turn(layers=3)")
    with jupyterlab(tmp_path) as address:
        page = open_notebook(browser, address, "one.ipynb")
        page.locator(".tofy-loss [data-knob=negatives]").wait_for()
        page.wait_for_function("document.querySelector('.tofy-loss div').shadowRoot?.querySelector('[data-knob=negatives]').value === '7'")
        page.locator(".tofy-fill .word").first.wait_for()
        page.locator(".tofy-fill .word").nth(1).scroll_into_view_if_needed()
        name = page.locator(".tofy-fill .word").nth(1).inner_text()
        page.locator(".tofy-fill .word").nth(1).click()
        page.wait_for_function("name => document.querySelector('.tofy-fill-phrase input').value.endsWith('=> ' + name)", arg=name)
        page.locator(".tofy-crowding canvas").first.wait_for()
        page.locator(".tofy-crowding [data-knob=run]").select_option("ready-made: crowded")
        page.locator(".tofy-crowding .title", has_text="crowded").wait_for()
        size = page.locator(".tofy-sizing")
        size.locator("tr", has_text="dim 128, 3 layers").wait_for(state="attached")           # Python's report, after its own move
        size.locator("[data-knob=dim]").fill("64")
        size.locator("tr", has_text="dim 64, 3 layers").wait_for(state="attached")
        size.get_by_role("button", name="try two seconds").click()
        size.locator(".run tr", has_text="ms a step").wait_for()
        assert size.get_by_role("button", name="try two seconds").is_enabled()
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "panels-lab.png")
        size.screenshot(path=PICTURES / "sizing-lab.png")
        assert not page.locator('[role="alert"]:visible').count()
        page.close()
