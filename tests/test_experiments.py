"""The experimenter's log: what it says of a run, notes and verdicts, lists that are filtered and sorted, and the best of several starts."""

import csv
import io
import shutil

import pytest
import torch

from tofy import checkpoint as store
from tofy.cli import as_table, chosen, passes
from tofy.errors import UsageError
from tofy.lab import training as lab
from tofy.lab.decoder import DecoderConfig
from tofy.lab.writing import load_decoder
from tofy.terminal import verdict_by

LAB = ["builtin:60", "--dim", 16, "--layers", 1, "--heads", 2, "--context", 16, "--batch", 4, "--sample", 0, "--steps", 6,
       "--threads", 1, "--log-every", 2]
LATENT = ["text.txt", "--dim", 16, "--layers", 1, "--heads", 2, "--steps", 6, "--batch", 8, "--threads", 1]
ROWS = [dict(run="a", dim=64, valid_mrr=.5, source="book.txt", note=None), dict(run="b", dim=128, valid_mrr=.25, source="news"),
        dict(run="c", dim=64, source="book.txt", note="x|y\nz")]


@pytest.mark.parametrize(("test", "runs"), [
    ("dim=64", "ac"), ("dim = 64", "ac"), ("dim>64", "b"), ("valid_mrr<.3", "b"), ("source~BOOK", "ac"), ("source=news", "b"),
    ("run=c", "c"), ("valid_mrr>0", "ab"), ("note~x", "c"), ("dim=64.0", "ac"), ("source<5", "")])
def test_runs_are_filtered(test, runs):
    assert "".join(row["run"] for row in ROWS if passes(row, test, list(ROWS[2]) + ["valid_mrr"])) == runs


@pytest.mark.parametrize("wrong", ["dim", "width=3", "=3", "dim!3", ""])
def test_a_test_of_nothing_is_told(wrong):
    with pytest.raises(UsageError, match="such as dim=64"):
        passes(ROWS[0], wrong, list(ROWS[0]))


def test_runs_are_sorted_and_those_without_a_value_come_last():
    def order(*how):
        return "".join(row["run"] for row in chosen(ROWS, [], *how, "run"))

    assert [order("valid_mrr", False), order("valid_mrr", True), order(None, True), order("source", False)] == ["bac", "abc", "cba", "acb"]
    with pytest.raises(UsageError, match="no column 'width'"):
        order("width", False)
    assert list(chosen(ROWS, ["dim=64"], None, False, "run, dim")[0].items()) == [("run", "a"), ("dim", 64)]


def test_tables_are_read_back():
    rows = chosen(ROWS, [], None, False, "run,dim,note")
    assert list(csv.DictReader(io.StringIO(as_table(rows, as_csv=True)))) == [
        {k: str(v) for k, v in row.items()} for row in rows]
    lines = as_table(rows, markdown=True).splitlines()
    assert lines[:3] == ["| run | dim | note |", "| --- | --- | --- |", "| a | 64 |  |"] and lines[4] == r"| c | 64 | x\|y z |"
    assert "note" not in as_table(rows[:2])                           # empty in every row


