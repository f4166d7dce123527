"""Targets in context: the loss knows no word, the teacher gets no gradient, the readout is the model's own."""

import json
import math
import shutil

import pytest
import torch
import torch.nn.functional as F
from conftest import make_text

from tofy import loop
from tofy.checkpoint import load_tensors
from tofy.data import load_data
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.inference import evaluate_run, fill, load
from tofy.losses import rank_loss
from tofy.masking import Masked
from tofy.readout import KINDS
from tofy.run_folder import LOG, LOG_COLUMNS, MODEL, READOUT, STATE, load_model, load_readout, read_log
from tofy.settings import settings_of
from tofy.targets import TARGET_LOSSES, TargetEncoder
from tofy.training import TrainConfig, batch_loss, next_batch, open_run, recipe, train

SMALL = dict(dim=16, layers=1, heads=2, batch=8, steps=24, log_every=4, eval_every=12, lr=.005, dropout=0., seed=1)
LOSSES = [*TARGET_LOSSES, "infonce"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(make_text())
    return path


@pytest.fixture(scope="module")
def data(text):
    return load_data(text, max_seq=12)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "jepa"
    list(train(data, *recipe("jepa", **SMALL), folder))
    return folder


def a_run(data, **changes):
    return open_run(data, *recipe("jepa", **{**SMALL, **changes}))


def test_the_setting_offers_every_loss():
    assert list(settings_of(TrainConfig)["target_loss"].choices) == ["cosine", "smooth_l1", "infonce", "sigreg", "vicreg"]
    assert set(LOSSES) == set(settings_of(TrainConfig)["target_loss"].choices)


def relabelled(run, batch, order):
    "The same question with other numbers for the hidden words, as far as the loss is told them."
    masked = batch.masked
    return Masked(masked.inputs, masked.mask, order[masked.targets])


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_knows_no_word_and_no_row(data, kind, monkeypatch):
    "Permute the output vocabulary: what the loss hears of the words, and the rows of the table as candidates."
    from tofy import training
    run = a_run(data, target_loss=kind)
    batch = next_batch(run)
    state = run.generator.get_state()
    before = batch_loss(run, batch)[0]
    order = torch.cat([torch.arange(3), 3 + torch.randperm(len(data.vocab) - 3)])
    own = training.context_loss

    def permuted(kind, pred, target, words, *rest):
        return own(kind, pred, target, order[words], *rest)

    run.generator.set_state(state)
    monkeypatch.setattr(training, "context_loss", permuted)
    assert torch.equal(before, batch_loss(run, batch)[0])
    for name in ("latent_loss", "target_table", "sample_negatives"):         # what reads rows is never called …
        monkeypatch.setattr(training, name, None)
    run.generator.set_state(state)
    assert torch.equal(before, batch_loss(run, batch, measure=False)[0])
    if kind == "cosine":                                                     # … and the recipe's loss hears of no words at all
        monkeypatch.setattr(training, "context_loss", lambda kind, pred, target, words, *rest: own(kind, pred, target, None, *rest))
        assert torch.equal(before, batch_loss(run, batch, measure=False)[0])


def test_the_default_loss_would_notice(data):
    "The counter-proof: with rows as targets, a permutation of what the loss hears changes it."
    pred, table, targets = torch.randn(9, 8), torch.randn(20, 8), torch.arange(3, 12)
    assert not torch.isclose(rank_loss(pred, table, targets), rank_loss(pred, table, targets.flip(0)))


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float64])
def test_the_default_is_a_tied_softmax_over_unit_rows(first, dtype):
    "Equal in value, and in both gradients."
    torch.manual_seed(0)
    got = []
    for loss in (lambda p, t, y: rank_loss(p, t, y, .1, first=first),
                 lambda p, t, y: F.cross_entropy(F.linear(F.normalize(p, dim=-1), F.normalize(t[first:], dim=-1) / .1), y - first)):
        torch.manual_seed(1)
        p, t = (torch.randn(n, 16, dtype=dtype, requires_grad=True) for n in (40, 90))
        value = loss(p, t, torch.arange(40) + 3)
        value.backward()
        got.append((value.detach(), p.grad, t.grad))
    for one, other in zip(*got):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
