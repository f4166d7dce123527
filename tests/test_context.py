"""Targets in context: the loss knows no word, the teacher gets no gradient, the readout is the model's own."""

import html
import json
import math
import shlex
import shutil

import pytest
import torch
import torch.nn.functional as F
from conftest import make_text

from tofy import loop
from tofy.checkpoint import load_tensors
from tofy.crowding import cleaned, crowding, csls, predictions
from tofy.data import load_data
from tofy.doctor import diagnose
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.gap import gap
from tofy.inference import attention, diff, evaluate_run, fill, heldout_phrases, load
from tofy.losses import rank_loss
from tofy.masking import all_blanks
from tofy.metrics import judge, model_scorer
from tofy.panels import FillPanel
from tofy.plan import as_cell, as_command, plan, read_plan
from tofy.readout import KINDS, blank_features, fit_readout
from tofy.run_folder import LOG, LOG_COLUMNS, MODEL, READOUT, STATE, load_model, load_readout, read_log
from tofy.settings import settings_of
from tofy.sharing import Tofy, model_card, save_word2vec
from tofy.targets import TARGET_LOSSES, TargetEncoder
from tofy.training import TrainConfig, batch_loss, next_batch, open_run, recipe, train
from tofy.vocab import MASK

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


def test_the_default_loss_would_notice(data, monkeypatch):
    "The counter-proof: with rows as targets, the same permutation of what the loss hears changes it."
    from tofy import training
    run = open_run(data, *recipe(**SMALL))
    batch, order, own = next_batch(run), torch.cat([torch.arange(3), 3 + torch.randperm(len(data.vocab) - 3)]), training.latent_loss
    before = batch_loss(run, batch)[0]
    monkeypatch.setattr(training, "latent_loss", lambda pred, hidden, targets, *rest: own(pred, hidden, order[targets], *rest))
    assert not torch.isclose(before, batch_loss(run, batch)[0])


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


def test_the_chosen_readout_is_fitted_once_more_to_all_training_blanks(trained, data):
    "Kind, vectors, strength and the figure stay; a word that only the blanks held back know counts, too."
    model, V = load(trained).model, len(data.vocab)
    for kind in KINDS:
        part, whole = (fit_readout(model, data.train, V, (kind,), refit=refit) for refit in (False, True))
        assert (whole.kind, whole.reads, whole.strength, whole.mrr) == (part.kind, part.reads, part.strength, part.mrr)
        found = blank_features(model, data.train, all_blanks(data.train, 20_000))
        torch.testing.assert_close(whole.mean, found[whole.reads].mean(0))
        torch.testing.assert_close(whole.scale, found[whole.reads].std(0, correction=0) + 1e-6)
        assert not torch.equal(whole.weight, part.weight)
    share = torch.bincount(found["words"], minlength=V) / len(found["words"])
    assert torch.equal(fit_readout(model, data.train, V, ("ridge",)).bias, share)
    assert load_readout(trained).mean.equal(found[load_readout(trained).reads].mean(0))       # so is the run's own


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
        with pytest.raises(RunError, match="has no readout yet, so it cannot name words; The text that .* put it back"):
            fill(latent, "a _ b")
    finally:
        text.write_text(words)


def ways_to_ask(folder):
    "Each raises the same error, but for the panel, which shows it."
    def panel():
        panel = FillPanel(folder)
        panel.question.value = "the _ sat"
        raise RunError(html.unescape(panel.first.text.value))
    return dict(fill=lambda: fill(load(folder), "a _ b"), diff=lambda: diff(load(folder), "a _ b => a"),
                eval=lambda: evaluate_run(folder, max_queries=20), panel=panel)