def test_what_a_run_says_of_itself(tofy, tmp_path, text):
    assert tofy("lab", "train", *LAB, "--out", "runs/old", "--note", "the first").code == 0
    assert tofy("lab", "train", "--from", "runs/old", "--steps", 4, "--sample", 0, "--threads", 1, "--out", "runs/young").code == 0
    assert tofy("lab", "insert-layer", "runs/old", "--out", "runs/tall").code == 0
    assert tofy("lab", "train", "--from", "runs/tall", "--steps", 2, "--sample", 0, "--threads", 1, "--out", "runs/taller").code == 0
    begun = tofy("train", *LATENT, "--out", "runs/words")
    assert begun.code == 0
    assert tofy("train", *LATENT, "--init-from", "runs/words", "--out", "runs/more").code == 0
    rows = {row["run"]: row for row in tofy("runs", "--json").json["runs"]}
    assert {name: row["parent"] for name, row in rows.items()} == dict(old="", young="old", taller="tall", words="", more="words")
    assert rows["old"]["note"] == "the first" and rows["old"]["tokenizer"].startswith("character ")
    writer = load_decoder(tmp_path / "runs" / "taller")
    assert rows["taller"]["parameters"] == sum(p.numel() for p in writer.model.parameters() if p.requires_grad)
    assert f"{rows['words']['parameters']:,} parameters;" in begun.err                # counted as before the training
    assert rows["words"]["tokenizer"].startswith("unicode") and rows["words"]["positions"] == "rotary"
    assert {row["verdict"] for row in rows.values()} <= {"above bigram", "above unigram", "no better than unigram"}
    before = rows["words"]["verdict"]
    told = tofy("note", "runs/words", "a | b", "--verdict", "works")
    assert told.code == 0 and (f"Its verdict was {before!r}." in told.err) == bool(before)
    assert "Its verdict was 'works'." in tofy("note", "runs/words", "--verdict", "works").err       # never replaced in silence
    none = tofy("runs", "--where", "dim=7")
    assert none.code == 0 and "No run passes dim=7; tofy runs lists all" in none.err
    found = tofy("runs", "--where", "verdict=works", "--columns", "run,note", "--markdown").out.splitlines()
    assert found == ["| run | note |", "| --- | --- |", r"| words | a \| b |"]
    largest = max(rows.values(), key=lambda row: row["parameters"])["run"]
    assert tofy("runs", "--sort", "parameters", "--reverse", "--csv", "--columns", "run").out.splitlines()[1] == largest
    one = tofy("runs", "old")
    assert "positions" in one.out and "valid_loss" in one.err                    # its log by epoch
    tofy("note", "runs/never", "x").says(2, "no line about never")
    tofy("note", "runs/never", "x").says(2, "The runs there: ")
    tofy("note", "runs/old").says(2, "--verdict")
    tofy("runs", "--where", "width=3").says(2, "is no test of a column")


def test_notes_belong_to_the_latest_line(tmp_path):
    run = tmp_path / "run"
    for seed in (0, 1):
        store.record_experiment(run, dict(outcome="finished", seed=seed))
        store.note_experiment(run, note=f"of seed {seed}")
    (tmp_path / "experiments.jsonl").open("a").write('{"about": "other", "note": "x"}\n{"about": 3}\n{"about": "run", "note": null}\n')
    assert [row["note"] for row in store.read_experiments(tmp_path)] == ["of seed 0", "of seed 1"] or (
        store.read_experiments(tmp_path)[-1]["note"] == "None")


def test_the_best_of_three_starts(tofy, tmp_path):
    made = tofy("lab", "train", *LAB, "--starts", 3, "--out", "runs/book", "--seed", 5, "--note", "three", "--json")
    assert made.code == 0
    losses = {seed: min(r.valid_loss for r in store.measured(store.read_records(tmp_path / "runs" / f"book-seed-{seed}", lab.TextRecord),
                                                             "valid_loss")) for seed in (5, 6, 7)}
    best = min(losses, key=losses.get)
    assert made.json["valid_loss"] == pytest.approx(losses[best]) and len(set(losses.values())) == 3
    one, other = (load_decoder(tmp_path / "runs" / name).model.state_dict() for name in ("book", f"book-seed-{best}"))
    assert all(torch.equal(t, other[name]) for name, t in one.items())
    assert f"book-seed-{best}" in next(line for line in tofy("runs").out.splitlines() if line.startswith("book "))   # no fourth training
    rows = {row["run"]: row for row in store.read_experiments(tmp_path / "runs")}
    assert rows["book"]["copy_of"] == f"book-seed-{best}" and rows["book"]["note"] == "three" and len(rows) == 4
    heldout = {(tmp_path / "runs" / f"book-seed-{seed}" / "heldout.txt").read_text() for seed in (5, 6, 7)}
    assert len(heldout) == 1                                                      # their losses can be compared
    tofy("lab", "train", *LAB, "--starts", 2, "--out", "runs/book").says(2, "already holds a run")
    tofy("lab", "train", "--starts", 2, "--resume", "--out", "runs/book").says(2, "neither with --resume")
    shutil.rmtree(tmp_path / "runs" / "book-seed-6")
    assert tofy("lab", "train", "--resume", "--steps", 8, "--out", "runs/book").code == 0


def test_the_verdict_is_the_best_baseline_beaten():
    assert verdict_by(dict(model=1., bigram=1., unigram=2.)) == "above unigram"
    assert verdict_by(dict(model=1., uniform=3.)) == "no better than unigram"


def test_a_log_that_is_not_ours_gets_no_verdict_and_no_note(tofy, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "experiments.jsonl").write_text("my notes\n")
    assert tofy("lab", "train", *LAB, "--out", "runs/book", "--note", "x").code == 0
    assert (tmp_path / "runs" / "experiments.jsonl").read_text() == "my notes\n"
    assert DecoderConfig().positions == "rotary"
