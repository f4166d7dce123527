"""The playground in Chromium: as the documentation site has it, opened from a file without a network, and in JupyterLab.

Speed is measured and printed, and nothing is concluded from it.
"""
import importlib.util
import os
import re
from pathlib import Path

import pytest
from conftest import bare_page, fits_and_can_be_read

from tofy.playground import Toy
from tools.lab import CHROMIUM, jupyterlab, open_notebook, write_notebook

pytestmark = [pytest.mark.browser,
              pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    "A folder with two pages that hold the playground as the site's pages do, and nothing else: a chapter, and the home page."
    from tools.site.chapters import in_the_page
    folder = tmp_path_factory.mktemp("pages")
    for name, moving in dict(chapter=False, home=True).items():
        (folder / f"{name}.html").write_text(bare_page("See it move", in_the_page(moving)), encoding="utf-8")
    return folder


@pytest.fixture
def show(offline, home):
    "A function that opens the page, offline."
    return lambda knobs="", name="chapter", **looks: offline(home, f"{name}.html" + (f"#{knobs}" if knobs else ""), ".dial", **looks)


def step(page) -> int:
    return int(re.search(r"\d+", page.locator("[data-at=step]").inner_text())[0])


def dial(page, name: str) -> float:
    return float(page.locator(".dial").filter(has=page.get_by_text(name, exact=True)).locator("b").inner_text())


def picture_of(page) -> str:
    return page.evaluate("document.querySelector('.tofy-playground').shadowRoot.querySelector('canvas').toDataURL()")


def turn(page, **knobs) -> None:
    "Move the real controls, as a hand would."
    for name, value in knobs.items():
        control = page.locator(f"[data-knob={name}]")
        if isinstance(value, bool):
            control.set_checked(value)
        elif control.evaluate("node => node.tagName") == "SELECT":
            control.select_option(str(value))
        else:
            control.fill(str(value))


def preset(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def play(page) -> None:
    if page.locator("[data-do=play]").inner_text() == "Play":
        page.locator("[data-do=play]").click()


# ---- time

def test_it_plays_pauses_steps_rewinds_and_goes_on_the_same(show):
    page = show()
    assert step(page) == 0 and not page.locator(".tasks .done").count()
    still = picture_of(page)
    page.locator("[data-do=step]").click()
    assert step(page) == 1 and picture_of(page) != still
    page.locator("[data-do=speed]").select_option("20")
    play(page)
    page.wait_for_function("() => parseInt(document.querySelector('.tofy-playground').shadowRoot.querySelector('[data-at=step]').textContent.slice(5)) > 300")
    page.locator("[data-do=play]").click()
    end, top1 = step(page), dial(page, "top-1")
    page.wait_for_timeout(300)
    assert step(page) == end and top1 > .3
    page.locator("[data-do=seek]").fill("100")
    between = step(page)
    assert 0 < between < end and dial(page, "top-1") != top1
    page.locator("[data-do=rewind]").click()
    assert step(page) == 0 and picture_of(page) == still
    page.locator("[data-do=reset]").click()
    assert step(page) == 0 and picture_of(page) == still


def test_a_link_shows_the_same_film(show):
    page = show()
    turn(page, seed=4, dim=3)
    for _ in range(5):
        page.locator("[data-do=step]").click()
    page.locator("[data-do=link]").click()
    link = page.url.split("#")[1]
    assert {*link.split("&")} == {"seed=4", "dim=3", "step=5"}
    again = show(link)
    assert step(again) == 5 and picture_of(again) == picture_of(page) and again.locator("[data-knob=dim]").input_value() == "3"


def test_rewinding_takes_the_knobs_back(show):
    page = show()
    page.locator("[data-do=step]").click()
    turn(page, copy="stopped")
    page.locator("[data-do=step]").click()
    page.locator("[data-do=seek]").fill("1")
    assert page.locator("[data-knob=copy]").input_value() == "shared"


def test_collapse_is_seen(show):
    "The preset, played: all is one, the loss is nothing, and the words of the page say so."
    page = show(reduced_motion="reduce")
    preset(page, "collapse")
    page.locator("[data-do=play]").click()
    page.locator("[data-do=play]").click()
    assert dial(page, "alike") > .98 and dial(page, "loss: direction") < .01 and step(page) == 600
    assert "collapsed" in page.locator("canvas.words").get_attribute("aria-label")


def test_the_home_page_moves_by_itself_and_a_touch_ends_that(show):
    page = show(name="home")
    page.wait_for_function("() => parseInt(document.querySelector('.tofy-playground').shadowRoot.querySelector('[data-at=step]').textContent.slice(5)) > 20")
    assert page.locator("[data-do=play]").inner_text() == "Pause"
    page.locator("[data-do=play]").click()
    end = step(page)
    page.wait_for_timeout(300)
    assert step(page) == end
    still = show(name="home", reduced_motion="reduce")
    still.wait_for_timeout(300)
    assert step(still) == 0


def test_a_story_is_told_in_words(show):
    "Choosing a preset plays it, and a sentence says what has come of it, beside what guessing would give."
    page = show()
    verdict = page.locator("[data-at=verdict]")
    assert "Before the first step" in verdict.inner_text() and page.locator(".formulas[open] dl").is_visible()
    page.locator("[data-do=speed]").select_option("20")
    preset(page, "collapse")
    page.locator("[data-state=dead]").filter(has_text="Collapsed. All words point the same way").filter(has_text="the model is useless").wait_for()
    assert "the commonest word" in verdict.inner_text()


# ---- for everybody

def test_without_motion_there_are_stills(show):
    page = show(reduced_motion="reduce")
    page.locator("[data-do=play]").click()
    assert step(page) == 300 and page.locator("[data-do=play]").inner_text() == "Play"
    page.wait_for_timeout(300)
    assert step(page) == 300


def test_by_keyboard_and_by_touch(show):
    page = show(has_touch=True)
    page.locator("canvas.words").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-do=blank]").input_value() == "2" and "cat" in page.locator("[data-at=phrase]").inner_text()
    page.locator("[data-knob=temperature]").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-value=temperature]").inner_text() == "0.21"
    spot = page.evaluate("""() => { const canvas = document.querySelector('.tofy-playground').shadowRoot.querySelector('canvas');
                                    canvas.scrollIntoView({block: 'center'});      // what is off the screen cannot be touched
                                    const box = canvas.getBoundingClientRect();
                                    return [box.x, box.y, box.width, box.height] }""")
    before = {page.locator("[data-do=blank]").input_value()}
    for i in range(24):                                              # around the circle: each touch picks the word that is there
        import math
        x, y = math.cos(i * math.pi / 12), math.sin(i * math.pi / 12)
        page.touchscreen.tap(spot[0] + spot[2] * (.5 + .38 * x), spot[1] + spot[3] * (.5 - .38 * y))
        before.add(page.locator("[data-do=blank]").input_value())
    assert len(before) > 4


