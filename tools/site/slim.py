"""A page's weight: of the theme's icons, its styles and the search's index a page takes what it shows, when it shows it.

The theme brings every icon of Font Awesome as a script (1.6 MB) and once more as fonts; pages show a dozen. Here each `<i class="fa-…">` of the
finished pages becomes the drawing itself, and the script and the rules go. The search's index (half a megabyte) is asked for
where somebody searches, which is on the page of the search.
"""
import json
import re
from collections.abc import Callable
from pathlib import Path

ICON = re.compile(r"<(?:i|span) class=\"([^\"]*\bfa-[^\"]*)\"([^>]*)></(?:i|span)>")
SCRIPT = re.compile(r"\s*<script[^>]*src=\"[^\"]*(?:fontawesome|searchtools|language_data|searchindex)\.js[^\"]*\"[^>]*></script>")
RULE = re.compile(r"[^{}]+\{[^{}]*\}")
BASE = ("/* The icons are of Font Awesome Free (fontawesome.com), CC BY 4.0. */"
        ".svg-inline--fa{display:inline-block;height:1em;overflow:visible;vertical-align:-.125em;box-sizing:content-box}"
        ".svg-inline--fa.fa-lg{font-size:1.25em;line-height:.05em;vertical-align:-.075em}.svg-inline--fa.fa-fw{width:1.25em}")


def slim(site: Path) -> None:
    "Do so with a finished site."
    static = site / "_static"
    script = static / "scripts" / "fontawesome.js"
    icon = drawn(script.read_text(encoding="utf-8")) if script.is_file() else None
    for path in site.rglob("*.html"):
        if path.relative_to(site).parts[0] in ("live", "_static"):
            continue
        text = path.read_text(encoding="utf-8")
        new = ICON.sub(icon, text) if icon else text
        if path.name != "search.html":
            new = SCRIPT.sub("", new)
        else:
            new = re.sub(r"\s*<script[^>]*fontawesome\.js[^>]*></script>", "", new)
        if new != text:
            path.write_text(new, encoding="utf-8")
    for path in (static / "styles").glob("*.css"):
        path.write_text(without_icons(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in [*(static / "scripts").glob("fontawesome*"), *static.rglob("*.map")]:
        path.unlink(missing_ok=True)


def drawn(script: str) -> Callable[[re.Match], str]:
    "What replaces an icon: its drawing, from Font Awesome's own script."
    shapes = {}
    for name, size in re.findall(r'"?([\w-]+)"?:\[(\d+,\d+,\[[^\]]*\],"\w+","[^"]*")\]', script):
        wide, high, also, _, path = json.loads(f"[{size}]")
        for known in (name, *also):
            shapes[known] = wide, high, path                  # solid ones come last, and win

    def svg(found: re.Match) -> str:
        names = [name.removeprefix("fa-") for name in found[1].split()]
        name = next((n for n in names if n in shapes), None)
        if name is None:
            raise SystemExit(f"Font Awesome's script has no icon for {found[0]}")
        wide, high, path = shapes[name]
        return (f'<svg class="svg-inline--fa {found[1]}"{found[2]} aria-hidden="true" focusable="false" viewBox="0 0 {wide} {high}">'
                f'<path fill="currentColor" d="{path}"></path></svg>')
    return svg


def without_icons(css: str) -> str:
    "Styles without the rules of Font Awesome's fonts, which nothing on a page has any more."
    def kept(rule: re.Match) -> str:
        head = re.sub(r"(?s)/\*.*?\*/", "", rule[0].partition("{")[0])
        named = [s.strip() for s in head.split(",")]
        gone = all(re.match(r"\.fa[\w-]*(::?\w+)?$", s) for s in named)       # the fonts stay, for a sign in the theme's styles
        return "" if gone else rule[0]
    return BASE * ("Font Awesome" in css) + RULE.sub(kept, css)
