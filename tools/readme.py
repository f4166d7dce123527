"""Make README.md from nbs/index.ipynb: the same cells and outputs, pictures in nbs/readme/.

usage: python tools/readme.py [--check]      --check only says whether README.md is up to date (exit code 1 if not)
"""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

from tofy.architecture import tall

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "nbs" / "readme"


def make() -> tuple[str, dict[str, bytes]]:
    "The README's text and its pictures by name."
    nb = nbformat.read(ROOT / "nbs" / "index.ipynb", as_version=4)
    nb.cells = [c for c in nb.cells if "#| hide" not in c.source]
    nb.metadata["language_info"] = {"name": "python"}                              # cleaning took it away
    words = iter([found for c in nb.cells for found in re.findall(r"^#\| fig-alt: (.+)", c.source, re.M)])
    for cell in nb.cells:
        if "#| echo: false" in cell.source:
            cell.metadata["transient"] = dict(remove_source=True)
        cell.source = re.sub(r"^#\|.*\n", "", cell.source, flags=re.M)               # directives are for the site
    text, resources = MarkdownExporter().from_notebook_node(nb)
    pictures = {name.replace("output", "picture"): data for name, data in resources["outputs"].items()}
    pictures |= {f"tall_{name}": narrow.encode() for name, data in pictures.items() if (narrow := tall(data.decode(errors="replace")))}
    text = re.sub(r"!\[\w+\]\(output(\S+)\)", lambda found: shown(f"picture{found[1]}", next(words), pictures), text)
    text = re.sub(r"\]\((?!http|nbs/|#)([\w/]+\.ipynb)", r"](nbs/\1", text)       # chapters lie in nbs/
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", pictures


def shown(name: str, words: str, pictures: dict[str, bytes]) -> str:
    "A picture in the README; one that has a tall version shows that on a narrow screen."
    if f"tall_{name}" not in pictures:
        return f"![{words}](nbs/readme/{name})"
    return (f'<picture>\n<source media="(max-width: 600px)" srcset="nbs/readme/tall_{name}">\n'
            f'<img alt="{words}" src="nbs/readme/{name}">\n</picture>')


if __name__ == "__main__":
    text, pictures = make()
    if "--check" in sys.argv:
        sys.exit(text != (ROOT / "README.md").read_text(encoding="utf-8"))
    (ROOT / "README.md").write_text(text, encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*picture_*"):                                        # a cell more, and all have other numbers
        old.unlink()
    for name, data in pictures.items():
        (PICTURES / name).write_bytes(data)
