"The checkout as a whole: notebooks and package in step, notebooks clean and runnable, code tidy."
import filecmp
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.fold import foldable

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
NOTEBOOKS = sorted(p.relative_to(ROOT) for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(cwd)}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    "A copy of the files that git knows (or would add), to be changed freely."
    target = tmp_path_factory.mktemp("copy") / "tofy"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    return target


def test_package_equals_notebooks(copy):
    "Exporting again from an empty package gives the committed files."
    for file in (copy / "tofy").rglob("*.py"):
        if not file.name.startswith("__"):
            file.unlink()
    done = run(str(BIN / "nbdev_export"), cwd=copy)
    assert done.returncode == 0, done.stderr
    names = sorted(str(p.relative_to(copy)) for p in (copy / "tofy").rglob("*.py"))
    assert names == sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tofy").rglob("*.py"))
    assert filecmp.cmpfiles(copy, ROOT, [*names, "pyproject.toml"], shallow=False)[1:] == ([], [])


def test_notebooks_are_clean(copy):
    done = run(str(BIN / "nbdev_clean"), cwd=copy)
    assert done.returncode == 0, done.stderr
    changed = [str(n) for n in NOTEBOOKS if (copy / n).read_bytes() != (ROOT / n).read_bytes()]
    assert not changed, f"run nbdev_clean: {changed}"


def test_what_only_tests_is_folded():
    done = run(sys.executable, "tools/fold.py", "--check")
    assert done.returncode == 0, f"run python tools/fold.py: {done.stdout}"


def test_fold_tells_tests_from_what_a_reader_needs():
    cells = [(source, bool(printed), is_folded) for source, printed, is_folded in [
        ("import torch\nfrom tofy.data import *", "", True),
        ("#| default_exp toy", "", False),
        ("#| export\nimport torch", "", True),
        ("#| export\ndef double(x): return 2 * x", "", False),
        ("test_eq(double(2), 4)", "", True),                        # a test and no more
        ("assert double(3) == 6\nprint(double(3))", "6", False),     # it shows something
        ("two = double(1)\ntest_eq(two, 2)", "", False),            # the next cell shows what this one made
        ("print(two)", "2", False),
        ("def half(x): return x / 2\ntest_eq(half(2), 1)", "", True),   # only folded cells use `half`
        ("test_close(half(3), 1.5)", "", True),
        ("double(2)", "4", False)]]
    made = [dict(cell_type="code", source=[source], outputs=["an output"] if printed else [], metadata={}) for source, printed, _ in cells]
    assert foldable([dict(cell_type="markdown", source=["# Toy"], metadata={}), *made]) == [False, *(fold for *_, fold in cells)]


def test_readme_is_made_from_the_index():
    assert run(sys.executable, "tools/readme.py", "--check").returncode == 0, "run make readme"


def test_ruff():
    done = run(sys.executable, "-m", "ruff", "check", ".")
    assert done.returncode == 0, done.stdout


def test_lines_are_short():
    "At most 120 columns in the package, but for the list of names that nbdev makes."
    long = [f"{path.name}:{n}" for path in (ROOT / "tofy").rglob("*.py") if path.name != "_modidx.py"
            for n, line in enumerate(path.read_text().splitlines(), 1) if len(line) > 120 and not line.startswith("__all__")]
    assert not long


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_notebook_has_outputs_and_no_error(notebook):
    cells = [c for c in json.loads((ROOT / notebook).read_text())["cells"] if c["cell_type"] == "code"]
    outputs = [o for c in cells for o in c["outputs"]]
    assert outputs, "committed without outputs"
    assert not [o for o in outputs if o["output_type"] == "error"]
    slow = [c for c in cells if "#| slow" in "".join(c["source"])]
    assert all(c["outputs"] for c in slow), "a slow cell has lost its stored output"


@pytest.mark.parametrize("notebook", NOTEBOOKS[::-1], ids=str)      # from the last, as the longest are among those
def test_notebook_runs(notebook, notebook_runs):
    "Top to bottom, without the cells marked slow."
    done = notebook_runs(notebook)
    assert done["code"] == 0, done["said"]
