"""The front door: code no wider than its column, four doors, light pages, and a README that begins with what a stranger needs."""
import ast
import re
from types import SimpleNamespace

import nbformat
import pytest

from tools.lab import ROOT
from tools.order import reading_order
from tools.site.columns import narrow, same

NBS = ROOT / "nbs"


# ---- code no wider than its column

def test_what_fits_stays_as_its_author_wrote_it():
    source = "x    = {'a':1,\n        'b' : 2}      # two\n%timeit x\n"
    assert narrow(source) == source


@pytest.mark.parametrize("source, wanted", [
    ("call(first_argument, second=[1, 2], third='x')", "call(first_argument,\n     second=[1, 2], third='x')"),
    ("a = 1; b = 2; plot(aaaaaaaaaaaaaaaaaaaaaaa);", "a = 1\nb = 2\nplot(aaaaaaaaaaaaaaaaaaaaaaa);"),
    ("def f(x): return x * 2222222222222222222222", "def f(x):\n    return x * 2222222222222222222222"),
    ("rows = [1, 2]   # what is said of it goes on below", "# what is said of it goes on\n# below\nrows = [1, 2]"),
    ("value = first_of_all + second_of_all * third", "value = (first_of_all\n         + second_of_all\n         * third)"),
    ("from tofy.vocab import UNK, MASK, Vocab, bare", "from tofy.vocab import (UNK,\n        MASK, Vocab, bare)"),
    ('def f():\n    "What comes back, in a sentence."', 'def f():\n    """What comes back, in a\n    sentence."""'),
], ids=["brackets", "semicolons", "one line", "comment", "no bracket", "import", "docstring"])
def test_a_line_is_broken_as_its_author_would(source, wanted):
    assert narrow(source, 32) == wanted


def test_comments_stand_below_each_other_and_magics_and_texts_survive():
    source = ("!tofy train my.txt --seconds 300 --out runs/mine --and-so-on\n"
              "x = 1                 # short\n"
              "yy = 2                # of which more is said than fits the line\n"
              "words = '''one two three four five six seven eight nine ten eleven\ntwelve'''\n"
              "print(f'{yy:>{x}} of {\"a b c d\"} and a text that is much too long for it')\n"
              "  \n")
    lines = narrow(source, 50).splitlines()
    assert lines[0].startswith("!tofy train my.txt --seconds 300") and lines[1] == "x = 1                 # short"
    assert [line.index("#") for line in lines[2:4]] == [22, 22] and lines[4].startswith("words = '''one two three four five six seven eight")
    got, wanted = ({}, {})
    exec("\n".join(lines[1:]), got), exec(source.split("\n", 1)[1], wanted)
    assert got["words"] == wanted["words"] and max(map(len, lines[6:])) <= 50


def test_what_cannot_be_read_or_would_mean_something_else_is_shown_as_it_is(monkeypatch):
    broken = "this is no Python, and its line is so long that it would be wrapped if anybody understood what it says"
    assert narrow(broken) == broken
    from tools.site import columns
    monkeypatch.setattr(columns, "filled", lambda source, width, hard=True: source.replace("2", "3"))
    source = "call(1, 2, " + "a_name_of_some_length, " * 5 + ")"
    assert narrow(source) == source
    assert not same("x = 1", "x = 2") and same("def f():\n 'a b'", 'def f():\n """a\n b"""') and not same("x = 'a b'", "x = 'a  b'")


@pytest.mark.parametrize("name", ["06_losses", "13_doctor", "lab/06_surgery"])
def test_the_code_of_chapters_fits_and_means_the_same(name):
    "Of the lines that are too wide, nearly all are wrapped; what is left is a text of several lines."
    wide = left = 0
    for cell in nbformat.read(NBS / f"{name}.ipynb", 4).cells:
        if cell.cell_type == "code":
            new = narrow(cell.source)
            wide += sum(len(line) > 78 for line in cell.source.splitlines())
            left += sum(len(line) > 78 for line in new.splitlines())
            try:
                ast.parse(cell.source)
            except SyntaxError:
                continue
            assert same(cell.source, new), cell.source
    assert wide > 50 and left <= .03 * wide, (wide, left)


# ---- four doors

def book():
    "Chapters with names alone."
    paths = [*reading_order(), *(p.relative_to(NBS) for p in NBS.rglob("[0-9]*.ipynb") if ".ipynb_checkpoints" not in p.parts)]
    return [SimpleNamespace(path=path) for path in dict.fromkeys(paths)]


