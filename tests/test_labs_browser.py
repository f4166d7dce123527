"""A graded lab as a learner meets it: the learner's copy in JupyterLab, a wrong answer and its hint, then the right one."""
import pytest

from tools.lab import CHROMIUM, jupyterlab, open_notebook
from tools.labs import copied, labs, solutions

pytestmark = [pytest.mark.browser, pytest.mark.slow,
              pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]
LAB = labs()[0]                                    # the vocabulary: short functions, quick to run
CODE = ".jp-Notebook .jp-CodeCell"
CHECK = 'marks.check("make_vocab"'


def cell_with(page, words: str):
    return page.locator(CODE).filter(has=page.locator(".cm-content", has_text=words)).first


def write(page, function: str, source: str) -> None:
    "Replace a cell as a learner would: click into it, mark all, type."
    cell_with(page, f"def {function}(").locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(source)


def told(page, words: str, what: str) -> str:
    "What stands below the cell with these words, once it tells this."
    output = cell_with(page, words).locator(".jp-Cell-outputWrapper")
    output.get_by_text(what).first.wait_for()
    return output.inner_text().strip()


def run_all(page) -> None:
    page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.evaluate("() => { jupyterapp.commands.execute('notebook:restart-run-all'); }")          # not awaited: it asks first
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_function("!document.querySelector('.jp-Dialog')")


def run_cell(page, words: str) -> None:
    "Run one cell by its keys."
    cell_with(page, words).locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+Enter")


def test_a_learner_is_told_what_is_wrong_and_then_gets_full_marks(browser, tmp_path):
    "All cells with a wrong answer: one sentence, no traceback, and no point for it; then the right answers: all points, in the file, too."
    right = solutions(LAB)
    assert list(right) == ["make_vocab", "encode"]
    copied(LAB, tmp_path / LAB.name)
    with jupyterlab(tmp_path) as address:
        page = open_notebook(browser, address, LAB.name, run=False)
        assert "YOUR CODE HERE" in cell_with(page, "def make_vocab(").inner_text()
        write(page, "make_vocab", right["make_vocab"].replace("(-counts[word], word)", "(counts[word], word)"))
        run_all(page)
        hint = told(page, CHECK, "The rarest word comes first in your list")
        assert "Traceback" not in hint and len(hint.splitlines()) == 1
        run_cell(page, "def encode(")                                      # what stands behind a failed cell has not run
        run_cell(page, 'marks.check("encode"')
        told(page, 'marks.check("encode"', "encode: nothing is written yet")
        run_cell(page, "marks.save(")
        told(page, "marks.save(", "vocabulary: 0 of 6 points")

        for name, source in right.items():
            write(page, name, source)
        run_all(page)
        told(page, "marks.save(", "vocabulary: 6 of 6 points")
        assert told(page, CHECK, "make_vocab: 3 of 3 points") == "make_vocab: 3 of 3 points"
        page.close()
    saved = (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines()
    assert saved[1:] == [",vocabulary,make_vocab,3,3,1", ",vocabulary,encode,3,3,1"]
