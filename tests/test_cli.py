"""The command line, as the design promises it."""

import math
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import HANG, ROOT, SIZES, ticking

from tofy.checkpoint import HELDOUT, SETTINGS, load_tensors, read_experiments
from tofy.run_folder import (
    BASELINES,
    LOG,
    LOG_COLUMNS,
    MODEL,
    STATE,
    VOCAB,
    load_baselines,
    load_model,
    load_settings,
    read_log,
)

COMMANDS = ("train", "runs", "diff", "fill", "eval", "diagnose", "size", "data", "notebooks", "export")


# ---- usage


def test_without_arguments_the_usage(tofy):
    result = tofy()
    assert result.code == 0 and result.err == ""
    assert all(word in result.out for word in ("Usage: tofy", "Training", "Inference", *COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tofy, command):
    result = tofy(command, "--help")
    assert result.code == 0 and f"Usage: tofy {command}" in result.out and result.err == ""
    if command != "notebooks":
        assert "Example" in result.out and f"tofy {command} " in result.out.split("Example", 1)[1]


def test_help_names_every_promised_option(tofy):
    text = tofy("train", "--help").out
    for option in (
        "recipe",
        "seconds",
        "lr",
        "mse-weight",
        "rank-weight",
        "aux-weight",
        "rank-temp",
        "negatives",
        "mask-rate",
        "dropout",
        "config",
        "valid",
        "eval-every",
        "seed",
        "threads",
        "device",
        "out",
        "init-from",
        "resume",
        "overwrite",
        "json",
        "steps",
        "batch",
        "dim",
        "max-seq",
        "layers",
        "heads",
        "max-vocab",
    ):
        assert f"--{option}" in text, option
    assert (
        text.index("STEPS")
        < text.index("BATCH")
        < text.index("DIM")
        < text.index("MAX_SEQ")
        < text.index("LAYERS")
        < text.index("HEADS")
    )


@pytest.mark.parametrize(
    "command",
    [["nonsense"], ["train", "--nonsense"], ["train", "builtin", "many"], ["eval", "--max-queries", "x"]],
    ids=" ".join,
)
def test_a_wrong_word_is_misuse(tofy, command):
    result = tofy(*command)
    assert result.code == 2 and "Error" in result.err and "Traceback" not in result.err and result.out == ""


def test_as_a_module_and_as_a_script(tmp_path):
    "In an interpreter of its own, and without importing torch for a page of help."
    code = "import sys; from tofy.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules, 'slow'"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# ---- train


def test_the_numbers_stand_in_the_notes_order(tofy, text):
    assert tofy("train", text, 7, 9, 24, 11, 3, 2, 15, "--out", "run").code == 0
    settings = load_settings(text.parent / "run" / SETTINGS)
    assert settings["train"]["steps"] == 7 and settings["train"]["batch"] == 9
    assert settings["data"]["max_seq"] == 11 and settings["data"]["max_vocab"] == 15
    config = load_model(text.parent / "run")[0].config
    assert (config.dim, config.max_seq, config.layers, config.heads, config.vocab_size) == (24, 11, 3, 2, 15)


def test_numbers_and_options_say_the_same(tofy, text):
    options = "--steps 5 --batch 8 --dim 16 --max-seq 12 --layers 1 --heads 2 --max-vocab 15".split()
    assert (
        tofy("train", text, 5, *SIZES, 15, "--out", "a").code == tofy("train", text, *options, "--out", "b").code == 0
    )
    equal(text.parent / "a", text.parent / "b")


def equal(a: Path, b: Path, names=(MODEL, STATE)) -> None:
    for name in names:
        left, right = load_tensors(a / name)[0], load_tensors(b / name)[0]
        assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left), name


def test_a_run_folder_holds_what_is_promised(tofy, trained):
    assert {p.name for p in trained.iterdir()} == {MODEL, VOCAB, LOG, HELDOUT, STATE, SETTINGS, BASELINES}
    assert (trained / LOG).read_text().splitlines()[0].split(",") == list(LOG_COLUMNS)
    tensors, header = load_tensors(trained / STATE)
    assert {name.split(".")[0] for name in tensors} == {"model", "optimizer", "generator"}
    assert header["step"] == "10" and float(header["seconds"]) > 0
    assert len((trained / HELDOUT).read_text().splitlines()) == 15


