"""The graded labs, nbs/labs: learners' copies of them, without solutions, and the solutions for the teachers' key.

usage: python -m tools.labs FOLDER      writes FOLDER/source and FOLDER/release, laid out as nbgrader wants a course

A solution stands between nbgrader's marks, and what takes it out here does what nbgrader's preprocessor ClearSolutions does (a test
compares the two). It is written out because a learner's machine has no nbgrader, and the one that builds the wheel has not either.
"""
import argparse
import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LABS = ROOT / "nbs" / "labs"
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.M | re.S)
STUB = "# YOUR CODE HERE", "raise NotImplementedError()"
CONFIG = 'c = get_config()\nc.CourseDirectory.course_id = "tofy"\n'


def labs() -> list[Path]:
    "The sources, with their solutions."
    return sorted(LABS.glob("[0-9]*.ipynb"))


def assignment(path: Path) -> str:
    "What nbgrader calls a lab: its name without the number."
    return path.stem.partition("_")[2]


def cleared(source: str) -> str:
    "A cell's source, with a stub in place of each solution."
    return SOLUTION.sub(lambda found: "\n".join(found[1] + line for line in STUB), source)


def learners_copy(text: str) -> str:
    "A lab as a learner gets it: without solutions, and without the outputs that depend on them."
    nb, begun = json.loads(text), False
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        cell["source"] = cleared(source).splitlines(keepends=True)
        begun = begun or cleared(source) != source
        if begun and cell["cell_type"] == "code":
            cell["outputs"] = []
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def copied(path: Path, place: Path) -> Path:
    "Write the learners' copy of a lab to `place`."
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(learners_copy(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    return place


def solutions(path: Path) -> dict[str, str]:
    "The functions to be written → their whole source, with the solution."
    found = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            source = re.sub(r"^[ \t]*### (?:BEGIN|END) SOLUTION\n?", "", "".join(cell["source"]), flags=re.M)
            found[cell["metadata"]["nbgrader"]["grade_id"]] = source.rstrip()
    return found


def key() -> str:
    "All solutions, as markdown."
    parts = ["# The labs"]
    for path in labs():
        parts.append(f"## Lab {path.stem.partition('_')[0].lstrip('0')}: {assignment(path)}")
        parts += [f"```python\n{source}\n```" for source in solutions(path).values()]
    return "\n\n".join(parts) + "\n"


def course(folder: Path) -> None:
    "Lay sources and learners' copies out for nbgrader."
    (folder / "source").mkdir(parents=True, exist_ok=True)
    if not (folder / "nbgrader_config.py").exists():
        (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    for path in labs():
        place = folder / "source" / assignment(path) / path.name
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, place)
        copied(path, folder / "release" / assignment(path) / path.name)


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=Path)
    folder = ap.parse_args().folder
    if not labs() or not all(solutions(path) for path in labs()):
        sys.exit("The labs here are learners' copies; the sources are in a clone of the project.")
    course(folder)
    print(f"{folder}: {len(labs())} labs, sources and learners' copies")
