"The course around the chapters: what each owes its reader, exercises that check themselves, the key, the glossary, the pictures."
import ast
import os
import re
import subprocess
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import nbformat
import pytest

from tofy.errors import UsageError
from tools.figures import KINDS, figures, write
from tools.glossary import Term, link_terms, terms
from tools.key import EXERCISE, NBS, ROOT, Exercise, Lesson, key, lessons, read
from tools.order import reading_order
from tools.site.chapters import Chapter, read_one, shown_notebook

LESSONS = list(lessons())
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHECKED = [(f"{lesson.path}-{i}", e) for lesson in LESSONS for i, e in enumerate(lesson.exercises, 1) if e.check]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.as_posix())
def test_a_chapter_tells_and_asks_what_it_should(lesson):
    assert lesson.missing() == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.as_posix())
def test_what_a_chapter_builds_on_is_there(lesson):
    for name in lesson.needs:
        assert (NBS / name).is_file() and name != lesson.path.as_posix()


ASKED = 'from tofy.architecture import predict\n\nmy_guess = predict(\n    "How hot "\n    "is it?",\n    ...)  # a number\nmy_guess'


def test_a_chapter_that_lacks_something_is_told_so():
    full = """# Tea

**After this chapter** you can make tea. It builds on [water](01_vocab.ipynb); about 5 minutes.

What do you expect?

## Summary

- Tea.

**Exercise 1.** How hot?

```python
answer = ...
assert answer > 80, "is that tea?"
```

<details><summary>Answer</summary>

Hot.

```python
answer = 90
```
</details>

**Exercise 2.** How long? [See](02_data.ipynb#Long-rows).

<details><summary>Solution</summary>

Long.
</details>"""
    pair = [Exercise(m["question"].strip(), m["solution"].strip()) for m in EXERCISE.finditer(full)]
    lesson = Lesson(Path("lab/03_tea.ipynb"), "Tea", full, pair, [ASKED, "my_guess.reveal(90)"])
    assert [e.question.split("\n")[0] for e in pair] == ["How hot?", "How long? [See](02_data.ipynb#Long-rows)."]
    assert [e.solution.split("\n")[0] for e in pair] == ["Hot.", "Long."] and pair[0].check and pair[0].answer == "answer = 90\n"
    assert (lesson.missing(), lesson.minutes, lesson.needs) == ([], 5, ["lab/01_vocab.ipynb"])
    text = key([lesson])
    assert "## Laboratory 03: [Tea](../nbs/lab/03_tea.ipynb)" in text and "](../nbs/lab/02_data.ipynb#Long-rows)" in text
    assert text.index("How hot?") < text.index("Hot.") < text.index("How long?") < text.index("Long.")
    assert replace(lesson, text=full.replace("What do you expect?", "Look:")).missing() == ["a prediction asked before a run"]
    assert replace(lesson, text=full.replace("; about 5 minutes", "")).missing() == ["minutes"]
    checks, keeps = "an exercise that checks what the reader writes", "a prediction that is kept and shown beside the outcome"
    assert replace(lesson, text=full.replace("</details>", ""), exercises=[]).missing() == [
        "two exercises with hidden solutions", checks, "a solution for every exercise"]
    assert replace(lesson, exercises=[pair[1], pair[1]]).missing() == [checks]
    for cells in ([], [ASKED], ["my_guess.reveal(90)", ASKED], [ASKED.replace("...", "90"), "my_guess.reveal(90)"]):
        assert replace(lesson, code=cells).missing() == [keeps], cells
    assert len(Lesson(lesson.path, "Tea", "# Tea", []).missing()) == 8