def test_lines_go_to_standard_output_and_the_rest_to_standard_error(tofy, text):
    result = tofy("train", text, 10, *SIZES, "--out", "run", "--log-every", 5)
    lines = [line for line in result.out.splitlines() if line.startswith("step ")]
    assert len(lines) == 11 and "loss" in lines[0] and "MRR" in lines[-1]
    for name in ("model", "unigram", "bigram", "chance"):
        assert any(line.startswith(name) for line in result.out.splitlines()), name
    assert "285 to train, 15 held out" in result.err and "\r" not in result.out + result.err


def test_a_pipe_gets_its_lines_as_they_come(tofy, text):
    run = tofy.process("train", text, 1_000_000, *SIZES, "--out", "run", "--log-every", 1_000_000)
    try:
        selector = selectors.DefaultSelector()
        selector.register(run.stdout, selectors.EVENT_READ)
        while not (text.parent / "run" / LOG).is_file() and run.poll() is None:
            time.sleep(0.01)
        assert selector.select(timeout=HANG), "the first line is in the log and not in the pipe"
    finally:
        run.kill()
        run.communicate()


@pytest.mark.parametrize("recipe", ["tofy", "notes"])
def test_the_defaults_are_the_recipe_s(tofy, recipe):
    from tofy.cli import plan_for

    plan = plan_for(recipe, None, {})
    data, model, train = plan.data, plan.model, plan.train
    assert (
        train.steps,
        train.seconds,
        train.batch,
        model.dim,
        data.max_seq,
        model.layers,
        model.heads,
        data.max_vocab,
    ) == ((10_000, None, 16, 256, 72, 4, 4, 32_000) if recipe == "notes" else (None, 100, None, 128, 72, 2, 4, 4000))


def test_seconds(tofy, text):
    options = ["--seconds", 1, "--batch", 8, "--dim", 16, "--layers", 1, "--heads", 2, "--out", "run"]
    result = tofy("train", text, *options, before=lambda: ticking(setattr, 0.01))
    assert result.code == 0 and read_log(text.parent / "run")[-1].step > 1
    assert load_tensors(text.parent / "run" / STATE)[1]["progress"] == "1.0"


def test_the_settings_of_a_run_repeat_it(tofy, text):
    options = [
        "--seed",
        3,
        "--lr",
        0.004,
        "--mask-rate",
        0.2,
        "--negatives",
        6,
        "--dropout",
        0.05,
        "--mse-weight",
        0.5,
        "--rank-temp",
        0.2,
        "--valid",
        20,
        "--eval-every",
        4,
    ]
    assert tofy("train", text, 12, *SIZES, 15, *options, "--out", "a").code == 0
    assert tofy("train", "--config", "a/run.toml", "--out", "b").code == 0
    equal(text.parent / "a", text.parent / "b")
    assert (text.parent / "a" / SETTINGS).read_text() == (text.parent / "b" / SETTINGS).read_text()
    assert (text.parent / "a" / HELDOUT).read_text() == (text.parent / "b" / HELDOUT).read_text()


@pytest.mark.parametrize(
    "options",
    [["--recipe", "notes"], ["--valid", "held.txt"], ["--tokens", "notes", "--split", "windows"]],
    ids=" ".join,
)
def test_the_settings_of_other_runs_repeat_them(tofy, text, options):
    (text.parent / "held.txt").write_text("we sat on the hill\nyou saw a dog\n")
    assert tofy("train", text, 6, *SIZES, *options, "--out", "a").code == 0
    assert tofy("train", "--config", "a/run.toml", "--out", "b").code == 0
    equal(text.parent / "a", text.parent / "b")


def test_an_option_goes_before_the_settings_file(tofy, trained):
    assert (
        tofy("train", "--config", "run/run.toml", "--steps", 3, "--seed", 5, "--max-vocab", 10, "--out", "b").code == 0
    )
    settings = load_settings(trained.parent / "b" / SETTINGS)
    assert settings["train"]["steps"] == 3 and settings["train"]["seed"] == settings["data"]["seed"] == 5
    assert settings["data"]["max_vocab"] == 10 and settings["model"]["dim"] == 16


def test_another_seed_is_another_run(tofy, trained):
    assert tofy("train", "text.txt", 10, *SIZES, "--seed", 1, "--out", "b").code == 0
    assert (trained / HELDOUT).read_text() != (trained.parent / "b" / HELDOUT).read_text()