def test_who_gets_the_gradient(data, kind):
    run = a_run(data, target_loss=kind)
    batch_loss(run, next_batch(run))[0].backward()
    assert (run.teacher is None) == (kind in ("sigreg", "vicreg"))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in run.model.predictor.parameters())
    assert run.model.table.grad.abs().sum() > 0                              # through what is read, not as a target
    if run.teacher:
        assert all(p.grad is None for p in run.teacher.parameters())


def test_the_target_reads_what_the_student_does_not(data):
    "Another word at the blank changes the target and leaves the prediction as it is."
    run = a_run(data)
    ids = data.train.batch(torch.arange(4))
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, 1] = True
    other = torch.where(mask, 3 + (ids + 1) % (len(data.vocab) - 3), ids)
    run.model.eval()
    assert isinstance(run.teacher, TargetEncoder)
    assert not torch.allclose(run.teacher(ids, mask), run.teacher(other, mask))
    hidden = ids.masked_fill(mask, 2)
    assert torch.equal(run.model(hidden, mask)[0], run.model(other.masked_fill(mask, 2), mask)[0])


@pytest.mark.parametrize("changes", [dict(), dict(target_states="blocks", ema_decay=.9, ema_end=1.), dict(predictor="queries"),
                                     dict(target_loss="infonce", layers=2), dict(ngrams=32), dict(target_loss="sigreg"),
                                     dict(target_loss="vicreg", target_states="blocks")])
def test_every_kind_learns_and_is_read(data, changes, tmp_path):
    lines = [r for r in train(data, *recipe("jepa", **{**SMALL, **changes}), tmp_path / "run") if r.is_line]
    assert lines[-1].loss < lines[0].loss and all(0 <= r.spread <= 1.001 and -1e-3 <= r.between <= 1.001 for r in lines)
    assert not math.isnan(lines[-1].valid_mrr) and math.isnan(lines[-1].acc_neg)
    latent = load(tmp_path / "run")
    assert latent.model.readout.kind in KINDS
    figures = evaluate_run(tmp_path / "run", max_queries=50)
    assert figures["cos_mean"] is None and figures["readout"].startswith("a ") and 0 < figures["mrr"] <= 1


def test_no_layer_but_rows_for_states(data):
    "Without blocks there is nothing that blocks add: said at once, not in the middle."
    with pytest.raises(UsageError, match="has no blocks"):
        a_run(data, target_states="blocks", layers=0)


