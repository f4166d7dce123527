"What `tofy train` says of a small text, before a run and after it: every sentence follows from figures of that text."
import json
import math
import re

import pytest
import torch

from tofy.corpus import generate
from tofy.data import load_data
from tofy.masking import all_blanks
from tofy.metrics import Bigram, judge, unigram_scorer
from tofy.run_folder import NAN, LogRecord
from tofy.small_text import (
    SMALL_TEXT,
    compared,
    hits,
    length_sentence,
    look_ahead,
    margin,
    memory_sentence,
    outlook_sentences,
    pace_sentence,
)

SIZES = ("--batch", "16", "--dim", "16", "--layers", "1", "--heads", "2", "--max-seq", "24")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    "A text that has something to learn, and no line twice."
    return list(dict.fromkeys(said for said, _ in generate(900, seed=3)))


@pytest.mark.parametrize("n", [50, 400, 3000])
def test_what_is_foretold_is_counted(n):
    "The same figures as the metrics give; the share of unseen words by hand."
    data = load_data(f"builtin:{n}")
    seen, V, blanks = look_ahead(data), len(data.vocab), all_blanks(data.valid)
    assert (seen.phrases, seen.blanks, seen.words) == (len(data.train), len(blanks.rows), int((data.train.flat > 2).sum()))
    assert seen.unigram == pytest.approx(judge(unigram_scorer(data.vocab), data.valid, blanks, V)["mrr"], abs=1e-6)
    assert seen.bigram == pytest.approx(judge(Bigram.count(data.train, V), data.valid, blanks, V)["mrr"], abs=1e-6)
    known = {word for row in range(len(data.train)) for word in data.train[row].tolist()} - {1}
    asked = data.valid.flat.tolist()
    assert seen.unseen == pytest.approx(sum(word not in known for word in asked) / len(asked))
    known = {word for row in range(0, len(data.train), 2) for word in data.train[row].tolist()} - {1}
    assert seen.unseen_half == pytest.approx(sum(word not in known for word in asked) / len(asked)) and seen.unseen_half >= seen.unseen
    found = hits(Bigram.count(data.train, V), data)
    assert seen.margin == pytest.approx(2 * found.std().item() / math.sqrt(len(found)))


def test_more_lines_help_or_it_cannot_be_told():
    "Fifty lines have too few blanks to say so; three thousand have enough."
    few, many = (outlook_sentences(look_ahead(load_data(f"builtin:{n}"))) for n in (50, 3000))
    assert few[3].startswith("What more lines would bring can't be told") and many[3].startswith("More lines help: from half")
    assert few[0].startswith("A small text: 48 phrases with") and len(few) == 4
    assert all(re.search(r"\d", sentence) for sentence in [*few, *many])                  # none without a figure


def test_lines_that_repeat_are_told(tmp_path, lines):
    (tmp_path / "twice.txt").write_text("\n".join(lines[:200] * 2), encoding="utf-8")
    seen = look_ahead(load_data(tmp_path / "twice.txt"))
    assert seen.repeats == pytest.approx(.5) and "50% of the lines stand there more than once" in outlook_sentences(seen)[-1]


def test_nothing_is_foretold_of_a_large_text_or_without_blanks(tmp_path, lines):
    assert look_ahead(load_data(f"builtin:{SMALL_TEXT + 2000}")) is None
    (tmp_path / "few.txt").write_text("\n".join(lines[:30]), encoding="utf-8")
    assert look_ahead(load_data(tmp_path / "few.txt", valid=0)) is None


def record(seconds=1., progress=.1, examples=0, saved=False) -> LogRecord:
    return LogRecord(step=1, steps=0, seconds=seconds, examples=examples, lr=NAN, progress=progress, saved=saved)


def test_pace():
    assert pace_sentence(record(2.9, .5, 800), 400) == "" == pace_sentence(record(9., 0., 800), 400)
    assert pace_sentence(record(3., .01, 800), 400) == "At this pace the run reads the text 200 times."
    assert pace_sentence(record(3., .5, 200), 400) == ("At this pace the run reads the text 1.0 times: too few to learn it; "
                                                       "give it more time (--seconds).")


def test_when_the_best_model_came():
    early, late = [record(examples=400, saved=True), record(examples=9000)], [record(examples=9000, saved=True)]
    assert length_sentence(early, 400) == "The best model came after 1.0 of 22.5 passes; at these blanks the later ones made it no better."
    assert length_sentence(late, 400).endswith("near the end: it was still getting better, so more time may help.")


def test_ahead_behind_or_not_to_be_told():
    "The difference at each blank decides, and how many there are."
    model, counted = torch.tensor([1., .5, 1., .25]).repeat(25), torch.tensor([.5, .5, .5, .25]).repeat(25)
    assert compared(model, counted, "counting pairs") == "The model is ahead of counting pairs by 0.250 (± 0.050)."
    assert compared(counted, model, "counting pairs").startswith("The model is behind counting pairs by 0.250")
    assert compared(model[:2], counted[:2], "counting pairs") == (
        "The model (0.750) and counting pairs (0.500) can't be told apart: on 2 blanks, a difference of 0.50 may be luck.")
    assert margin(model[:1]) == math.inf
    assert memory_sentence(counted, model, "r").endswith("it has 0.688: 0.250 more (± 0.050).")
    assert memory_sentence(model, counted, "r").endswith("0.250 less (± 0.050).") and memory_sentence(model, model, "r").endswith("no sure difference.")


def test_train_tells_it_before_and_after(tofy, tmp_path, lines):
    (tmp_path / "mine.txt").write_text("\n".join(lines[:400]), encoding="utf-8")
    done = tofy("train", "mine.txt", "--steps", 12, *SIZES, "--out", "run")
    assert done.code == 0 and "A small text: 380 phrases" in done.err and "What a model must beat" in done.err, done.err
    told = done.out[done.out.index("The model that was kept"):]
    assert re.search(r"^The model .*(ahead of|behind|can't be told apart)", told, re.M) and "The best model came after" in told
    assert "(tofy fill run --memory) it has 0." in told and told.rstrip().splitlines()[-1].startswith("Fill a blank with the run")
    done = tofy("train", "mine.txt", "--steps", 12, *SIZES, "--out", "other", "--json")
    assert done.code == 0 and [line for line in json.loads(done.out)["lessons"] if line in told]


def test_train_says_nothing_of_it_where_nothing_is_held_out(tofy, tmp_path, lines):
    (tmp_path / "mine.txt").write_text("\n".join(lines[:60]), encoding="utf-8")
    done = tofy("train", "mine.txt", "--steps", 3, *SIZES, "--valid", 0, "--out", "run")
    assert done.code == 0 and "A small text" not in done.err and "The best model came" not in done.out
