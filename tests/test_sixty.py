"The first chapter: sixty lines that are a JEPA, a second listing, and the one line without which the first collapses."
import ast
import difflib
import re

import nbformat
import pytest
import torch

from tools.order import NBS

MARGIN = re.compile(r"\s+# (\d\d[a-z]?)( ✂)?$")             # the chapter that replaces the line, and the line to delete
CODE = [c.source for c in nbformat.read(NBS / "000_sixty_lines.ipynb", 4).cells if c.cell_type == "code"]
FIRST = [line for source in CODE if MARGIN.search(source.splitlines()[0]) for line in source.splitlines() if line.strip()]
SECOND = next(source for source in CODE if "cross_entropy" in source)
CUT = next(source for source in CODE if source.startswith("def lesson(") and "detach" not in source and source != SECOND)
GAUGES = next(source for source in CODE if "def spread(" in source), next(source for source in CODE if "def mrr(" in source)


def bare(lines: list[str]) -> list[str]:
    "Without margins, comments and empty lines."
    return [line for line in (re.sub(r"\s*#.*$", "", line) for line in lines) if line]


def part(name: str, lines: list[str]) -> list[str]:
    "The lines of one function."
    at = lines.index(next(line for line in lines if line.startswith(f"def {name}(")))
    end = next((i for i in range(at + 1, len(lines)) if not lines[i].startswith(" ")), len(lines))
    return lines[at:end]


def start(seed: int = 0, **constants) -> dict:
    "The first listing, executed with other constants."
    (name, values), = re.findall(r"^(D, STEPS, DECAY) = (.+)$", "\n".join(bare(FIRST)), re.MULTILINE)
    given = dict(zip(name.split(", "), values.split(", "), strict=True)) | constants
    source = "\n".join(bare(FIRST)).replace(f"{name} = {values}", f"{name} = " + ", ".join(map(str, given.values())))
    torch.manual_seed(seed)
    scope = {"__name__": "sixty"}
    exec(source, scope)
    for gauge in GAUGES:
        exec(gauge, scope)
    return scope


def spreads(scope: dict, every: int) -> list[float]:
    "Train, and measure the targets' spread now and then, and at the end."
    return [scope["spread"]() for step, _ in enumerate(scope["train"]()) if step % every == 0] + [scope["spread"]()]


def reach(scope: dict) -> float:
    "The MRR on held-out blanks."
    scope["vectors"], scope["bonus"] = scope["readout"]()
    return scope["mrr"](scope["scores"])


def second(seed: int, **constants) -> dict:
    "The second listing, on top of the first."
    scope = start(seed, **constants)
    exec(SECOND.replace("manual_seed(0)", f"manual_seed({seed})"), scope)
    return scope


# ---- what is promised about the text of the listings

def test_sixty_lines_one_statement_each():
    lines, columns = bare(FIRST), max(map(len, FIRST))
    assert len(lines) == len(FIRST) <= 60 and columns <= 88
    nodes = [n for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, ast.stmt)]
    starts = [n.lineno for n in nodes]
    assert len(starts) == len(set(starts)) and not any(";" in line for line in lines)
    assert all(n.lineno == n.end_lineno for n in nodes if not hasattr(n, "body"))


def test_each_line_names_a_chapter_that_is_there():
    for line in FIRST:
        number = MARGIN.search(line)
        assert number and list(NBS.glob(f"{number[1]}_*.ipynb")), line


def test_nothing_is_imported_but_torch_and_the_text():
    tree = ast.parse("\n".join(bare(FIRST)))
    names = {getattr(n, "module", None) or n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} == {"copy", "torch", "tofy"}
    assert {name for name in names if name.startswith("tofy")} == {"tofy.corpus"}


def test_one_line_is_marked_and_the_other_lesson_lacks_just_that_line():
    marked = [line for line in FIRST if line.endswith("✂")]
    assert len(marked) == 1 and "detach()" in marked[0]
    assert bare(CUT.splitlines()) == bare([line for line in part("lesson", FIRST) if line not in marked])


def test_the_second_listing_changes_ten_lines_at_most():
    own, new = bare(FIRST), bare(SECOND.splitlines())
    changed = [line for name in ("lesson", "readout") for line in difflib.ndiff(part(name, own), part(name, new)) if line[0] in "+-"]
    other = [line for line in new if line not in own + part("lesson", new) + part("readout", new) and "manual_seed" not in line]
    removed, added = (sum(line[0] == sign for line in changed) for sign in "-+")
    assert max(removed, added + len(other)) <= 10


def test_neither_word_nor_row_is_in_the_loss():
    "Renumber the words, with the table's rows: the loss of the first listing is the same; targets are no rows of the table."
    scope = start()
    ids = scope["batches"][5]
    hidden = scope["hide"](ids)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(len(scope["words"]) - 1)])
    before = scope["lesson"](ids, hidden)
    for net in (scope["encoder"], scope["teacher"]):
        net.rows.weight.data[order] = net.rows.weight.data.clone()
    assert torch.allclose(before, scope["lesson"](order[ids], hidden), atol=1e-6)
    source = "\n".join(part("lesson", FIRST) + part("guess", FIRST))
    assert "rows" not in source and "words" not in source


# ---- what is promised about the runs

def test_the_loss_moves_encoder_and_predictor_and_no_one_else():
    scope = start()
    ids = scope["batches"][5]
    scope["lesson"](ids, scope["hide"](ids)).backward()
    assert all(p.grad is not None for net in (scope["encoder"], scope["predictor"]) for p in net.parameters())
    assert all(p.grad is None for p in scope["teacher"].parameters())
    exec(CUT, scope)
    scope["lesson"](ids, scope["hide"](ids)).backward()
    assert all(p.grad is not None for p in scope["teacher"].parameters())


def test_the_marked_line_decides():
    "Thirty steps are enough to see it."
    healthy, cut = start(STEPS=30), start(STEPS=30)
    exec(CUT, cut)
    assert min(spreads(healthy, 30)) > .5
    assert spreads(cut, 30)[-1] < .02


def test_a_short_run_fills_blanks_with_something():
    scope = second(0, STEPS=5)
    spreads(scope, 5)
    scope["vectors"], scope["bonus"] = scope["readout"]()
    assert len(set(scope["fill"]("david has _ to london .")) & set(scope["words"])) == 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_the_sixty_lines_reach(seed):
    "Contextual targets: twice the unigram's MRR, the spread alive to the end; without the marked line nothing is left."
    scope = start(seed)
    assert min(spreads(scope, 25)) > .3
    counts = torch.cat([ids.flatten() for ids in scope["batches"]]).bincount().float()
    assert reach(scope) >= 2 * scope["mrr"](lambda ids, hidden: counts.repeat(len(ids), 1))
    cut = start(seed)
    exec(CUT, cut)
    assert max(spreads(cut, 25)[4:]) < .02


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_the_second_listing_reaches(seed):
    scope = second(seed)
    spreads(scope, 1000)
    assert reach(scope) >= .531                          # the bigram's
