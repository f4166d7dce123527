"""Modules → reference pages: every public name with its signature, its docments and an example that ran.

The modules are read: a signature is shown as its author wrote it. Examples are cells of the chapters; only of a constant
is the value asked here, when the site is built.
"""
import ast
import copy
import importlib
import inspect
import io
import json
import pprint
import re
import tokenize
from pathlib import Path

from nbformat.v4 import new_code_cell, new_output

from tools.site import doors
from tools.site.chapters import ROOT, Chapter, code, imports, label, markdown, picture_words, save, shows, toctree

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
FIELDS = {"dataclass", "NamedTuple"}              # decorators and bases that make annotated names into arguments


class Module:
    "What a module of the package says about its public names."
    def __init__(self, path: Path):
        self.path, source = path, path.read_text(encoding="utf-8")
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.lines = source.splitlines()
        self.name, tree = ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(source)
        self.doc, self.nodes = ast.get_docstring(tree) or "", {}
        self.scope = imports(source)
        self.comments = {t.start[0]: t.string.lstrip("# ") for t in tokenize.generate_tokens(io.StringIO(source).readline)
                         if t.type == tokenize.COMMENT}
        self.alone = {n for n, line in enumerate(self.lines, 1)
                      if line.lstrip().startswith("#") and not line.startswith("# %%")}         # that is nbdev's mark
        names = []
        for node in tree.body:
            for name in names_of(node):
                self.nodes.setdefault(name, node)
                if name == "__all__":
                    names += ast.literal_eval(node.value)
        self.public = sorted(dict.fromkeys(n for n in names if n in self.nodes), key=lambda n: self.nodes[n].lineno)
        self.scope |= {name: f"{self.name}.{name}" for name in self.public}

    def comment(self, first: int, last: int) -> str:
        "The docment of what stands on these lines: behind it, or on the lines above it."
        if last in self.comments and last not in self.alone:
            return self.comments[last]
        above = []
        while (first := first - 1) in self.alone:
            above.insert(0, self.comments[first])
        return " ".join(above)


def names_of(node: ast.stmt) -> list[str]:
    "What a statement at the top of a module defines."
    if isinstance(node, FUNCTION | ast.ClassDef):
        overload = any(ast.unparse(d) == "overload" for d in node.decorator_list)      # a form of the function below it
        return [] if overload else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [e.id for t in targets for e in (t.elts if isinstance(t, ast.Tuple) else [t]) if isinstance(e, ast.Name)]


def modules() -> list[Module]:
    "Every module with public names, and every package that says what it is for."
    paths = [p for p in sorted((ROOT / "tofy").rglob("*.py")) if p.name == "__init__.py" or p.stem[0] != "_"]
    return [m for m in map(Module, paths) if m.public]


# ---- what stands in a page

def write(book: list[Chapter], folder: Path) -> None:
    "A page for every module, in the order of the chapters, and one that lists them."
    found, order = modules(), {c.module: i for i, c in enumerate(book)}
    found.sort(key=lambda m: (order.get(m.name, 999), m.name))
    for module in found:
        save(folder / f"{module.name}.ipynb", page(module, book))
    rows = [f"| [`{m.name}`]({m.name}.ipynb) | {escape(m.doc.splitlines()[0]) if m.doc else ''} |" for m in found]
    text = ["# Reference", "Every public name of the package. Each entry links to the cell of the chapter that defines and "
            "explains it, and shows an example that ran. [Settings and sizes](../reference.ipynb), the [glossary](../glossary.ipynb) "
            "and the [family tree](../family.ipynb) stand beside it.", "| module | what it holds |\n|---|---|\n" + "\n".join(rows),
            toctree("", [*doors.of_reference(book[1:]), *(f"{m.name} <{m.name}>" for m in found)])]
    save(folder / "index.ipynb", [markdown("\n\n".join(text))])
    scopes, public = folder.parent / "scopes.json", {f"{m.name}.{name}" for m in found for name in m.public}
    pages = json.loads(scopes.read_text()) | {f"api/{m.name}": m.scope for m in found}
    scopes.write_text(json.dumps({page: {name: full for name, full in scope.items() if full in public}
                                  for page, scope in pages.items()}))


def page(module: Module, book: list[Chapter]) -> list:
    "The cells of a module's page."
    chapter = chapter_of(module, book)
    told = f"From the chapter [{chapter.title}](/{chapter.page}.ipynb)." if chapter else ""
    contents = "\n".join(f"| {{py:obj}}`{n} <{module.name}.{n}>` | {escape(summary(module, n))} |" for n in module.public)
    cells = [markdown(f"# {module.name}\n\n{escape(module.doc)}\n\n{told}\n\n| name | what it is |\n|---|---|\n{contents}\n\n"
                      f"```{{py:module}} {module.name}\n```")]
    for name in module.public:
        cells.append(markdown(entry(module, name, chapter)))
        if is_constant(module.nodes[name]):
            cells.append(value(module, name))
        if shown := example(module, name, book):
            home, i = shown
            cells.append(markdown("Example:" if home is chapter else f"Example, from [{home.title}](/{home.page}.ipynb):"))
            cells.append(code(home.cells[i], picture_words(home.cells, i)))
    return cells


