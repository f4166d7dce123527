"""Slides for the six weeks of nbs/20_routes.ipynb: one HTML file a week, which needs no network and no other file.

usage: python -m tools.slides      writes build/slides/ (`make slides`); the site's build writes the same into _docs/slides/

A plan, tools/decks/weekN.md, says what a slide shows; what is shown comes out of the notebooks, with their stored outputs:

    ## A title, one idea                            a new slide
    from: 03_masking # By hand first                a notebook, and one of its headings
    ask                                             what that section asks to be predicted; all that follows waits for a click
    wait                                            all that follows waits for a click
    picture: 2 top .4 left                          its second picture, or a part of it; likewise table:, output:, html: (a number may
                                                    be left out: the first)
    output: 1 model .. best                         of what was printed, the lines from that which begins so to that which begins so
    code: attention_v0                              the function of that name
    exercise: 03_masking 2                          the second exercise of a chapter
    lab: 02_mask_batch                              what a graded lab is about
    Any other line.                                 a sentence of that notebook; if it no longer says so, the build fails

Speakers' notes (key S) hold the paragraphs from which the sentences are. Before the first slide comes the week's title, after the last
its question: both from the table of the routes.
"""
import ast
import base64
import html
import re
import shutil
import struct
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt

from tofy.errors import TofyError
from tools import key, npm
from tools.figures import KINDS, content
from tools.fold import parsed
from tools.site.chapters import NBS, ROOT, page_of, plain, slug

DECKS, FOLDER = ROOT / "tools" / "decks", ROOT / "build" / "slides"
SITE = "https://tofy-lab.github.io/tofy/"
DARK = re.compile(r"^@media\(prefers-color-scheme:dark\).*\n", re.M)      # a drawing follows its page: here the page is light
ASKED = re.compile(r"^my_guess = predict\(\s*((?:\"[^\n]*\"\s*)+),", re.M)
PARTS = "picture", "table", "output", "html", "code", "ask", "exercise", "lab", "wait"


class BadPlan(TofyError):
    "A plan asks for what its notebook does not hold."


@dataclass
class Part:
    kind: str               # one of PARTS, or `says`
    which: str              # what the plan says behind the colon; of `says` the sentence
    source: str             # 03_masking
    heading: str

    @property
    def where(self) -> str: return f"nbs/{self.source}.ipynb, {self.heading!r},"


@dataclass
class Slide:
    title: str
    parts: list[Part] = field(default_factory=list)


@dataclass
class Week:
    number: int
    about: str
    chapters: list[key.Lesson]
    question: str


# ---- what there is

@cache
def weeks() -> list[Week]:
    "The six weeks, from the cell of the routes that defines them."
    cells = nbformat.read(NBS / "20_routes.ipynb", as_version=4).cells
    told = next(ast.literal_eval(parsed(cell.source)[0].value) for cell in cells if "weeks = [" in cell.source)
    known = {name: path for path in sorted(NBS.glob("[0-9]*.ipynb")) for name in (path.name.split("_")[0], path.stem)}
    return [Week(n, about, [key.read(known[name]) for name in names.split()], question) for n, (about, names, question) in enumerate(told, 1)]


@cache
def sections(source: str) -> dict[str, list]:
    "Heading → what stands below it, down to the next: texts, and code cells."
    found: dict[str, list] = {}
    below: list = []
    for cell in nbformat.read(NBS / f"{source}.ipynb", as_version=4).cells:
        if cell.cell_type != "markdown":
            below.append(cell)
            continue
        first, *rest = re.split(r"^#+ (.+)$", cell.source, flags=re.M)
        below.append(first)
        for heading, text in zip(rest[::2], rest[1::2]):
            below = found.setdefault(heading.strip(), [])
            below.append(text)
    return found