def test_the_key_holds_every_exercise_once():
    text = key(LESSONS)

    def unlinked(text):
        return re.sub(r"\]\([^)]*\)", "]", text)

    for exercise in (e for lesson in LESSONS for e in lesson.exercises):
        assert unlinked(text).count(unlinked(exercise.question)) == 1 and unlinked(exercise.solution) in unlinked(text)
    assert len(re.findall(r"^### Exercise \d$", text, re.MULTILINE)) == sum(len(lesson.exercises) for lesson in LESSONS)
    assert "<details>" not in text
    for link in re.findall(r"\]\(\.\./nbs/([\w./]+\.ipynb)", text):
        assert (NBS / link).is_file()


def test_a_third_of_the_exercises_check_themselves():
    assert len(CHECKED) * 3 >= sum(len(lesson.exercises) for lesson in LESSONS)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.as_posix())
def test_a_prediction_is_asked_for_before_it_is_shown(lesson):
    "The question alone runs, keeps nothing, and takes a prediction; the stored outcome stands beside it, below the question."
    cells = [c for c in nbformat.read(NBS / lesson.path, 4).cells if c.cell_type == "code"]
    for source in lesson.kept:
        made: dict = {}
        exec(source, made)
        asked = made["my_guess"]
        assert asked.guess is ... and asked.question.endswith(("?", ")"))
        guess = asked.among[0] if asked.among else 1
        exec(source.replace("...", repr(guess), 1), made)
        assert made["my_guess"].guess == guess and str(guess) in repr(made["my_guess"])
        with pytest.raises(UsageError):
            exec(source.replace("...", "'as always'", 1), made)
        shown = [c for c in cells if re.search(r"\bmy_guess\.reveal\(", c.source)]
        assert len(shown) == len(lesson.kept)
        for cell in (*shown, *(c for c in cells if c.source == source)):
            assert not re.match(r"#\|.*\bslow\b", cell.source) and asked.question in cell.outputs[0]["data"]["text/plain"]
            assert ("it was:" in cell.outputs[0]["data"]["text/plain"]) == (cell in shown)


def test_green_is_the_best_possible_alone():
    "In every picture: a cell that paints with it speaks of the best, the floor, or what fits."
    for path in NBS.rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            painted = [line for line in cell.source.splitlines() if re.search(r"\bGREEN\b|#009E73", line) and " import " not in line]
            if cell.cell_type == "code" and painted and path.name != "00_colours.ipynb":
                assert re.search(r"\bbest|floor|fits", cell.source), (path.name, painted)


@pytest.mark.parametrize("name, exercise", CHECKED, ids=[name for name, _ in CHECKED])
def test_an_exercise_accepts_its_solution_and_nothing_else(name, exercise):
    "The check stands alone; it passes with the solution's answer and fails while it is not completed."
    assert exercise.answer, "the solution has no block that begins with `answer = `"
    completed = re.sub(r"(?m)^answer = \.\.\..*$", lambda _: exercise.answer, exercise.check)
    exec(completed, {})
    with pytest.raises((AssertionError, TypeError, AttributeError, RuntimeError)):
        exec(exercise.check, {})


def test_the_tool_reads_chapters_not_the_pages_about_them():
    names = [lesson.path.as_posix() for lesson in LESSONS]
    assert names[0] == "000_sixty_lines.ipynb" and "lab/01_decoder.ipynb" in names
    assert not any(name.startswith("2") for name in names)
    assert read(NBS / "00_corpus.ipynb").minutes == 30


# ---- the reading order

ORDER = [path.as_posix() for path in reading_order()]


def test_every_chapter_is_in_the_reading_order_once():
    there = [p.relative_to(NBS).as_posix() for folder in (NBS, NBS / "lab") for p in folder.glob("[0-9]*.ipynb")]
    assert sorted(ORDER) == sorted(there), "list it in a table of nbs/index.ipynb"
    rows = [line for cell in nbformat.read(NBS / "index.ipynb", 4).cells for line in cell.source.splitlines()
            if re.match(r"\|\s*(lab )?\d", line)]
    assert "".join(rows).count(".ipynb)") == len(ORDER), "a chapter is listed twice"


