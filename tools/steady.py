"""Take out of stored outputs what differs from run to run though nobody changed anything: a rerun notebook's diff is short.

Matplotlib's pictures carry a date, and names drawn at random (`svg.hashsalt` would steady those, but only where it is set: a
reader's JupyterLab has no such setting); so do pandas' styled tables. And what a cell prints comes in as many pieces as the
kernel happened to send. The date goes, a name is made from what it names, the pieces are joined.

usage: python tools/steady.py [--check] [nbs/03_masking.ipynb …]      (default: all of them)

--check changes nothing; its exit code says whether there was something to change.
"""
import json
import re
import sys
from hashlib import sha256

NAMED = re.compile(r'<[^<>]*?\bid="((?:C[0-9a-f]+_[0-9a-f]+_|[A-Za-z]+)[0-9a-f]{10})"[^<>]*>(?:\s*<rect[^<>]*>)?')   # a clip holds one
DATED = re.compile(r"\s*<dc:date>[^<]*</dc:date>")
HOME = re.compile(r"""[^\s<>"']*/tmp[a-z0-9_]{8}/""")      # a folder that `tempfile` made: named at random, and of this machine
TABLE = re.compile(r'<table id="T_([0-9a-f]{5})"')


def hashed(text: str, length: int) -> str:
    "A name for a text, in hexadecimal digits."
    return sha256(text.encode()).hexdigest()[:length]


def steady_picture(svg: str) -> str:
    "One of Matplotlib's pictures without its date, its parts named after what they look like."
    if "matplotlib.org" not in svg[:3000]:
        return svg
    svg = DATED.sub("", svg)
    nameless = {found[1]: re.sub(r'(\bid="|#)\w*[0-9a-f]{10}\b', r"\1", found[0]) for found in NAMED.finditer(svg)}
    names = {old: old[:-10] + hashed(what, 10) for old, what in nameless.items()}
    return re.sub(r'(\bid="|#)(\w+)', lambda found: found[1] + names.get(found[2], found[2]), svg)


def steady_table(html: str) -> str:
    "A styled table, named after what it holds; a run in a temporary folder by its own name alone."
    html = HOME.sub("", html)
    if not (found := TABLE.search(html)):
        return html
    old = f"T_{found[1]}"
    return html.replace(old, "T_" + hashed(html.replace(old, ""), 5))


STEADY = {"image/svg+xml": steady_picture, "text/html": steady_table}


def joined(outputs: list[dict]) -> list[dict]:
    "A cell's outputs, what was printed in one go in one piece."
    whole: list[dict] = []
    for output in outputs:
        if whole and output["output_type"] == "stream" and whole[-1].get("name") == output["name"]:
            text = "".join(whole[-1]["text"]) + "".join(output["text"])
            whole[-1] = output | dict(text=text.splitlines(keepends=True))
        else:
            whole.append(output)
    return whole


def steadied(text: str) -> str:
    "The notebook with its outputs made steady."
    nb = json.loads(text)
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = joined(cell["outputs"])
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            data |= {kind: mend("".join(data[kind])).splitlines(keepends=True) for kind, mend in STEADY.items() if kind in data}
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from fold import main
    sys.exit(main(__doc__, steadied, "steadied"))
