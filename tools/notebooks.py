"""Run the notebooks top to bottom and keep their outputs, then clean their metadata.

usage: python tools/notebooks.py [--slow] [--jobs N] [nbs/03_masking.ipynb …]      (default: all of them)

Cells marked `#| slow` or `#| eval: false` are left as they are, with their stored outputs, unless --slow is given.
"""
import argparse, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = str(ROOT)                       # the kernels import this checkout


def all_notebooks() -> list[Path]:
    "Every notebook under nbs/, in reading order."
    return sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if not any(s[0] in "._" for s in p.relative_to(ROOT).parts))


def skipped(cell, slow: bool) -> bool:
    "Whether this cell keeps its stored output."
    flags = [line for line in cell.source.splitlines() if line.startswith("#|")]
    return any("eval: false" in f or ("slow" in f and not slow) for f in flags)


def run(path: Path, slow: bool = False) -> float:
    "Execute one notebook in place; returns the seconds it took, raises at the first cell that fails."
    nb = nbformat.read(path, as_version=4)
    began, client = time.perf_counter(), NotebookClient(nb, timeout=1800, extra_arguments=["--log-level=40"], resources={"metadata": {"path": path.parent}})
    with client.setup_kernel():
        for i, cell in enumerate(nb.cells):
            if cell.cell_type == "code" and not skipped(cell, slow):
                client.execute_cell(cell, i)
    nbformat.write(nb, path)
    return time.perf_counter() - began


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("notebooks", nargs="*", type=Path)
    ap.add_argument("--slow", action="store_true")
    ap.add_argument("--jobs", type=int, default=1)
    args = ap.parse_args()
    paths = [p.resolve() for p in args.notebooks] or all_notebooks()
    with ThreadPoolExecutor(args.jobs) as pool:
        for path, seconds in zip(paths, pool.map(lambda p: run(p, args.slow), paths)):
            print(f"{path.relative_to(ROOT)}: {seconds:.1f} s", flush=True)
    from nbdev.clean import nbdev_clean
    os.chdir(ROOT)
    for path in paths:
        nbdev_clean(str(path))
    sys.exit(0)