def test_the_why_comes_first_and_the_grammar_last():
    "The sixty lines open the course; of its numbered chapters, those about the text close it."
    course = [lesson.path.as_posix() for lesson in LESSONS if lesson.path.parts[0] != "lab"]
    assert course[0] == "000_sixty_lines.ipynb" and set(course[-4:]) == {"00_corpus.ipynb", "00d_causes.ipynb", "00_casual_words.ipynb", "00_colours.ipynb"}
    assert sum(lesson.minutes for lesson in LESSONS[:1]) <= 20
    assert [path for path in ORDER if path in course] == course


def test_no_chapter_builds_on_one_that_is_read_later():
    for lesson in LESSONS:
        for name in lesson.needs:
            assert ORDER.index(name) < ORDER.index(lesson.path.as_posix()), (lesson.path, name)


def test_what_says_next_or_first_means_the_reading_order():
    "In a chapter, `[next chapter](…)` is the next one; wherever the book is opened for a newcomer, it is opened at its first page."
    for lesson in LESSONS:
        for link in re.findall(r"\[[^\]]*\bnext chapter\]\(([\w./]+\.ipynb)", lesson.text):
            assert ORDER[ORDER.index(lesson.path.as_posix()) + 1] == (lesson.path.parent / link).as_posix()
    for link in re.findall(r"(?:first chapter\]\(nbs/|lab/tree/nbs/|blob/main/nbs/|%2Fnbs%2F)(\w+\.ipynb)", README):
        assert link == ORDER[0]


# ---- the glossary

ABC = [Term("mask rate", ("mask rate",), "", ("03_masking.ipynb",)), Term("mask", ("mask", "masked"), "", ()),
       Term("MRR", ("MRR", "mean reciprocal rank"), "", ())]


def test_a_first_use_is_linked_and_only_the_first():
    assert link_terms("A mask, a mask.", ABC) == "A [mask](22_glossary.ipynb#mask), a mask."
    assert link_terms("Masks and MRR", ABC) == "[Masks](22_glossary.ipynb#mask) and [MRR](22_glossary.ipynb#MRR)"
    assert link_terms("its mean reciprocal rank", ABC, page="../22_glossary.ipynb") == (
        "its [mean reciprocal rank](../22_glossary.ipynb#MRR)")
    assert link_terms("unmasked, mask-like, masking", ABC) == "unmasked, mask-like, masking"
    assert link_terms("nothing", []) == "nothing"


def test_the_longest_term_wins():
    assert link_terms("the mask rate", ABC) == "the [mask rate](22_glossary.ipynb#mask-rate)"


def test_a_page_of_several_cells_links_once():
    seen = set()
    assert link_terms("a mask", ABC, seen) == "a [mask](22_glossary.ipynb#mask)"
    assert link_terms("a masked word, MRR", ABC, seen) == "a masked word, [MRR](22_glossary.ipynb#MRR)"


@pytest.mark.parametrize("kept", [
    "`mask`", "``a ` mask``", "# The mask", "## mask rate", "> mask", "| mask | MRR |", "    mask = 1", "$mask$", "$$\nmask\n$$",
    "[the mask](03_masking.ipynb)", "![mask](a.png)", "[the `mask` here][1]", '<b title="mask">', "<a href='x'>mask</a>",
    "https://example.org/mask", "```python\nmask = 1\n```", "````{note}\n```\nmask\n```\n````", "(mask)=", "~~~\nmask\n~~~"])
def test_what_is_no_sentence_stays_as_it_is(kept):
    assert link_terms(kept, ABC) == kept
    assert link_terms(f"{kept}\n\nA mask.", ABC) == f"{kept}\n\nA [mask](22_glossary.ipynb#mask)."


def test_money_is_no_formula():
    assert link_terms("It costs $5, the mask $6.", ABC) == "It costs $5, the [mask](22_glossary.ipynb#mask) $6."