def test_every_chapter_stands_behind_one_door_and_in_the_reading_order():
    from tools.site.doors import DOORS, grouped
    groups, order = grouped(book()), [path.as_posix() for path in reading_order()]
    paths = [c.path.as_posix() for group in groups for c in group.chapters]
    assert sorted(paths) == sorted(c.path.as_posix() for c in book()) and {g.door for g in groups} == set(DOORS)
    for door in DOORS:
        own = [order.index(c.path.as_posix()) for g in groups if g.door == door for c in g.chapters if c.path.as_posix() in order]
        assert own == sorted(own), door
    learn = [g for g in groups if g.door == "learn" and g.title]
    assert max(len(g.chapters) for g in learn) <= 20 and len(learn) < 10
    strange = grouped([SimpleNamespace(path=SimpleNamespace(parent=SimpleNamespace(as_posix=lambda: "new_part"), parts=("new_part", "01_a.ipynb")))])
    assert [(g.title, g.door) for g in strange] == [("New part", "learn")]


def test_links_between_sections_of_the_index_lead_to_their_page():
    from tools.site.doors import SECTIONS, across, anchor
    text = "\n".join(cell.source for cell in nbformat.read(NBS / "index.ipynb", 4).cells if cell.cell_type == "markdown")
    assert set(re.findall(r"(?m)^## (.+)$", text)) == set(SECTIONS)
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= {anchor(title) for title in SECTIONS}
    assert across("[a](#the-command-line) [b](#what-it-does)", "index") == "[a](use.ipynb#The-command-line) [b](#What-it-does)"


def test_a_chapter_between_two_numbers_has_its_number_and_a_page_without():
    from pathlib import Path

    from tools.site.chapters import Chapter, page_of
    assert page_of("08ba_history.ipynb") == "history" and Chapter(Path("08ba_history.ipynb"), [], "").number == "8ba"
    pages = [page_of(c.path.as_posix()) for c in book()]
    assert len({*pages}) == len(pages), "two chapters would have one page"


def test_words_of_the_literature_lead_to_chapters_that_are_there():
    from tools.site.words import WORDS
    assert len(WORDS) >= 10 and {"InfoNCE", "contrastive", "NT-Xent", "BYOL", "perplexity"} <= WORDS.keys()
    assert {home for home in WORDS.values()} <= {path.as_posix() for path in reading_order()}


def test_a_choice_of_versions_shows_itself_with_two():
    import jinja2
    template = jinja2.Template((ROOT / "tools" / "site" / "templates" / "versions.html").read_text(encoding="utf-8"))

    def shown(*names):
        return template.render(tofy_versions=[dict(name=n, address=f"../{n}/") for n in names], version="0.2", pathto=lambda page: "../index.html").strip()

    assert shown() == shown("0.2") == ""
    assert 'href="../../0.1/"' in shown("0.2", "0.1") and 'aria-current="true">0.2' in shown("0.2", "0.1")


# ---- light pages

def test_icons_become_drawings_and_their_script_goes(tmp_path):
    from tools.site.slim import slim
    (tmp_path / "_static" / "scripts").mkdir(parents=True)
    (tmp_path / "_static" / "styles").mkdir()
    (tmp_path / "_static" / "scripts" / "fontawesome.js").write_text('var a={"bars":[448,512,["navicon",9776],"f0c9","M0 96"],github:[512,512,[],"f09b","M1 2z"]}')
    (tmp_path / "_static" / "styles" / "theme.css").write_text("/*! Font Awesome */.fa-bars{--fa:'x'}.fab,.fa-brands{a:b}.fa-navicon .x{c:d}@media print{p{e:f}}")
    page = ('<script defer src="_static/scripts/fontawesome.js?digest=1"></script><script src="searchindex.js"></script>'
            '<i class="fa-solid fa-navicon fa-lg" title="menu"></i><span class="fab fa-github"></span><i class="x">word</i>')
    for name in ("index.html", "search.html"):
        (tmp_path / name).write_text(page)
    slim(tmp_path)
    text, search = (tmp_path / "index.html").read_text(), (tmp_path / "search.html").read_text()
    assert text.count("<svg") == 2 and 'd="M0 96"' in text and 'title="menu"' in text and 'd="M1 2z"' in text and '<i class="x">word</i>' in text
    assert "<script" not in text and "searchindex.js" in search and "fontawesome" not in search
    assert not (tmp_path / "_static" / "scripts" / "fontawesome.js").exists()
    css = (tmp_path / "_static" / "styles" / "theme.css").read_text()
    assert ".fa-navicon .x{c:d}" in css and "@media print{p{e:f}}" in css and "--fa:" not in css and "svg-inline--fa" in css
    (tmp_path / "index.html").write_text('<i class="fa-solid fa-unknown"></i>')
    (tmp_path / "_static" / "scripts" / "fontawesome.js").write_text("var a={}")
    with pytest.raises(SystemExit, match="no icon"):
        slim(tmp_path)


