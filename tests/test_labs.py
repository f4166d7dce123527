"The graded labs: their solutions pass, typical wrong answers are told what is wrong, nearly every other change loses marks."
import ast
import contextlib
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tools import labs
from tools.labs import cleared, learners_copy, solutions

ROOT = Path(__file__).resolve().parents[1]
LABS = {labs.assignment(path): path for path in labs.labs()}

# Of each lab: what stands in the solution, what a learner writes instead, and words of the hint that names the fault.
WRONG = {
    "vocabulary": [
        ("key=lambda word: (-counts[word], word)", "key=str", "order of the alphabet"),
        ("(-counts[word], word)", "(counts[word], word)", "rarest word comes first"),
        ("(-counts[word], word)", "-counts[word]", "of equals, the alphabet decides"),
        (">= at_least", "> at_least", "your list"),
        ("SPECIALS + sorted", "sorted", "three specials come first"),
        ("ids.get(word, 1)", "ids.get(word, 0)", "which is padding"),
        ("ids.get(word, 1) for word in line.split()", "ids[word] for word in line.split() if word in ids", "keeps its place"),
        ("ids = [i for line in lines for i in encode(vocab, line)]", "ids = encode(vocab, ' '.join({w for line in lines for w in line.split()}))",
         "Count occurrences")],
    "mask_batch": [
        ("(draw < rate)", "(draw > rate)", "above the rate"),
        ("(smallest | (draw < rate)) & word", "(draw < rate) & word", "smallest draw is chosen"),
        ("(smallest | (draw < rate)) & word", "smallest & word", "not only the smallest"),
        ("draw == draw.min(1, keepdim=True).values", "draw == draw.min()", "Each phrase has its own"),
        ("draw = draw.masked_fill(~word, math.inf)", "word = torch.ones_like(word)", "Padding was chosen"),
        ("draw = draw.masked_fill(~word, math.inf)\n", "draw = draw + 0\n", "smallest among the words"),
        ("draw = draw.masked_fill(", "draw = draw.masked_fill_(", "You changed the draws"),
        ("return torch.where(mask & (fate < .8), MASK, inputs)", "return torch.where(mask, MASK, ids)", "All became <mask>"),
        ("MASK, inputs", "PAD, inputs", "Padding (0) stands"),
        ("mask & (fate < .8)", "(fate < .8)", "look at the mask"),
        ("mask & (fate < .9)", "(fate < .9)", "look at the mask")],
    "attention": [
        (" / q.shape[1] ** .5", "", "not divided by √D"),
        ("q.shape[1] ** .5", "q.shape[1]", "square root of D"),
        ("softmax(1)", "softmax(0)", "Each row should add up to 1"),
        ("scores.masked_fill(~real, -math.inf).softmax(1)", "scores.softmax(1) * real", "not after it"),
        ("-math.inf", "0", "Padding still gets a share"),
        ("~real, -math.inf", "~real[:, None], -math.inf", "out of the rows"),
        ("q.shape[1]", "2", "D is the length of a vector"),
        ("for w in (wq, wk, wv)", "for w in (wq, wk, torch.eye(4))", "mixed are the values"),
        ("weights(q, k, real) @", "weights(q, k, real | True) @", "pass `real` on"),
        (".chunk(heads, 1)", ".chunk(1, 1)", "same as one"),
        ("torch.cat([weights(q, k, real) @ v for q, k, v in zip(*cut)], 1)", "sum(weights(q, k, real) @ v for q, k, v in zip(*cut))", "side by side")],
    "rank_loss": [
        ("F.normalize(pred, dim=1) @", "pred @", "normalise the predictions"),
        ("F.normalize(table, dim=1).T", "table.T", "normalise the table"),
        (".T / tau", ".T * tau", "multiplied by the temperature"),
        ("- right).mean()", "- right).sum()", "not the sum"),
        ("scores.logsumexp(1) - right", "right - scores.logsumexp(1)", "Is a sign wrong"),
        ("len(pred)), targets]", "len(pred)), 0 * targets]", "look the answer up"),
        ("scores[:, 1:] = scores[:, 1:].masked_fill(negatives == targets[:, None], -math.inf)", "pass", "pushed away"),
        ("(scores.logsumexp(1) - answer)", "(scores[:, 1:].logsumexp(1) - answer)", "takes part in the sum"),
        ("words = torch.cat([targets[:, None], negatives], 1)",
         "words = torch.cat([targets[:, None], torch.arange(len(table)).repeat(len(pred), 1)], 1); negatives = words[:, 1:]", "compared with all words")],
    "ema_update": [
        ("start + (end - start)", "end + (start - end)", "changed places"),
        ("* step / steps", "* step", "At the last step|share of the steps"),
        ("math.log(.5) / math.log(decay)", "1 / (1 - decay)", "one step|looks back"),
        ("own.mul_(decay).add_(new, alpha=1 - decay)", "own = decay * own + (1 - decay) * new", "work in place"),
        ("own.mul_(decay).add_(new, alpha=1 - decay)", "own.mul_(1 - decay).add_(new, alpha=decay)", "changed places"),
        ("own.mul_(decay).add_(new, alpha=1 - decay)", "new.mul_(1 - decay).add_(own, alpha=decay); own.copy_(new)", "only the teacher moves"),
        ("with torch.no_grad():", "if True:", "torch.no_grad()"),
        ("zip(teacher.parameters(), student.parameters())", "[(teacher.weight, student.weight)]", "not the bias"),
        ("own.mul_(decay).add_(new, alpha=1 - decay)", "own.data = new.data if decay == 0 else decay * own.data + (1 - decay) * new.data",
         "tensors of its own")],
    "baselines": [
        ("(scores >= right).sum(1)", "(scores > right).sum(1)", "count the answer itself"),
        ("(scores >= right).sum(1)", "(scores > right).sum(1) + 1", "of equals, the answer is the last"),
        ("scores >= right", "scores <= right", "higher* score"),
        ("(1 / ranks).mean()", "(1 / ranks.float().mean())", "1 / the mean rank"),
        ("(1 / ranks).mean()", "ranks.float().mean()", "mean of 1 / rank"),
        ("for word in phrase:", "for word in {*phrase}:", "count every occurrence"),
        ("pairs[before, word] += 1", "pairs[word, before] += 1", "changed places"),
        ("(single / (single.sum() + 1)).repeat(size, 1)", "torch.zeros(size, size)", "all words score 0"),
        ("for phrase in train:\n        for before", "for phrase in [sum(train, [])]:\n        for before", "each phrase has its own|no pair|end of a phrase")],
    "context_target": [
        ("whole = inputs.masked_scatter(mask, answers)", "whole = inputs", "put the answers back"),
        ("inputs.masked_scatter(mask", "inputs.masked_scatter_(mask", "work on a copy"),
        ("with torch.no_grad():", "if True:", "gradient can flow"),
        ("return centred / centred.square().mean(1, keepdim=True).sqrt()", "return states", "not scaled"),
        ("states.mean(1, keepdim=True)", "states.mean(0, keepdim=True)", "mind the axis"),
        ("centred.square().mean(1, keepdim=True).sqrt()", "states.std(1, keepdim=True)", "n − 1"),
        ("(1 - F.cosine_similarity(pred, target, dim=1)).mean()", "F.cosine_similarity(pred, target, dim=1).mean()", "is the sign right"),
        ("dim=1)).mean()", "dim=1)).sum()", "You took the sum"),
        ("target, dim=1)", "target, dim=1).detach()", "nothing would be learnt"),
        ("target - target.mean(0)\n    return centred.square().mean(0)", "target - target.mean(1, keepdim=True)\n    return centred.square().mean(1)",
         "along a vector")],
    "diagnosis": [
        ("not all(math.isfinite(loss) for loss in losses)", "any(loss == math.nan for loss in losses)", "not even to NaN"),
        ('losses = run["loss"] + run["held_out"]', 'losses = run["loss"]', "A held_out of"),
        ('run["spread"][-1] / run["spread"][0]', 'run["spread"][0] / run["spread"][-1]', "not the other way round"),
        ('min(run["held_out"])', 'run["held_out"][0]', "compare with the lowest"),
        ('if found["unknown"] > .2:\n        return "unknown words"\n    if found["narrowed"] < .5:\n        return "collapse"',
         'if found["narrowed"] < .5:\n        return "collapse"\n    if found["unknown"] > .2:\n        return "unknown words"', "comes first in the order"),
        ('found["risen"] > 1.1', 'found["risen"] > 1.0', "look at the limits"),
        ('found["ahead"] > 0', 'found["ahead"] >= 0', "look at the limits"),
        ('"no better than counting"', '"healthy"', "the illness is 'no better than counting'")],
}


