"The picture of the method: at the head of every chapter, drawn anew by a tool."
import colorsys
import json

import pytest

from tofy.architecture import PARTS, plot_architecture
from tofy.colours import COLOURS, THEMES
from tools.fold import shows_the_method
from tools.heads import chapters, part_of, with_head

@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_a_chapter_has_its_picture_as_it_would_be_drawn_now(path):
    text = path.read_text(encoding="utf-8")
    assert with_head(path.name, text) == text, f"run python -m tools.heads nbs/{path.name}"
    head = [cell for cell in json.loads(text)["cells"] if shows_the_method("".join(cell["source"]))]
    assert len(head) == 1 and "fold" in head[0]["metadata"]["tags"]


def test_every_part_is_somebodys():
    "A part that no chapter builds any more would only stand in the list."
    built = {part_of(path.name, json.loads(path.read_text(encoding="utf-8"))["cells"]) for path in chapters()}
    assert set(PARTS) - built <= {"predictor", "targets", "readout"} and "masking" in built


def test_a_head_is_put_behind_the_title_and_renewed_in_its_place():
    def cell(kind, source, **more): return dict(cell_type=kind, source=[source], metadata={}, id=source[:3]) | more
    code = dict(outputs=[], execution_count=None)
    cells = [cell("code", "#| default_exp masking", **code), cell("markdown", "# Tea\n\n> Hot."), cell("code", "1 + 1", **code)]
    text = with_head("03_tea.ipynb", json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))
    made = json.loads(text)["cells"]
    assert [c["cell_type"] for c in made] == ["code", "markdown", "code", "code"]
    assert "".join(made[2]["source"]).endswith('plot_architecture("masking")')
    assert "".join(made[2]["outputs"][0]["data"]["image/svg+xml"]) == plot_architecture("masking").svg
    assert with_head("03_tea.ipynb", text) == text                      # nothing to do
    old = json.loads(text)
    old["cells"][2]["outputs"], old["cells"][2]["source"][1] = [], "plot_architecture()"
    assert with_head("03_tea.ipynb", json.dumps(old)) == text           # drawn anew, in its place, with its id
    assert part_of("17_benchmark.ipynb", cells[1:]) == "benchmark" and part_of("00a_errors.ipynb", cells[1:]) == ""
    assert not shows_the_method("plot_architecture()") and not shows_the_method("from x import y\nprint(1)")


@pytest.mark.parametrize("theme", THEMES)
def test_what_a_drawing_shows_has_four_colours_and_none_is_that_of_the_best_possible(theme):
    def hue(colour: str) -> float: return colorsys.rgb_to_hsv(*(int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)))[0]
    ways = [hue(THEMES[theme][name]) for name in ("read", "blank", "target", "back")]
    gaps = {min((a - b) % 1, (b - a) % 1) for i, a in enumerate(ways) for b in ways[:i]}
    assert min(gaps) > .03 and min(abs(hue(COLOURS["best"]) - way) for way in ways) > .08
