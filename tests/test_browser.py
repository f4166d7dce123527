"""The panels as a user meets them: JupyterLab on the loopback interface, and Chromium."""
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import HANG

from tofy.run_folder import load_settings
from tools.lab import CHROMIUM, ROOT, jupyterlab, open_notebook, write_notebook

PICTURES = ROOT / "build" / "screenshots"
pytestmark = [pytest.mark.browser,
              pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "A JupyterLab server over a copy of the notebooks; its address and its folder."
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "nbs", home / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "runs"))
    with jupyterlab(home) as address:
        yield address, home


@pytest.fixture
def show(lab, browser):
    "A function that opens a notebook, a chapter's or one made of these cells, and runs it."
    pages = []

    def show(name: str | None = None, *cells: str, wait: str = ".jp-Cell"):
        if cells:
            name = f"one-{len(list((lab[1] / 'nbs').glob('one-*.ipynb')))}.ipynb"
            write_notebook(lab[1] / "nbs" / name, *cells)
        pages.append(open_notebook(browser, lab[0], f"nbs/{name}"))
        pages[-1].wait_for_selector(wait)
        return pages[-1]

    yield show
    for page in pages:
        page.close()


def picture(page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def source_of(page, css: str) -> str:
    return page.locator(css).first.get_attribute("src")


def wait_for(page, what, seconds: float = HANG):
    "Until what() is true; its value."
    end = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > end:
            picture(page, "waited-in-vain")
            pytest.fail("waited in vain; see build/screenshots/waited-in-vain.png")
        page.wait_for_timeout(100)
    return value


START = ("from tofy.panels.training import TrainingPanel\n"
         "panel = TrainingPanel('builtin:400')\n"
         "panel.size.value = 'tiny'\n"
         "panel.settings['threads'].value, panel.settings['log_every'].value = 1, 10\n"
         "panel.settings.amount.value = {seconds}\n"
         "panel")


def test_a_run_from_start_to_stop(show, lab):
    "Move a slider, start, see pictures change and the bar advance, pause, go on, stop, take it up again."
    page = show(None, START.format(seconds=300), wait=".tofy-training")
    before = page.locator(".tofy-estimate").inner_text()
    page.get_by_role("tab", name="Settings").click()
    page.get_by_text("Model", exact=True).click()                   # the group of settings that has the slider
    page.locator(".tofy-layers .noUi-handle").focus()
    page.keyboard.press("ArrowRight")                               # by keyboard: two layers
    wait_for(page, lambda: page.locator(".tofy-estimate").inner_text() != before)
    picture(page, "settings")
    page.get_by_role("tab", name="Run", exact=True).click()

    def status():
        return page.locator(".tofy-status").inner_text()

    page.locator(".tofy-start").click()
    wait_for(page, lambda: "training, step" in status())

    def words():
        return page.locator(".tofy-words").inner_text()

    first, said = wait_for(page, lambda: page.locator(".tofy-curves").is_visible() and (source_of(page, ".tofy-curves"), words()))
    wait_for(page, lambda: source_of(page, ".tofy-curves") != first and words() != said)     # another picture
    done = page.locator(".tofy-bar .progress-bar").bounding_box()["width"]
    wait_for(page, lambda: page.locator(".tofy-bar .progress-bar").bounding_box()["width"] > done)
    picture(page, "training")
    page.locator(".tofy-pause").click()
    wait_for(page, lambda: "paused" in status())
    resting = status()
    page.wait_for_timeout(1500)
    assert status() == resting
    picture(page, "paused")
    page.get_by_role("button", name="Resume").click()
    wait_for(page, lambda: "training" in status() and status() != resting)
    page.locator(".tofy-stop").click()
    wait_for(page, lambda: "stopped" in status())
    trained = load_settings(lab[1] / "nbs" / "runs" / "panel-1" / "run.toml")["train"]      # the page has moved no setting
    assert {name: trained[name] for name in ("lr", "temperature", "mask_rate")} == dict(lr=.003, temperature=.1, mask_rate=.3)
    assert (lab[1] / "nbs" / "runs" / "panel-1" / "state_latent.safetensors").is_file()
    page.locator(".tofy-go").click()
    wait_for(page, lambda: "training, step" in status())
    page.locator(".tofy-stop").click()
    wait_for(page, lambda: "stopped" in status())
    page.get_by_role("tab", name="Finished runs").click()
    page.locator(".tofy-runs select").select_option(index=0)
    wait_for(page, lambda: source_of(page, ".tofy-overlay"))
    picture(page, "finished-runs")
    page.get_by_role("tab", name="Code").click()
    assert "tofy train builtin:400" in page.locator(".tofy-code").inner_text()
    picture(page, "code")


@pytest.mark.slow   # test_panels asks the same of the panel itself
def test_a_failed_run_says_so_in_the_panel(show, lab):
    page = show(None, START.format(seconds=60) + ".settings['init_from'].value = 'nowhere'\npanel", wait=".tofy-training")
    page.locator(".tofy-start").click()
    wait_for(page, lambda: page.locator('.tofy-training [role="alert"]').count())
    assert "There is no folder nowhere" in page.locator('.tofy-training [role="alert"]').inner_text()
    picture(page, "failed")


@pytest.mark.slow   # as closing the panel does, in test_panels
def test_running_the_cell_again_stops_the_run(show, lab):
    page = show(None, START.format(seconds=300), wait=".tofy-training")
    page.locator(".tofy-start").click()
    wait_for(page, lambda: "training, step" in page.locator(".tofy-status").inner_text())
    pids = training_processes(lab[1])
    assert len(pids) == 1
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    wait_for(page, lambda: not training_processes(lab[1]))


def training_processes(home: Path) -> list[str]:
    "Processes of a `Background` that work in this folder."
    found = subprocess.run(["pgrep", "-f", "tofy.background import main"], capture_output=True, text=True).stdout.split()
    return [pid for pid in found if os.path.realpath(f"/proc/{pid}/cwd").startswith(str(home))]


def test_fill_a_blank(show):
    "Type a phrase, press a word to hide it, put a second run beside the first."
    page = show(None, "from tofy.panels import FillPanel\nFillPanel()", wait=".tofy-fill")
    page.locator(".tofy-fill-first select").select_option(label="ready-made: healthy")

    def answer(side="first"):
        return page.locator(f".tofy-fill-{side}").inner_text()

    page.locator(".tofy-fill-phrase input").fill("did you _ the soup at the cafe ? => try")
    wait_for(page, lambda: "rank" in answer() and "try" in answer())
    page.locator(".tofy-fill .word", has_text="soup").click()
    wait_for(page, lambda: "=> soup" in page.locator(".tofy-fill-phrase input").input_value())
    first = wait_for(page, lambda: "soup" in answer() and answer())
    page.locator(".tofy-fill-second select").select_option(label="ready-made: notes")
    wait_for(page, lambda: "rank" in answer("second"))
    assert answer() == first != answer("second")
    picture(page, "fill")
    page.locator(".tofy-fill-phrase input").fill("no blank here")
    wait_for(page, lambda: "no blank" in answer().lower())


def test_the_crowding_map(show):
    "Another run, another word, the step before training; the map says what it shows."
    page = show(None, "from tofy.panels import CrowdingPanel\nCrowdingPanel()", wait=".tofy-crowding canvas")
    panel = page.locator(".tofy-crowding")
    panel.locator("[data-knob=run]").select_option(label="ready-made: crowded")

    def said():
        return panel.locator("canvas").first.get_attribute("aria-label")

    wait_for(page, lambda: panel.locator(".title", has_text="crowded").count() and "Map of 2084 words" in said())
    picture(page, "crowding")
    panel.locator("[data-do=find]").fill("mon")
    panel.locator("[data-do=find]").press("Enter")
    wait_for(page, lambda: "is marked, and near it" in said())
    panel.locator("[data-do=seek]").focus()
    page.keyboard.press("Home")
    wait_for(page, lambda: "at step 0" in said())
    picture(page, "crowding-before-training")


def test_the_growth_panel_writes_and_grows(show, lab):
    "Insert a layer and a head by buttons: the text stays, the tree grows; another prompt; back to the parent."
    from tofy.lab import surgery
    from tofy.lab.decoder import preset
    from tofy.lab.tokenizers import train_tokenizer
    from tofy.lab.writing import Writer
    tokenizer = train_tokenizer(["we saw the old dog"], "character")
    first = surgery.drawn(preset("nano", vocab_size=len(tokenizer), layers=1))
    surgery.save_writer(lab[1] / "nbs" / "toys" / "first", Writer(first, tokenizer))
    page = show(None, "from tofy.panels.growth import GrowthPanel\nGrowthPanel('toys')", wait=".tofy-growth")

    def part(name):
        return page.locator(f".tofy-growth-{name}")

    def shape_and_text():
        return part("text").inner_text().split("\n", 1)

    wait_for(page, lambda: "one layer, 2 heads" in part("text").inner_text() and part("tree").is_visible())
    written, tree = shape_and_text()[1], source_of(page, ".tofy-growth-tree")
    part("layer").click()
    wait_for(page, lambda: "2 layers" in shape_and_text()[0] and source_of(page, ".tofy-growth-tree") != tree)
    part("head").click()
    wait_for(page, lambda: "2 layers, 3 heads" in shape_and_text()[0])
    assert shape_and_text()[1] == written                                      # silent layers and heads
    part("prompt").locator("input").fill("the old ")
    page.keyboard.press("Tab")
    wait_for(page, lambda: shape_and_text()[1].startswith("the·old·"))
    part("back").click()
    wait_for(page, lambda: "2 layers, 2 heads" in shape_and_text()[0])
    part("generate").click()
    picture(page, "growth")
    assert not page.locator('.tofy-growth [role="alert"]').count()
    assert {f.name for f in (lab[1] / "nbs" / "toys").iterdir()} == {"first", "first-layer", "first-layer-head"}


def test_a_chapter_from_top_to_bottom(show):
    "Chapter 6 as a reader runs it: no error in any cell, and its panel answers."
    page = show("06_losses.ipynb", wait=".tofy-loss")
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('Idle')", timeout=1000 * HANG)
    assert not page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] >> text=Traceback").count()
    panel = page.locator(".tofy-loss")
    panel.scroll_into_view_if_needed()
    before = panel.locator(".said").inner_text()
    panel.locator("[data-knob=angle]").focus()
    page.keyboard.press("ArrowRight")
    wait_for(page, lambda: panel.locator(".said").inner_text() != before)
    picture(page, "chapter-6")