# ---- running a lab without Jupyter

def cells(name: str) -> tuple[str, list[dict]]:
    "The first code cell, and the cells that nbgrader knows: solution, check, solution, check …"
    code = [cell for cell in json.loads(LABS[name].read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return re.sub(r"^%.*$", "", "".join(code[0]["source"]), flags=re.M), [cell for cell in code if "nbgrader" in cell["metadata"]]


def graded(name: str, changed: dict[str, str] | None = None, first_only: bool = False):
    "The marks for a lab's own solutions, some of them changed, and the hints; `first_only` stops at the first failure."
    setup, known = cells(name)
    space, hints = {"__name__": "lab"}, []
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compiled(setup), space)
        for cell in known:
            about = cell["metadata"]["nbgrader"]
            source = (changed or {}).get(about["grade_id"], "".join(cell["source"]))
            try:
                exec(compiled(source), space)
            except Exception as fault:
                hints.append(str(fault) if isinstance(fault, AssertionError) else f"{type(fault).__name__}: {fault}")
                if first_only:
                    break
    return space["marks"], hints


def compiled(source: str):
    return COMPILED.setdefault(source, compile(source, "lab", "exec"))


COMPILED: dict = {}


def total(marks) -> tuple[int, int]:
    return sum(marks.points.values()), sum(marks.tasks.values())


# ---- right, wrong, and nearly right

@pytest.mark.parametrize("name", LABS)
def test_the_solution_gets_full_marks(name):
    marks, hints = graded(name)
    assert hints == [] and total(marks)[0] == total(marks)[1] >= 5 and set(marks.tries.values()) == {1}


@pytest.mark.parametrize("name", LABS)
def test_a_typical_wrong_answer_is_told_what_is_wrong(name):
    own, faults = {cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"]) for cell in cells(name)[1]}, set()
    for old, new, words in WRONG[name]:
        (task,) = [task for task, source in own.items() if old in source and not task.endswith("-check")]
        marks, hints = graded(name, {task: own[task].replace(old, new, 1)}, first_only=True)
        assert marks.points[task] == 0 and any(w in hints[0] for w in words.split("|")), (new, hints)
        faults.add(hints[0])
    assert len(faults) >= 3, "three different mistakes at least, with three different hints"


def test_no_answer_and_a_crash_get_no_points():
    for name in LABS:
        own = {cell["metadata"]["nbgrader"]["grade_id"]: cleared("".join(cell["source"])) for cell in cells(name)[1]}
        marks, hints = graded(name, own)
        assert total(marks)[0] == 0 and all("nothing is written yet" in hint for hint in hints), hints
    marks, hints = graded("vocabulary", {"encode": "def encode(vocab, line): return line.lenght\ncoverage = encode"})
    assert marks.points == {"make_vocab": 3, "encode": 0} and hints == ["AttributeError: 'str' object has no attribute 'lenght'"]


# ---- one operator, one number

SWAP = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
        ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn,
        ast.NotIn: ast.In, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}


def changes(source: str) -> list[str]:
    "All sources that differ in one operator, or in one number or truth value."
    tree, found = ast.parse(source), []
    for i, node in enumerate(ast.walk(tree)):
        for field, value in ast.iter_fields(node):
            for j, part in enumerate(value if isinstance(value, list) else [value]):
                if (new := changed(node, field, part)) is not None:
                    other = copy.deepcopy(tree)
                    twin = list(ast.walk(other))[i]
                    if isinstance(value, list):
                        getattr(twin, field)[j] = new
                    else:
                        setattr(twin, field, new)
                    found.append(ast.unparse(ast.fix_missing_locations(other)))
    return found


def changed(node: ast.AST, field: str, part) -> ast.AST | object | None:
    "What stands in place of one part of a node; None where nothing is to be changed."
    if type(part) in SWAP:
        return SWAP[type(part)]()
    if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub | ast.Not | ast.Invert):
        return part.operand
    if isinstance(node, ast.Constant) and field == "value" and isinstance(part, bool | int | float):
        return not part if isinstance(part, bool) else part + 1 if isinstance(part, int) else part * 1.5
    return None