def chapter_of(module: Module, book: list[Chapter]) -> Chapter | None:
    return next((c for c in book if c.module == module.name), None)


def entry(module: Module, name: str, chapter: Chapter | None) -> str:
    "One public name."
    node, last = module.nodes[name], ""
    if chapter and name in chapter.defines:
        last = f"Explained in [{chapter.title}](#{label(f'{module.name}.{name}')})."
    if isinstance(node, FUNCTION):
        return directive("function", name + signature(node), described(module, node), last)
    if isinstance(node, ast.ClassDef):
        return directive("class", name + signature(node), described(module, node), *members(module, node)) + "\n\n" + last
    return directive("data", name, summary(module, name), last)


def is_constant(node: ast.stmt) -> bool:
    return not isinstance(node, FUNCTION | ast.ClassDef)


def value(module: Module, name: str):
    "A cell that shows a constant's value, or the first lines of it."
    text = pprint.pformat(getattr(importlib.import_module(module.name), name), width=76, compact=True, sort_dicts=False)
    lines = re.sub(r" at 0x\w+", "", text).replace(str(ROOT), "…").splitlines()
    text = "\n".join(lines[:12] + ["…"] * (len(lines) > 12))
    shown = new_output("execute_result", {"text/plain": text}, execution_count=None)
    return new_code_cell(f"from {module.name} import {name}\n{name}", outputs=[shown])


def members(module: Module, node: ast.ClassDef) -> list[str]:
    "The public methods and properties of a class."
    found = []
    for method in node.body:
        if names_of(method) and isinstance(method, FUNCTION) and not method.name.startswith("_"):
            marks = {ast.unparse(d) for d in method.decorator_list}
            is_property = bool({"property", "cached_property"} & marks)
            option = ":classmethod:" if "classmethod" in marks else ":staticmethod:" if "staticmethod" in marks else ""
            kind, sign = ("property", "") if is_property else ("method", signature(method, bound="staticmethod" not in marks))
            found.append(directive(kind, method.name + sign, described(module, method), option=option, ticks=3))
    return found


def directive(kind: str, signed: str, *parts: str, option: str = "", ticks: int = 4) -> str:
    "A definition of Sphinx's Python domain."
    fence = "`" * ticks
    body = "\n\n".join(p for p in parts if p)
    return f"{fence}{{py:{kind}}} {signed}\n{option + chr(10) if option else ''}\n{body}\n{fence}"


def signature(node: ast.stmt, bound: bool = False) -> str:
    "Its arguments and result, as in the source; of a class, those that make one."
    if isinstance(node, ast.ClassDef):
        make = maker(node)
        if make:
            return signature(make, bound=True).partition(" -> ")[0]
        fields = [ast.unparse(f) for f in fields_of(node)]
        return f"({', '.join(fields)})" if fields else ""
    arguments = ast.unparse(SHORT.visit(copy.deepcopy(node.args)))
    if bound:
        arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    return f"({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


class Short(ast.NodeTransformer):
    "Default values that Sphinx cannot print become three dots; the table below a signature shows them."
    def visit_GeneratorExp(self, node: ast.expr) -> ast.expr: return ast.Constant(...)
    visit_ListComp = visit_DictComp = visit_SetComp = visit_Lambda = visit_GeneratorExp


SHORT = Short()


def maker(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((m for m in node.body if isinstance(m, FUNCTION) and m.name == "__init__"), None)


def fields_of(node: ast.ClassDef) -> list[ast.AnnAssign]:
    "The fields of a dataclass or a named tuple."
    marks = {ast.unparse(d).split("(")[0] for d in [*node.decorator_list, *node.bases]}
    return [f for f in node.body if isinstance(f, ast.AnnAssign)] if marks & FIELDS else []


def described(module: Module, node: ast.stmt) -> str:
    "Its docstring, and the table of its docments."
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    doc = re.sub(r"(?m)^ {2,}(?=\S)", "      ", doc)              # examples of a command, shown as they are
    first, *rest = doc.split("\n\n")
    doc = "\n\n".join([escape(first), *rest])
    rows = docments(module, node)
    if not any(row[-1] for row in rows):
        return doc
    return doc + "\n\n| name | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(
        f"| {' | '.join(row)} |" for row in rows)