@cache
def paragraphs(source: str) -> list[str]:
    "A notebook's paragraphs, without signs and links."
    texts = [part for parts in sections(source).values() for part in parts if isinstance(part, str)]
    return [" ".join(plain(p).split()) for text in texts for p in re.split(r"\n\n|\n(?=- |> )", text)]


def holding(source: str, sentence: str) -> list[str]:
    "The paragraphs that have a sentence, or a part of one that begins with a capital here."
    words = " ".join(plain(sentence).split())
    return [p for p in paragraphs(source) if words in p or words[:1].lower() + words[1:] in p]


def plan(week: int) -> list[Slide]:
    "The slides of a week, as its plan has them."
    found: list[Slide] = []
    source = heading = ""
    for line in (DECKS / f"week{week}.md").read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(":")
        if line.startswith("## "):
            found.append(Slide(line[3:]))
        elif word == "from":
            source, _, heading = map(str.strip, rest.partition("#"))
        elif line.strip() and found:
            found[-1].parts.append(Part(word, rest.strip(), source, heading) if word in PARTS else Part("says", line.strip(), source, heading))
    return found


# ---- what a slide shows

def find(part: Part):
    "The n-th thing of a kind below a heading."
    if part.heading not in sections(part.source):
        raise BadPlan(f"There is no heading {part.heading!r} in nbs/{part.source}.ipynb; it has {', '.join(sections(part.source))}.")
    below = sections(part.source)[part.heading]
    things = [thing for cell in below for thing in OFFERS[part.kind](cell)]
    n = int((part.which.split() or ["1"])[0])
    if n > len(things):
        raise BadPlan(f"{part.where} has {len(things)} of the kind {part.kind!r}; a slide asks for number {n}.")
    return things[n - 1]


def function(part: Part) -> str:
    "The source of the function that a code cell below the heading defines."
    for cell in sections(part.source)[part.heading]:
        for node in [] if isinstance(cell, str) else parsed(cell.source):
            if getattr(node, "name", "") == part.which:
                return re.sub(r" {3,}#", "  #", "\n".join(cell.source.splitlines()[node.lineno - 1:node.end_lineno]))
    raise BadPlan(f"{part.where} defines no {part.which}.")


def outputs(cell) -> list:
    "The outputs of a cell, but for those of a prediction."
    return [] if isinstance(cell, str) or "predict(" in cell.source or ".reveal(" in cell.source else cell.get("outputs", [])


def pictures(cell) -> list[dict]:
    return [out["data"] for out in outputs(cell) if KINDS.keys() & out.get("data", {}).keys()]


def picture(data: dict, words: str, crop: list[str]) -> str:
    "A picture, or its `top`, `bottom`, `left`, `right` half, or as much of it as is said: `bottom .45`."
    kind = next(kind for kind in KINDS if kind in data)
    stored = content(data[kind], kind)
    if kind == "image/svg+xml":
        stored = DARK.sub("", stored.decode()).encode()
    source = f"data:{kind};base64,{base64.b64encode(stored).decode()}"
    if not crop:
        return f'<figure><img src="{source}" alt="{words}"></figure>'
    wide, high = size(stored, kind)
    share = {side: float(of) if of.startswith(".") else .5 for side, of in zip(crop, [*crop[1:], ""]) if not side.startswith(".")}
    w, h = (wide * share.get("left", share.get("right", 1.)), high * share.get("top", share.get("bottom", 1.)))
    x, y = (wide - w) * ("right" in share), (high - h) * ("bottom" in share)
    return (f'<figure><svg viewBox="0 0 {w:g} {h:g}" role="img" aria-label="{words}"><svg width="{w:g}" height="{h:g}" viewBox="{x:g} {y:g} {w:g} {h:g}">'
            f'<image href="{source}" width="{wide:g}" height="{high:g}"/></svg></svg></figure>')