@pytest.mark.parametrize("way", ["fill", "diff", "eval", "panel"])
def test_a_run_without_a_readout_says_so_wherever_words_are_asked_for(way, trained, text, tmp_path):
    "Its text is gone as well, so none can be fitted."
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / READOUT).unlink()
    words = text.read_text()
    text.write_text("something else\n")
    try:
        with pytest.raises(RunError, match="has no readout yet, so it cannot name words; The text that .* put it back"):
            ways_to_ask(copy)[way]()
    finally:
        text.write_text(words)
    assert not (copy / READOUT).exists()


@pytest.mark.parametrize("way", ["fill", "diff", "eval", "panel"])
def test_a_damaged_readout_is_named_wherever_words_are_asked_for(way, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / READOUT).write_bytes((copy / READOUT).read_bytes()[:-40])
    with pytest.raises(RunError, match=f"{READOUT} .*(;|copy|again)"):
        ways_to_ask(copy)[way]()


def test_what_a_readout_lacks_is_one_sentence_on_the_command_line(tofy, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / READOUT).write_bytes(b"torn")
    for words in (("fill", copy, "a _ b"), ("diff", copy, "a _ b => a"), ("eval", copy)):
        told = tofy(*words)
        assert told.code == 1 and READOUT in told.err and "Traceback" not in told.err


def test_the_probe_chooses_what_is_saved(trained):
    log, header = read_log(trained), load_model(trained)[2]
    judged = [r for r in log if not math.isnan(r.valid_mrr)]
    assert len(judged) >= 2 and header["best"] == pytest.approx(max(r.valid_mrr for r in judged))
    assert header["step"] == [r.step for r in judged if r.valid_mrr == max(r.valid_mrr for r in judged)][-1]


def test_a_warm_start_starts_the_teacher_too(data, trained):
    run = a_run(data, init_from=str(trained))
    for own, slow in zip(run.model.encoder.parameters(), run.teacher.encoder.parameters()):
        assert torch.equal(own, slow)
    assert not torch.equal(run.model.table, a_run(data).model.table)


def test_a_model_saved_meanwhile_does_not_get_the_readout_of_the_one_before(data, trained, tmp_path):
    from tofy.run_folder import add_readout
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / READOUT).unlink()
    loaded = load_model(copy)[0]
    list(train(data, *recipe("jepa", **SMALL | dict(seed=2)), tmp_path / "other"))
    shutil.copyfile(tmp_path / "other" / MODEL, copy / MODEL)                # the run saves a better model
    add_readout(copy, loaded, data)
    assert load_readout(copy) is None


@pytest.mark.parametrize("changes", [dict(attend_padding=True, target_states="blocks", dim=16), dict(rank_weight=0.),
                                     dict(target_loss="vicreg", batch=1, mask_mode="one")])
def test_corners(data, changes):
    lines = [r for r in train(data, *recipe("jepa", **{**SMALL, **changes})) if r.is_line]
    assert all(math.isfinite(r.loss) and abs(r.r2) < 1e3 for r in lines)


def test_a_text_of_two_words_and_a_text_without_held_out_phrases(tmp_path):
    (tmp_path / "two.txt").write_text("hello there\n")
    (tmp_path / "held.txt").write_text("hello there friend\n")
    for name, valid in (("a", str(tmp_path / "held.txt")), ("b", 0)):
        list(train(load_data(tmp_path / "two.txt", valid=valid), *recipe("jepa", **SMALL | dict(steps=4)), tmp_path / name))
        assert (tmp_path / name / READOUT).is_file()
        assert fill(load(tmp_path / name), "hello _").top


def test_an_unknown_answer_is_a_sentence_with_spellings_and_a_readout(data, tmp_path):
    list(train(data, *recipe("jepa", **SMALL | dict(ngrams=32)), tmp_path / "run"))
    words = data.heldout[0].split()
    with pytest.raises(RunError, match="not in vocab"):
        diff(load(tmp_path / "run"), f"{' '.join(words[:-1])} _ => {words[-1]}ish")


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


# --- what stands around a run


