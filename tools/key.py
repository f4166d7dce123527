"""Collect the exercises of all chapters, with the solutions that readers find folded away: the teachers' key, with the
solutions of the graded labs.

usage: python -m tools.key      writes build/key.md; says what a chapter lacks, and then ends with exit code 1
"""
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from tools import labs
from tools.order import reading_order

ROOT = Path(__file__).resolve().parents[1]
NBS, KEY = ROOT / "nbs", ROOT / "build" / "key.md"
APPARATUS = 20                                     # notebooks from this number on are about the book, and have no exercises
EXERCISE = re.compile(r"\*\*Exercise(?: \d+)?\.\*\*(?P<question>.*?)"
                      r"<details>\s*<summary>\w+</summary>(?P<solution>.*?)</details>", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
ASKS = re.compile(r"\b(guess|predict|expect|what would you)\b", re.IGNORECASE)
KEEPS = re.compile(r"^(\w+) = \w+\(\s*(?:\"[^\n]*\"\s*)+,\s*\.\.\.[,)]", re.MULTILINE)     # `my_guess = predict("…", ...)`


@dataclass
class Exercise:
    question: str        # markdown
    solution: str        # markdown

    @property
    def check(self) -> str:
        "The code that a reader completes and runs, `answer = ...` first of all; or nothing."
        return next((code for code in CODE.findall(self.question) if "\nanswer = ..." in "\n" + code), "")

    @property
    def answer(self) -> str:
        "The line of the solution that completes the check."
        return next((code for code in CODE.findall(self.solution) if code.startswith("answer = ")), "")


@dataclass
class Lesson:
    "What a chapter says about itself."
    path: Path                       # relative to nbs/
    title: str
    text: str                        # its markdown, all of it
    exercises: list[Exercise]
    code: list[str] = field(default_factory=list)    # its code cells

    @property
    def kept(self) -> list[str]:
        "The cells that keep a prediction which a later cell shows beside the outcome."
        found = [(i, KEEPS.search(cell)) for i, cell in enumerate(self.code) if "import predict" in cell]
        return [self.code[i] for i, keeps in found
                if keeps and any(f"{keeps[1]}.reveal(" in later for later in self.code[i + 1:])]

    @property
    def aim(self) -> str:
        "The paragraph that tells what the reader will be able to do."
        return next((p for p in self.text.split("\n\n") if p.startswith("**After this chapter** ")), "")

    @property
    def minutes(self) -> int:
        found = re.search(r"[Aa]bout (\d+) minutes", self.aim)
        return int(found[1]) if found else 0

    @property
    def needs(self) -> list[str]:
        "The notebooks that it says it builds on, relative to nbs/."
        said = re.search(r"[Ii]t builds on (.*?)(?:;|\.(?: |$))", re.sub(r"\.ipynb\)", ")", self.aim))
        links = re.findall(r"\]\(([^)]+)\)", said[1]) if said else []
        return [(self.path.parent / f"{link}.ipynb").as_posix().replace("lab/../", "") for link in links]

    @property
    def number(self) -> str:
        return re.match(r"\d+[a-z]*", self.path.name)[0]

    def missing(self) -> list[str]:
        "What every chapter owes its reader, and this one lacks."
        body, _, end = self.text.partition("## Summary")
        owed = {"what the reader will be able to do": self.aim, "what it builds on": "builds on" in self.aim,
                "minutes": self.minutes, "a summary": end, "a prediction asked before a run": ASKS.search(body),
                "two exercises with hidden solutions": len(self.exercises) >= 2,
                "an exercise that checks what the reader writes": any(e.check for e in self.exercises),
                "a prediction that is kept and shown beside the outcome": self.kept,
                "a solution for every exercise": self.text.count("**Exercise") == len(self.exercises)}
        return [what for what, there in owed.items() if not there]


def read(path: Path) -> Lesson:
    "One notebook."
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = [Exercise(m["question"].strip(), m["solution"].strip()) for m in EXERCISE.finditer(text)]
    return Lesson(path.relative_to(NBS), re.search(r"^# (.+)$", text, re.MULTILINE)[1], text, found,
                  [cell.source for cell in cells if cell.cell_type == "code"])


def lessons() -> Iterator[Lesson]:
    "Every numbered chapter, the laboratory's too, in reading order."
    for path in reading_order():
        if path.parts[0] == "lab" or int(path.name[:2]) < APPARATUS:
            yield read(NBS / path)


def key(chapters: list[Lesson], notebooks: str = "../nbs/") -> str:
    "The key as markdown; `notebooks` leads from where it will lie to the notebooks."
    parts = ["# The key", "All exercises with their solutions, made from the chapters by `python -m tools.key`."]
    for lesson in chapters:
        folder = notebooks + "lab/" * (lesson.path.parts[0] == "lab")
        own = [f"## {'Laboratory' if folder != notebooks else 'Chapter'} {lesson.number}: [{lesson.title}]({lesson.path.name})",
               lesson.aim]
        for i, exercise in enumerate(lesson.exercises, 1):
            own += [f"### Exercise {i}", exercise.question, "**Solution.**", exercise.solution]
        parts += [re.sub(r"\]\((?=[\w./]+\.ipynb)", f"]({folder}", part) for part in own if part]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    found = list(lessons())
    KEY.parent.mkdir(exist_ok=True)
    KEY.write_text(f"{key(found)}\n{labs.key()}", encoding="utf-8")
    print(f"{KEY.relative_to(ROOT)}: {sum(len(c.exercises) for c in found)} exercises of {len(found)} chapters, "
          f"{sum(bool(e.check) for c in found for e in c.exercises)} of which check themselves; {len(labs.labs())} labs")
    lacking = [f"{c.path} lacks {', '.join(c.missing())}" for c in found if c.missing()]
    print("\n".join(lacking))
    sys.exit(bool(lacking))
