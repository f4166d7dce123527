"""The front door: the home page, the four doors behind it (Learn, Use, Reference, Results), and the groups of chapters behind those.

The README is one page; on the site its sections stand behind the door where they are looked for. Each door is a page of its own, and an
entry of the sidebar that opens there; a chapter stands behind one door, and behind each door they keep the reading order.
"""
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.order import reading_order
from tools.site.chapters import (
    Chapter,
    convert,
    in_the_page,
    markdown,
    page_of,
    plain,
    relink,
    shown_html,
    slug,
    toctree,
)

@dataclass
class Group:
    "Chapters that stand together behind a door."
    title: str                                        # nothing: they stand behind the door itself
    door: str
    first: str = ""                                   # the first of them in reading order
    folder: str = ""                                  # or all of this folder of nbs/
    chapters: list[Chapter] = field(default_factory=list)

    @property
    def page(self) -> str:
        return f"{self.door}/{self.title.lower().replace(' ', '_')}"


DOORS = {"learn": "Learn", "use": "Use", "reference": "Reference", "results": "Results"}
HOMES = {"reference": "api/index"}                    # a door whose page is made elsewhere
BEGINNINGS = [("First steps", "learn", "000_sixty_lines"), ("Words and batches", "learn", "01_vocab"), ("The method", "learn", "03_masking"),
              ("A run", "learn", "08_checkpoint"), ("Asking and checking", "learn", "10_inference"), ("", "use", "14a_background"),
              ("", "results", "17_benchmark"), ("", "use", "18_sharing"), ("The text behind it", "learn", "00_corpus"),
              ("", "learn", "20_routes"), ("", "reference", "21_reference")]
FOLDERS = {"lab": ("The laboratory", "learn"), "labs": ("Graded labs", "learn"), "claims": ("Claims put to the test", "results")}
SECTIONS = {                                          # of nbs/index.ipynb: on which page
    "Start here": "index", "What it does": "index", "What it reaches": "index", "All rows, and how they were measured": "results",
    "A text of your own": "use", "Five lines of Python": "use", "The command line": "use", "Move something": "use", "Which door?": "use", "From a clone": "use",
    "The chapters": "learn", "A true JEPA, and the modules that build it": "learn", "Without installing anything": "learn", "What lies where": "use", "Changing it": "use"}
ASIDE = {"A true JEPA, and the modules that build it", "What lies where", "Changing it", "From a clone"}     # the last sections of their page
SAID = {"learn": "The course: every chapter with its question, by hand first, then the code that runs.",
        "use": "On a text of your own: from a terminal, from Python, with sliders.",
        "results": "What it reaches, beside its baselines and the strongest opponents, and how each figure was measured."}


def pages(index: Chapter, book: list[Chapter], numbers: dict[str, Chapter], live: bool) -> dict[str, list]:
    "The home page, the doors and their groups: page → cells."
    parts, groups = sections(index, numbers), grouped(book)
    made = {"index": home(parts, live)}
    for door in SAID:
        cells = [markdown(f"# {DOORS[door]}\n\n> {SAID[door]}")]
        if door == "use":
            cells.append(markdown(beside(live)))
        order = [t for t, page in SECTIONS.items() if page == door]
        for title in [*(t for t in order if t not in ASIDE), *(t for t in order if t in ASIDE)]:
            cells += parts[title]
        own = [g for g in groups if g.door == door]
        if door != "learn":
            cells.append(markdown("## Chapters\n\n" + listed([c for g in own for c in g.chapters])))
        entries = [e for g in own for e in ([f"{g.title} <{g.page}>"] if g.title else map(entry, g.chapters))]
        cells.append(markdown(toctree("", entries)))
        made[door] = cells
    for group in groups:
        if group.title:
            text = f"# {group.title}\n\n{listed(group.chapters, '../')}\n\n{toctree('', [entry(c, '/') for c in group.chapters])}"
            made[group.page] = [markdown(text)]
    return made


def grouped(book: list[Chapter]) -> list[Group]:
    "All chapters, each in one group."
    found = [Group(title, door, first) for title, door, first in BEGINNINGS]
    by_first, current = {g.first: g for g in found}, found[0]
    listed = {path.as_posix() for path in reading_order()}
    for chapter in book:
        folder = chapter.path.parent.as_posix() if len(chapter.path.parts) > 1 else ""
        if folder:
            title, door = FOLDERS.get(folder, (folder.replace("_", " ").capitalize(), "learn"))
            own = next((g for g in found if g.folder == folder), None)
            if own is None:
                found.append(own := Group(title, door, folder=folder))
            own.chapters.append(chapter)
            continue
        if chapter.path.as_posix() in listed:                 # what the index does not list stays with the last
            current = by_first.get(chapter.path.stem, current)
        current.chapters.append(chapter)
    return [g for g in found if g.chapters]


