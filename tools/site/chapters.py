"""Notebooks → pages: the cells a reader should see, with their stored outputs. Nothing is run."""
import ast
import html
import json
import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics, filter_stream_, hide_, hide_line, strip_ansi

from tofy import one_step, panels
from tofy.architecture import tall
from tofy.playground import script
from tools.fold import TAG, only_imports, shows_the_method
from tools.glossary import link_terms, terms
from tools.labs import copied
from tools.order import reading_order
from tools.site.columns import narrow
from tools.site.words import WORDS

ROOT = Path(__file__).resolve().parents[2]
NBS, BUILD, DOCS = ROOT / "nbs", ROOT / "build" / "site", ROOT / "_docs"


@dataclass
class Chapter:
    "A notebook, as the site shows it."
    path: Path                                        # relative to nbs/: lab/01_decoder.ipynb
    cells: list                                       # of nbdev, directives taken out
    module: str                                       # the module it exports, tofy.masking; or nothing
    defines: dict[str, int] = field(default_factory=dict)     # public name → number of the cell that exports it
    scope: dict[str, str] = field(default_factory=dict)       # name, as its text uses it → full name
    explained: set[str] = field(default_factory=set)          # terms of the glossary that its page has linked already

    @property
    def page(self) -> str: return page_of(self.path.as_posix())

    @property
    def number(self) -> str:
        "`02a_hub` is chapter 2a; the one before all numbers, `000_…`, has none."
        found = re.match(r"(?!000)0?(\d+[a-z]*)_", self.path.name)
        return found[1] if found else ""

    @property
    def title(self) -> str:
        return next(line[2:] for c in self.cells if c.cell_type == "markdown" for line in c.source.splitlines()
                    if line.startswith("# "))


def page_of(notebook: str) -> str:
    "The name of its page: no number, no ending."
    return re.sub(r"(^|/)\d+[a-z]*_", r"\1", notebook).removesuffix(".ipynb")


def slug(title: str) -> str:
    "The anchor of a heading, as Jupyter makes it."
    return title.strip().replace(" ", "-")


def label(name: str) -> str:
    "The anchor, in its chapter, of the cell that defines a name: `Grammar` and `grammar` must differ in more than capitals."
    return f"chapter-{name}-{sum(map(str.isupper, name))}"


# ---- reading

def read() -> list[Chapter]:
    "All notebooks: the index, then the chapters in reading order, then what the index does not list, by name."
    paths = {p.relative_to(NBS) for p in NBS.rglob("*.ipynb")
             if not any(part[0] in "._" for part in p.relative_to(NBS).parts)}
    ordered = [Path("index.ipynb"), *(p for p in reading_order() if p in paths)]
    return [read_one(p) for p in [*ordered, *sorted(paths - {*ordered})]]


def shown_notebook(path: Path) -> Path:
    "The file that the site shows and hands out: of a lab, the learners' copy."
    return copied(NBS / path, BUILD.with_name("labs") / path.name) if path.parts[0] == "labs" else NBS / path


