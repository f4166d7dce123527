"""Links from the first use of a term, on every page, to its entry in the glossary (nbs/22_glossary.ipynb).

What a page may not lose stays as it is: code, formulas, headings, subtitles, links, HTML. For a page of several cells, `seen` is kept
between the calls:

    words, seen = terms(), set()
    cells = [link_terms(text, words, seen) for text in cells]
"""
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

GLOSSARY = Path(__file__).resolve().parents[1] / "nbs" / "22_glossary.ipynb"
UNTOUCHED = re.compile(r"""
    ^[ ]*(?P<fence>```+|~~~+|:::+).*?\n[ ]*(?P=fence)[`~:]*[ ]*$    # a block of code, or a directive
  | ^(?:[ ]{4}|\t|[ ]*[#>|])[^\n]*$                          # indented code, a heading, a quotation, a row of a table
  | (?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)                 # code in a line
  | \$\$.*?\$\$ | \$(?![\s\d])[^$\n]+?\$                     # formulas
  | !?\[(?:[^\[\]]|\[[^\]]*\])*\](?:\([^)]*\)|\[[^\]]*\])    # links and pictures
  | <(a|code|pre|summary|svg)\b.*?</\w+> | <[^>\n]+>         # HTML
  | https?://\S+ | ^\([^)]*\)=$                              # addresses, anchors
""", re.VERBOSE | re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Term:
    name: str                    # its heading
    forms: tuple[str, ...]       # how it is written in a text; a plural s is understood
    meaning: str                 # markdown, with the links to its chapters
    homes: tuple[str, ...]       # the notebooks it links to

    @property
    def anchor(self) -> str: return self.name.replace(" ", "-")


@cache
def terms(notebook: Path = GLOSSARY) -> list[Term]:
    """The entries of the glossary: a heading, a meaning, links to chapters; below the heading perhaps other ways to say it.

    `*Also: …*` adds to the heading; `*Said as: …*` stands in place of one that means too much by itself.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    found = []
    for name, entry in re.findall(r"^## (.+?)\n+(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
        line, kind, others = re.match(r"(?:\*(Also|Said as): (.+?)\.?\*\n)?", entry).group(0, 1, 2)
        forms = ([] if kind == "Said as" else [name]) + (others.split(", ") if others else [])
        found.append(Term(name, tuple(forms), entry.removeprefix(line).strip(), tuple(re.findall(r"\]\(([\w./]+\.ipynb)\)", entry))))
    return found


def link_terms(text: str,                               # markdown
               words: list[Term],
               seen: set[str] | None = None,            # terms that the page has linked already; grows
               page: str = "22_glossary.ipynb",         # the glossary, from where the text stands
              ) -> str:                                 # the same, each term linked where it is used first
    "Link each term of the glossary at its first use in a text."
    seen = set() if seen is None else seen
    by_form = {form.lower(): word for word in words for form in word.forms}
    longest_first = sorted(by_form, key=len, reverse=True)
    if not longest_first:
        return text
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(s?)(?![\w-])", re.IGNORECASE)

    def link(match: re.Match) -> str:
        word = by_form[match[1].lower()]
        if word.name in seen:
            return match[0]
        seen.add(word.name)
        return f"[{match[0]}]({page}#{word.anchor})"

    parts, end = [], 0
    for kept in UNTOUCHED.finditer(text):
        parts += [pattern.sub(link, text[end:kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*parts, pattern.sub(link, text[end:])])