@pytest.mark.slow   # test_panels asks the same of the panel itself
def test_scrolling_away_does_not_stop_a_run(show):
    page = show(None, START.format(seconds=300), *[f"print({i})\n" * 40 for i in range(30)], wait=".tofy-training")
    page.locator(".tofy-start").click()

    def step():
        return re.search(r"training, step ([\d,]+)", page.evaluate(
            "document.querySelector('.tofy-status')?.innerText ?? ''"))

    begun = wait_for(page, step).group(1)
    page.locator(".jp-Cell").last.scroll_into_view_if_needed()
    page.wait_for_timeout(2000)
    page.evaluate("document.querySelector('.jp-Cell').scrollIntoView()")
    page.locator(".tofy-status").scroll_into_view_if_needed()
    wait_for(page, lambda: step() and step().group(1) != begun)
    page.locator(".tofy-stop").click()
    wait_for(page, lambda: "stopped" in page.locator(".tofy-status").inner_text())


DRAWN = """Array.from(document.querySelectorAll('.tofy-screen *')).flatMap(e => e.shadowRoot ? Array.from(e.shadowRoot.querySelectorAll('canvas')) : [])
.every(c => c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value))"""


@pytest.mark.slow
def test_break_a_run_undo_it_and_go_back_in_time(show, lab):
    "The map moves while it trains; a break and its undoing are shown; the slider goes back, during the run and after it; two runs in step."
    page = show(None, START.format(seconds=1550) + ".settings.length.value = 'steps'\npanel", wait=".tofy-training")
    page.locator(".tofy-start").click()
    page.wait_for_selector(".tofy-watch .side")

    def said():
        return page.locator(".tofy-watch output").inner_text()

    def step():
        return int(re.search(r"step ([\d,]+)", said()).group(1).replace(",", ""))

    first = step()
    wait_for(page, lambda: step() > first)                           # the newest look, whenever one comes
    page.locator(".tofy-break-ranking").click()
    wait_for(page, lambda: "ranking off" in page.locator(".tofy-watch .broken").first.inner_text())
    assert "undo" in page.locator(".tofy-break-ranking").inner_text()
    picture(page, "watch-broken")
    page.locator(".tofy-watch [data-do=back]").click()
    back = step()
    page.wait_for_timeout(1500)
    assert step() == back                                            # it stays there, although the run goes on
    page.locator(".tofy-watch [data-do=newest]").click()
    wait_for(page, lambda: step() > back)
    page.locator(".tofy-break-ranking").click()
    wait_for(page, lambda: page.locator(".tofy-watch .strip").get_attribute("aria-label").count(" to ") == 1)
    wait_for(page, lambda: "finished" in page.locator(".tofy-status").inner_text())
    wait_for(page, lambda: step() == 1550)
    slider = page.locator(".tofy-watch input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert step() == 0 and slider.get_attribute("aria-valuetext") == "step 0"
    page.keyboard.press("ArrowRight")
    assert 0 < step() < 1550
    page.locator(".tofy-beside select").select_option(label="ready-made: healthy")
    wait_for(page, lambda: page.locator(".tofy-watch .side").count() == 2)
    page.keyboard.press("End")
    slider.press("End")
    assert "step 1,550" in page.locator(".tofy-watch .when").first.inner_text()
    assert page.locator(".tofy-watch .when").nth(1).inner_text() == "step 1,500"                 # the last look until then
    assert page.locator(".tofy-watch .exact").first.inner_text().startswith("best possible: try 46%")
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    for theme in ("Light", "Dark"):
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
        for width in (1400, 390):
            page.set_viewport_size(dict(width=width, height=1300))
            page.wait_for_timeout(1500)
            page.locator(".tofy-watch").scroll_into_view_if_needed()
            picture(page, f"watch-{theme.lower()}-{width}")
            assert page.evaluate(DRAWN)                              # no canvas is empty after a change of theme or width
            assert page.locator(".tofy-watch").evaluate("e => e.scrollWidth <= e.clientWidth")
