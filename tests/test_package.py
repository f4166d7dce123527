"""The wheel, installed where there is nothing but Python and what the wheel itself asks for."""
import ast
import importlib.metadata as metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tofy.corpus import generate
from tools.labs import learners_copy

EXTRAS = ("hub", "notebooks", "bench", "dev")


def python(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_CONSTRAINT"))} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def wanted(requirements: list[str]) -> set[str]:
    "The names of all packages that these requirements pull in, without extras, as they are installed here."
    found, queue = set(), [Requirement(line) for line in requirements]
    while queue:
        need = queue.pop()
        name = canonicalize_name(need.name)
        markers = [{"extra": extra} for extra in ("", *need.extras)]
        if name in found or need.marker and not any(need.marker.evaluate(m) for m in markers):
            continue
        found.add(name)
        queue += [r for r in map(Requirement, metadata.requires(name) or [])
                  if r.marker is None or any(r.marker.evaluate(m) for m in markers)]
    return found


def lend(name: str, site: Path) -> None:
    "Make an installed package visible in another environment, through links."
    package = metadata.distribution(name)
    for top in {file.parts[0] for file in package.files or () if not file.parts[0].startswith((".", "__pycache__"))}:
        if not (site / top).exists():
            (site / top).symlink_to(package.locate_file(top))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    "The wheel, built from a copy of the sources that has no folder `build` to take old files from."
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in known_to_git():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    done = python(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(out), str(copy))
    assert done.returncode == 0, done.stdout + done.stderr
    done = python(sys.executable, "setup.py", "-q", "sdist", "-d", str(out), cwd=copy)
    assert done.returncode == 0, done.stderr
    return next(out.glob("tofy-*.whl"))


def known_to_git() -> list[str]:
    "The files of the checkout that git knows, or would add."
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory) -> Path:
    "The folder of programs of an environment that holds the wheel and what it requires, and nothing else."
    if os.name == "nt":
        pytest.skip("links need a privilege there")
    home = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    target = ["--prefix", str(home), "--no-warn-script-location", "--ignore-installed"]
    done = python(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", *target, str(wheel))
    assert done.returncode == 0, done.stderr
    (script,) = home.glob("bin/tofy")
    script.write_text(f"#!{home}/bin/python\n" + script.read_text().split("\n", 1)[1])
    (info,) = site.glob("tofy-*.dist-info")
    for name in wanted(metadata.Distribution.at(info).requires or []) - {"tofy"}:
        lend(name, site)
    return home / "bin"


def test_core_trains_and_fills_from_the_wheel_alone(clean, tmp_path):
    "No checkout, no nbdev, no JupyterLab, no pandas, no datasets."
    absent = "import importlib.util as u; print([m for m in ('nbdev', 'jupyterlab', 'ipywidgets', 'pandas', 'datasets', 'IPython') if u.find_spec(m)])"
    assert python(f"{clean}/python", "-c", absent, cwd=tmp_path).stdout == "[]\n"
    done = python(f"{clean}/tofy", "train", "builtin:2000", "--seconds", "2", "--threads", "1", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for command in (["fill", "run", "how are _ ?"], ["diff", "run", "how are _ ? => you"], ["eval", "run", "--max-queries", "50"],
                    ["size", "--probe", "0"], ["runs", "--folder", "."]):
        done = python(f"{clean}/tofy", *command, cwd=tmp_path)
        assert done.returncode == 0 and done.stdout, (command, done.stderr)


def test_ready_made_runs_come_along(clean, tmp_path):
    code = "from tofy import READY, fill, load\nfor f in sorted(READY.iterdir()): print(f.name, len(fill(load(f), 'how are _ ?').top))"
    done = python(f"{clean}/python", "-c", code, cwd=tmp_path)
    assert done.stdout.splitlines() == ["collapsed 5", "crowded 5", "healthy 5", "notes 5"], done.stderr


@pytest.mark.parametrize("extra, command", [
    ("notebooks", ["tofy", "notebooks"]),
    ("notebooks", ["python", "-c", "from tofy.panels.training import TrainingPanel"]),
    ("notebooks", ["python", "-c", "from tofy.one_step import *; explain_step(five_words(), 'cat drinks _ => milk').show()"]),
    ("notebooks", ["python", "-c", "from tofy.playground import playground; playground()"]),
    ("hub", ["tofy", "train", "hub:a/b"]),
    ("hub", ["tofy", "data", "casual", "--output", "x.txt"]),
], ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]))
def test_a_missing_extra_is_named(clean, tmp_path, extra, command):
    done = python(str(clean / command[0]), *command[1:], cwd=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode in (1, 2) and last.endswith(f'is not installed; it comes with: pip install "tofy[{extra}]"'), done.stderr
    assert command[0] != "tofy" or done.stderr.count("\n") == 1 and done.returncode == 2


def test_wheel_holds_what_it_should(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"tofy/assets/one_step/view.js", "tofy/assets/watch/view.js", "tofy/assets/playground/model.js", "tofy/py.typed"} <= set(names)
    assert "tofy/runs/healthy/model_latent.safetensors" in names
    assert any(name.endswith("/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"tofy", next(n for n in names if ".dist-info" in n).split("/")[0]}
    assert wheel.stat().st_size < 8e6                # the package with its runs, and the book, which takes more than half


def test_wheel_holds_the_book(wheel):
    "Every chapter and what chapters read, as git knows them; the repository itself has them once."
    names = known_to_git()
    held = {name.removeprefix("tofy/book/") for name in zipfile.ZipFile(wheel).namelist() if name.startswith("tofy/book/")}
    assert held >= {n for n in names if n.startswith("nbs/") and n.endswith(".ipynb")}
    assert held >= {n for n in names if n.startswith("benchmarks/results/")} | {"tools/key.py", "tests/hub_server.py"}
    assert held <= set(names) and not [n for n in names if n.startswith("tofy/book")]
    copies = {n: zipfile.ZipFile(wheel).read(f"tofy/book/{n}").decode() for n in held if n.startswith("nbs/labs/")}
    assert len(copies) == 8 and all(text == learners_copy((ROOT / n).read_text(encoding="utf-8")) for n, text in copies.items())


def test_sdist_holds_what_its_tests_need(wheel):
    (sdist,) = wheel.parent.glob("tofy-*.tar.gz")
    with tarfile.open(sdist) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    needed = ("nbs/", "tools/", "tests/", "benchmarks/", "site/", "tofy/", ".ci/", "data/", "Makefile", "constraints.txt", "SECURITY.md")
    assert held >= {name for name in known_to_git() if name.startswith(needed)}


def described(wheel: Path) -> Message:
    "The wheel's metadata."
    with zipfile.ZipFile(wheel) as file:
        return message_from_string(next(file.read(n).decode() for n in file.namelist() if n.endswith("/METADATA")))


def test_the_page_on_pypi_is_whole(wheel):
    "No link or picture that only a clone has, no classifier that has been retired, and doors to everything else."
    about = described(wheel)
    kinds, text = about.get_all("Classifier"), about.get_payload()
    assert "Programming Language :: Python :: 3.10" in kinds and "Programming Language :: Python :: 3.14" in kinds
    assert not [kind for kind in kinds if kind.startswith("License ::")] and about["License"] == "Apache-2.0"
    assert len({*kinds}) == len(kinds)
    doors = dict(line.split(", ") for line in about.get_all("Project-URL"))
    assert {"Documentation", "Source", "Issues", "Changelog"} <= doors.keys() and all(d.startswith("https://") for d in doors.values())
    assert (about["Description-Content-Type"] or "").startswith("text/markdown")
    links = re.findall(r"\]\(([^)\s]*)", text) + re.findall(r'(?:src|srcset|href)="([^"]*)"', text)
    assert len(links) > 60 and not [link for link in links if not link.startswith(("https://", "http://"))]
    here = "https://github.com/tofy-lab/tofy/"
    for link in links:                               # what is said to lie in the repository lies there, pictures as files
        if found := re.match(here + r"(?:blob|raw)/main/([^#]*)", link):
            assert (ROOT / found[1]).exists(), link
    assert [link for link in links if link.startswith(here + "raw/main/nbs/readme/")]
    blocks = [re.findall(r"^```.*?^```", page, re.M | re.S) for page in (text, (ROOT / "README.md").read_text(encoding="utf-8"))]
    assert blocks[0] == blocks[1]                    # commands and code are as they were


def test_users_are_not_bound_by_the_tools_of_contributors(wheel):
    "fastcore below 2 is what nbdev 2 needs; today's fastai packages need 2."
    needs = [Requirement(line) for line in described(wheel).get_all("Requires-Dist")]
    bound = {str(r) for r in needs if r.name == "fastcore" and r.specifier}
    assert bound == {'fastcore<2; extra == "dev"'}
    assert [r for r in needs if r.name == "fastcore" and not r.specifier and 'extra == "notebooks"' in str(r.marker)]


def test_the_book_comes_out_of_the_wheel(clean, tmp_path):
    "Into a folder of the user's, the same as the project's; one that is not empty stays as it is."
    code = "from pathlib import Path; from tofy.cli import find_book; print(find_book({}))"
    done = python(f"{clean}/python", "-c", code.format("None"), cwd=tmp_path)
    assert done.stdout == "tofy-book\n", done.stderr
    (tmp_path / "tofy-book" / "nbs" / "03_masking.ipynb").write_text("{}")
    done = python(f"{clean}/python", "-c", code.format("None"), cwd=tmp_path / "tofy-book")      # called in the book itself
    assert done.stdout == ".\n" and "new version" not in done.stderr
    assert (tmp_path / "tofy-book" / "nbs" / "03_masking.ipynb").read_text() == "{}"
    for name in ("index.ipynb", "lab/01_decoder.ipynb"):
        assert (tmp_path / "tofy-book" / "nbs" / name).read_bytes() == (ROOT / "nbs" / name).read_bytes()
    done = python(f"{clean}/python", "-c", code.format("Path()"), cwd=tmp_path)
    assert "holds other files, and no book" in done.stderr and [p.name for p in tmp_path.iterdir()] == ["tofy-book"]


@pytest.mark.slow
def test_the_readme_can_be_followed(clean, tmp_path):
    """The commands and the Python that the README and the page on PyPI print, from the wheel alone, in their order.

    Left out: what needs a network, a clone, a browser (the panels too), or Windows. A training is given three seconds.
    """
    blocks = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    shown = next(body for kind, body in blocks if kind == "text" and body.startswith("how are you today"))
    (tmp_path / "my.txt").write_text(shown + "".join(f"{context} {response}\n" for context, response in generate(400)))
    (tmp_path / "my.jsonl").write_text("".join(json.dumps(dict(text=line)) + "\n" for line in (tmp_path / "my.txt").read_text().splitlines()))
    done = []
    for kind, body in blocks:
        if kind == "python" and "panels" not in body:
            done.append((body, python(f"{clean}/python", "-c", body.replace("seconds=30", "seconds=3"), cwd=tmp_path)))
        for line in body.splitlines() if kind == "sh" and "git clone" not in body and "venv" not in body else ():
            program, *words = shlex.split(line, comments=True)
            if program == "pip":
                continue
            words = [w if before != "--seconds" else "3" for before, w in zip(["", *words], words)]
            words += ["--seconds", "3"] * ("train" in words and "--seconds" not in words) + ["--overwrite"] * ("train" in words)
            words += ["--no-open"] * (words[0] == "notebooks")
            start = [f"{clean}/python", "-m", "torch.distributed.run"] if program == "torchrun" else [f"{clean}/{program}"]
            done.append((line, python(*start, *words, cwd=tmp_path)))
    assert len(done) >= 15
    assert not [(line, found.stderr[-500:]) for line, found in done if found.returncode or "Traceback" in found.stderr]


def test_dev_holds_the_other_extras(wheel):
    text = next(zipfile.ZipFile(wheel).read(n).decode() for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA"))
    assert set(re.findall(r"^Provides-Extra: (\w+)", text, re.M)) >= set(EXTRAS)
    held = re.search(r'^Requires-Dist: tofy\[(.*?)\].*extra == "dev"', text, re.M).group(1)
    assert set(held.split(",")) >= {*EXTRAS} - {"dev"}


# ---- quick to start


@pytest.mark.parametrize("code", ["import tofy; tofy.__version__", "import tofy.cli",
                                  "from tofy.cli import main; main(['--version'])", "from tofy.cli import main; main(['train', '--help'])"])
def test_torch_is_not_loaded_before_it_is_needed(code):
    look = "import atexit, sys; atexit.register(lambda: print({'torch', 'numpy', 'matplotlib', 'tofy.training'} & {*sys.modules}))\n"
    done = subprocess.run([sys.executable, "-c", look + code], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr


def test_names_of_the_package():
    "What `tofy` offers is what its modules hold, and type checkers are told the same."
    import tofy
    tree = ast.parse((ROOT / "tofy" / "__init__.py").read_text())
    told = {a.name: node.module for top in tree.body if isinstance(top, ast.If) for node in top.body
            if isinstance(node, ast.ImportFrom) for a in node.names}
    assert told == tofy._HOMES and set(tofy.__all__) == {"__version__", *told}
    for name, home in told.items():
        assert getattr(tofy, name) is getattr(__import__(f"tofy.{home}", fromlist=[name]), name)
        assert name in dir(tofy)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tofy.nonsense  # noqa: B018


# ---- types


@pytest.mark.slow
def test_types():
    "mypy, as pyproject.toml asks for it: the package, and what programs that use it may rely on."
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_signatures_are_typed():
    "Every public function and method says what it takes and gives; pictures and callbacks may leave out what they paint."
    bare = []
    for path in sorted((ROOT / "tofy").rglob("*.py")):
        if path.name.startswith("_") or path.stem == "cli":                  # whose options Typer reads
            continue
        tree = ast.parse(path.read_text())
        for owner in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]:
            for f in (n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"):
                free = [a.arg for a in [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
                        if a.annotation is None and a.arg not in ("self", "cls", "ax", "axes", "ctx")]
                bare += [f"{path.stem}.{f.name}({a})" for a in free]
                if f.returns is None and not f.name.startswith(("plot", "draw", "mark", "show")):
                    bare.append(f"{path.stem}.{f.name}: returns?")
    assert not bare, bare
