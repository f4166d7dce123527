"""A table composed from spellings: an option that nothing notices when it is off, and nothing forgets when it is on."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tofy import doctor, loop, spelling
from tofy.checkpoint import load_tensors
from tofy.data import load_data
from tofy.encoder import LatentModel, ModelConfig, count_parameters
from tofy.errors import RunError, UsageError
from tofy.gap import in_rows
from tofy.inference import Latent, diff, fill, load, read_blank
from tofy.loop import optimizer_step
from tofy.masking import all_blanks, ask
from tofy.run_folder import MODEL, STATE, load_model, warm_start
from tofy.sizing import memory, parameters, profile_step
from tofy.spelling import bucket, ngram_index, ngrams, own_rows, spell, spelling_of
from tofy.training import batch_loss, make_optimizer, open_run, recipe, train
from tofy.vocab import SPECIALS

DATA = load_data("builtin:300")
SMALL = dict(dim=16, heads=2, layers=1, threads=1, batch=16)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<>", exclude_categories=["Cs"]), min_size=1, max_size=12)


def composed(buckets: int, words, dim: int = 6) -> nn.Embedding:
    "An embedding with pieces that are not zero."
    torch.manual_seed(0)
    embedding = nn.Embedding(len(words), dim)
    spell(embedding, buckets)
    spelling_of(embedding).read(words)
    nn.init.normal_(spelling_of(embedding).buckets)
    return embedding


# ---- pieces and buckets


@given(WORDS)
def test_the_pieces_of_a_word(word):
    found, n = ngrams(word), len(word)
    assert len(found) == (1, 3)[n - 1] if n < 3 else len(found) == 3 * n - 3
    assert all(len(p) in (3, 4, 5) and p in f"<{word}>" for p in found)
    assert found[0].startswith("<") and found[-1].endswith(">")


def test_the_bucket_is_the_same_in_every_process():
    "Python's own hash would not be: it is salted."
    code = "from tofy.spelling import bucket; print(bucket('<ca', 4096), bucket('ède', 4096))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                         env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}).stdout
    assert out == f"{bucket('<ca', 4096)} {bucket('ède', 4096)}\n"


@settings(max_examples=20, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=8, unique=True), st.integers(1, 40))
def test_a_row_is_own_plus_the_mean_of_the_pieces_and_so_is_its_gradient(words, buckets):
    words = [*SPECIALS, *words]
    embedding = composed(buckets, words)
    own, shared = own_rows(embedding), spelling_of(embedding).buckets
    by_hand = [own[i] + (torch.stack([shared[bucket(p, buckets)] for p in ngrams(w)]).mean(0) if i > 2 else 0)
               for i, w in enumerate(words)]
    upstream = torch.randn(len(words), 6)
    wanted = torch.autograd.grad((torch.stack(by_hand) * upstream).sum(), (own, shared))
    found = torch.autograd.grad((embedding.weight * upstream).sum(), (own, shared))
    assert torch.allclose(embedding.weight, torch.stack(by_hand), atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, wanted))


def test_the_index_counts_pieces_and_leaves_the_specials_out():
    flat, counts = ngram_index([*SPECIALS, "on", "onion"], 10**6)
    assert counts.tolist() == [0, 0, 0, 3, 12] and len(flat) == 15
    assert flat[0] == flat[3] == bucket("<on", 10**6)         # both words begin alike


def test_an_unknown_word_is_made_of_the_pieces_that_are_known():
    embedding = composed(10**5, [*SPECIALS, "walked", "sat"])
    row, shared = spelling_of(embedding).row, spelling_of(embedding).buckets
    assert torch.equal(row("blorbed"), shared[bucket("ed>", 10**5)])            # all that it has in common
    assert torch.equal(row("xyz"), shared[[bucket(p, 10**5) for p in ngrams("xyz")]].mean(0))   # nothing: all it has


def test_a_model_that_was_not_told_its_words_says_so():
    model = LatentModel(ModelConfig(vocab_size=9, dim=8, heads=2, ngrams=5))
    for words in ([], ["a"] * 8):
        model.spell(words) if words else None
        with pytest.raises(UsageError, match="model.spell"):
            model.table  # noqa: B018


# ---- off, and at the start


def test_off_it_leaves_no_trace():
    plain = LatentModel(ModelConfig(vocab_size=9, dim=8, heads=2))
    plain.spell(["x"])
    assert spelling_of(plain.encoder.embedding) is None and type(plain.encoder.embedding) is nn.Embedding
    assert plain.table is plain.encoder.embedding.weight and plain.spelt("x") is None


def test_the_same_seed_begins_with_the_same_model():
    runs = [open_run(DATA, *recipe(steps=3, ngrams=n, **SMALL)) for n in (0, 64)]
    losses = [batch_loss(run, run.next_batch())[0].item() for run in runs]
    assert losses[0] == losses[1]
    assert torch.equal(runs[0].model.table, runs[1].model.table)
    assert torch.equal(doctor.first_table(runs[1].model.config, 0), runs[1].model.table)


# ---- in training


@pytest.mark.parametrize("target", ["table", "stopgrad", "ema"])
def test_the_table_is_composed_once_a_step(target, monkeypatch):
    run, calls = open_run(DATA, *recipe(steps=3, ngrams=64, target=target, **SMALL)), []
    forward = spelling.Spelling.forward
    monkeypatch.setattr(spelling.Spelling, "forward", lambda self, own: (calls.append(1), forward(self, own))[1])
    loss, _ = batch_loss(run, run.next_batch())
    assert len(calls) == 1
    before = run.model.table.detach().clone()
    optimizer_step(run, loss, 1e-2)
    assert not torch.equal(run.model.table, before), "the table of the step before was kept"
    if target == "ema":                                   # it follows the table as it is after the step
        moved = before + (1 - run.config.ema_decay) * (run.model.table - before)
        assert torch.allclose(run.teacher.table, moved, atol=1e-6)


def test_pieces_are_learnt():
    run = open_run(DATA, *recipe(steps=3, ngrams=64, **SMALL))
    shared = spelling_of(run.model.encoder.embedding).buckets
    weights = [p for group in make_optimizer(run.model, run.config).param_groups for p in group["params"]]
    assert any(p is shared for p in weights)
    assert sum(p.numel() for p in weights) == count_parameters(run.model)
    optimizer_step(run, batch_loss(run, run.next_batch())[0], 1e-3)
    assert shared.abs().max() > 0


def test_a_checkpoint_holds_vectors_and_buckets_and_no_index(tmp_path):
    for _ in train(DATA, *recipe(steps=12, ngrams=64, **SMALL), out=tmp_path / "run"):
        pass
    names = load_tensors(tmp_path / "run" / MODEL)[0].keys()
    mine = {n for n in names if "embedding" in n}
    assert mine == {"encoder.embedding.parametrizations.weight.original", "encoder.embedding.parametrizations.weight.0.buckets"}
    model, vocab, header = load_model(tmp_path / "run")
    assert header["config"]["ngrams"] == 64
    with torch.no_grad():
        word = vocab.words[9]
        alone = torch.stack([spelling_of(model.encoder.embedding).buckets[bucket(p, 64)] for p in ngrams(word)]).mean(0)
        assert torch.allclose(model.table[9], own_rows(model.encoder.embedding)[9] + alone, atol=1e-6)


def test_a_resumed_run_ends_the_same(tmp_path):
    def settings():
        return recipe(steps=20, ngrams=64, eval_every=5, target="ema", **SMALL)

    for _ in train(DATA, *settings(), out=tmp_path / "whole"):
        pass
    run = open_run(DATA, *settings(), tmp_path / "parts")
    for record in (records := loop.run(run)):
        if record.step >= 10:
            break
    records.close()
    for _ in train(DATA, *settings(), out=tmp_path / "parts", resume=True):
        pass
    left, right = (load_tensors(tmp_path / name / STATE)[0] for name in ("whole", "parts"))
    assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize(("there", "here"), [(0, 64), (64, 0), (64, 64), (64, 32)])
def test_a_warm_start_carries_the_rows_as_they_are_read(there, here, tmp_path):
    for _ in train(DATA, *recipe(steps=12, ngrams=there, **SMALL), out=tmp_path / "run"):
        pass
    other, words, _ = load_model(tmp_path / "run")
    wider = load_data("builtin:500", seed=1)
    model, _ = recipe(ngrams=here, **SMALL)
    model.vocab_size = len(wider.vocab)
    model = LatentModel(model)
    model.spell(wider.vocab.words)
    n = warm_start(model, wider.vocab, tmp_path / "run")
    shared = [w for w in wider.vocab.ids if w in words.ids]
    assert n == len(shared) > 100 and len(wider.vocab) > n + 3
    ours, theirs = model.table[[wider.vocab.ids[w] for w in shared]], other.table[[words.ids[w] for w in shared]]
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.equal(model.encoder.blocks[0].up.weight, other.encoder.blocks[0].up.weight)


@pytest.mark.parametrize("ngrams", [0, 100])
def test_what_sizing_counts(ngrams):
    config = ModelConfig(vocab_size=50, dim=16, heads=2, ngrams=ngrams)
    assert sum(parameters(config).values()) == count_parameters(LatentModel(config))
    assert parameters(config)["table"] == 16 * (50 + ngrams)


def test_memory_is_still_right_with_pieces():
    model, config = recipe(steps=9, ngrams=4096, dim=64, layers=1, threads=1, batch=16)
    run = open_run(DATA, model, config)
    counted = memory(run.model.config, config, int(DATA.train.lengths.max()))
    beside = sum(v for k, v in counted.items() if k not in ("weights", "moments"))
    assert .6 < profile_step(run) / beside < 1.4


# ---- in use


@pytest.fixture(scope="module")
def latent(tmp_path_factory) -> Latent:
    folder = tmp_path_factory.mktemp("spelt") / "run"
    for _ in train(DATA, *recipe(steps=60, ngrams=256, **SMALL), out=folder):
        pass
    return load(folder)


def test_a_word_outside_the_vocabulary_is_one_more_candidate(latent):
    word = latent.vocab.words[20] + "ing"
    answer = diff(latent, f"i _ my brother => {word}")
    with torch.no_grad():
        pred = latent.predict(read_blank(latent.vocab, "i _ my brother"))
        mine = F.cosine_similarity(pred, latent.model.spelt(word), dim=0)
        others = F.cosine_similarity(pred[None], latent.model.table[3:])
    assert answer.rank == 1 + (others >= mine).sum() and answer.cosine == pytest.approx(mine.item(), abs=1e-5)
    assert answer.vocab_size == len(latent.vocab) - 3 + 1 and str(answer.vocab_size) in repr(answer)
    assert f"{word} is not in the vocabulary; its embedding comes from its spelling" in repr(answer)
    assert answer.baselines == dict(chance=(answer.vocab_size + 1) / 2, unigram=answer.vocab_size)
    assert len(answer.neighbours) == 2 and word not in dict(answer.neighbours)
    assert (word in dict(diff(latent, f"i _ my brother => {word}", top=10**6).top))
    assert word not in dict(fill(latent, "i _ my brother", top=10**6).top)


def test_a_known_word_is_ranked_as_ever(latent):
    word = latent.vocab.words[20]
    answer = diff(latent, f"i _ my brother => {word}")
    assert answer.vocab_size == len(latent.vocab) - 3 and "spelling" not in repr(answer)
    assert answer.rank == 1 + (latent.model.cosines(latent.predict(read_blank(latent.vocab, "i _ my brother"))[None])[0, 3:]
                               > answer.cosine).sum()


def test_without_pieces_an_unknown_answer_is_refused():
    torch.manual_seed(0)
    plain = Latent(LatentModel(ModelConfig(vocab_size=len(DATA.vocab), dim=16, heads=2)).eval(), DATA.vocab, {})
    with pytest.raises(RunError, match="answer token 'blorbed' not in vocab"):
        diff(plain, "i _ my brother => blorbed")


def test_a_copy_in_other_rows_scores_the_same(latent):
    "The chapter on the gap copies the model; the copy must be spelt, too."
    questions = ask(DATA.valid, all_blanks(DATA.valid, 20))
    assert torch.allclose(in_rows(latent, 80, False)(questions), latent.score(questions), atol=1e-5)


def test_the_command_line(tofy, tmp_path):
    out = str(tmp_path / "run")
    shape = ("--steps", "5", "--dim", "16", "--heads", "2", "--layers", "1", "--threads", "1")
    assert tofy("train", "builtin:200", *shape, "--ngrams", "64", "--out", out).code == 0
    found = tofy("diff", out, "i _ my brother => blorbed")
    assert found.code == 0 and "not in the vocabulary; its embedding comes from its spelling" in found.out
    assert "ngrams = 64" in (tmp_path / "run" / "run.toml").read_text()
    assert tofy("train", "builtin:200", *shape, "--ngrams", "-1", "--out", out + "2").code == 2