def test_init_from_says_how_many_words_it_carried_over(tofy, trained):
    words = (trained.parent / "text.txt").read_text().replace("cat", "cow").replace("dog", "duck")
    (trained.parent / "other.txt").write_text(words)
    result = tofy("train", "other.txt", 3, *SIZES, "--init-from", "run", "--out", "b")
    assert result.code == 0 and "Carried over 16 of 18 words from run" in result.err
    header = load_model(trained.parent / "b")[2]
    assert header["warm_start"] == {"folder": "run", "words": 16}
    tofy("train", "other.txt", 3, 8, 32, 12, 1, 2, "--init-from", "run", "--out", "c").says(2, "dim", "16", "32")


# ---- folders


def test_a_folder_with_a_run_is_not_overwritten(tofy, trained):
    before = {p.name: p.read_bytes() for p in trained.iterdir()}
    tofy("train", "text.txt", 5, *SIZES, "--out", "run").says(2, "--resume", "--overwrite", "--out")
    assert {p.name: p.read_bytes() for p in trained.iterdir()} == before
    (trained / STATE).unlink()
    tofy("train", "text.txt", 5, *SIZES, "--out", "run").says(2, "--overwrite")
    assert (trained / MODEL).read_bytes() == before[MODEL]


def test_a_folder_with_neither_model_nor_state_is_used(tofy, text):
    (text.parent / "run").mkdir()
    (text.parent / "run" / "mine.md").write_text("notes")
    assert tofy("train", text, 3, *SIZES, "--out", "run").code == 0
    assert (text.parent / "run" / "mine.md").read_text() == "notes" and (text.parent / "run" / MODEL).is_file()


def test_a_left_over_log_is_not_continued(tofy, trained):
    (trained / MODEL).unlink()
    (trained / STATE).unlink()
    before = (trained / LOG).read_bytes()
    tofy("train", "text.txt", 3, *SIZES, "--out", "run").says(2, "log_latent.csv", "move that file away")  # whose is it?
    assert (trained / LOG).read_bytes() == before
    for path in trained.iterdir():
        path.unlink()
    assert tofy("train", "text.txt", 3, *SIZES, "--out", "run").code == 0
    assert [r.step for r in read_log(trained)] == [0, 1, 2, 3]


def test_resuming_a_finished_run_says_so(tofy, trained):
    before = {p.name: p.read_bytes() for p in trained.iterdir()}
    result = tofy("train", "--resume", "--out", "run")
    assert result.code == 0 and "This run is finished (step 10)" in result.err
    assert {p.name: p.read_bytes() for p in trained.iterdir()} == before
    assert tofy("train", "--resume", "--out", "run", "--json").json["out"] == "run"


@pytest.mark.parametrize(
    "options",
    [["--lr", 1], ["--dim", 8], ["--recipe", "notes"], ["other.txt"], ["--seed", 1]],
    ids=lambda o: " ".join(map(str, o)),
)
def test_a_resumed_run_keeps_its_settings(tofy, trained, options):
    tofy("train", *options, "--resume", "--out", "run").says(2, "--resume")


def test_a_finished_run_can_be_made_longer(tofy, trained):
    result = tofy("train", "--resume", "--steps", 15, "--out", "run")
    assert result.code == 0 and "Going on from step 10." in result.err and read_log(trained)[-1].step == 15


# ---- --json


def strict(value) -> None:
    "No NaN, no infinity, anywhere."
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            strict(item)
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "text.txt", 5, *SIZES, "--out", "b"],
        ["train", "text.txt", 5, *SIZES, "--recipe", "notes", "--out", "b"],
        ["train", "text.txt", 5, *SIZES, "--valid", 0, "--out", "b"],
        ["train", "--resume", "--out", "run"],
        ["diff", "run", "the _ sat => cat"],
        ["diff", "run", "the _ sat => cat", "a _ ran => dog"],
        ["fill", "run", "the _ sat"],
        ["eval", "run"],
        ["eval", "run", "text.txt", "--max-queries", 50],
        ["runs", "--folder", "."],
        ["runs", "run", "run", "--folder", "."],
    ],
    ids=lambda c: " ".join(map(str, c)),
)
def test_json_is_one_object_and_nothing_else(tofy, trained, command):
    result = tofy(*command, "--json")
    assert result.code == 0, result.err
    assert isinstance(result.json, dict)
    strict(result.json)


def test_json_in_a_real_process(tofy, text):
    "Its standard output, not the one the tests share with their children; tqdm and logging included."
    run = tofy.process("train", text, 20, *SIZES, "--out", "run", "--json")
    out, err = run.communicate(timeout=HANG)
    assert run.returncode == 0 and out.startswith("{") and out.endswith("}\n") and out.count("\n") == 1, out
    assert "step     20" in err


