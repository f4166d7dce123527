"""Put the picture of the method at the head of every chapter, with the part lit that the chapter builds.

usage: python -m tools.heads [--check] [nbs/03_masking.ipynb …]      (default: all chapters that should have one)

The cell stands behind the title, is folded, and keeps its output; all other cells and outputs stay as they are. A chapter
that has it keeps its place, and gets it drawn anew. --check changes nothing and ends with exit code 1 if something would.
"""
import argparse
import json
import re
import sys
import uuid
from pathlib import Path

from tofy.architecture import PARTS, plot_architecture
from tools.fold import FOLDED, ROOT, shows_the_method

TARGETS = dict(targets="context", readout="context", sixty_lines="context", collapse="context",   # chapters about another
               from_softmax_to_jepa="context", regret="context")                                 # target than rows
APPARATUS = re.compile(r"00c_|[2-9]\d|index")              # the picture's own chapter; pages about the book


def chapters() -> list[Path]:
    "The notebooks that should have it: those of the course, not of the laboratory, whose model is another."
    return [path for path in sorted((ROOT / "nbs").glob("*.ipynb")) if not APPARATUS.match(path.name)]


def part_of(name: str, cells: list[dict]) -> str:
    "The part that a chapter builds, by its module's name or, if it has none, its own; nothing: it serves all."
    found = [re.search(r"^#\| default_exp (\w+)", "".join(cell["source"]), re.M) for cell in cells]
    module = next((m[1] for m in found if m), re.sub(r"^\d+\w?_", "", Path(name).stem))
    return module if module in PARTS else ""


def head(part: str, target: str, old: dict) -> dict:
    "The cell with its output, as a run of the notebook would leave it."
    words = [f'"{part}"'] * bool(part) + [f'target="{target}"'] * (target != "table")
    source = f"from tofy.architecture import plot_architecture\nplot_architecture({', '.join(words)})"
    picture = plot_architecture(part or None, target)
    data = {"image/svg+xml": picture.svg.splitlines(keepends=True), "text/plain": [repr(picture)]}
    output = dict(data=data, execution_count=None, metadata={}, output_type="execute_result")
    return dict(cell_type="code", execution_count=None, id=old.get("id", uuid.uuid4().hex[:8]), metadata=FOLDED,
                outputs=[output], source=source.splitlines(keepends=True))


def with_head(name: str, text: str) -> str:
    "The notebook with its head renewed, or put behind the title."
    nb = json.loads(text)
    cells = nb["cells"]
    at = next((i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and shows_the_method("".join(cell["source"]))), None)
    if at is None:
        at = 1 + next(i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith("# "))
        cells.insert(at, {})
    part = part_of(name, cells[:1] + cells[at + 1:])
    target = TARGETS.get(part or re.sub(r"^\d+\w?_", "", Path(name).stem), "table")
    cells[at] = head(part, target, cells[at])
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("notebooks", nargs="*", type=Path)
    ap.add_argument("--check", action="store_true")
    args, changed = ap.parse_args(), 0
    for path in args.notebooks or chapters():
        old = path.read_text(encoding="utf-8")
        if (new := with_head(path.name, old)) != old:
            changed += 1
            print(path.name, "should be drawn anew" if args.check else "drawn")
            if not args.check:
                path.write_text(new, encoding="utf-8")
    sys.exit(args.check and bool(changed))