def test_the_changes_are_single_ones():
    assert changes("a + b < 2 and (not b)") == ["a + b < 2 or not b", "a + b < 2 and b", "a + b <= 2 and (not b)", "a - b < 2 and (not b)",
                                                "a + b < 3 and (not b)"]
    assert changes("x = -1.0") == ["x = 1.0", "x = -1.5"] and changes("x = True") == ["x = False"]


def survivors(name: str) -> tuple[list[tuple[str, str]], int]:
    "The changes to a lab's solutions that keep full marks, with their task, and how many were tried."
    left, tried = [], 0
    for task, source in solutions(LABS[name]).items():
        for new in changes(source):
            tried += 1
            marks, hints = graded(name, {task: new}, first_only=True)
            left += [(task, new)] if not hints else []
    return left, tried


@pytest.mark.parametrize("name", LABS)
def test_nine_of_ten_changed_operators_lose_marks(name):
    "All of them, which takes half a second a lab. When this was written, all 106 changes lost marks."
    left, tried = survivors(name)
    assert tried >= 8 and len(left) <= tried * .1, left


# ---- learners' copies

def test_eight_labs_one_a_topic_of_six_to_sixteen_cells():
    assert len(LABS) == len(WRONG) == 8 and set(LABS) == set(WRONG) and min(map(len, WRONG.values())) >= 3
    for name, path in LABS.items():
        book = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in book)
        assert 6 <= len(book) <= 16 and "#| export" not in source and "default_exp" not in source
        assert source.count("### BEGIN SOLUTION") == source.count("### END SOLUTION") >= 2
        assert "**By hand.**" in source and "## What goes wrong without it" in source and "marks.save()" in "".join(book[-1]["source"])
        assert len({cell["metadata"]["nbgrader"]["grade_id"] for cell in cells(name)[1]}) == len(cells(name)[1])
        assert max(len(line) for text in solutions(path).values() for line in text.splitlines()) <= 110


