"""The course is read in order, so the modules may import only what comes before them."""

import ast
import json
import re
from pathlib import Path

import pytest

import tofy

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


LAB = list(chapters("nbs/lab").values())
ORDER = [module for module in chapters().values() if module != "cli"] + LAB + ["cli"]     # who offers all of it comes last


def before(module: str) -> list[str]:
    "The modules that a module may import."
    return ORDER[:ORDER.index(module)]


def read(module: str) -> str:
    return (ROOT / "tofy" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


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
    assert ORDER[:8] == ["corpus_tables", "colours", "corpus", "errors", "settings", "architecture", "causes", "vocab"]
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_comes_before_it(module):
    later = imported(read(module), module) - set(before(module))
    assert not later, f"{module} imports {later}"


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    "The groups of modules that import one another, directly or through others."
    def reach(start: str) -> set[str]:
        found, todo = set(), [start]
        while todo:
            new = edges.get(todo.pop(), set()) - found
            found |= new
            todo += new
        return found

    ways = {module: reach(module) for module in edges}
    return sorted({frozenset(b for b in ways[a] if a in ways.get(b, ())) for a in ways if a in ways[a]}, key=sorted)


def test_no_circles():
    "Of all modules, those without a chapter as well, and of imports inside functions too."
    assert circles(dict(a={"b"}, b={"c"}, c={"a"}, d={"d"}, e={"a"})) == [{"a", "b", "c"}, {"d"}]
    files = {".".join(p.relative_to(ROOT / "tofy").with_suffix("").parts): p for p in (ROOT / "tofy").rglob("*.py")
             if p.stem not in ("__init__", "_modidx")}
    edges = {module: imported(path.read_text(encoding="utf-8"), module) & files.keys() for module, path in files.items()}
    assert len(edges) > 40 and "loop" in edges["training"] and circles(edges) == []


def test_the_loop_knows_no_model():
    "Neither by name nor through others, and both it and its first user are short."
    known, todo = set(), ["loop"]
    while todo:
        known |= (new := imported(read(todo.pop()), "loop") - known)
        todo += new
    assert "schedule" in known and not known & {"encoder", "layers", "losses", "training", "run_folder"}
    assert all(len(read(module).splitlines()) < 400 for module in ("loop", "training"))
    assert {"loop", "schedule"} <= imported(read("lab.training"), "lab.training") and "training" not in imported(read("lab.training"), "lab.training")


def test_the_surface_is_small():
    "Names that modules offer; what only its own module uses is no part of `__all__`."
    def offers(source: str) -> list[str]:
        lists = [node.value for node in ast.parse(source).body
                 if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
        return ast.literal_eval(lists[0]) if lists else []

    modules = [path for path in (ROOT / "tofy").rglob("*.py") if path.name != "__init__.py"]
    assert 300 < sum(len(offers(path.read_text(encoding="utf-8"))) for path in modules) <= 459
    assert offers(read("cli")) == ["app", "main"] and len(tofy.__all__) == 20
    assert offers((ROOT / "tofy" / "__init__.py").read_text()) == ["__version__", *tofy._HOMES]


def long_bodies(source: str, limit: int = 25) -> list[str]:
    "Functions whose body, without its docstring, has `limit` lines or more."
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[ast.get_docstring(node) is not None:]
            if body and body[-1].end_lineno - body[0].lineno + 1 >= limit:
                found.append(node.name)
    return found


def test_bodies_are_short():
    long = "def f():\n    'says'\n" + 25 * "    x = 1\n"
    assert long_bodies(long) == ["f"] and long_bodies(long.replace("    x = 1\n", "", 1)) == []
    assert {path: found for path in (ROOT / "tofy").rglob("*.py") if (found := long_bodies(path.read_text(encoding="utf-8")))} == {}


def test_colours_stand_in_one_module():
    for path in (ROOT / "tofy").rglob("*.py"):
        found = [line for line in path.read_text(encoding="utf-8").splitlines()
                 if re.search(r"""["':]#[0-9A-Fa-f]{6}\b""", line)]
        assert bool(found) == (path.stem == "colours"), (path, found)


def test_no_module_imports_panels():
    for path in (ROOT / "tofy").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "tofy").with_suffix("").parts)
        if not module.startswith("panels"):
            assert "panels" not in {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"), module)}, path


def test_every_module_has_a_notebook():
    modules = {".".join(p.relative_to(ROOT / "tofy").with_suffix("").parts) for p in (ROOT / "tofy").rglob("*.py")
               if not p.stem.startswith("_")}
    assert modules <= set(ORDER)
