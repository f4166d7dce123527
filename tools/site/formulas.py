"""Formulas are drawn when the site is made: a page shows the drawing and loads no script for it (MathJax is 2.1 MB).

Sphinx leaves a mark for every formula; behind it, MathJax draws all of them in one run of Node: as paths in the colour of the
text, which look the same whatever fonts a reader has, with MathML beside them for those who hear the page.
"""
import json
import re
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from subprocess import PIPE

from docutils import nodes

from tools.npm import node, package

MARK = re.compile(r"(?s)<tofy-formula( display)?>(.*?)</tofy-formula>")
SCRIPT = """
require(process.argv[1] + '/es5/node-main.js').init({
  loader: {load: ['input/tex', 'output/svg', 'adaptors/liteDOM', 'a11y/assistive-mml'], versionWarnings: false},
  tex: {packages: {'[-]': ['noundefined']}, formatError: (tex, error) => { throw error; }},
  svg: {fontCache: 'local'},
}).then(MathJax => {
  const draw = ([tex, display]) => {
    try { return MathJax.startup.adaptor.outerHTML(MathJax.tex2svg(tex, {display})); }
    catch (error) { throw new Error(error.message + ' in the formula ' + tex); }
  };
  console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8')).map(draw)));
}).catch(error => { console.error(error.message); process.exit(1); });
"""


def mark(display: bool) -> Callable:
    "What Sphinx does with a formula: a mark on the page, where its drawing will be."
    def visit(writer, formula) -> None:
        writer.body.append(f"<tofy-formula{' display' * display}>{escape(formula.astext())}</tofy-formula>")
        raise nodes.SkipNode
    return visit


def draw(site: Path) -> None:
    "The drawings, in all finished pages; what is no formula fails the build."
    pages = {path: text for path in site.rglob("*.html") if MARK.search(text := path.read_text(encoding="utf-8"))}
    found = [(unescape(tex), bool(display)) for text in pages.values() for display, tex in MARK.findall(text)]
    drawn = iter(drawings(found))
    for path, text in pages.items():
        path.write_text(MARK.sub(lambda _: next(drawn), text), encoding="utf-8")


def drawings(formulas: list[tuple[str, bool]]) -> list[str]:
    "Formulas of LaTeX, each with whether it stands by itself, as parts of a page."
    done = node(["-e", SCRIPT, str(package("mathjax"))], input=json.dumps(formulas), stdout=PIPE, stderr=PIPE, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"MathJax: {done.stderr.strip()}")
    return json.loads(done.stdout)