@pytest.mark.parametrize("name", LABS)
def test_the_points_that_nbgrader_gives_are_those_of_the_marks(name):
    marks, _ = graded(name)
    given = {about["grade_id"]: about["points"] for cell in cells(name)[1] if (about := cell["metadata"]["nbgrader"])["grade"]}
    assert given == {f"{task}-check": points for task, points in marks.tasks.items()}
    kinds = [(about["solution"], about["locked"]) for cell in cells(name)[1] if (about := cell["metadata"]["nbgrader"])]
    assert kinds == [(True, False), (False, True)] * len(marks.tasks)


@pytest.mark.parametrize("name", LABS)
def test_a_learners_copy_has_no_solution(name):
    text = learners_copy(LABS[name].read_text(encoding="utf-8"))
    assert "SOLUTION" not in text and text == learners_copy(text)
    book = json.loads(text)["cells"]
    whole = "\n".join("".join(cell["source"]) for cell in book)
    for source in solutions(LABS[name]).values():
        body = [node for function in ast.parse(source).body for node in function.body[1:] if not ast.unparse(node).startswith("found =")]
        assert body and not any(line in whole for node in body for line in ast.unparse(node).splitlines())
    stubs = [cell for cell in book if "raise NotImplementedError()" in "".join(cell["source"])]
    assert [cell["metadata"]["nbgrader"]["solution"] for cell in stubs] == [True] * len(stubs) and len(stubs) >= 2
    assert not any(cell["outputs"] for cell in book[book.index(stubs[0]):] if cell["cell_type"] == "code")


