"The response as target: which response belongs to which phrase, who is a rival, and that a run trains, resumes and is read."

import json
import math
import random
import shutil
from functools import partial

import pytest
import torch
from test_resume import same

from tofy import processes, training
from tofy.data import load_data, pack
from tofy.encoder import ModelConfig
from tofy.errors import UsageError
from tofy.inference import evaluate_run, fill, load
from tofy.run_folder import read_log
from tofy.targets import TARGET_LOSSES, phrase_states, predict_response, response_batch, response_mrr, response_numbers
from tofy.training import batch_loss, next_batch, open_run, recipe, train

SMALL = dict(target="response", dim=16, layers=1, heads=2, batch=8, steps=24, log_every=4, eval_every=12, lr=.005, dropout=0.,
             seed=1)
BUILTIN = "5cd505629fb8842d8e35740c02d645c74ba2f66a9cca22900f144373caa992cf"     # the hash of before there were responses


def make_pairs(n: int = 160) -> str:
    "Who asks about a thing gets an answer about that thing."
    draw, things = random.Random(0), ["tea", "rain", "bread", "snow", "music", "chess"]
    told = [(draw.choice(["do you like", "what about", "tell me of"]), draw.choice(things)) for _ in range(n)]
    return "".join(f"{how} {thing} number {i % 40} ?\tyes , {thing} is fine .\n" for i, (how, thing) in enumerate(told))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "pairs.txt"
    path.write_text(make_pairs())
    return path


@pytest.fixture(scope="module")
def data(text):
    return load_data(text, max_seq=12, valid=20, responses=True)


def a_run(data, **changes):
    return open_run(data, *recipe("jepa", **{**SMALL, **changes}))


def words(data, phrases):
    return [" ".join(data.vocab.words[i] for i in phrases[row].tolist()) for row in range(len(phrases))]


# ---- data


def test_without_the_setting_nothing_changes():
    plain = load_data("builtin")
    assert plain.hash == BUILTIN and plain.responses is plain.valid_responses is None and "responses" not in plain.settings


def test_every_phrase_keeps_its_own_response(data):
    for phrases, said in ((data.train, data.responses), (data.valid, data.valid_responses)):
        assert len(phrases) == len(said)
        for asked, answer in zip(words(data, phrases), words(data, said)):
            thing = next(w for w in asked.split() if w in ("tea", "rain", "bread", "snow", "music", "chess"))
            assert answer == f"yes , {thing} is fine ."
    plain = load_data(data.settings["source"], max_seq=12, valid=20)
    assert plain.heldout == data.heldout and plain.hash != data.hash and "yes" not in plain.vocab.words


def test_what_is_dropped_takes_its_response_with_it(tmp_path):
    "Duplicates, phrases of one word, lines without a response, phrases without a known word, and a held-out file."
    (tmp_path / "own.txt").write_text("a b ||| held one\nc d\nlost too\n")
    lines = ["x y\tone", "alone\ttwo", "no answer", "X y\tthree", "a b\tfour", "rare words\tfive", "y x\tsix six six\tand", "x x\t "]
    found = load_data(lines, valid=tmp_path / "own.txt", responses=True, max_seq=3)
    assert words(found, found.train) == ["x y", "rare words", "y x"]
    assert words(found, found.responses) == ["one", "five", "six six six"]
    assert (found.heldout, words(found, found.valid_responses)) == (["a b"], ["<unk> one"])
    assert found.report["no response"] == 2 and found.report["short"] == 1
    assert any("2 lines hold no response" in warning for warning in found.warnings)
    few = load_data(lines, valid=0, responses=True, max_vocab=5, max_seq=3)                # two words are known: six, and x or y
    assert words(few, few.responses) == ["<unk>", "six six six"] and few.report["all_unknown"] == 2


@pytest.mark.parametrize("more", [dict(split="windows"), dict(split="sentences"), dict(cache="kept")])
def test_settings_that_do_not_go_together(more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="leave out split, cache and tokenizer"):
        load_data("builtin", responses=True, **more)
    assert not (tmp_path / "kept").exists()