def test_what_train_reports(tofy, text):
    result = tofy("train", text, 10, *SIZES, "--out", "run", "--json").json
    assert result["out"] == "run" and result["step"] == 10 and result["examples_per_second"] > 0
    assert set(result["model"]) == {"top1", "top5", "mrr", "median_rank"}
    assert result["model"]["mrr"] == pytest.approx(max(r.valid_mrr for r in read_log(text.parent / "run")), rel=1e-4)
    assert result["chance"]["top1"] == pytest.approx(1 / 18)


KEPT = {                                                # runs whose last validation is not that of the model they keep
    "notes": ("60", "16", "16", "12", "1", "2", "100", "--recipe", "notes"),
    "notes, past its best": ("150", *SIZES, "--recipe", "notes", "--lr", "0.3", "--log-every", "10"),
    "tofy, past its best": ("60", *SIZES, "--lr", "0.5", "--clip", "0", "--eval-every", "5", "--warmup", "0.3"),
    "few blanks a validation": ("40", *SIZES, "--eval-queries", "10"),
}


@pytest.mark.parametrize("words", KEPT.values(), ids=list(KEPT))
def test_the_figures_of_a_run_are_those_of_the_model_it_keeps(tofy, text, words):
    "The closing table, the experiment log and `tofy eval` ask the same model for the same words."
    told = tofy("train", text, *words, "--out", "run", "--json").json
    found = tofy("eval", "run", "--json").json
    row = read_experiments(text.parent)[-1]["figures"]
    assert told["blanks"] == found["queries"] == row["blanks"]
    for name in ("top1", "mrr", "median_rank"):
        assert told["model"][name] == pytest.approx(found[name], abs=1e-6) == pytest.approx(row[f"valid_{name}"], abs=1e-6)
        assert told["unigram"][name] == pytest.approx(found["unigram"][name])
        assert told["bigram"][name] == pytest.approx(found["bigram"][name])


def test_a_run_of_less_than_a_hundred_steps_keeps_a_trained_model(tofy, text):
    "acc_ema moves at log lines; the last step is one."
    assert tofy("train", text, *KEPT["notes"], "--out", "run", "--json").json["saved_at"] == 60


def test_diagnose_asks_all_for_the_same_blanks(tofy, text):
    tofy("train", text, "40", *SIZES, "--eval-queries", "10", "--out", "run")
    found = tofy("diagnose", "run", "--json").json
    assert found["model"]["queries"] == found["baselines"]["unigram"]["queries"] == found["baselines"]["bigram"]["queries"] == 10
    assert "at 10 held-out blanks" in tofy("diagnose", "run").out


def test_what_train_reports_of_a_finished_run(tofy, trained):
    assert tofy("train", "--resume", "--out", "run", "--json").json["step"] == 10


# ---- eval


def test_eval_asks_every_known_word(tofy, trained):
    figures = tofy("eval", "run", "--json").json
    assert {
        "queries",
        "vocab",
        "top1",
        "top5",
        "top10",
        "mrr",
        "median_rank",
        "mean_rank",
        "cos_mean",
        "acc_neg",
        "unigram",
    } <= set(figures)
    assert "best" not in figures
    assert figures["queries"] == len((trained / HELDOUT).read_text().split()) and figures["vocab"] == 18
    assert {"top1", "top5", "top10", "mrr", "median_rank", "mean_rank"} <= set(figures["unigram"])
    best = max(r.valid_mrr for r in read_log(trained))
    assert figures["mrr"] == pytest.approx(best, rel=1e-4)  # the model that is kept is the best one


def test_eval_of_a_file_and_of_some(tofy, trained):
    (trained.parent / "some.txt").write_text("The cat sat, xyzzy!\nthe cat sat , xyzzy !\n")
    figures = tofy("eval", "run", "some.txt", "--json").json
    assert (
        figures["queries"] == 6 and figures["unknown"] == 6
    )  # the, cat, sat twice; both commas, xyzzy and ! are unknown
    few = [tofy("eval", "run", "text.txt", "--max-queries", 40, "--json").json for _ in range(2)]
    assert few[0] == few[1] and few[0]["queries"] == 40


