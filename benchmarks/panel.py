"""What the training panel costs: examples a second with and without it, and how soon Pause answers.

    python -m benchmarks.panel --seconds 30 --times 5
    python -m benchmarks.panel --looks 200 --times 5

The same run in turn by `tofy train` and by a TrainingPanel in JupyterLab, shown by Chromium on this same machine. With
--looks, what a run pays for the panel in its own process, by processor time, which other work on the machine does not
change: the same steps in turn without looks and with them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from statistics import mean, median
from types import SimpleNamespace

from tofy.background import Hand
from tofy.data import load_data
from tofy.training import recipe, train
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


def processor_seconds(source: str, steps: int, looked_at: bool) -> float:
    "Processor time of a run of so many steps in this process, looked at as for the panel or not."
    hand = Hand(SimpleNamespace(wishes=dict(probe="did you _ the soup at the cafe ?"))) if looked_at else None
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        records = train(load_data(source), *recipe(steps=steps, threads=1), Path(folder) / "run", watch=hand)
        next(records)
        began = time.process_time()
        for _ in records:
            pass
        return time.process_time() - began


def looks(source: str, steps: int, times: int) -> None:
    "Print what looking at a run costs."
    pairs = []
    for i in range(times):
        found = {kind: processor_seconds(source, steps, kind) for kind in ((False, True) if i % 2 else (True, False))}
        pairs.append(found[False] / found[True])
        print(f"{steps} steps: {found[False]:.2f} s of the processor without looks, {found[True]:.2f} with", flush=True)
    print(f"with looks: {median(pairs):.1%} of the speed without, the median of {times} pairs "
          f"({min(pairs):.1%} to {max(pairs):.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="builtin", help="of builtin the baselines are known; of others measured")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--threads", type=int, default=max(1, os.cpu_count() - 1))
    parser.add_argument("--looks", type=int, metavar="STEPS", help="what a run of so many steps pays, by processor time")
    o = parser.parse_args()
    if o.looks:
        return looks(o.source, o.looks, o.times)
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
    print(f"with the panel: {median(b / a for a, b in zip(plain, shown)):.1%} of the speed without, the median of "
          f"{o.times} pairs; Pause answers within "
          f"{max(waits):.2f} s at the most, {mean(waits):.2f} s on average of {len(waits)}")


if __name__ == "__main__":
    main()