def test_the_copy_is_what_nbgrader_makes():
    "Its own preprocessor, which comes with the extra `teach`, and its check of the metadata."
    pytest.importorskip("nbgrader", reason="nbgrader is not here: pip install -e '.[dev]'")
    import nbformat
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.preprocessors import ClearSolutions
    for path in LABS.values():
        text = path.read_text(encoding="utf-8")
        MetadataValidator().validate_nb(nbformat.reads(text, as_version=4))
        theirs, _ = ClearSolutions().preprocess(nbformat.reads(text, as_version=4), {})
        ours = nbformat.reads(learners_copy(text), as_version=4)
        assert [cell.source for cell in ours.cells] == [cell.source for cell in theirs.cells]


@pytest.mark.slow
def test_nbgrader_hands_a_lab_out_and_marks_it(tmp_path, monkeypatch):
    "Its commands, as chapter 19 tells them: the release is ours; the right solution gets all points, a stub none."
    pytest.importorskip("nbgrader", reason="nbgrader is not here: pip install -e '.[dev]'")
    course, lab = tmp_path / "course", LABS["vocabulary"]
    subprocess.run([sys.executable, "-m", "tools.labs", str(course)], cwd=ROOT, check=True, capture_output=True)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))     # it calls `alembic`
    for name, value in dict(PYTHONPATH=ROOT, JUPYTER_CONFIG_DIR=tmp_path / "config", IPYTHONDIR=tmp_path / "ipython").items():
        monkeypatch.setenv(name, str(value))

    def nbgrader(*command: str) -> None:
        done = subprocess.run([sys.executable, "-m", "nbgrader", *command], cwd=course, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    ours = json.loads((course / "release" / "vocabulary" / lab.name).read_text(encoding="utf-8"))["cells"]
    nbgrader("generate_assignment", "vocabulary", "--force")
    theirs = json.loads((course / "release" / "vocabulary" / lab.name).read_text(encoding="utf-8"))["cells"]
    assert ["".join(cell["source"]) for cell in ours] == ["".join(cell["source"]) for cell in theirs]
    shutil.copytree(course / "release" / "vocabulary", course / "submitted" / "ada" / "vocabulary")
    shutil.copytree(course / "release" / "vocabulary", course / "submitted" / "bob" / "vocabulary")
    path = course / "submitted" / "ada" / "vocabulary" / lab.name
    handed_in = json.loads(path.read_text(encoding="utf-8"))
    for cell in handed_in["cells"]:
        if (name := cell["metadata"].get("nbgrader", {}).get("grade_id")) in solutions(lab):
            cell["source"] = solutions(lab)[name]
    path.write_text(json.dumps(handed_in), encoding="utf-8")
    nbgrader("autograde", "vocabulary")
    from nbgrader.api import Gradebook
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        assert [book.find_submission("vocabulary", who).score for who in ("ada", "bob")] == [6, 0]


def test_a_course_is_laid_out_for_nbgrader(tmp_path):
    done = subprocess.run([sys.executable, "-m", "tools.labs", str(tmp_path / "course")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "8 labs" in done.stdout, done.stderr
    for name, path in LABS.items():
        assert (tmp_path / "course" / "source" / name / path.name).read_bytes() == path.read_bytes()
        assert "SOLUTION" not in (tmp_path / "course" / "release" / name / path.name).read_text(encoding="utf-8")
    assert (tmp_path / "course" / "nbgrader_config.py").is_file()


def test_the_key_holds_every_solution():
    text = labs.key()
    assert text.count("## Lab ") == 8 and "SOLUTION" not in text
    for path in LABS.values():
        for source in solutions(path).values():
            assert f"```python\n{source}\n```" in text
            ast.parse(source)


def test_the_site_shows_learners_copies():
    from tools.site.chapters import own_copy, read_one
    for path in LABS.values():
        page = read_one(path.relative_to(ROOT / "nbs"))
        assert page.page == f"labs/{labs.assignment(path)}" and not any("SOLUTION" in cell.source for cell in page.cells)
        assert any("NotImplementedError" in cell.source for cell in page.cells) and "nbs/labs" not in own_copy(page).split("`")[1]
