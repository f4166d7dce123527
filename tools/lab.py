"""A JupyterLab server on the loopback interface and a Chromium to look at it: for the browser tests and benchmarks."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
FOLDERS = dict(JUPYTER_CONFIG_DIR="config", JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="spaces",
               JUPYTER_RUNTIME_DIR="runtime", IPYTHONDIR="ipython")
PYTHON = dict(kernelspec=dict(name="python3", display_name="Python 3", language="python"))


@contextmanager
def jupyterlab(home: Path) -> Iterator[str]:
    "A server over the folder `home`, with settings of its own; its address."
    news = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews":"false","checkForUpdates":false}')
    env = os.environ | {name: str(home / place) for name, place in FOLDERS.items()} | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={home}",
               "--LabApp.expose_app_in_browser=True"]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=env, start_new_session=True, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield answering(f"http://127.0.0.1:{port}", home / "server.log")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(300)


def answering(address: str, log: Path) -> str:
    "The address, once the server answers there."
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"{address}/api/status")
            return address
        except OSError:
            time.sleep(.25)
    raise RuntimeError(log.read_text())


@contextmanager
def chromium() -> Iterator:
    "A browser without a window."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_notebook(browser, address: str, path: str, run: bool = True):
    "A page with the notebook, its kernel idle; then all cells are started."
    page = browser.new_page(viewport=dict(width=1400, height=1300))
    page.set_default_timeout(300_000)
    page.goto(f"{address}/lab/tree/{path}?reset")
    page.wait_for_selector(".jp-Cell")
    idle(page)
    if run:
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    return page


def idle(page, seconds: float = 300.) -> None:
    "Wait until the kernel has nothing to do."
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('Idle')",
                           timeout=1000 * seconds)


def write_notebook(path: Path, *cells: str) -> None:
    "A notebook of code cells."
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells], metadata=PYTHON)
    nbformat.write(nb, path)
