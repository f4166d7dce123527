"""Figures that a chapter's prose repeats are those of its stored outputs, and comparisons say what they compare.

A pair names a notebook, how the prose says a figure, and how the output prints it (in `where`, if that is another notebook).
The prose may round, but not otherwise differ: .69 or 69% for 0.6908, not .68.
"""
import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NBS = ROOT / "nbs"

PAIRS = [  # notebook, in its prose, in the outputs, perhaps of another notebook
    ("00_corpus", r"right about (\d+%) of the time", r"'top1': ([\d.]+)", ""),
    ("05_encoder", r"\*cat\* \((\.\d+)\) wins", r"'cat': ([\d.]+)", ""),
    ("06_losses", r"At D=240 that is (\.\d+),", r"240 2\.0 ([\d.]+)", ""),
    ("07_metrics", r"the metric at D = 128 is (\.\d+)", r"1 +0\.0 +[\d.]+ +([\d.]+)", ""),
    ("09_training", r"found (\.\d+) for the unigram baseline and", r"unigram(?: +[\d.]+){5} +([\d.]+)", "07_metrics"),
    ("09_training", r"for the unigram baseline and (\.\d+) for the bigram", r"bigram(?: +[\d.]+){5} +([\d.]+)", "07_metrics"),
    ("11_crowding", r"unigram baseline\* \(MRR (\.\d+) against", r"rank 31\.5 → [\d.]+ +MRR ([\d.]+)", ""),
    ("11_crowding", r"in use, and the spread is (\.\d+)", r"\nspread +([\d.]+)", ""),
    ("11_crowding", r"Of the misses \((\d+%) of the blanks", r"'misses': ([\d.]+)", ""),
    ("11_crowding", r"blue and green, (\d+%) against", r"'crowded': ([\d.]+)", ""),
    ("11_crowding", r"blue and green, \d+% against (\d+%)", r"'crowded_best': ([\d.]+)", ""),
    ("12_gap", r"second model's log says (\.\d+)", r"notes +acc_neg in the log ([\d.]+)", ""),
    ("12_gap", r"under the same conditions has (\.\d+)", r"unigram +0\.\d+ +([\d.]+)", ""),
    ("12_gap", r"a little ahead \((\.\d+) against", r"model, held out +0\.\d+ +([\d.]+)", ""),
    ("12_gap", r"a little ahead \(\.\d+ against (\.\d+)\)", r"bigram +0\.\d+ +([\d.]+)", ""),
    ("17_benchmark", r"a ratio of (\d\.\d+), give or take", r"([\d.]+) ± [\d.]+, 5 seeds", ""),
    ("index", r"the ratio is (\d\.\d+) ±", r"([\d.]+) ± [\d.]+, 5 seeds", "17_benchmark"),
    ("index", r"the ratio is \d\.\d+ ± (\.\d+) over", r"[\d.]+ ± ([\d.]+), 5 seeds", "17_benchmark"),
    ("index", r"\| casual, 100 \| (\.\d+) ±", r"casual: \d,\d+ phrases[^\0]*?tofy +([\d.]+) ±", "17_benchmark"),
    ("index", r"\| casual, 100 \| \.\d+ ± \.\d+ \| (\.\d+) ±", r"casual: \d,\d+ phrases[^\0]*?modern +([\d.]+) ±", "17_benchmark"),
    ("index", r"15 to 40 words, 150 \| (\.\d+) ±", r"addresses: \d+,\d+ phrases[^\0]*?tofy +([\d.]+) ±", "17_benchmark"),
    ("index", r"15 to 40 words, 150 \| \.\d+ ± \.\d+ \| \.\d+ ± \.\d+ \| 1\.15 \| (\.\d+) ±",
     r"addresses: \d+,\d+ phrases[^\0]*?modern-muon +([\d.]+) ±", "17_benchmark"),
]


@cache
def cells(name: str) -> tuple[str, str]:
    "The prose of a notebook, and what its code printed or showed as text."
    prose, printed = [], []
    for cell in json.loads((NBS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            prose.append("".join(cell["source"]))
        for out in cell.get("outputs", []):
            printed.append("".join(out.get("text") or out.get("data", {}).get("text/plain", "")))
    return "\n".join(prose), "\n".join(printed)


def agrees(said: str, printed: float) -> bool:
    "Is a figure of the prose (.69, 69%) a rounding of the printed one?"
    digits = said.rstrip("%")
    places = len(digits.partition(".")[2]) + 2 * said.endswith("%")
    return abs(float(digits) / (100 if said.endswith("%") else 1) - printed) <= .5 * 10.**-places + 1e-9


def test_a_rounding_is_told_from_another_figure():
    assert agrees(".69", .6908) and agrees("69%", .6908) and agrees(".5", .5337) and agrees("1.00", 1.003)
    assert not agrees(".68", .6908) and not agrees("68%", .6908) and not agrees(".55", .5344) and not agrees(".07", .080)


@pytest.mark.parametrize("name, said, shown, where", PAIRS, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(PAIRS)])
def test_a_figure_in_the_prose_is_that_of_the_output(name, said, shown, where):
    told = re.search(said, cells(name)[0])
    printed = re.search(shown, cells(where or name)[1])
    assert told and printed, f"{name}: the sentence or the output has changed; change the pair, too"
    assert agrees(told[1], float(printed[1])), f"{name}: {told[0]!r}, but the output says {printed[0]!r}"


@pytest.mark.parametrize("figure", ["516,000", r"1\.003", r"ratio of 1\.00"])
def test_a_comparison_with_a_softmax_says_whether_it_is_tied(figure):
    "BERT's output is tied to its input table, and so are both sides of our comparison."
    sources = [*NBS.rglob("[0-9i]*.ipynb"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    paragraphs = [part for path in sources for part in
                  (path.read_text(encoding="utf-8") if path.suffix == ".md" else cells(path.relative_to(NBS).with_suffix("").as_posix())[0]).split("\n\n")
                  if re.search(figure, part)]
    assert paragraphs
    for part in paragraphs:
        assert re.search(r"\btied\b", part), part


def test_a_figure_of_an_untuned_peer_says_so():
    "On whole sentences the peer kept the settings that suit it on casual conversations."
    assert "never tuned on sentences" in cells("17_benchmark")[0] and "tuned on short and on long text" in cells("index")[0]


def test_the_first_program_has_one_chapter():
    "Chapter 12 tells its case; elsewhere what it did is a common mistake, and it is named twice at most."
    named = re.compile(r"\b(?:the|an) original\b|\boriginal's\b|\bthe notes\b|\bnotes'", re.IGNORECASE)
    counts = {path.stem: len(named.findall(re.sub(r"(?m)^\*Said as: .*$", "", cells(path.stem)[0]))) for path in NBS.glob("*.ipynb")}
    assert counts.pop("12_gap") > 10
    assert {name: n for name, n in counts.items() if n > 2} == {}