def read_one(path: Path) -> Chapter:
    "One notebook, without what is hidden."
    notebook = shown_notebook(path)
    hidden = [c.source for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"]
    module = next((m[1] for s in hidden if (m := re.search(r"^#\|\s*default_exp\s+(\S+)", s, re.M))), "")
    processor = NBProcessor(notebook, [hide_, hide_line, filter_stream_, strip_ansi, clean_magics])
    processor.process()
    cells = [c for c in processor.nb.cells if "default_exp" not in c.directives_ and (c.source or c.get("outputs"))]
    chapter = Chapter(path, cells, f"tofy.{module}" if module else "")
    for i, cell in enumerate(cells):
        if exported(cell):
            chapter.defines |= {name: i for name in assigned(cell.source) if name not in chapter.defines}
    imported = {name: full for source in hidden for name, full in imports(source).items()}
    chapter.scope = imported | {name: f"{chapter.module}.{name}" for name in chapter.defines}
    return chapter


def exported(cell) -> bool:
    "Whether its names are public."
    return cell.cell_type == "code" and bool({"export", "exports"} & cell.directives_.keys())


def in_module(cell) -> bool:
    "Whether it becomes part of the module; the names of an `exporti` cell are the module's own."
    return exported(cell) or cell.cell_type == "code" and "exporti" in cell.directives_


def parsed(source: str) -> ast.Module:
    "Its syntax without magics; nothing where it is no Python (a shell command, say)."
    try:
        return ast.parse(re.sub(r"(?m)^%.*$", "", source))
    except SyntaxError:
        return ast.Module([], [])


def assigned(source: str) -> list[str]:
    "The public functions, classes and constants that a cell defines."
    names = []
    for node in parsed(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else [node]
        parts = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
        names += [getattr(p, "id", None) or getattr(p, "name", "_") for p in parts]
    return [name for name in names if not name.startswith("_")]


def imports(source: str) -> dict[str, str]:
    "What a cell takes from the package: name → full name."
    found = [n for n in ast.walk(parsed(source)) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("tofy")]
    return {a.asname or a.name: f"{n.module}.{a.name}" for n in found for a in n.names}


def shows(cell, words: set[str]) -> bool:
    "Whether a cell says one of these words, and is a demonstration: no part of the module."
    return cell.cell_type == "code" and not in_module(cell) and bool(words & said(cell.source))


@cache
def said(source: str) -> set[str]:
    "The names that a cell reads, as `name` or `module.name`, and what it has in quotes."
    kinds = ast.Name | ast.Attribute | ast.Constant
    return {ast.unparse(n) for n in ast.walk(parsed(source))
            if isinstance(n, kinds) and not isinstance(getattr(n, "ctx", None), ast.Store)}


# ---- writing

def write(book: list[Chapter], pages: Path, live: bool) -> None:
    "A page for every chapter, and for Sphinx the list of what names mean on which page."
    numbers = {c.path.as_posix(): c for c in book}
    from tools.site import doors
    index, *chapters = book
    for page, cells in doors.pages(index, chapters, numbers, live).items():
        save(pages / f"{page}.ipynb", cells)
    for chapter in chapters:
        save(pages / f"{chapter.page}.ipynb", [new for i, cell in enumerate(chapter.cells) for new in convert(chapter, i, cell, numbers)])
    (pages / "scopes.json").write_text(json.dumps({c.page: c.scope for c in book}))
    (pages / "notebooks.json").write_text(json.dumps({c.page: c.path.as_posix() for c in chapters}))


def convert(chapter: Chapter, i: int, cell, numbers: dict[str, Chapter]) -> list:
    "The cells of the page for one cell of the notebook."
    if cell.cell_type != "code":
        text = narrow_blocks(relink(explain(cell.source, chapter), chapter, numbers))
        if text.startswith("# ") and chapter.page != "index":
            text += "\n\n" + own_copy(chapter) + "\n\n" + about(chapter)
        return [markdown(text)]
    shown = code(cell, picture_words(chapter.cells, i))
    for output in shown.outputs:                                  # a table that a chapter made has links as well
        if text := output.get("data", {}).get("text/markdown"):
            output["data"]["text/markdown"] = relink("".join(text), chapter, numbers).replace(".ipynb", ".html")
    names = [name for name, at in chapter.defines.items() if at == i]
    if not names:
        return [shown]
    labels = "\n".join(f"({label(f'{chapter.module}.{name}')})=" for name in names)
    words = ", ".join(f"`{name}`" for name in names)
    return [markdown(f"{labels}\n```{{container}} exported\n`{chapter.module}`: {words}\n```"), shown]


def explain(text: str, chapter: Chapter) -> str:
    "Words of the glossary become links to it where a chapter uses them first."
    if chapter.page in ("index", "glossary"):
        return text
    return link_terms(text, terms(), chapter.explained, os.path.relpath("22_glossary.ipynb", chapter.path.parent))


def page_cell(kind: str, source: str, metadata: dict | None = None, **more):
    "A cell. It is checked when its page is saved: nbformat's own makers check each by a rule of its own, which takes ten seconds."
    return nbformat.from_dict(dict(cell_type=kind, source=source, metadata=metadata or {}, **more))


def markdown(text: str):
    return page_cell("markdown", text)


def shown_html(text: str):
    "A cell that shows nothing but this."
    output = dict(output_type="display_data", data={"text/html": text}, metadata={})
    return page_cell("code", "shown", dict(tags=["remove-input"]), outputs=[output], execution_count=None)   # MyST-NB drops empty cells


def code(cell, words: str):
    "A code cell with its outputs; its pictures say what they show to those who cannot see them."
    source, tags = cell.source.strip(), []
    if cell.directives_.get("echo:") == ["false"] or not source:
        tags.append("remove-input")
    if cell.directives_.get("output:") == ["false"]:
        tags.append("remove-output")
    if {"code-fold:", "hide_input"} & cell.directives_.keys() or TAG in cell.metadata.get("tags", []):
        tags.append("hide-input")
    if in_module(cell):
        tags.append("exported")
    source = narrow(re.sub(r"^#\|.*\n?", "", source, flags=re.M))
    outputs = nbformat.from_dict(json.loads(json.dumps(cell.get("outputs", []))))
    for output in outputs:                                        # a drawing of ours takes the colours of the page
        if drawing := drawn_here(output.get("data", {})):
            output["data"] = {"text/html": drawing}
        if steps := re.match(r"Slow motion, steps: (\d+)", "".join(output.get("data", {}).get("text/plain", ""))):
            output["data"] = {"text/html": step_in_the_page(int(steps[1]))}
        if "".join(output.get("data", {}).get("text/plain", "")).startswith("Playground:"):
            output["data"] = {"text/html": in_the_page()}
        if panel := live_panel("".join(output.get("data", {}).get("text/plain", ""))):
            output["data"] = {"text/html": panel}
    what = "imports" if only_imports(source) else "code" if shows_the_method(source) else "tests" if TAG in cell.metadata.get("tags", []) else "code"
    meta = dict(tags=tags, mystnb=dict(image=dict(alt=words), code_prompt_show=f"Show the {what}", code_prompt_hide=f"Hide the {what}"))
    return page_cell("code", source, meta, outputs=outputs, execution_count=None)


def step_in_the_page(steps: int) -> str:
    "One step in slow motion, without Python: that of the five words, or those of the ready-made runs, computed when the site is made."
    toy = one_step.explain_step(one_step.five_words(), "cat drinks _ => milk") if steps == 1 else None
    page = json.dumps(one_step.page_data([toy], 4000) if toy else one_step.ready_data(), ensure_ascii=False).replace("</", "<\\/")
    return (f'<div class="tofy-slow"></div>\n<script type="module">\n{one_step.script()}'
            f'mountStep(document.querySelector(".tofy-slow:not([data-full])"), {page});\n</script>')


@cache
def live_panel(said: str) -> str:
    "The panel that an output speaks of, if it needs no Python: its script and its data, taken when the site is made."
    kind = getattr(panels, said.partition(":")[0], None)
    if not said.endswith(" to use it") or not isinstance(kind, type):
        return ""
    if hasattr(kind, "ready"):
        return kind.ready().in_the_page()
    return kind().in_the_page() if hasattr(kind, "in_the_page") else ""


def in_the_page(moving: bool = False) -> str:
    "The playground, which needs no Python: the script that JupyterLab runs, in the page itself, so that it works from a file as well."
    options = "{linked: true, moving: true}" if moving else "{linked: true}"
    return (f'<div class="tofy-playground"></div>\n<script type="module">\n{script()}'
            f'mount(document.querySelector(".tofy-playground"), {options});\n</script>')


def drawn_here(data: dict) -> str:
    "A `Drawing` as a part of the page: it follows the page's own switch of light and dark, and is tall on a narrow screen."
    if "class=\"tofy\"" not in (svg := "".join(data.get("image/svg+xml", "")))[:100]:
        return ""
    narrow = tall(svg)
    return (f'<div class="drawing wide">{svg}</div>\n<div class="drawing tall">{narrow}</div>' if narrow
            else f'<div class="drawing alone">{svg}</div>')


def picture_words(cells: list, i: int) -> str:
    "Its `#| fig-alt:` or `#| fig-cap:`, or what a drawing says of itself; else its heading and the sentence before it."
    for name in ("fig-alt:", "fig-cap:"):
        if name in cells[i].directives_:
            return " ".join(cells[i].directives_[name]).strip("\"'")
    svg = next(("".join(o.get("data", {}).get("image/svg+xml", "")) for o in getattr(cells[i], "outputs", [])), "")
    if said_itself := re.match(r'<svg [^>]*class="tofy"[^>]*aria-label="([^"]*)"', svg):
        return html.unescape(said_itself[1])
    above = [c.source for c in cells[:i] if c.cell_type == "markdown"]
    heading = next((h for text in reversed(above) for h in re.findall(r"^#+ (.+)$", text, re.M)[::-1]), "")
    text = [p for p in above[-1].split("\n\n") if p[:1] not in "#|<`$:>"] if above else []
    sentence = re.split(r"(?<=[.?!:]) (?=[A-Z`*])", plain(text[-1]))[-1] if text else ""
    return f"Picture for “{plain(heading)}”: {sentence}".removesuffix(": ")


def plain(text: str) -> str:
    "Markdown without its signs."
    return re.sub(r"[*`$_]|\[([^]]*)\]\([^)]*\)", lambda m: m[1] or "", text.replace("\n", " ")).strip()


def relink(text: str, chapter: Chapter, numbers: dict[str, Chapter]) -> str:
    "Links to notebooks become links to their pages."
    def link(found):
        target = os.path.normpath(chapter.path.parent / found[1])
        if target not in numbers:
            raise SystemExit(f"nbs/{chapter.path} links to {found[1]}, which is not there.")
        return f"]({os.path.relpath(numbers[target].page + '.ipynb', Path(chapter.page).parent)}{found[2] or ''})"
    return re.sub(r"\]\((?!https?:)([\w./]+\.ipynb)(#[^)]*)?\)", link, text)


def narrow_blocks(text: str) -> str:
    "A markdown cell whose Python is no wider than the column."
    return re.sub(r"(?ms)^(```python\n)(.*?)(?=^```)", lambda m: m[1] + narrow(m[2]), text)


def about(chapter: Chapter) -> str:
    "What a chapter is about, for search engines and for those who pass its address on."
    said = next((line[2:] for c in chapter.cells if c.cell_type == "markdown" for line in c.source.splitlines() if line.startswith("> ")), "")
    lines = [f"   :description: {plain(said)}"] * bool(said)
    return "\n".join(["```{eval-rst}", ".. meta::", *lines, "```"]) if lines else ""


def own_copy(chapter: Chapter) -> str:
    "The line under a title: how to get the notebook, and how to run it."
    up = os.path.relpath(shown_notebook(chapter.path), BUILD / "pages" / Path(chapter.page).parent)
    words = [word for word, home in WORDS.items() if home == chapter.path.as_posix()]
    also = f"\n\nThe literature's words for what is here: {', '.join(words)}." if words else ""
    return (f"```{{container}} own-copy\n{{download}}`Download {chapter.path.name} <{up}>`, or open it in JupyterLab, "
            f"in a clone of the project: `jupyter lab nbs/{chapter.path}`{also}\n```")


def toctree(caption: str, entries: list[str]) -> str:
    named = [f":caption: {caption}"] * bool(caption)
    return "\n".join(["```{toctree}", ":hidden:", *named, "", *entries, "```"]) if entries else ""


def save(path: Path, cells: list, **metadata) -> None:
    "A notebook for MyST-NB to read."
    kernel = dict(kernelspec=dict(name="python3", display_name="Python 3", language="python"),
                  language_info=dict(name="python"))
    path.parent.mkdir(parents=True, exist_ok=True)
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel | metadata), path)
