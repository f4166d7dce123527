"""A page's weight: of the theme's icons, its styles and the search's index a page takes what it shows, when it shows it.

Of the theme's styles (300 KB) those stay whose classes a page or a script names. Code comes with a span around every word and comma; those
that have the colour of plain text go. A picture's numbers keep two decimals (a hundredth of a point), and what is made of
pixels in it at most 256 colours.

The theme brings every icon of Font Awesome as a script (1.6 MB) and once more as fonts; pages show a dozen. Here each `<i class="fa-…">` of the
finished pages becomes the drawing itself, and the script and the rules go. The search's index (half a megabyte) is asked for
where somebody searches, which is on the page of the search.
"""
import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

ICON = re.compile(r"<(?:i|span) class=\"([^\"]*\bfa-[^\"]*)\"([^>]*)></(?:i|span)>")
SCRIPT = re.compile(r"\s*<script[^>]*src=\"[^\"]*(?:fontawesome|searchtools|language_data|searchindex)\.js[^\"]*\"[^>]*></script>")
SPAN = re.compile(r"<span class=\"(\w+)\">([^<]*)</span>")
RULE = re.compile(r"[^{}]+\{[^{}]*\}")
BASE = ("/* The icons are of Font Awesome Free (fontawesome.com), CC BY 4.0. */"
        ".svg-inline--fa{display:inline-block;height:1em;overflow:visible;vertical-align:-.125em;box-sizing:content-box}"
        ".svg-inline--fa.fa-lg{font-size:1.25em;line-height:.05em;vertical-align:-.075em}.svg-inline--fa.fa-fw{width:1.25em}")


def slim(site: Path) -> None:
    "Do so with a finished site."
    static = site / "_static"
    script = static / "scripts" / "fontawesome.js"
    icon = drawn(script.read_text(encoding="utf-8")) if script.is_file() else None
    colours = static / "pygments.css"
    plain = uncoloured(colours.read_text(encoding="utf-8")) if colours.is_file() else set()
    for path in site.rglob("*.html"):
        if path.relative_to(site).parts[0] in ("live", "_static"):
            continue
        text = path.read_text(encoding="utf-8")
        new = SPAN.sub(lambda span: span[2] if span[1] in plain else span[0], ICON.sub(icon, text) if icon else text)
        if path.name != "search.html":
            new = SCRIPT.sub("", new)
        else:
            new = re.sub(r"\s*<script[^>]*fontawesome\.js[^>]*></script>", "", new)
        if new != text:
            path.write_text(new, encoding="utf-8")
    known = named(site)
    for path in static.rglob("*.css"):
        path.write_text(only_used(without_icons(path.read_text(encoding="utf-8")), known), encoding="utf-8")
    for path in (site / "_images").glob("*"):
        path.write_bytes(light(path.read_bytes()))
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


def uncoloured(css: str) -> set[str]:
    "The classes of code that have the colour of plain text in both themes: a span around such a word shows nothing."
    grounds = dict(re.findall(r"(html\[[^]]*\]) \.highlight \{[^}]* color: (#\w+)", css))
    rules = re.findall(r"(html\[[^]]*\]) \.highlight \.(\w+) \{([^}]*)\}", css)
    shown = {name for theme, name, look in rules if look.strip() != f"color: {grounds[theme]}"}
    return {name for _, name, _ in rules} - shown


def named(site: Path) -> set[str]:
    "Every class that a page has, and every word of a script: one may be a class that it sets."
    classes = {name for path in site.rglob("*.html") for found in re.findall(r'class="([^"]*)"', path.read_text(encoding="utf-8")) for name in found.split()}
    return classes | {word for path in site.rglob("*.js") for word in re.findall(r"[\w-]+", path.read_text(encoding="utf-8"))}


def only_used(css: str, known: set[str]) -> str:
    "Styles without the rules that no page can need: those with a class that none names."
    def kept(rule: re.Match) -> str:
        head = re.sub(r"(?s)/\*.*?\*/|:not\([^)]*\)", "", rule[0].partition("{")[0])
        needs = [set(re.findall(r"\.(-?[A-Za-z_][\w-]*)", selector)) for selector in head.split(",")]
        return rule[0] if "\\" in head or any(classes <= known for classes in needs) else ""
    return RULE.sub(kept, css)


def light(picture: bytes) -> bytes:
    "The same picture in fewer bytes."
    if picture.startswith(b"\x89PNG"):
        return min(picture, light_pixels(picture), key=len)
    return light_drawing(picture.decode("utf-8")).encode() if b"<svg" in picture[:1000] else picture


def light_pixels(png: bytes) -> bytes:
    "A PNG in 256 colours: white stays white, and no colour moves by more than can be seen; what is transparent has one method only."
    image, new = Image.open(io.BytesIO(png)).convert("RGBA"), io.BytesIO()
    opaque = image.getchannel("A").getextrema()[0] == 255
    few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE) if opaque else image.quantize(256)
    few.save(new, "PNG", optimize=True)
    return new.getvalue()


def light_drawing(svg: str) -> str:
    "Matplotlib's SVG without comments, blanks, notes on its maker, names that nothing calls, empty groups, and more digits than can be seen."
    places = re.compile(r'(?<= )(d="[^"]*"|(?:x|y|points)="[^"]*"|transform="translate\([^)]*\))')
    called = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r"(?s)^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)", "", svg)
    svg = places.sub(lambda found: re.sub(r"(?<=\.\d\d)\d+|\s*\n|(?<=[A-Z]) ", "", found[0]), svg)
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in called else "", svg)
    svg = re.sub(r"<g>((?:<(?:use|path)\b[^>]*/>)*)</g>", r"\1", svg)
    svg = re.sub(r'(?<= style=")[^"]*', lambda found: re.sub(r"#(.)\1(.)\2(.)\3\b", r"#\1\2\3", found[0].replace(" ", "")), svg)
    svg = svg.replace("DejaVuSans-", "D").replace(" xlink:href=", " href=")
    return re.sub(r"(?<=base64,)[\w+/=\s]+", lambda found: base64.b64encode(light(base64.b64decode(found[0]))).decode(), svg)