def test_a_globe_is_turned_by_dragging(show):
    page = show("dim=3&words=30")
    before, box = picture_of(page), page.locator("canvas.words").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 220, box["y"] + 220, steps=4)
    page.mouse.up()
    assert picture_of(page) != before


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1100])
def test_it_fits_and_can_be_read(show, width, dark):
    "No sideways scrolling; names, contrasts and roles as axe wants them; a picture to look at."
    page = show(width=width, color_scheme="dark" if dark else "light")
    paper = page.evaluate("getComputedStyle(document.querySelector('.tofy-playground').shadowRoot.querySelector('.tofy-play')).backgroundColor")
    assert paper == ("rgb(20, 24, 27)" if dark else "rgb(251, 250, 247)")
    fits_and_can_be_read(page, ".tofy-playground", "playground")


# ---- the tasks, by the controls themselves

JEPA = dict(cosine=0, direction=1)
SOLVE = {
    "learn": [],
    "useless": [dict(JEPA, kind="context")],
    "stop": [dict(JEPA, copy="stopped")],
    "despite": [dict(JEPA, copy="stopped", predictor=False, ambiguity=.5, rate=0)],                # the rate's control stands on a logarithm
    "jepa": [dict(JEPA, kind="context", copy="ema")],
    "wake": [dict(JEPA, predictor=False, ambiguity=.5, rate=0), dict(cosine=1, direction=.5, predictor=True, ambiguity=.1, rate=-.5)],
    "crowd": [dict(words=60)],
    "room": [dict(words=30, dim=8)],
    "hot": [dict(rate=1.5)],
    "few": [dict(dim=3, cosine=0, sampled=1)],
    "flatter": [dict(dim=8, ambiguity=.5)],
    "floor": [dict(dim=3, temperature=.6)],
}


