"""Run notebooks top to bottom, but for their slow cells, on the processor time that others leave; the tests ask how they ended.

    python tests/notebook_runs.py FOLDER NOTEBOOK...
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def result_file(folder: Path, notebook: Path) -> Path:
    return folder / f"{'-'.join(notebook.parts)}.json"


def run(folder: Path, notebook: Path) -> None:
    command = [str(Path(sys.executable).parent / "nbdev_test"), "--path", str(notebook), "--n_workers", "0"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    file = result_file(folder, notebook)
    file.with_suffix(".part").write_text(json.dumps(dict(code=done.returncode, said=done.stdout[-3000:] + done.stderr[-3000:])))
    file.with_suffix(".part").rename(file)                        # whole or not at all


def main(folder: str, *notebooks: str) -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda notebook: run(Path(folder), Path(notebook)), notebooks))


if __name__ == "__main__":
    main(*sys.argv[1:])
