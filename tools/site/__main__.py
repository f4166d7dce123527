"""Build the documentation site from the notebooks, into _docs/ (needs the `docs` extra; `make docs` installs it).

usage: python -m tools.site

In the order in which things happen:
  chapters.py    notebook → page: what the reader should see, with its stored outputs; nothing is run
  columns.py     wraps shown code that is wider than its column
  words.py       what the literature calls the things of a chapter, for its page and for the search
  doors.py       the home page, and the four doors behind it with their groups of chapters
  preview.py     the picture that a link to the site shows elsewhere
  reference.py   module → page: every public name with its signature, its parameters and an example that ran; a name
                 without an example or a description fails the build
  conf.py        Sphinx's settings; a warning fails the build
  formulas.py    draws the formulas, so that no page loads MathJax
  slim.py        takes from the finished pages what they load and do not show
  check.py       every link, anchor and picture of the finished pages leads somewhere
"""
import shutil
import sys
import time

from sphinx.cmd.build import build_main

from tools import figures, slides
from tools.site import chapters, check, formulas, preview, reference, slim, words
from tools.site.chapters import BUILD, DOCS, ROOT

def main() -> int:
    "Build and check the site; the exit code."
    began, pages, html = time.perf_counter(), BUILD / "pages", BUILD / "html"
    for folder in (pages, html, DOCS):
        shutil.rmtree(folder, ignore_errors=True)
    book = chapters.read()
    if lacking := reference.faults(book) + slides.faults():
        print("\n".join(lacking))
        return 1
    live = ROOT / "build" / "live"                       # the page that fills blanks in the browser, where it was made
    chapters.write(book, pages, live.is_dir())
    reference.write(book, pages / "api")
    preview.write(BUILD / "static" / "preview.png")
    words.write_scorer(BUILD / "scorer.js")
    settings = ["-c", str(ROOT / "tools" / "site"), "-d", str(BUILD / "doctrees")]
    if code := build_main(["-q", "-E", "-W", "--keep-going", *settings, str(pages), str(html)]):
        return code
    formulas.draw(html)
    slim.slim(html)
    html.rename(DOCS)                                    # whole, or not at all
    if live.is_dir():
        shutil.copytree(live, DOCS / "live")
    figures.write([figure for chapter in book for figure in figures.figures(chapter)], DOCS / "figures")
    slides.write(DOCS / "slides", "../")
    (DOCS / ".nojekyll").touch()                         # GitHub Pages shall not leave out _static
    faults = check.faults(DOCS)
    print("\n".join(faults) or f"{len(list(DOCS.rglob('*.html')))} pages in {time.perf_counter() - began:.0f} s: "
          f"open {(DOCS / 'index.html').relative_to(ROOT)}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