def test_all_twelve_tasks_are_solved_by_the_controls(show):
    page = show()
    page.locator("[data-do=speed]").select_option("20")
    assert page.locator(".tasks li").count() == len(SOLVE) == 12
    for name, parts in SOLVE.items():
        preset(page, "healthy")                                          # a new film, all knobs where they were
        assert not page.locator(f"[data-task={name}].done").count()
        for i, knobs in enumerate(parts):
            turn(page, **knobs)
            play(page)
            if i < len(parts) - 1:
                page.wait_for_function("""() => [...document.querySelector('.tofy-playground').shadowRoot.querySelectorAll('.dial')].some(
                    dial => dial.innerText.startsWith('alike') && parseFloat(dial.querySelector('b').innerText) >= .98)""")
        play(page)
        page.wait_for_selector(f"[data-task={name}].done")
    assert page.locator(".tasks .once").count() == 12 and "12 of 12" in page.locator("[data-at=count]").inner_text()


# ---- how fast

def test_its_first_picture_and_its_steps_are_measured(show):
    page = show("words=60&dim=8")
    first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    page.locator("[data-do=speed]").select_option("20")
    play(page)
    page.wait_for_timeout(1000)
    before = step(page)
    page.wait_for_timeout(3000)
    print(f"\nfirst picture after {first:.0f} ms; {(step(page) - before) / 3:.0f} steps a second at 60 words, {os.getloadavg()[0]:.1f} processes waiting")
    assert step(page) > before


# ---- in JupyterLab

@pytest.mark.skipif(importlib.util.find_spec("anywidget") is None, reason="there is no anywidget here: pip install -e '.[notebooks]'")
def test_jupyterlab_shows_the_same_and_python_hears_the_knobs(browser, tmp_path):
    write_notebook(tmp_path / "one.ipynb", "from tofy.playground import Toy, playground\nwidget = playground(Toy(seed=3))\nwidget",
                   "from IPython.display import Markdown", "Markdown(f'**copy is {widget.settings[\"copy\"]}**')")
    with jupyterlab(tmp_path) as address:
        page = open_notebook(browser, address, "one.ipynb")
        page.wait_for_selector(".dial")
        assert page.locator("[data-knob=seed]").input_value() == "3" and not page.locator("[data-do=link]").count()
        page.locator("[data-do=step]").click()
        assert step_in(page) == 1
        page.get_by_text("copy is shared").first.wait_for()                 # before a knob is turned
        page.locator("[data-knob=copy]").select_option("ema")
        page.locator(".jp-Cell").last.click()
        page.evaluate("jupyterapp.commands.execute('notebook:run-cell')")
        page.get_by_text("copy is ema").first.wait_for()
        page.close()
    assert Toy(seed=3).copy == "shared"


def step_in(page) -> int:
    return int(page.locator("[data-at=step]").inner_text().split()[-1])
