"""Fold what a reader skips at first: cells that only import, cells that only test, and the code of a chapter's head.

Such a cell gets the tag `fold`, by which the site folds it, and `source_hidden`, by which JupyterLab does. One click opens it.

usage: python tools/fold.py [--check] [nbs/03_masking.ipynb …]      (default: all of them)

--check changes nothing; its exit code says whether there was something to change.
"""
import argparse
import ast
import json
import re
import symtable
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TAG = "fold"
STYLE = "plt.style.use('tofy.plots')"
FOLDED = dict(jupyter=dict(source_hidden=True), tags=[TAG])


def all_notebooks() -> list[Path]:
    "Every notebook under nbs/, by name."
    paths = sorted((ROOT / "nbs").rglob("*.ipynb"))
    return [p for p in paths if not any(part[0] in "._" for part in p.relative_to(ROOT).parts)]


def parsed(source: str) -> list[ast.stmt]:
    "The statements of a cell, without magics; none where it is no Python."
    try:
        return ast.parse(re.sub(r"^\s*[%!#].*$", "", source, flags=re.M)).body
    except SyntaxError:
        return []


def only_imports(source: str) -> bool:
    "Whether a cell holds imports, magics, the look of the plots, and nothing else."
    return bool(source.strip()) and "default_exp" not in source and all(
        isinstance(node, ast.Import | ast.ImportFrom) or ast.unparse(node) == STYLE for node in parsed(source)) and not re.search(r"^!", source, re.M) \
        and bool(parsed(source) or re.search(r"^%", source, re.M))


def tests(node: ast.stmt) -> bool:
    "Whether a statement is an assertion or a call of `test_…`."
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return getattr(node.value.func, "id", "").startswith("test_")
    return isinstance(node, ast.Assert)


def shows_the_method(source: str) -> bool:
    "Whether a cell is the head of a chapter: it imports `plot_architecture`, calls it, and does nothing else."
    *before, last = parsed(source) or [None]
    called = getattr(getattr(last, "value", None), "func", None)
    return bool(before) and all(isinstance(node, ast.ImportFrom) for node in before) and getattr(called, "id", "") == "plot_architecture"


def names(body: list[ast.stmt]) -> tuple[set[str], set[str]]:
    "What a cell binds, and what it or its functions read that it has not bound before."
    bound: set[str] = set()
    read: set[str] = set()

    def walk(table: symtable.SymbolTable, top: bool = False):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()) and symbol.get_name() not in bound:
                read.add(symbol.get_name())
        for child in table.get_children():
            walk(child)

    for node in body:
        table = symtable.symtable(ast.unparse(node), "cell", "exec")
        walk(table, top=True)
        bound |= {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    return bound, read


def foldable(cells: list[dict]) -> list[bool]:
    "For each cell whether it is folded: imports; a head; tests that print nothing and make nothing that a cell in sight uses."
    answers, used = [], set()
    for cell in reversed(cells):
        source, fold = "".join(cell["source"]), False
        if cell["cell_type"] == "code" and not re.search(r"^#\|\s*exports?\b", source, re.M):
            body = parsed(source)
            bound, read = names(body)
            tested = any(tests(node) for top in body for node in ast.walk(top) if isinstance(node, ast.stmt))
            fold = only_imports(source) or shows_the_method(source) or tested and not cell["outputs"] and not bound & used
            if not fold:
                used = used - bound | read
        elif cell["cell_type"] == "code":
            fold = only_imports(re.sub(r"^#\|.*$", "", source, flags=re.M))
        answers.append(fold)
    return answers[::-1]


def marked(text: str) -> str:
    "The notebook with its cells marked anew."
    nb = json.loads(text)
    for cell, fold in zip(nb["cells"], foldable(nb["cells"])):
        tags = [tag for tag in cell["metadata"].pop("tags", []) if tag != TAG]
        cell["metadata"].pop("jupyter", None)
        cell["metadata"] |= FOLDED | dict(tags=[*tags, TAG]) if fold else dict(tags=tags) if tags else {}
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def rewrite(path: Path, mended: Callable[[str], str], check: bool = False) -> bool:
    "Write what becomes of a notebook's text, unless this is only a check; returns whether that changes it."
    old = path.read_text(encoding="utf-8")
    if (new := mended(old)) != old and not check:
        path.write_text(new, encoding="utf-8")
    return new != old


def main(usage: str, mended: Callable[[str], str], done: str) -> bool:
    "The command line of what mends notebooks; whether there was something to mend in a check."
    ap = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("notebooks", nargs="*", type=Path)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    changed = [path for path in args.notebooks or all_notebooks() if rewrite(path, mended, args.check)]
    for path in changed:
        print(path.resolve().relative_to(ROOT), f"should be {done}" if args.check else done)
    return args.check and bool(changed)


if __name__ == "__main__":
    sys.exit(main(__doc__, marked, "marked anew"))