def size(stored: bytes, kind: str) -> tuple[float, float]:
    "The width and height of an SVG or a PNG."
    if kind == "image/png":
        return struct.unpack(">II", stored[16:24])
    box = re.search(rb'viewBox="([^"]*)"', stored)[1].split()
    return float(box[2]), float(box[3])


def tables(cell) -> list[str]:
    return re.findall(r"(?:^\|.*\n?)+", cell, re.M) if isinstance(cell, str) else []


def printed(cell) -> list[str]:
    told = [out.get("text") or "" if out.output_type == "stream" else out.get("data", {}).get("text/plain", "")
            for out in outputs(cell) if out.output_type == "stream" or {*out.get("data", {})} == {"text/plain"}]
    return ["".join(text).strip("\n") for text in told]


def lines(part: Part, text: str) -> str:
    "All lines, or those from `first .. last`."
    first, _, last = part.which.partition(" ")[2].partition(" .. ")
    found = re.search(rf"^{re.escape(first)}.*?^{re.escape(last)}.*?$", text, re.M | re.S) if last else re.search(r".*", text, re.S)
    if not found:
        raise BadPlan(f"{part.where} prints no lines from {first!r} to {last!r}.")
    return found[0]


def pages(cell) -> list[str]:
    return ["".join(out["data"]["text/html"]) for out in outputs(cell) if "text/html" in out.get("data", {})]


def questions(cell) -> list[str]:
    return [] if isinstance(cell, str) else [ast.literal_eval(f"({asked})") for asked in ASKED.findall(cell.source)]


OFFERS = dict(picture=pictures, table=tables, output=printed, html=pages, ask=questions)


def shown(slide: Slide, part: Part, home: str = SITE) -> str:
    "A part of a slide as HTML."
    if part.kind == "says":
        return f'<p class="says">{inline(unlinked(said(part)))}</p>'
    if part.kind == "exercise":
        return exercise(*part.which.split(), home=home)
    if part.kind == "lab":
        return lab(part.which, home)
    if part.kind == "code":
        return f'<pre class="code">{html.escape(function(part))}</pre>'
    thing = "" if part.kind == "wait" else find(part)
    if part.kind == "picture":
        words = next((plain(p.which) for p in slide.parts if p.kind == "says"), plain(slide.title))
        return picture(thing, html.escape(words), part.which.split()[1:])
    if part.kind == "output":
        return f'<pre class="output">{html.escape(lines(part, thing))}</pre>'
    return {"table": f'<div class="table">{MarkdownIt().enable("table").render(unlinked(thing))}</div>',
            "html": f'<div class="html">{thing}</div>',
            "ask": f'<p class="asks">{html.escape(thing)}</p><p class="write">Write a guess down first.</p>', "wait": ""}[part.kind]


def said(part: Part) -> str:
    "The sentence, if its notebook has it."
    if not holding(part.source, part.which):
        raise BadPlan(f"nbs/{part.source}.ipynb does not say (any longer): {part.which}")
    return part.which


def exercise(source: str, which: str = "1", home: str = SITE) -> str:
    "What an exercise asks, without the cell that checks it, and where it stands."
    asks = key.read(NBS / f"{source}.ipynb").exercises[int(which) - 1].question.split("\n\n```")[0]
    asks = re.sub(r"\n\nThis cell says [^\n]*$", "", asks)
    return (f'<div class="exercise">{MarkdownIt().render(unlinked(asks))}</div>'
            f'<p class="to">Exercise {which} of <a href="{home}{page_of(source)}.html#Summary">{title(source)}</a></p>')


def lab(name: str, home: str) -> str:
    "What a graded lab is about, and where it is."
    source = f"labs/{name}"
    about = re.search(r"^> (?:Graded lab \d+: )?(.+)$", "\n".join(p for p in sections(source)[title(source)] if isinstance(p, str)), re.M)[1]
    return (f'<div class="lab"><p><b>Lab {int(name.split("_")[0])}: <a href="{home}labs/{page_of(name)}.html">{title(source)}</a></b></p>'
            f"<p>{inline(unlinked(about))}</p></div>")