def test_eval_on_the_built_in_text_has_the_best_possible(tofy):
    assert tofy("train", "builtin:400", 5, *SIZES, "--out", "run").code == 0
    figures = tofy("eval", "run", "--max-queries", 100, "--json").json
    assert 0.5 < figures["best"]["top1"] < 0.8 and figures["best"]["mrr"] > figures["mrr"]
    assert "best" in tofy("eval", "run", "builtin:50", "--json").json


@pytest.mark.parametrize("number", ["0", "-3"])
def test_eval_of_no_queries(tofy, trained, number):
    result = tofy("eval", "run", "--max-queries", number)
    assert result.code == 2 and "--max-queries" in result.err and "Traceback" not in result.err


# ---- diff


def test_diff_prints_what_is_promised(tofy, trained):
    result = tofy("diff", "run", "the _ sat => cat")
    lines = result.out.splitlines()
    assert result.code == 0 and len(lines) == 9 and lines[0] == "the _ sat"
    assert all(x in lines[6] for x in ("cat: rank ", "/18", "cosine ", "L2 "))
    assert all(x in lines[7] for x in ("chance 9.5", "unigram ", "bigram ")) and "best possible" not in lines[7]
    assert lines[8].startswith("nearest to cat in the table: ") and lines[8].count("cosine") == 2
    answer = tofy("diff", "run", "the _ sat => cat", "--json").json["answers"][0]
    assert (
        len(answer["top"]) == 5 and answer["word"] == "cat" and 1 <= answer["rank"] <= 18 and answer["vocab_size"] == 18
    )
    cosines = [c for _, c in answer["top"]]
    assert cosines == sorted(cosines, reverse=True) and answer["l2"] > 0


def test_the_reference_lines_outlive_the_training_text(tofy, text):
    trained = text.parent / "run"
    tofy("train", text, 3, *SIZES, "--out", "run")
    lines = load_baselines(trained, load_model(trained)[1])[1]
    assert set(lines) == {"chance", "unigram", "bigram"} and lines["chance"]["top1"] == 1 / 18
    text.unlink()
    figures = tofy("eval", "run", "--json").json
    assert {k: v for k, v in figures["bigram"].items()} == lines["bigram"]  # the same blanks, the same pairs
    (trained / BASELINES).unlink()  # a folder of an older version, and the text is gone
    assert "bigram" not in tofy("eval", "run", "--json").json
    assert "no bigram baseline" in tofy("eval", "run").out


@pytest.mark.parametrize("damage", ["torn", "foreign"])
def test_a_damaged_or_foreign_cache_is_measured_again(tofy, trained, damage):
    lines = tofy("eval", "run", "--json").json["bigram"]
    if damage == "foreign":
        assert tofy("train", "builtin:300", "--steps", 1, "--dim", 16, "--out", "other").code == 0
        (trained / BASELINES).write_bytes((trained.parent / "other" / BASELINES).read_bytes())
    else:
        (trained / BASELINES).write_bytes(b"torn")
    assert tofy("diff", "run", "the _ sat => cat").code == 0
    assert tofy("eval", "run", "--json").json["bigram"] == lines


def test_another_run_in_the_folder_has_lines_of_its_own(tofy, trained):
    before = (trained / BASELINES).read_bytes()
    assert tofy("train", "builtin:300", "--steps", "1", "--dim", "16", "--out", "run", "--overwrite").code == 0
    assert (trained / BASELINES).read_bytes() != before and "best" in load_baselines(trained, load_model(trained)[1])[1]


def test_several_blanks_end_in_a_table(tofy, trained):
    lines = tofy("diff", "run", "the _ sat => cat", "the dog _ => ran").out.splitlines()[-3:]
    assert lines[0].split() == "phrase nearest answer rank cosine L2 chance unigram bigram".split()
    assert lines[1].startswith("the _ sat") and lines[2].startswith("the dog _")


@pytest.mark.parametrize("phrase", ["the _ sat", "the [MASK] sat", "the [mask] sat", "The ___ sat"])
def test_a_blank_is_an_underscore_or_mask(tofy, trained, phrase):
    assert (
        tofy("diff", "run", f"{phrase} => CAT", "--json").json["answers"][0]["rank"]
        == tofy("diff", "run", "the _ sat => cat", "--json").json["answers"][0]["rank"]
    )