def test_errors_say_what_to_do(text):
    with pytest.raises(UsageError, match="No line of .* holds a response"):
        load_data(["just a phrase", "and another"], responses=True)
    with pytest.raises(UsageError, match="read them, too, with --responses"):
        a_run(load_data(text, max_seq=12))
    with pytest.raises(UsageError, match="asks at blanks"):
        a_run(load_data(text, max_seq=12, responses=True), predictor="queries")


# ---- targets


def test_the_target_is_the_response_and_only_that(data):
    "Another response changes the target; another context does not."
    run = a_run(data)
    ids, said = data.train.batch(torch.arange(4)), data.responses.batch(torch.arange(4))
    other = said.clone()
    other[:, 2] = 3 + (other[:, 2] - 2) % (len(data.vocab) - 3)
    target = phrase_states(run.teacher, said)
    assert not torch.allclose(target, phrase_states(run.teacher, other)) and target.shape == (4, 16)
    run.model.eval()
    pred, hidden = predict_response(run.model, ids)
    assert pred.shape == hidden.shape == (4, 16) and pred.requires_grad and not target.requires_grad


@pytest.mark.parametrize("kind", [*TARGET_LOSSES, "infonce"])
def test_no_word_is_heard_and_the_gradient_goes_where_it_should(data, kind, monkeypatch):
    run = a_run(data, target_loss=kind)
    batch, state, own = next_batch(run), run.generator.get_state(), training.context_loss
    loss, figures = batch_loss(run, batch)
    loss.backward()
    assert figures["between"] == pytest.approx(1, abs=1e-4) and 0 < figures["spread"] < 1
    assert (run.teacher is None) == (kind in ("sigreg", "vicreg"))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in run.model.predictor.parameters())
    heard = []
    monkeypatch.setattr(training, "context_loss", lambda k, p, t, number, *rest: heard.append(number) or own(k, p, t, -number, *rest))
    for name in ("latent_loss", "target_table", "sample_negatives"):
        monkeypatch.setattr(training, name, None)
    run.generator.set_state(state)
    assert torch.equal(loss.detach(), batch_loss(run, batch, measure=False)[0].detach())
    rows = [tuple(row) for row in batch.responses.tolist()]
    assert (heard[0][:, None] == heard[0]).tolist() == [[a == b for b in rows] for a in rows]     # equal responses, one number


def test_two_processes_share_a_batch_by_phrases(data, monkeypatch):
    "The parts hold the same rows of contexts and responses, and their weights are those of phrases, not of tokens."
    whole = next_batch(a_run(data, batch=7))
    for rank in (0, 1):
        with monkeypatch.context() as patch:
            run = a_run(data, batch=7)
            patch.setattr(training, "shard", partial(processes.shard, r=rank, w=2))
            part = next_batch(run)
        assert part.masked.inputs.equal(whole.masked.inputs[rank::2]) and part.responses.equal(whole.responses[rank::2])
        assert part.weight == pytest.approx(2 * (4, 3)[rank] / 7)


def test_numbers_and_marks():
    said = pack([[5, 6], [5], [5, 6], [7, 8, 9]])
    marked = response_batch(said, torch.tensor([0, 1, 2, 3]))
    numbers = response_numbers(marked.inputs)
    assert numbers[0] == numbers[2] and len(set(numbers.tolist())) == 3
    assert marked.mask.sum(1).tolist() == [1] * 4 and marked.targets.tolist() == [5, 5, 5, 7]


def test_the_measure_counts_ties_as_wrong_and_repeats_once(data):
    model = a_run(data).model.eval()
    contexts, same_answer = pack([[5, 6]] * 4), pack([[7, 8]] * 4)
    assert response_mrr(model, contexts, same_answer) == 1                                   # one candidate is left
    different = pack([[i, 8] for i in (5, 6, 7, 9)])
    assert response_mrr(model, contexts, different) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert math.isnan(response_mrr(model, pack([]), pack([])))


# ---- runs


@pytest.mark.parametrize("changes", [dict(), dict(target_states="blocks", ema_decay=.9, ema_end=1.), dict(predictor="mlp"),
                                     dict(target_loss="infonce", mask_rate=0.), dict(target_loss="sigreg"), dict(ngrams=32)])