def of_reference(book: list[Chapter]) -> list[str]:
    "What stands behind the door to the reference, before the modules."
    return [entry(c, "/") for g in grouped(book) if g.door == "reference" for c in g.chapters]


def entry(chapter: Chapter, root: str = "") -> str:
    return f"{f'{chapter.number} {chapter.title}'.strip()} <{root}{chapter.page}>"


def listed(chapters: list[Chapter], up: str = "") -> str:
    "A table of chapters: title and subtitle."
    rows = [f"| {c.number} | [{c.title}]({up}{c.page}.ipynb) | {subtitle(c)} |" for c in chapters]
    return "\n".join(["| no. | chapter | about |", "|---|---|---|", *rows])


def subtitle(chapter: Chapter) -> str:
    lines = [line for c in chapter.cells if c.cell_type == "markdown" for line in c.source.splitlines()]
    return next((plain(line[2:]) for line in lines if line.startswith("> ")), "").replace("|", "\\|")


# ---- the sections of the index

def sections(index: Chapter, numbers: dict[str, Chapter]) -> dict[str, list]:
    "The cells below each heading of the index; what stands before the first is `\"\"`."
    found: dict[str, list] = {"": []}
    for i, cell in enumerate(index.cells):
        if cell.cell_type != "code":
            for part in re.split(r"(?m)^(?=## )", re.sub(r"(?m)^# .*\n+> .*\n?", "", cell.source)):
                if title := re.match(r"## (.+)", part):
                    found[title[1].strip()] = []
                if part.strip():
                    page = SECTIONS.get([*found][-1], "index")
                    found[[*found][-1]].append(markdown(across(relink(part, index, numbers), page)))
        else:
            found[[*found][-1]] += convert(index, i, cell, numbers)
    if strange := set(found) - {""} ^ set(SECTIONS):
        raise SystemExit(f"Sections of nbs/index.ipynb and of tools/site/doors.py differ: {', '.join(sorted(strange))}.")
    return found


def across(text: str, page: str) -> str:
    "Links to a heading of the index lead to the page on which the site shows it."
    homes = {anchor(title): (home, slug(title)) for title, home in SECTIONS.items()}

    def link(found):
        home, name = homes.get(found[1], (page, found[1]))
        return f"](#{name})" if home == page else f"]({home}.ipynb#{name})"
    return re.sub(r"\]\(#([\w-]+)\)", link, text)


def anchor(title: str) -> str:
    "The anchor of a heading, as GitHub makes it."
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


# ---- the home page

def home(parts: dict[str, list], live: bool) -> list:
    "What a visitor sees first: what it is in a sentence, three buttons (four with the live page), and a model that trains."
    (first, *rest) = parts[""]
    sentence, install = first.source.split("\n\n", 1)
    ways = {"Play": "#play", **({"Fill a blank": "live/index.html"} if live else {}),
            "Read": page_of(reading_order()[0].as_posix()) + ".html", "Install": "#install"}
    buttons = "".join(f'<a class="tofy-button" href="{to}">{word}</a>' for word, to in ways.items())
    return [markdown(f"# tofy\n\n{sentence}\n\n<p class=\"tofy-buttons\">{buttons}</p>"),
            shown_html(f'<div id="play">{in_the_page(moving=True)}</div>'),
            *walks(parts["Start here"]), markdown(f"## Install\n\n{install}"), *rest, *parts["What it does"], *parts["What it reaches"],
            markdown(beside(live)), markdown(toctree("", [f"{title} <{HOMES.get(door, door)}>" for door, title in DOORS.items()]))]


def walks(cells: list) -> Iterator:
    "The table of those who come, in a box of its own."
    for cell in cells:
        yield markdown(re.sub(r"(?ms)^(\|.*\|)$", r"```{container} tofy-start\n\1\n```", cell.source))


def beside(live: bool) -> str:
    "What this site has beside the README."
    try_it = '- <a href="live/index.html">Fill a blank in your browser</a>: nothing to install.\n' if live else ""
    return ("```{container} on-this-site\n" + try_it +
            "- Every chapter can be downloaded as a notebook, from its first lines.\n"
            "- Look a function up, with its arguments and an example: {doc}`api/index`.\n"
            '- <a href="figures/index.html">All figures</a>, for slides; <a href="figures.zip">as a zip</a>.\n'
            '- <a href="slides/index.html">Slides</a> for six weeks of teaching.\n```')