def test_the_glossary_has_fifty_terms_each_with_its_chapter():
    found = terms()
    forms = [form.lower() for term in found for form in term.forms]
    assert len(found) >= 50 and len(forms) == len(set(forms))
    for term in found:
        assert term.homes and 20 < len(term.meaning) < 400, term
        assert all((NBS / home).is_file() for home in term.homes), term


def test_every_chapter_survives_its_links():
    "Taking the links out again gives the text back, and each term is linked once."
    words = terms()
    for lesson in LESSONS:
        linked = link_terms(lesson.text, words)
        assert re.sub(r"\[([^\[\]]+)\]\(22_glossary\.ipynb#[^)]+\)", r"\1", linked) == lesson.text
        anchors = re.findall(r"22_glossary\.ipynb#([^)]+)\)", linked)
        assert len(anchors) == len(set(anchors)) and {*anchors} <= {word.anchor for word in words}


# ---- the pictures

class Cell(SimpleNamespace):
    def get(self, name, default=None): return getattr(self, name, default)


def picture_book() -> Chapter:
    "A chapter with two pictures, as the site reads it."
    both, png = {"image/svg+xml": ["<svg>", "</svg>"], "image/png": "AAAA"}, {"image/png": "aGk=\n"}
    cells = [Cell(cell_type="markdown", source="# Tea\n\n## How hot?\n\nWait. Here is <steam>:", directives_={}),
             Cell(cell_type="code", source="plot()", directives_={}, outputs=[dict(data=both), dict(text="no picture")]),
             Cell(cell_type="code", source="plot()", directives_={"fig-cap:": ["A cup"]}, outputs=[dict(data=png)])]
    return Chapter(Path("lab/03_tea.ipynb"), cells, "")


def test_pictures_become_files_with_captions(tmp_path):
    found = list(figures(picture_book()))
    assert [(f.name, f.data, f.title) for f in found] == [
        ("lab-03_tea-1.svg", b"<svg></svg>", "Tea"), ("lab-03_tea-2.png", b"hi", "Tea")]
    assert found[0].caption.endswith("Here is <steam>:") and found[1].caption == "A cup"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.svg").touch()
    packed = write(found, tmp_path / "figures")
    names = {"lab-03_tea-1.svg", "lab-03_tea-2.png", "index.html"}
    assert {p.name for p in (tmp_path / "figures").iterdir()} == names == {n for n in ZipFile(packed).namelist() if n != "./"}
    page = (tmp_path / "figures" / "index.html").read_text()
    assert page.count("<h2>Tea</h2>") == 1 and "Here is &lt;steam&gt;:" in page and "<steam>" not in page
    assert all(f'href="{name}"' in page for name in names - {"index.html"})