@pytest.fixture(scope="module")
def asked_by_queries(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "queries"
    list(train(data, *recipe("jepa", **SMALL | dict(predictor="queries", dim=32)), folder))
    return folder


@pytest.mark.parametrize("kind", ["trained", "asked_by_queries"])
def test_gap_and_crowding_know_the_readout(kind, request):
    "The log's figures come from the probe, so they are not compared; what would compare predictions with rows is refused."
    folder = request.getfixturevalue(kind)
    found, latent = gap(folder, max_queries=50), load(folder)
    assert {check["name"] for check in found["parity"] if check["passed"] is False} <= {"max_seq"}   # the fixture reads 12 tokens of 72
    assert next(c for c in found["parity"] if c["name"] == "figure in the log")["passed"] is None
    assert ("padding attended" in found["ways"]) == (kind == "trained") and found["acc_neg"] is None
    phrases = heldout_phrases(folder, latent)
    told = crowding(latent, phrases)
    assert told["alignment"] is None and 0 <= told["crowded"] <= 1
    for scorer in (lambda: cleaned(latent), lambda: csls(latent, predictions(latent, phrases, all_blanks(phrases)))):
        with pytest.raises(UsageError, match="predicts targets in context"):
            scorer()


def test_attention_of_a_query(asked_by_queries, trained):
    "The encoder never reads the blank; the narrow transformer's query does look."
    looks = attention(load(asked_by_queries), "the _ sat on the mat")
    assert looks.shape == (1, 1, 6) and torch.allclose(looks.sum(-1), torch.ones(1, 1), atol=1e-5)
    assert attention(load(trained), "the _ sat on the mat").shape == (1, 2, 6)


def test_queries_and_rows_go_together(data, tmp_path):
    "The hidden states are narrower than a row: no auxiliary term, and a sentence for who wants one."
    settings = SMALL | dict(predictor="queries", dim=48, heads=4)
    lines = list(train(data, *recipe(**settings), tmp_path / "run"))
    assert math.isnan(lines[-1].aux) and lines[-1].valid_mrr > 0
    with pytest.raises(UsageError, match="set aux_weight to 0"):
        a_run(data, **settings | dict(target="table", aux_weight=.1))


def test_diagnose_names_the_readout(tofy, trained):
    result = tofy("diagnose", trained, "--json")
    assert result.code == 0
    found = {f["name"]: f for f in result.json["findings"]}
    assert "through its readout" in found["worse than a baseline"]["evidence"]
    assert not found.keys() & {"collapse", "the loss equals the unigram entropy", "acc_neg at chance"}
    assert "a quick probe gave the figures in the log" in tofy("diagnose", trained).out


def test_a_log_line_shows_the_gauges(tofy, text, tmp_path):
    "No acc_ema, which is never measured; the cost of probe and readout is told once each."
    words = [str(word) for word in ("--dim", 16, "--layers", 1, "--heads", 2, "--batch", 8, "--max-seq", 12, "--log-every", 4)]
    made = tofy("train", text, "--recipe", "jepa", "--steps", 12, *words, "--loss-terms", "--out", tmp_path / "run")
    lines = [line for line in made.out.splitlines() if line.startswith("step")]
    assert lines and all("spread 0." in line and " r2 " in line and "acc_" not in line and "nan" not in line for line in lines)
    assert made.err.count("quick probe") == 1 and made.err.count("fitted in") == 1
    plain = tofy("train", text, "--steps", 12, *words, "--out", tmp_path / "plain").out
    assert "acc_neg" not in plain and "cos_mean " in plain and "spread" not in plain
    assert "acc_neg" in tofy("train", text, "--steps", 4, *words, "--loss-terms", "--out", tmp_path / "more").out


def test_help_and_size_name_the_recipe(tofy, text):
    assert "jepa" in tofy("train", "--help").out and "jepa" in tofy("size", "--help").out
    assert "target encoder" in tofy("size", text, "--recipe", "jepa", "--probe", 0).out


def test_the_command_the_cell_and_the_file_mean_the_same_run(tmp_path):
    wanted = plan("jepa", source="builtin:100", steps=2, batch=8, dim=16, layers=1, heads=2, predictor="queries", target_loss="infonce",
                  target_states="blocks", ema_end=1.)
    typed = shlex.split(as_command(wanted, tmp_path / "x"))
    assert dict(zip(typed[3::2], typed[4::2])) == {
        "--recipe": "jepa", "--steps": "2", "--batch": "8", "--dim": "16", "--layers": "1", "--heads": "2", "--predictor": "queries",
        "--target-loss": "infonce", "--target-states": "blocks", "--ema-end": "1.0",
        "--out": typed[-1]}
    seen = {}
    exec(as_cell(wanted, tmp_path / "cell"), seen)
    assert read_plan(tmp_path / "cell-again") == wanted


def test_a_model_with_a_readout_is_shared(trained, tmp_path):
    "Its card has the figures of the readout, not those of the probe; the receiver needs no text."
    shared = Tofy.from_pretrained(trained).save_pretrained(tmp_path / "shared")
    card, mrr = (shared / "README.md").read_text(), evaluate_run(trained, max_queries=2000)["mrr"]
    assert f"| this model | {mrr:.3f} |" in card and "readout of the model's vectors" in card and "nearest row" not in card
    again = Tofy.from_pretrained(shared)
    assert torch.equal(again.model.readout.weight, load(trained).model.readout.weight)
    assert again.fill("the _ sat on the mat").measure == "share"
    card = model_card(again, shared, "anna/again")
    assert "this model, by a quick probe" in card and '"value"' not in card       # no held-out phrases there
    save_word2vec(again, tmp_path / "rows.txt")
    assert (tmp_path / "rows.txt").read_text().startswith(f"{len(again.vocab) - 3} 16\n")


def test_a_model_with_a_readout_is_exported(trained):
    "The graph holds the readout, and names the same words with the same scores."
    pytest.importorskip("onnxruntime", reason="needs the extra docs")
    graph, latent = pytest.importorskip("tools.graph", reason="needs onnx"), load(trained)
    asked = [5, MASK, 7, 8], [MASK, 4]
    found = graph.run_onnx(graph.onnx_graph(latent.model, half=False).SerializeToString(), asked, "scores")
    for ids, scores in zip(asked, found):
        wanted = latent.model.scores(*latent.at_blank(ids))[0].detach()
        torch.testing.assert_close(torch.from_numpy(scores), wanted, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_exported_says_so(trained):
    graph = pytest.importorskip("tools.graph", reason="needs onnx")
    with pytest.raises(UsageError, match="its encoder reads a phrase without the blank"):
        graph.onnx_graph(LatentModel(ModelConfig(vocab_size=20, dim=32, heads=2, predictor="queries")))


@pytest.mark.slow
def test_three_minutes_of_the_recipe(tmp_path):
    "On two idle threads; on the built-in corpus, with the readout's control on an untrained encoder."
    from benchmarks.jepa import neighbour_r2
    data, folder = load_data("builtin"), tmp_path / "run"
    run = open_run(data, *recipe("jepa", seconds=180., threads=2), folder)
    run.clock.stop()                                                        # the control's time is not the run's
    run.model.readout = fit_readout(run.model, data.train, len(data.vocab))
    floor = judge(model_scorer(run.model.eval()), data.valid, all_blanks(data.valid, 2000), len(data.vocab))["mrr"]
    run.model.readout = None
    run.model.train()
    run.clock.go()
    lines = [r for r in loop.run(run) if r.is_line]
    mrr = evaluate_run(folder, max_queries=2000)["mrr"]
    kept = neighbour_r2(run, data)
    assert min(r.spread for r in lines) >= .3
    assert mrr >= .66 and mrr >= floor + .15, (mrr, floor)
    assert kept["model"] > kept["neighbours"], kept
    assert not {f.name for f in diagnose(folder)} & {"the targets have collapsed", "predictions no better than the mean"}
