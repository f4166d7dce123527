"""Every link, anchor, picture, script and style of the finished site leads to a file that is there; none to another host.

Links that a reader may follow to other sites (<a href="https://…">) are left alone: nothing is asked of the network.
"""
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

CODE = {"pre", "code", "script", "style"}
LOADS = {("img", "src"), ("script", "src"), ("link", "href"), ("source", "src"), ("iframe", "src"), ("object", "data")}
TABLE = re.compile(r"\|\s*:?(?:-{3,}|—-?):?\s*\|")      # the line below a table's head; a dash where quotes are made smart
RELATIONS = {"canonical", "index", "search", "next", "prev", "author", "copyright"}      # of <link>: loaded by nobody


class Page(HTMLParser):
    "The anchors of a page, the links in it, what it loads, and its pictures without words."
    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.anchors, self.links, self.loads, self.mute = {"", "top"}, [], [], []
        self.text, self.inside = "", []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attrs = {name: value or "" for name, value in attrs}
        self.anchors |= {attrs.get("id", ""), attrs.get("name", "")}
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        if tag == "img" and not attrs.get("alt", "").strip():
            self.mute.append(attrs.get("src", ""))
        for name, value in attrs.items():
            if (tag, name) in LOADS and not (tag == "link" and RELATIONS & {*attrs.get("rel", "").split()}):
                self.loads.append(value)

        if tag in CODE:
            self.inside.append(tag)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data: str) -> None:
        self.text += "" if self.inside else data


def faults(site: Path) -> list[str]:
    "A line for everything that leads nowhere."
    others = {"_static", "live"}                                       # templates of the theme; a page with tests of its own
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] not in others}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        found += [f"{where}: a table is shown as its source, {row!r}" for row in TABLE.findall(page.text)]
        found += [f"{where}: {link} leads nowhere" for link in page.links if not leads_somewhere(site, path, link, pages)]
        found += [f"{where}: {link} is not on this site" for link in page.loads if remote(link)]
        found += [f"{where}: {link} is missing" for link in page.loads if not remote(link) and not there(site, path, link)]
        found += [f"{where}: the picture {link[:60]} has no words for those who cannot see it" for link in page.mute]
    for style in site.rglob("*.css"):
        for link in re.findall(r"(?:url\(|@import )\s*['\"]?([^'\")\s]+)", style.read_text(encoding="utf-8")):
            if remote(link) or not there(site, style, link):
                found.append(f"{style.relative_to(site)}: {link} is missing or not on this site")
    return found


def remote(link: str) -> bool:
    return bool(urlsplit(link).netloc)


def target(site: Path, path: Path, link: str) -> Path:
    "The file that a link on a page leads to."
    name = unquote(urlsplit(link).path)
    to = (site / name.lstrip("/") if name.startswith("/") else path.parent / name).resolve() if name else path
    return to / "index.html" if to.is_dir() else to


def there(site: Path, path: Path, link: str) -> bool:
    return urlsplit(link).scheme == "data" or link.startswith("#") or target(site, path, link).is_file()


def leads_somewhere(site: Path, path: Path, link: str, pages: dict[Path, Page]) -> bool:
    if urlsplit(link).scheme:                                          # another site, or mailto:
        return True
    to = target(site, path, link)
    return to.is_file() and (to not in pages or unquote(urlsplit(link).fragment) in pages[to].anchors)
