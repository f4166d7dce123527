"""The course is read in order, so the modules may import only what comes before them."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = "lab", "panels"


def chapters(folder: str = "nbs") -> dict[str, str]:
    "notebook → the module it exports, in the order of the chapters."
    found = {}
    for path in sorted((ROOT / folder).glob("[0-9]*.ipynb"), key=lambda p: p.name):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for line in "".join(cell["source"]).splitlines():
                if line.startswith("#| default_exp"):
                    found[path.stem] = line.split()[-1]
    return found


CHAPTERS = chapters()
ORDER = list(CHAPTERS.values())
LAB = list(chapters("nbs/lab").values())  # builds on the chapters; of those, only the command line knows of it


def before(module: str) -> list[str]:
    "The modules that a module may import."
    if module in LAB:
        return ORDER + LAB[:LAB.index(module)]
    return ORDER[:ORDER.index(module)] + LAB * (module == "cli")


def imported(source: str, module: str = "") -> set[str]:
    "The tofy modules that a module (`panels.parts`, say) names in its imports, wherever they stand."
    found, package = set(), module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".", 1)[1] for a in node.names if a.name.startswith("tofy.")}
        elif isinstance(node, ast.ImportFrom):
            if not node.level and (node.module or "").split(".")[0] != "tofy":
                continue
            above = package[:len(package) - node.level + 1] if node.level else []
            named = node.module.split(".") if node.level and node.module else (node.module or "").split(".")[1:]
            inside = ".".join([*above, *named])
            is_package = not named or named[-1] in PACKAGES
            names = [a.name for a in node.names if not a.name.startswith("__")] if is_package else []
            found |= {".".join(filter(None, [inside, name])) for name in names} or {inside}
    return found - {""}


def test_the_reader_of_imports_sees_every_form():
    source = "import tofy.a\nfrom tofy.b import x\nfrom .c import y\nfrom . import d, __version__\n"
    source += "def f():\n    from tofy import e\nimport os, tofyish"
    assert imported(source) == {"a", "b", "c", "d", "e"}
    source = "from .parts import x\nfrom ..data import y\nfrom .. import vocab\nfrom tofy.panels.ideas import z\n"
    source += "from tofy.lab import decoder"
    assert imported(source, "panels.models") == {"panels.parts", "data", "vocab", "panels.ideas", "lab.decoder"}


def test_the_order_is_that_of_the_notebooks():
    assert ORDER[:7] == ["corpus_tables", "colours", "corpus", "errors", "settings", "vocab", "data"] and ORDER.index("inference") < ORDER.index("cli")
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("module", ORDER + LAB)
def test_a_module_imports_only_what_comes_before_it(module):
    source = (ROOT / "tofy" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    later = imported(source, module) - set(before(module))
    assert not later, f"{module} imports {later}"


def test_no_module_imports_panels():
    for path in (ROOT / "tofy").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "tofy").with_suffix("").parts)
        if not module.startswith("panels"):
            assert "panels" not in {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"), module)}, path


def test_every_module_has_a_notebook():
    modules = {".".join(p.relative_to(ROOT / "tofy").with_suffix("").parts) for p in (ROOT / "tofy").rglob("*.py")
               if not p.stem.startswith("_")}
    assert modules <= set(ORDER + LAB)