def test_the_readout_is_kept_and_is_the_models_own(trained, data, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    kept = load_readout(copy)
    assert torch.equal(load(copy).model.readout.weight, kept.weight)         # the stored one, not a new fit
    answer = fill(load(copy), " ".join(["_", *data.heldout[0].split()[1:]]))
    assert answer.measure == "share" and "readout" in repr(answer) and answer.l2 is None
    assert 0 < sum(share for _, share in answer.top) <= 1.001
    (copy / READOUT).unlink()
    again = load(copy).model.readout                                         # fitted anew from the run's text, and written
    assert (copy / READOUT).is_file() and torch.equal(again.weight, kept.weight)


def test_another_readout_can_be_asked_for(trained):
    for kind in KINDS:
        assert load(trained, kind).model.readout.kind == kind
    with pytest.raises(UsageError, match="no readout 'forest'; choose linear, ridge or prototypes"):
        load(trained, "forest")


def test_a_model_of_rows_can_be_read_too(data, tmp_path):
    list(train(data, *recipe(**SMALL), tmp_path / "rows"))
    assert load(tmp_path / "rows").model.readout is None
    assert evaluate_run(tmp_path / "rows", readout="ridge")["readout"].startswith("a ridge readout")
    assert not (tmp_path / "rows" / READOUT).exists()


def test_a_readout_of_another_model_is_not_used(trained, data, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    list(train(data, *recipe("jepa", **SMALL | dict(seed=2)), tmp_path / "other"))
    shutil.copyfile(tmp_path / "other" / READOUT, copy / READOUT)
    assert load_readout(copy) is None
    (copy / READOUT).write_bytes(b"torn")
    with pytest.raises(RunError, match=READOUT):
        load_readout(copy)


def test_without_text_and_readout_there_is_a_sentence(trained, text, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / READOUT).unlink()
    words = text.read_text()
    text.write_text("something else\n")
    try:
        latent = load(copy)
        with pytest.raises(RunError, match="has no readout yet"):
            fill(latent, "a _ b")
    finally:
        text.write_text(words)


def test_a_probe_chooses_the_best_and_costs_nothing_of_the_words(trained):
    log = read_log(trained)
    assert [not math.isnan(r.valid_mrr) for r in log].count(True) >= 2
    assert max(r.valid_mrr for r in log if r.saved) == pytest.approx(max(r.valid_mrr for r in log if not math.isnan(r.valid_mrr)))


def test_settings_that_do_not_go_together():
    with pytest.raises(UsageError, match="use valid_mrr"):
        recipe("jepa", best_by="acc_ema")
    with pytest.raises(UsageError, match="leave one of the two out"):
        ModelConfig(predictor="queries", attend_padding=True)


def test_a_log_of_before_is_read(trained, tmp_path):
    "A log without the new columns."
    lines = [line.rsplit(",", 3)[0] for line in (trained / LOG).read_text().splitlines()]
    (tmp_path / LOG).write_text("\n".join(lines) + "\n")
    old, new = read_log(tmp_path), read_log(trained)
    assert LOG_COLUMNS[-3:] == ("spread", "between", "r2")
    assert [r.step for r in old] == [r.step for r in new] and all(math.isnan(r.spread) for r in old)


def test_the_state_holds_the_teacher(trained):
    tensors = load_tensors(trained / STATE)[0]
    own = {name.removeprefix("model.encoder.") for name in tensors if name.startswith("model.encoder.")}
    assert own == {name.removeprefix("teacher.encoder.") for name in tensors if name.startswith("teacher.encoder.")}
    assert not any(name.startswith("teacher") for name in load_tensors(trained / MODEL)[0])


def test_a_run_by_steps_does_not_see_its_clock(data, tmp_path):
    "The decay follows the share of the run that is done, so a resumed run has the same."
    whole = a_run(data, ema_decay=.5, ema_end=1., steps=4)
    seen = []
    own = whole.teacher.update
    whole.teacher.update = lambda encoder, progress: (seen.append(progress), own(encoder, progress))
    list(loop.run(whole))
    assert seen == [0., .25, .5, .75]


def test_from_the_command_line(tofy, text, tmp_path):
    sizes = [str(word) for word in ("--dim", 16, "--layers", 1, "--heads", 2, "--batch", 8, "--max-seq", 12)]
    made = tofy("train", text, "--recipe", "jepa", "--steps", 12, *sizes, "--out", tmp_path / "run", "--json")
    assert made.code == 0 and "readout" in made.err
    assert "Words are read" in made.err
    told = json.loads(tofy("eval", tmp_path / "run", "--json").out)
    assert told["readout"].startswith("a ") and told["cos_mean"] is None
    plain = tofy("eval", tmp_path / "run", "--readout", "prototypes")
    assert plain.code == 0 and "words are read by a prototypes readout" in plain.out
    wrong = tofy("eval", tmp_path / "run", "--readout", "forest")
    assert wrong.code == 2 and "choose linear, ridge or prototypes" in wrong.err
    assert tofy("train", "--resume", "--out", tmp_path / "run", "--steps", 16).code == 0
    assert load_model(tmp_path / "run")[0].readout.kind in KINDS
    shape = load_model(tmp_path / "run")[0]
    assert isinstance(shape, LatentModel)
