"""The panels as a user meets them: JupyterLab on the loopback interface, and Chromium."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PICTURES = ROOT / "build" / "screenshots"
pytestmark = [pytest.mark.browser,
              pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "A JupyterLab server over a copy of the notebooks; its address and its folder."
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "nbs", home / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "runs"))
    news = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews":"false","checkForUpdates":false}')
    folders = dict(JUPYTER_CONFIG_DIR="config", JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="spaces",
                   JUPYTER_RUNTIME_DIR="runtime", IPYTHONDIR="ipython")
    env = os.environ | {name: str(home / place) for name, place in folders.items()} | {"PYTHONPATH": str(ROOT)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={home}",
               "--LabApp.expose_app_in_browser=True"]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=env, start_new_session=True, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api/status")
                break
            except OSError:
                time.sleep(.25)
        else:
            pytest.fail((home / "server.log").read_text())
        yield address, home
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_notebook(lab, browser):
    "A function that opens a notebook and gives the page when its kernel is idle."
    pages = []

    def open_it(name: str, run_all: bool = True):
        page = browser.new_page(viewport=dict(width=1400, height=1300))
        page.set_default_timeout(60_000)
        pages.append(page)
        page.goto(f"{lab[0]}/lab/tree/nbs/{name}?reset")
        page.wait_for_selector(".jp-Cell")
        idle(page)
        if run_all:
            page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    yield open_it
    for page in pages:
        page.close()


def idle(page) -> None:
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('Idle')", timeout=120_000)


def picture(page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def source_of(page, css: str) -> str:
    return page.locator(css).first.get_attribute("src")


def wait_for(page, what, seconds: float = 60.):
    "Until what() is true; its value."
    end = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > end:
            picture(page, "waited-in-vain")
            pytest.fail("waited in vain; see build/screenshots/waited-in-vain.png")
        page.wait_for_timeout(100)
    return value


def a_panel(open_notebook, lab, code: str, css: str):
    "A notebook of one cell that shows a panel."
    import nbformat
    number = len(list((lab[1] / "nbs").glob("one-*.ipynb")))
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)],
                                  metadata=dict(kernelspec=dict(name="python3", display_name="Python 3", language="python")))
    nbformat.write(nb, lab[1] / "nbs" / f"one-{number}.ipynb")
    page = open_notebook(f"one-{number}.ipynb")
    page.wait_for_selector(css)
    return page


START = ("from tofy.panels.training import TrainingPanel\n"
         "panel = TrainingPanel('builtin:400')\n"
         "panel.size.value = 'tiny'\n"
         "panel.settings['threads'].value, panel.settings['log_every'].value = 1, 10\n"
         "panel.settings.amount.value = {seconds}\n"
         "panel")


def test_a_run_from_start_to_stop(open_notebook, lab):
    "Move a slider, start, see pictures change and the bar advance, pause, go on, stop, take it up again."
    page = a_panel(open_notebook, lab, START.format(seconds=300), ".tofy-training")
    before = page.locator(".tofy-estimate").inner_text()
    page.get_by_role("tab", name="Settings").click()
    page.locator(".tofy-layers .noUi-handle").focus()
    page.keyboard.press("ArrowRight")                               # by keyboard: two layers
    wait_for(page, lambda: page.locator(".tofy-estimate").inner_text() != before)
    picture(page, "settings")
    page.get_by_role("tab", name="Run", exact=True).click()
    status = lambda: page.locator(".tofy-status").inner_text()  # noqa: E731
    page.locator(".tofy-start").click()
    wait_for(page, lambda: "training, step" in status())
    first = wait_for(page, lambda: source_of(page, ".tofy-curves"))
    wait_for(page, lambda: source_of(page, ".tofy-curves") != first)             # the picture changes
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


def test_a_failed_run_says_so_in_the_panel(open_notebook, lab):
    page = a_panel(open_notebook, lab, START.format(seconds=60) + ".settings['lr'].value = .1\npanel.settings['clip'].value = 0\n"
                   "panel.settings['init_from'].value = 'nowhere'\npanel", ".tofy-training")
    page.locator(".tofy-start").click()
    wait_for(page, lambda: page.locator('.tofy-training [role="alert"]').count())
    assert "There is no folder nowhere" in page.locator('.tofy-training [role="alert"]').inner_text()
    picture(page, "failed")


def test_running_the_cell_again_stops_the_run(open_notebook, lab):
    page = a_panel(open_notebook, lab, START.format(seconds=300), ".tofy-training")
    page.locator(".tofy-start").click()
    wait_for(page, lambda: "training, step" in page.locator(".tofy-status").inner_text())
    pids = training_processes(lab[1])
    assert len(pids) == 1
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    wait_for(page, lambda: not training_processes(lab[1]), 30)


def training_processes(home: Path) -> list[str]:
    "Processes of a `Background` that work in this folder."
    found = subprocess.run(["pgrep", "-f", "tofy.background import main"], capture_output=True, text=True).stdout.split()
    return [pid for pid in found if os.path.realpath(f"/proc/{pid}/cwd").startswith(str(home))]