def docments(module: Module, node: ast.stmt) -> list[tuple[str, str, str, str]]:
    "Name, type, default and meaning of every argument or field, and of the result."
    if isinstance(node, ast.ClassDef):
        if not (make := maker(node)):
            return [(tick(f.target.id), tick(f.annotation), tick(f.value), escape(module.comment(f.lineno, f.end_lineno)))
                    for f in fields_of(node)]
        node = make
    a = node.args
    plain_arguments = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(plain_arguments) - len(a.defaults)) + a.defaults
    given = [*zip(plain_arguments, defaults), *([(a.vararg, None)] if a.vararg else []),
             *zip(a.kwonlyargs, a.kw_defaults), *([(a.kwarg, None)] if a.kwarg else [])]
    given = [(arg, default) for arg, default in given if arg.arg not in ("self", "cls")]
    star = {a.vararg: "*", a.kwarg: "**"}
    ends = [(default or arg).end_lineno for arg, default in given] + [node.returns.end_lineno if node.returns else 0]
    rows = []
    for i, (arg, default) in enumerate(given):                    # a comment belongs to the last thing on its line
        words = module.comment(arg.lineno, ends[i]) if ends[i] not in ends[i + 1:] else ""
        rows.append((tick(star.get(arg, "") + arg.arg), tick(arg.annotation), tick(default), escape(words)))
    if node.returns and (words := module.comment(-1, ends[-1])):
        rows.append(("**returns**", tick(node.returns), "", escape(words)))
    return rows


def summary(module: Module, name: str) -> str:
    "A name in one line: of a function its docstring, of a constant the comment behind it."
    node = module.nodes[name]
    if isinstance(node, FUNCTION | ast.ClassDef):
        return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
    return module.comment(node.lineno, node.lineno) or module.comment(node.lineno, node.end_lineno)


def tick(what: str | ast.AST | None) -> str:
    "Code, in a cell of a table."
    text = what if isinstance(what, str) else " ".join(ast.unparse(what).split()) if what else ""
    return f"`{text}`".replace("|", r"\|") if text else ""


def escape(text: str) -> str:
    "Words from a comment, in a cell of a table: what is not between backticks means just itself."
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(p.replace("|", r"\|") if i % 2 else re.sub(r"([\\`*_<>\[\]$|~^{}#])", r"\\\1", p)
                   for i, p in enumerate(parts))


# ---- examples

def faults(book: list[Chapter]) -> list[str]:
    "A line for every public name without a description, or without an example; of a constant the value will do."
    found = []
    for module in modules():
        for name in module.public:
            full = f"{module.name}.{name}"
            found += [] if summary(module, name) else [f"{full} has no description"]
            found += [] if is_constant(module.nodes[name]) or example(module, name, book) else [f"{full} has no example"]
    return found


def example(module: Module, name: str, book: list[Chapter]) -> tuple[Chapter, int] | None:
    "The first cell that uses a name; else, of a class, one that uses a function which gives such an object, or a kind of it."
    if shown := first_use(module, name, book):
        return shown
    kin = [n for n in module.public if re.search(rf"\b{name}\b", given_by(module.nodes[n]))]
    return next(filter(None, (example(module, n, book) for n in kin)), None)


def given_by(node: ast.stmt) -> str:
    "What a function's result is said to be; what a class is a kind of."
    if isinstance(node, ast.ClassDef):
        return " ".join(map(ast.unparse, node.bases))
    return ast.unparse(node.returns) if isinstance(node, FUNCTION) and node.returns else ""


def first_use(module: Module, name: str, book: list[Chapter]) -> tuple[Chapter, int] | None:
    "The first cell that uses a name and prints or draws something; else the first that uses it: its own chapter before others."
    own, command, used = chapter_of(module, book), command_of(module.nodes[name]), []
    full = f"{module.name}.{name}"
    for chapter in book:
        words = {known if target == full else f"{known}.{name}"                # diagnose, or doctor.diagnose
                 for known, target in chapter.scope.items() if target in (full, module.name)}
        words |= {repr(command)} if command and (words or chapter is own) else set()
        begin = chapter.defines.get(name, -1) + 1 if chapter is own else 0
        used += [(chapter, i) for i in range(begin, len(chapter.cells) if words else 0) if shows(chapter.cells[i], words)]
    return min(used, key=lambda at: (at[0] is not own, not at[0].cells[at[1]].get("outputs")), default=None)


def command_of(node: ast.stmt) -> str | None:
    "The word by which a command of the command line is called."
    for mark in node.decorator_list if isinstance(node, FUNCTION) else []:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith(".command"):
            return ast.literal_eval(mark.args[0]) if mark.args else node.name.replace("_", "-")
    return None