def test_diff_reads_punctuation_as_training_did(tofy, tmp_path):
    (tmp_path / "text.txt").write_text(
        "how are you lately?\nwhere are you now?\n" * 3 + "".join(f"how are you w{i} ?\n" for i in range(50))
    )
    assert tofy("train", "text.txt", 3, *SIZES, "--out", "run").code == 0
    glued, apart = (
        tofy("diff", "run", f"how are _ lately{mark} => you", "--json").json["answers"][0] for mark in ("?", " ?")
    )
    assert glued["top"] == apart["top"] and glued["note"] is None


MISTAKES = {
    "the cat sat => cat": "no blank found",
    "the _ _ => cat": "2 blanks",
    "the _ sat": "use =>",
    "the _ sat => catt": "cat",
    "the _ sat => xyzzy": "not in vocab",
    " => cat": "empty",
    "": "",
    "_ => cat": "",
    "the _ sat =>": "0 words",
    "the _ sat => big cat": "2 words",
}


@pytest.mark.parametrize("phrase", MISTAKES)
def test_a_question_that_cannot_be_answered(tofy, trained, phrase):
    result = tofy("diff", "run", phrase).says(1, MISTAKES[phrase])
    assert result.out == ""


def test_an_empty_phrase_alone(tofy, trained):
    (trained.parent / "runs").mkdir()
    trained.rename(trained.parent / "runs" / "latent")
    tofy("diff", "").says(1, "empty")


def test_at_the_prompt_a_mistake_is_a_sentence_and_the_next_prompt(tofy, trained):
    result = tofy(
        "diff",
        "run",
        stdin="the cat sat => cat\nthe _ _ => cat\nthe _ sat => catt\nthe _ sat => cat\n\nthe _ ran => dog\n",
    )
    assert result.code == 0 and "Traceback" not in result.err
    assert all(words in result.err for words in ("no blank found", "2 blanks", "spelt most like it: cat"))
    assert "cat: rank" in result.out and "dog: rank" in result.out  # a pipe is read to its end
    assert tofy("diff", "run", stdin="the _ sat => cat").out.count("cat: rank") == 1


def test_at_the_prompt_of_fill(tofy, trained):
    result = tofy("fill", "run", stdin="the cat\nthe _ sat\n\n")
    assert result.code == 0 and "no blank found" in result.err and result.out.startswith("the _ sat\n")


def test_fill_asks_a_memory_on_request(tofy, trained):
    plain, asked = (tofy("fill", "run", "the _ sat", "--json", *more) for more in ([], ["--memory"]))
    assert "a memory of" in asked.err and "training contexts" in asked.err and "built in" in asked.err and "memory" not in plain.err
    (before,), (after,) = (result.json["answers"] for result in (plain, asked))
    assert after["measure"] == "share" and after["note"].startswith("words are read by a memory of ") and before["measure"] == "cosine"
    shares = [share for _, share in after["top"]]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1 + 1e-6


def test_nothing_is_stripped_but_on_request(tofy, trained):
    plain = tofy("diff", "run", "the cat _ cat => cat", "--json").json["answers"][0]
    stripped = tofy("diff", "run", "the cat _ cat => cat", "--strip-answer", "--json").json["answers"][0]
    assert plain["note"] is None and "removed 2" in stripped["note"]
    assert stripped["top"] == tofy("fill", "run", "the _", "--json").json["answers"][0]["top"] != plain["top"]


@pytest.mark.parametrize(("number", "shown"), [(1, 1), (3, 3), (100, 18)])
def test_top(tofy, trained, number, shown):
    assert len(tofy("fill", "run", "the _ sat", "--top", number, "--json").json["answers"][0]["top"]) == shown


def test_top_of_less_than_nothing(tofy, trained):
    result = tofy("fill", "run", "the _ sat", "--top", -1)
    assert result.code == 2 and "--top" in result.err and "Traceback" not in result.err


def test_the_default_folder(tofy, trained):
    (trained.parent / "runs").mkdir()
    trained.rename(trained.parent / "runs" / "latent")
    assert tofy("diff", "the _ sat => cat").code == 0 and tofy("eval").code == 0 and tofy("fill", "the _ sat").code == 0


# ---- the experiment log


def test_runs_lists_and_compares(tofy, text):
    for out, extra in (("runs/one", []), ("runs/two", ["--lr", 0.01]), ("runs/three", ["--recipe", "notes"])):
        assert tofy("train", text, 5, *SIZES, "--out", out, *extra).code == 0
    listed = tofy("runs")
    assert listed.code == 0 and [line.split()[0] for line in listed.out.splitlines()[1:]] == ["one", "two", "three"]
    rows = tofy("runs", "--json").json["runs"]
    assert [r["run"] for r in rows] == ["one", "two", "three"] and {
        "outcome",
        "recipe",
        "dim",
        "step",
        "valid_mrr",
    } <= set(rows[0])
    compared = tofy("runs", "one", "two").out
    assert "lr" in compared and "0.01" in compared and "dim" not in compared.split()
    tofy("runs", "one", "four").says(2, "four", "three")


