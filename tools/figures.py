"""Take the pictures out of all chapters, for slides and handouts: files, a page that shows them with their captions, and a zip of both.

usage: python -m tools.figures      writes build/figures/ and build/figures.zip from the stored outputs; nothing is run
"""
import base64
import html
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.site.chapters import ROOT, Chapter, picture_words, read

FOLDER = ROOT / "build" / "figures"
KINDS = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}      # the first that there is
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Figures</title>
<style>body {{font: 1rem/1.5 sans-serif; max-width: 60rem; margin: auto; padding: 1rem; color: #222; background: #fff}}
figure {{margin: 2rem 0}} img {{max-width: 100%}}</style>
<h1>Figures</h1>
<p>The pictures of tofy's chapters, under the licence of the project (Apache 2.0). SVG files can be made as large as you like.</p>
{}
</html>
"""


@dataclass
class Figure:
    name: str            # 03_masking-1.svg: the chapter, and which of its pictures
    data: bytes
    caption: str         # what the chapter says before it shows the picture
    title: str           # of the chapter


def figures(chapter: Chapter) -> Iterator[Figure]:
    "The pictures of a chapter, in order."
    stem, n = chapter.path.with_suffix("").as_posix().replace("/", "-"), 0
    for i, cell in enumerate(chapter.cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if kind := next((k for k in KINDS if k in data), None):
                n += 1
                yield Figure(f"{stem}-{n}.{KINDS[kind]}", content(data[kind], kind), picture_words(chapter.cells, i), chapter.title)


def content(stored: str | list[str], kind: str) -> bytes:
    "What a notebook stores, as the file's bytes: text for SVG, base64 for the others."
    text = stored if isinstance(stored, str) else "".join(stored)
    return text.encode() if kind == "image/svg+xml" else base64.b64decode(text)


def index(found: Iterable[Figure]) -> str:
    "A page that shows them all."
    parts, title = [], ""
    for figure in found:
        if figure.title != title:
            parts.append(f"<h2>{html.escape(title := figure.title)}</h2>")
        words = html.escape(figure.caption)
        parts.append(f'<figure><a href="{figure.name}"><img src="{figure.name}" alt="{words}" loading="lazy"></a>'
                     f"<figcaption><code>{figure.name}</code> {words}</figcaption></figure>")
    return PAGE.format("\n".join(parts))


def write(found: list[Figure], folder: Path = FOLDER) -> Path:
    "All of them into a folder, which is emptied first, and a zip beside it; returns the zip."
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for figure in found:
        (folder / figure.name).write_bytes(figure.data)
    (folder / "index.html").write_text(index(found), encoding="utf-8")
    return Path(shutil.make_archive(str(folder), "zip", folder))


if __name__ == "__main__":
    found = [figure for chapter in read() for figure in figures(chapter)]
    packed = write(found)
    print(f"{packed.relative_to(ROOT)}: {len(found)} figures, {packed.stat().st_size / 1e6:.1f} MB")