def title(source: str) -> str: return next(iter(sections(source)))


def unlinked(text: str) -> str: return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)


def inline(text: str) -> str: return MarkdownIt().renderInline(text)


# ---- files

def section(slide: Slide, home: str) -> str:
    "A slide with its notes; what stands behind a question waits for a click."
    parts = [shown(slide, part, home) for part in slide.parts]
    until = next((i for i, part in enumerate(slide.parts, 1) if part.kind in ("ask", "wait")), len(parts))
    behind = f'<div class="answer fragment">{"".join(parts[until:])}</div>' if parts[until:] else ""
    notes = dict.fromkeys(p for part in slide.parts if part.kind == "says" for p in holding(part.source, part.which))
    kinds = {part.kind for part in slide.parts}
    part = slide.parts[0]
    anchor = slug(re.sub(r"[*`]", "", part.heading))
    source = "tofy" if kinds <= {"lab", "exercise"} else \
        f'<a href="{home}{page_of(part.source)}.html#{anchor}">{title(part.source)}</a>'
    return framed(f"<h2>{inline(slide.title)}</h2>{''.join(parts[:until])}{behind}", source,
                  "".join(f"<p>{html.escape(note)}</p>" for note in notes), "" if "picture" in kinds else "words")


def faults() -> list[str]:
    "What the plans ask for and their notebooks do not hold: a line each."
    found = []
    for owner, part in [(slide, part) for week in weeks() for slide in plan(week.number) for part in slide.parts]:
        try:
            shown(owner, part)
        except TofyError as error:
            found.append(str(error))
    return found


def framed(inside: str, source: str, notes: str = "", kind: str = "words") -> str:
    aside = f'<aside class="notes">{notes}</aside>' if notes else ""
    return f'<section><div class="slide {kind}">{inside}<footer>{source}</footer></div>{aside}</section>'


def deck(week: Week, home: str = SITE) -> str:
    "The whole page of a week."
    read = "".join(f'<li><a href="{home}{page_of(c.path.as_posix())}.html">{c.title}</a> <small>{c.minutes} minutes</small></li>' for c in week.chapters)
    first = framed(f"<p>Week {week.number} of 6</p><h1>{html.escape(week.about)}</h1><ul>{read}</ul>", "tofy", kind="first")
    last = framed(f'<h2>The question of the week</h2><p class="asks">{html.escape(week.question)}</p><p class="write">Answer in writing, with a number.</p>', "tofy")
    scripts = npm.package("reveal.js") / "dist"
    given = dict(title=f"Week {week.number}: {html.escape(week.about)}", reveal=scripts / "reveal.js", notes=scripts / "plugin" / "notes.js",
                 rules=scripts / "reveal.css", looks=DECKS / "slides.css", slides="\n".join([first, *(section(s, home) for s in plan(week.number)), last]))
    page = (DECKS / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda m: given[m[1]] if isinstance(given[m[1]], str) else given[m[1]].read_text(encoding="utf-8"), page)


def index(made: list[Week]) -> str:
    "The page that leads to the six."
    rows = "".join(f'<li><a href="week{w.number}.html">Week {w.number}: {html.escape(w.about)}</a></li>' for w in made)
    return (DECKS / "index.html").read_text(encoding="utf-8").replace("{{weeks}}", rows)


def write(folder: Path = FOLDER, home: str = SITE) -> list[Path]:
    "Six files and their index, in a folder that is emptied first, and a zip beside it."
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for week in weeks():
        (folder / f"week{week.number}.html").write_text(deck(week, home), encoding="utf-8")
    (folder / "index.html").write_text(index(weeks()), encoding="utf-8")
    return sorted(folder.iterdir())


if __name__ == "__main__":
    if lacking := faults():
        sys.exit("\n".join(lacking))
    for path in write():
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
