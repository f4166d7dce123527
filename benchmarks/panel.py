"""What the training panel costs: examples a second with and without it, and how soon Pause answers.

    python -m benchmarks.panel --seconds 30 --times 3

The same run in turn by `tofy train` and by a TrainingPanel in JupyterLab, shown by Chromium on this same machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from tools.lab import chromium, jupyterlab, open_notebook, write_notebook

PANEL = """from tofy.panels.training import TrainingPanel
panel = TrainingPanel({source!r})
panel.settings["threads"].value, panel.settings.amount.value = {threads}, {seconds}
panel"""


def without(source: str, seconds: float, threads: int, folder: Path) -> float:
    "Examples a second of the command line."
    told = subprocess.run([sys.executable, "-m", "tofy", "train", source, "--seconds", str(seconds), "--threads",
                           str(threads), "--out", str(folder), "--json"], capture_output=True, text=True, check=True)
    return json.loads(told.stdout)["examples_per_second"]


def within(page) -> float:
    "Examples a second of the panel's run, from start to end."
    page.locator(".tofy-start").click()
    status = page.locator(".tofy-status")
    while "training, step" not in status.inner_text():               # or an earlier run's "finished" would be read
        page.wait_for_timeout(50)
    while "finished" not in status.inner_text():
        page.wait_for_timeout(200)
    return float(status.inner_text().split(", ")[-1].split()[0].replace(",", ""))


def pauses(page, times: int) -> list[float]:
    "Seconds from the click on Pause until the panel says that the run rests."
    page.locator(".tofy-start").click()
    status, found = page.locator(".tofy-status"), []
    for _ in range(times):
        while "training, step" not in status.inner_text():
            page.wait_for_timeout(50)
        page.wait_for_timeout(1370)
        began = time.perf_counter()
        page.locator(".tofy-pause").click()
        while "paused" not in status.inner_text():
            page.wait_for_timeout(10)
        found.append(time.perf_counter() - began)
        page.locator(".tofy-pause").click()
    page.locator(".tofy-stop").click()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="builtin", help="of builtin the baselines are known; of others measured")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--threads", type=int, default=max(1, os.cpu_count() - 1))
    o = parser.parse_args()
    home, plain, shown = Path(tempfile.mkdtemp()), [], []
    write_notebook(home / "panel.ipynb", PANEL.format(source=o.source, threads=o.threads, seconds=o.seconds))
    with jupyterlab(home) as address, chromium() as browser:
        page = open_notebook(browser, address, "panel.ipynb")
        page.wait_for_selector(".tofy-training")
        for i in range(o.times):
            plain.append(without(o.source, o.seconds, o.threads, home / f"plain-{i}"))
            shown.append(within(page))
            print(f"without {plain[-1]:,.0f} examples/s, with the panel {shown[-1]:,.0f}", flush=True)
        waits = pauses(page, 10)
    print(f"with the panel: {mean(shown) / mean(plain):.0%} of the speed without; Pause answers within "
          f"{max(waits):.2f} s at the most, {mean(waits):.2f} s on average of {len(waits)}")


if __name__ == "__main__":
    main()