def test_comparing_a_run_that_judged_nothing(tofy, trained):
    (trained.parent / "other.txt").write_text("völlig andere\nnoch mehr davon\n")
    assert tofy("train", "text.txt", 5, *SIZES, "--valid", "other.txt", "--out", "b").code == 0
    strict(tofy("runs", "run", "b", "--folder", ".", "--json").json)


def test_runs_before_the_first(tofy):
    assert tofy("runs").code in (0, 2)


def test_a_run_that_failed_and_one_that_was_stopped_are_in_the_log(tofy, text):
    tofy("train", text, 30, *SIZES, "--lr", "1e38", "--out", "runs/bad")
    child = tofy.start("train", text, 1_000_000, *SIZES, "--out", "runs/stopped")
    child.wait_for("\n200,", text.parent / "runs" / "stopped" / LOG)
    child.kill(2)
    child.wait()
    outcomes = {r["run"]: r["outcome"] for r in tofy("runs", "--json").json["runs"]}
    assert outcomes["bad"].startswith("failed") and outcomes["stopped"] == "stopped"


# ---- data


def test_data_builtin(tofy, tmp_path):
    assert tofy("data", "builtin:50", "--output", "d/more.txt", "--max-pairs", 20).code == 0
    lines = (tmp_path / "d" / "more.txt").read_text().splitlines()
    assert len(lines) == 20 and all("\t" in line for line in lines)
    assert tofy("train", "d/more.txt", 3, *SIZES, "--out", "run").code == 0


def test_data_casual(tofy, tmp_path):
    (tmp_path / "q.csv").write_text(
        'id,question,answer\n1,How are you?,"Fine, thanks"\n2,Hi,Hello there\n3,What now?,Let us see\n'
    )
    assert tofy("data", "casual", "--input", "q.csv", "--output", "c.txt", "--min-tokens", 2, "--lower").code == 0
    assert (tmp_path / "c.txt").read_text() == "how are you?\tfine, thanks\nwhat now?\tlet us see\n"
    tofy("data", "casual", "--input", "none.csv", "--output", "c.txt").says(2, "none.csv")


# ---- the original's spelling


def test_latent_with_seven_and_with_eight_numbers(tofy, text):
    (text.parent / "seven").mkdir()
    (text.parent / "eight").mkdir()
    for folder, numbers in (("seven", (4, 8, 16, 12, 1, 2, 15)), ("eight", (4, 8, 16, 7, 5, 1, 2, 15))):
        tofy.folder = text.parent / folder
        result = tofy("--latent", "../text.txt", *numbers)
        assert result.code == 0, result.err
        assert (text.parent / folder / MODEL).is_file() and (text.parent / folder / VOCAB).is_file()
    config = load_model(text.parent / "eight")[0].config
    assert (config.dim, config.max_seq, config.layers, config.heads) == (16, 12, 1, 2)
    assert load_settings(text.parent / "eight" / SETTINGS)["train"]["recipe"] == "notes"
    equal(text.parent / "seven", text.parent / "eight")


@pytest.mark.parametrize("numbers", [["x"], [1] * 9, ["-1"]], ids=str)
def test_latent_with_other_numbers(tofy, text, numbers):
    tofy("--latent", text, *numbers).says(2)
    tofy("--latent").says(2, "STEPS")


def test_latent_from_checkpoint(tofy, trained):
    tofy.folder = trained
    result = tofy("--latent-from-checkpoint", "../text.txt", 3, *SIZES)
    assert result.code in (0, 2)
    if result.code == 2:
        result.says(2, "predictor")  # the run there is of the tofy recipe, which has another one
    assert (trained / STATE).is_file()


