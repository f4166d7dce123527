"""Run the notebooks top to bottom and keep their outputs, then clean their metadata, fold what only tests, and make the
outputs steady, so that a diff shows what was changed and nothing else.

usage: python tools/notebooks.py [--slow] [nbs/03_masking.ipynb …]      (default: all of them)

Cells marked `#| slow` or `#| eval: false` are left as they are, with their stored outputs, unless --slow is given.
"""
import argparse
import os
import time
from pathlib import Path

import nbformat
from fold import ROOT, all_notebooks, marked, rewrite
from nbclient import NotebookClient
from nbdev.clean import nbdev_clean
from steady import steadied

os.environ["PYTHONPATH"] = str(ROOT)                       # the kernels import this checkout


def keeps_output(cell, slow: bool) -> bool:
    "Whether this cell is left alone, with its stored output."
    flags = [line for line in cell.source.splitlines() if line.startswith("#|")]
    return any("eval: false" in f or ("slow" in f and not slow) for f in flags)


def run(path: Path, slow: bool = False) -> float:
    "Execute one notebook in place; returns the seconds it took, raises at the first cell that fails."
    nb, began = nbformat.read(path, as_version=4), time.perf_counter()
    client = NotebookClient(nb, timeout=1800, extra_arguments=["--log-level=40"],
                            resources={"metadata": {"path": path.parent}})
    with client.setup_kernel():
        for i, cell in enumerate(nb.cells):
            if cell.cell_type == "code" and not keeps_output(cell, slow):
                client.execute_cell(cell, i)
                for output in cell.outputs:                # a widget lives in its kernel only; its text stays
                    output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    nbformat.write(nb, path)
    return time.perf_counter() - began


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("notebooks", nargs="*", type=Path)
    ap.add_argument("--slow", action="store_true")
    args = ap.parse_args()
    os.chdir(ROOT)
    for path in [p.resolve() for p in args.notebooks] or all_notebooks():
        print(f"{path.relative_to(ROOT)}: {run(path, args.slow):.1f} s", flush=True)
        nbdev_clean(str(path))
        rewrite(path, lambda text: steadied(marked(text)))