def test_a_run_learns_which_answer_it_is(data, changes, tmp_path):
    settings = SMALL | dict(steps=60, log_every=20, eval_every=30) | changes
    lines = [r for r in train(data, *recipe("jepa", **settings), tmp_path / "run") if r.is_line]
    assert lines[-1].loss < lines[0].loss and lines[-1].between == pytest.approx(1, abs=1e-3)
    log = read_log(tmp_path / "run")
    found = [r.response_mrr for r in log if not math.isnan(r.response_mrr)]
    assert len(found) >= 3 and all(0 < mrr <= 1 for mrr in found)
    assert max(r.response_mrr for r in log if r.saved) == max(found)                         # it decides which is the best
    latent = load(tmp_path / "run")
    kept = response_mrr(latent.model, data.valid, data.valid_responses, settings.get("target_states", "last"))
    assert kept == pytest.approx(max(found), abs=1e-6)
    answer = fill(latent, "tell me of _ number 3 ?")                                         # words: through a readout, as ever
    assert answer.measure == "share" and "readout" in repr(answer)
    assert evaluate_run(tmp_path / "run", max_queries=50)["readout"].startswith("a ")


def test_infonce_finds_the_right_answer(data):
    "Six things, six answers: chance is .41."
    run = a_run(data, target_loss="infonce", steps=150, lr=.01, ema_decay=.9, mask_rate=0., eval_every=150, log_every=150)
    *_, last = training.loop.run(run)
    assert last.response_mrr > .8


@pytest.mark.parametrize("kind", ["cosine", "sigreg"])
def test_a_kill_at_any_record_resumes_to_the_same_end(data, tmp_path, hurried, kind):
    changes, copies = dict(SMALL, target_loss=kind, ema_end=1., dropout=.1), []

    def go(folder, resume=False):
        return train(data, *recipe("jepa", **changes), folder, resume=resume)

    for number, _ in enumerate(go(tmp_path / "whole")):
        copies.append(shutil.copytree(tmp_path / "whole", tmp_path / f"copy{number}"))
    for copy in copies[::8]:
        list(go(copy, resume=True))
        same(tmp_path / "whole", copy)


def test_from_the_command_line_and_from_a_file(tofy, text, tmp_path):
    sizes = [str(word) for word in ("--dim", 16, "--layers", 1, "--heads", 2, "--batch", 8, "--max-seq", 12, "--steps", 8)]
    wrong = tofy("train", text, "--recipe", "jepa", "--target", "response", *sizes, "--out", tmp_path / "none")
    assert wrong.code == 2 and "--responses" in wrong.err and not (tmp_path / "none").exists()
    made = tofy("train", text, "--recipe", "jepa", "--target", "response", "--responses", *sizes, "--out", tmp_path / "run")
    assert made.code == 0, made.err
    again = tofy("train", "--config", tmp_path / "run" / "run.toml", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert json.loads(tofy("eval", tmp_path / "run", "--json").out)["readout"].startswith("a ")
    assert tofy("train", "--resume", "--out", tmp_path / "run", "--steps", 12).code == 0
    assert load(tmp_path / "run").model.config == ModelConfig(**vars(load(tmp_path / "again").model.config))


# ---- what was measured


def test_the_rows_that_were_measured():
    "The scale is in order, every arm is there, and the table and the figure read the rows."
    from benchmarks import replies
    found = replies.rows(replies.RESULTS)
    arms = {row["arm"]: row for row in found}
    scale = {name: told["mrr"] for name, told in arms["baselines"]["found"].items()}
    assert scale["chance"] < scale["ridge"] < scale["best"] and scale["overlap"] < scale["best"]
    assert {"response", "response contrast", "context"} <= set(arms) <= set(replies.ARMS)
    assert all(told["mrr"] < scale["best"] for row in found for way, told in row["found"].items() if way != "best")
    assert replies.table(found).count("\n") == sum(len(row["found"]) for row in found)
    assert len(replies.plot(found).get_yticklabels()) == sum(row["arm"] != "baselines" for row in found)


def test_the_exams_hold_nothing_that_was_read(monkeypatch):
    from benchmarks import replies
    monkeypatch.setattr(replies, "EXAMS", [99])
    built_in = load_data("builtin", responses=True)
    seen = set(words(built_in, built_in.train))
    exam, = replies.exams_of(built_in)
    assert len(set(exam.responses)) == 100 and not seen & set(exam.contexts)