def test_the_original_s_diff(tofy, trained):
    tofy.folder = trained
    result = tofy("--diff", MODEL, VOCAB, 16, 12, 1, 2, stdin="the _ sat => cat\n")
    assert result.code == 0 and "cat: rank" in result.out
    assert tofy("--diff", stdin="the _ sat => cat\n").out == result.out


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((32, 12, 1, 2), ("dim", "32", "16")),
        ((16, 72, 1, 2), ("max_seq", "72", "12")),
        ((16, 12, 4, 2), ("layers", "4", "1")),
        ((16, 12, 1, 4), ("heads", "4", "2")),
    ],
)
def test_sizes_that_disagree_name_both(tofy, trained, sizes, words):
    tofy.folder = trained
    tofy("--diff", MODEL, VOCAB, *sizes).says(2, *words)


def test_diff_of_files_that_do_not_belong_together(tofy, trained):
    tofy("--diff", f"run/{MODEL}", VOCAB, 16, 12, 1, 2).says(2, "one folder")
    tofy("--diff", "other.bin", VOCAB).says(2, "other.bin")


def test_the_original_s_diff_with_something_more(tofy, trained):
    tofy.folder = trained
    result = tofy("--diff", MODEL, VOCAB, 16, 12, 1, 2, "the _ sat => cat")
    assert result.code == 2 or "cat: rank" in result.out


# ---- diagnose and size


def test_diagnose_prints_figures_and_findings(tofy, trained):
    result = tofy("diagnose", "run")
    assert result.code == 0
    assert all(words in result.out for words in ("held out", "trained on", "unigram", "bigram", "effective rank"))
    assert "top-1 among 2:" in result.out and "8 checks passed, 0 failed" in result.out


def test_diagnose_json_is_plain(tofy, trained):
    found = tofy("diagnose", "run", "--json").json
    assert set(found) == {"findings", "crowding", "gap", "baselines", "model"}
    for finding in found["findings"]:
        assert {"name", "evidence", "meaning", "try"} <= set(finding) and all(map(str, finding.values()))
    assert set(found["baselines"]) == {"chance", "unigram", "bigram"} and found["crowding"]["words"] == 18


def test_diagnose_names_what_the_notes_hid(tofy, text):
    more = ("--recipe", "notes", "--log-every", 2, "--out", "run")
    assert tofy("train", text, 30, 8, 16, 12, 1, 2, *more).code == 0
    found = [f["name"] for f in tofy("diagnose", "run", "--json").json["findings"]]
    assert {"misleading cosine", "padding attended"} <= set(found)


def test_diagnose_without_the_training_text(tofy, text):
    tofy("train", text, 3, *SIZES, "--out", "run")
    text.unlink()
    found = tofy("diagnose", "run", "--json").json
    assert found["gap"]["train"] is None and "cannot be read again" in found["gap"]["why"]
    assert "cannot be read again" in tofy("diagnose", "run").out


def test_diagnose_without_held_out_phrases_still_reads_the_log(tofy, trained):
    (trained / HELDOUT).write_text("")
    (trained / BASELINES).unlink()
    found = tofy("diagnose", "run", "--json").json
    assert found["crowding"] is None and found["gap"] is None and "no held-out phrases" in found["why"]
    assert "no held-out phrases" in tofy("diagnose", "run").out


def test_a_damaged_log_is_a_sentence(tofy, trained):
    rows = (trained / LOG).read_text().splitlines()
    (trained / LOG).write_text("\n".join([*rows[:-1], rows[-1].replace(",", ",abc", 1), ""]))
    tofy("diagnose", "run").says(1, "log_latent.csv", "damaged")


def test_diagnose_asks_for_a_run(tofy):
    tofy("diagnose", "nowhere").says(2, "nowhere", "tofy train")


def test_size_advises(tofy, text):
    advice = tofy("size", text, "--dim", 32, "--heads", 2, "--probe", 0, "--json").json
    assert advice["model"]["dim"] == 32 and advice["holds"]["words"] == 18 and advice["time"] is None
    assert sum(advice["parameters"].values()) > 12 * 2 * 32**2
    printed = tofy("size", text, "--probe", ".2").out
    assert "ms a step" in printed and "effective examples" in printed
    tofy("size", "nowhere.txt").says(2, "nowhere.txt")
    for seconds in ("nan", "-1", "inf"):
        tofy("size", text, "--probe", seconds).says(2, "A trial cannot take")


@pytest.mark.slow
def test_diagnose_is_quick_on_the_largest_default(tofy):
    assert tofy("train", "builtin:4000:3000", 3, "--recipe", "notes", "--out", "run").code == 0
    began = os.times()
    assert tofy("diagnose", "run").code == 0
    ended = os.times()  # of the processor, whatever else is at work on this machine
    assert ended.children_user + ended.children_system - began.children_user - began.children_system < 20