def test_every_stored_picture_is_found_and_says_what_it_shows():
    total = 0
    for path in NBS.rglob("[0-9]*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            outputs = [o for c in nbformat.read(shown_notebook(path.relative_to(NBS)), 4).cells if c.cell_type == "code" for o in c.outputs]
            stored = sum(any(kind in o.get("data", {}) for kind in KINDS) for o in outputs)
            found = list(figures(read_one(path.relative_to(NBS))))
            assert len({f.name for f in found}) == len(found) == stored
            assert all(len(f.caption) > 10 and f.data[:4] in (b"\x89PNG", b"<?xm", b"<svg") for f in found)
            total += stored
    assert total > 50


# ---- starting elsewhere

SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = SETTINGS["DEFAULT"]


def test_the_links_of_binder_colab_and_jupyterhub_lead_to_a_chapter_of_this_project():
    repo, branch = SETTINGS["git_url"].removeprefix("https://github.com/"), SETTINGS["branch"]
    for pattern in (rf"https://mybinder\.org/v2/gh/{repo}/{branch}\?urlpath=lab/tree/([\w./]+)",
                    rf"https://colab\.research\.google\.com/github/{repo}/blob/{branch}/([\w./]+)"):
        assert (ROOT / re.search(pattern, README)[1]).is_file()
    asked = parse_qs(urlsplit(re.search(r"https://YOUR-HUB\S+", README)[0]).query)
    assert (asked["repo"], asked["branch"]) == ([SETTINGS["git_url"]], [branch])
    folder, _, path = asked["urlpath"][0].removeprefix("lab/tree/").partition("/")
    assert folder == repo.split("/")[1] and (ROOT / path).is_file()


def test_binder_installs_this_project():
    "By the rules of repo2docker: requirements.txt, runtime.txt and an executable postBuild in .binder, run from the root."
    home = ROOT / ".binder"
    lines = [line for line in (home / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    constraint = next(line.split()[1] for line in lines if line.startswith("-c "))
    assert (home / constraint).resolve() == ROOT / "constraints.txt"                  # relative to the file that names it
    extras = next(re.fullmatch(r"-e \.\[(.*)\]", line)[1] for line in lines if line.startswith("-e "))
    assert all(f"{name}_requirements" in SETTINGS for name in extras.split(","))
    version = re.fullmatch(r"python-(3)\.(\d+)\n", (home / "runtime.txt").read_text())
    assert tuple(map(int, version.groups())) >= tuple(map(int, SETTINGS["min_python"].split(".")))
    assert os.access(home / "postBuild", os.X_OK) and (home / "postBuild").read_text().startswith("#!")
    assert subprocess.run(["bash", "-n", str(home / "postBuild")]).returncode == 0


def test_the_commands_without_make_do_what_make_does():
    make = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)/", "").replace("@", "")
    blocks = re.findall(r"```(?:sh|bat)\n(.*?)```", README, re.DOTALL)

    def bare(block):
        return [re.sub(r"\s+#.*| --disable\S+| --quiet", "", line).replace("\\", "/").strip()
                              .removeprefix(".venv/bin/").removeprefix(".venv/Scripts/") for line in block.strip().splitlines()]

    unix, windows = (next(bare(block) for block in blocks if mark in block) for mark in (".venv/bin/python", ".venv\\Scripts\\python"))
    assert unix[1:] == windows[1:] and "-m venv .venv" in unix[0] and "-m venv .venv" in windows[0]
    install = re.search(r"pip install.* (-c .*)", make)[1].replace("'", '"')
    assert install in unix[1] and "python -m pytest" in unix and "python -m pytest\n" in make
    trained = re.search(r"tofy train builtin (--seconds \d+ --out \S+)", make)[1]
    assert f"tofy train {trained}" in unix
    phrase = re.search(r'tofy diff runs/demo --top 3 \\\n\s*(".*?")', make)[1]
    assert f"tofy diff runs/demo {phrase}" in unix


LITERAL = {     # outcomes that stand as such in a chapter's `reveal`, and why
    "000_sixty_lines": "the run is slow, and is left out where chapters are run",
    "08d_run_folder": "each of the three mix-ups is a check of its own, right above",
    "15c_panel_training": "what a panel does with a run that it finds: tests/test_panels.py looks at it",
}


def test_an_outcome_is_computed_from_what_ran():
    "A prediction is held against the run itself, so that a chapter which changes shows it; the few fixed outcomes have a reason."
    fixed = {}
    for lesson in LESSONS:
        for cell in lesson.code:
            for call in (node for node in ast.walk(ast.parse(re.sub(r"(?m)^[%!].*$", "", cell))) if isinstance(node, ast.Call)):
                mine = getattr(call.func, "attr", "") == "reveal" and getattr(call.func.value, "id", "") == "my_guess"
                if mine and not any(isinstance(node, ast.Name) for node in ast.walk(call.args[0])):
                    fixed[lesson.path.stem] = ast.unparse(call)
    assert fixed.keys() == LITERAL.keys(), {name: fixed.get(name, "is computed now") for name in fixed.keys() ^ LITERAL.keys()}