def test_styles_that_nothing_needs_go_and_words_without_a_colour_have_no_span(tmp_path):
    from tools.site.slim import only_used, slim, uncoloured
    css = (".a .b{x:y}.a,.gone{x:y}.gone .a{x:y}p:not(.gone){x:y}@media print{.gone{x:y}.set-by-script{x:y}}.md\\:gone{x:y}@keyframes k{0%{x:y}}")
    assert only_used(css, {"a", "b", "set-by-script"}) == (
        ".a .b{x:y}.a,.gone{x:y}p:not(.gone){x:y}@media print{.set-by-script{x:y}}.md\\:gone{x:y}@keyframes k{0%{x:y}}")
    colours = "".join(f'html[data-theme="{t}"] .highlight {{ background: #eee; color: {c} }}\nhtml[data-theme="{t}"] .highlight .n {{ color: {c} }}\n'
                      f'html[data-theme="{t}"] .highlight .p {{ color: {c}; font-weight: bold }}\nhtml[data-theme="{t}"] .highlight .o {{ color: {o} }}\n'
                      for t, c, o in (("light", "#111", "#111"), ("dark", "#fff", "#0f0")))
    assert uncoloured(colours) == {"n"}
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "pygments.css").write_text(colours)
    (tmp_path / "index.html").write_text('<div class="highlight"><span class="n">a</span><span class="o">+</span><span class="title">b</span></div>')
    slim(tmp_path)
    assert (tmp_path / "index.html").read_text() == '<div class="highlight">a<span class="o">+</span><span class="title">b</span></div>'


def test_a_picture_is_the_same_in_fewer_bytes():
    "Matplotlib's own: a hundredth of a point, no comments, what is called stays; as pixels it differs by nothing that can be seen."
    import io

    from matplotlib.figure import Figure
    from PIL import Image, ImageChops

    from tools.site.slim import light
    figure = Figure(figsize=(4, 3))
    ax = figure.add_subplot(title="a title")
    ax.plot([i / 7 for i in range(300)], [(i * i % 17) / 3 for i in range(300)])
    ax.scatter([1, 2, 3], [1, 4, 2], c=[1, 2, 3], rasterized=True)
    kept = {}
    for kind in ("svg", "png"):
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        kept[kind] = file.getvalue(), light(file.getvalue())
    before, after = (text.decode() for text in kept["svg"])
    assert len(after) < .75 * len(before) and "<!--" not in after and not re.search(r' d="[^"]*\.\d{3}', after)
    names = {*re.findall(r' id="([^"]+)"', after)}
    assert names == {*re.findall(r"(?:href=\"|url\()#([\w-]+)", after)} and len(names) > 10      # all that is called is there, and no more
    assert len(re.findall("<use ", after)) == len(re.findall("<use ", before)) and "scale(0.1 -0.1)" in after
    one, other = (Image.open(io.BytesIO(png)).convert("RGB") for png in kept["png"])
    assert len(kept["png"][1]) < .6 * len(kept["png"][0]) and max(high for _, high in ImageChops.difference(one, other).getextrema()) < 24
    assert light(b"GIF89a") == b"GIF89a"


# ---- the README

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_begins_with_what_a_stranger_needs():
    "A sentence, the installation, who starts where; three results at most, each with its baselines and seeds."
    assert README.index("pip install") < README.index("git clone") < len(README) and README.index("pip install") < 600
    start = README.split("## Start here")[1].split("\n## ")[0]
    assert all(who in start for who in ("a student", "a teacher", "an engineer")) and len(re.findall(r"\]\((?:#|nbs/)", start)) == 3
    reached = README.split("## What it reaches")[1].split("\n## ")[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in reached.splitlines() if line.startswith("|")]
    assert 1 <= len(rows) <= 3 and {"seeds", "baselines"} <= {*head}
    assert all(row[head.index("seeds")].isdigit() and "unigram" in row[head.index("baselines")] for row in rows)
    assert len(re.findall(r"(?m)^!\[|<img ", README)) <= 3
