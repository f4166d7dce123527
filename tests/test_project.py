"The checkout as a whole: notebooks and package in step, notebooks clean and runnable, code tidy."
import difflib
import filecmp
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.fold import foldable
from tools.steady import steadied, steady_picture, steady_table

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


def painted(colours: list[str]) -> str:
    "A picture by Matplotlib, with dots of these colours in two frames."
    from matplotlib.figure import Figure
    figure, file = Figure(figsize=(2, 1)), io.StringIO()
    for ax in figure.subplots(1, 2):
        for x, colour in enumerate(colours):
            ax.plot([x], [x], "o", color=colour)
    figure.savefig(file, format="svg")
    return file.getvalue()


def test_a_picture_drawn_twice_is_stored_once():
    one, other = painted(["#0072B2", "#E69F00"]), painted(["#0072B2", "#E69F00"])
    assert one != other and steady_picture(one) == steady_picture(other) == steady_picture(steady_picture(one))
    assert steady_picture(painted(["#0072B2", "#000000"])) != steady_picture(one)
    kept = [re.sub(r'(id="|#)\w*[0-9a-f]{10}\b|\s*<dc:date>.*', "", text) for text in (one, steady_picture(one))]
    assert kept[0] == kept[1] and "<dc:date>" in one and "<dc:date>" not in steady_picture(one)
    for text in (one, steady_picture(one)):                    # as many names, and each that is used is there
        named = re.findall(r'id="(\w*[0-9a-f]{10})"', text)
        assert len({*named}) == len(named) == 2 + 2 + 2          # ticks, dots, frames
        assert {*re.findall(r"#([a-z]\w*[0-9a-f]{10})\b", text)} == {*named}
    assert steady_picture("<svg class='tofy'><dc:date>1</dc:date></svg>").endswith("<dc:date>1</dc:date></svg>")


def test_tables_and_prints_are_steady():
    table = '<style>#T_{0}_row0_col0 {{color: red}}</style>\n<table id="T_{0}"><td id="T_{0}_row0_col0">{1}</td></table>'
    assert steady_table(table.format("58524", 1)) == steady_table(table.format("f4d06", 1)) != steady_table(table.format("f4d06", 2))
    assert steady_table("<p>T_58524</p>") == "<p>T_58524</p>"
    assert steady_table("run <b>/var/tmph3twzu5g/run</b>") == "run <b>run</b>" and steady_table("in /var/mine/run") == "in /var/mine/run"

    def printed(*parts: tuple[str, str]) -> dict:
        outputs = [dict(output_type="stream", name=name, text=text.splitlines(keepends=True)) for name, text in parts]
        return dict(cells=[dict(cell_type="code", source=[], outputs=outputs)])

    pieces = printed(("stdout", "one\n"), ("stdout", "two\nth"), ("stdout", "ree\n"), ("stderr", "oh\n"), ("stdout", "four"))
    assert json.loads(steadied(json.dumps(pieces))) == printed(("stdout", "one\ntwo\nthree\n"), ("stderr", "oh\n"), ("stdout", "four"))


@pytest.mark.slow
def test_a_rerun_notebook_differs_where_it_was_changed(copy):
    "One comment in chapter 3."
    path = copy / "rerun" / "03_masking.ipynb"
    path.parent.mkdir(exist_ok=True)
    nb, texts = json.loads((ROOT / "nbs" / "03_masking.ipynb").read_text(encoding="utf-8")), []
    for comment in ("", "# why not\n"):
        cell = next(cell for cell in nb["cells"] if "plot_" in "".join(cell["source"]) and cell["cell_type"] == "code")
        cell["source"].insert(0, comment)
        path.write_text(json.dumps(nb), encoding="utf-8")
        done = run(sys.executable, "tools/notebooks.py", str(path), cwd=copy)
        assert done.returncode == 0, done.stderr
        nb = json.loads(path.read_text(encoding="utf-8"))
        texts.append(path.read_text(encoding="utf-8").splitlines())
    changed = [line for line in difflib.unified_diff(*texts, n=0, lineterm="") if line[0] in "+-"][2:]
    assert 1 <= len(changed) <= 6, changed


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


LONG = "14a_background", "15c_panel_training"      # they wait for runs in other processes, as test_panels and test_watch do


@pytest.mark.parametrize("notebook", [pytest.param(notebook, marks=[pytest.mark.slow] * (notebook.stem in LONG))
                                      for notebook in NOTEBOOKS[::-1]], ids=str)      # from the last, as the longest are among those
def test_notebook_runs(notebook, notebook_runs):
    "Top to bottom, without the cells marked slow."
    done = notebook_runs(notebook)
    assert done["code"] == 0, done["said"]
