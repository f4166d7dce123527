"""Run notebooks top to bottom, but for their slow cells: each in a fork of one process that has imported what most of them import.

Python, torch, its first step and matplotlib take four seconds to load, which is longer than half of the notebooks take to run.

    echo nbs/03_masking.ipynb | python tests/notebook_runs.py        answers with a line of JSON for every line
"""

import gc
import importlib
import json
import os
import random
import sys
import tempfile

SAID = 6000  # of the end of what a notebook printed


def warm_up() -> None:
    "What most notebooks load or compute; the random generators stay as they are in a new process."
    import torch

    for name in ("IPython", "ipywidgets", "matplotlib.pyplot", "nbdev.test", "pandas", "tofy.training"):
        importlib.import_module(name)
    importlib.import_module("tofy.corpus").best()  # kept by the module
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.sum().backward()
    torch.optim.AdamW([weight]).step()  # loads as much as all the rest
    gc.collect()
    gc.freeze()


def run(notebook: str, out: int) -> int:
    "The child's life: what `nbdev_test` does with this notebook; the exit code."
    from nbdev.test import nbdev_test

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    random.seed()
    try:
        nbdev_test(path=notebook, n_workers=0)
    except SystemExit as end:
        return end.code or 0
    return 0


def main() -> int:
    warm_up()
    orders, answers = sys.stdin, os.fdopen(os.dup(1), "w", buffering=1)
    for line in iter(orders.readline, ""):
        with tempfile.TemporaryFile() as said:
            if not (pid := os.fork()):
                return run(line.strip(), said.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - SAID))
            print(json.dumps(dict(code=code, said=said.read().decode(errors="replace"))), file=answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
