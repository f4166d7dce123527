"""The order in which the course is read, told in one place: the tables of chapters in nbs/index.ipynb.

The routes, the teachers' key and the README follow it, and so do the site's four doors (tools/site/doors.py): a chapter stands behind one
of them, and behind each they keep this order, in the sidebar and in the links to the next page. A chapter's number says
what the package's modules may import, and nothing about when to read it: the grammar of the built-in text has number 0 and comes last.
"""
import re
from pathlib import Path

import nbformat

NBS = Path(__file__).resolve().parents[1] / "nbs"


def reading_order() -> list[Path]:
    "The notebooks that the index lists, each once, relative to nbs/: `01_vocab.ipynb`, `lab/01_decoder.ipynb`."
    text = "\n".join(cell.source for cell in nbformat.read(NBS / "index.ipynb", as_version=4).cells)
    rows = re.findall(r"^\|\s*(?:lab )?\d.*$", text, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"\]\(([\w/]+\.ipynb)\)", row)]
    return [Path(name) for name in dict.fromkeys(names)]

