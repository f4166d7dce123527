"""Each pattern is made to happen, by a short real run or a log written here; sound runs have no finding."""

import json
import math
import random
import shutil
from pathlib import Path

import pytest
import torch

from tofy import checkpoint as store
from tofy import doctor, run_folder
from tofy.data import load_data
from tofy.doctor import Case, Known, diagnose, open_case, read_columns, unigram_loss
from tofy.errors import RunError, UsageError
from tofy.inference import READY, run_figures
from tofy.run_folder import LogRecord
from tofy.training import open_run, recipe, train
from tofy.vocab import make_vocab

SMALL = dict(dim=32, layers=1, log_every=10, threads=1)


def names(found) -> list[str]:
    return [f.name for f in found]


def run(folder, text="builtin:800", recipe_name="tofy", data=None, **settings):
    for _ in train(load_data(text, **(data or {})), *recipe(recipe_name, **(SMALL | settings)), out=folder):
        pass
    return folder


def case(n=100, **columns) -> Case:
    "A log of n rows, 100 steps apart; a column is a number, a list or a function of progress."
    t = torch.linspace(0, 1, n, dtype=torch.double)
    values = {k: v(t) if callable(v) else torch.as_tensor(v, dtype=torch.double).expand(n) for k, v in columns.items()}
    return Case(dict(step=torch.arange(n, dtype=torch.double) * 100) | values)


def luck(n=100, blanks=16, seed=0):
    "The noise of a share near one half that so many blanks have."
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.double) * .5 / math.sqrt(blanks)


# --- runs that are sick


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "a name that tells nothing", recipe_name="notes", dim=64, steps=300)


def test_the_original_settings_by_their_figures(notes):
    found = diagnose(notes)
    assert {"misleading cosine", "padding attended", "acc_neg beside the unigram baseline"} <= set(names(found))
    evidence = {f.name: f.evidence for f in found}
    header = run_folder.load_model(notes)[2]
    last = run_folder.read_log(notes)[-1]
    assert f"{last.cos_mean_notes:.3f}" in evidence["misleading cosine"]
    assert f"{last.cos_mean:.2f}" in evidence["misleading cosine"]
    words = [len(line.split()) for line in (notes / "heldout.txt").read_text().splitlines()]
    assert f"{1 - sum(words) / len(words) / header['config']['max_seq']:.0%}" in evidence["padding attended"]


def test_no_finding_reads_the_recipe(notes, tmp_path):
    "The same figures under another label: the same findings."
    shutil.copytree(notes, tmp_path / "copy")
    tensors, header = store.load_tensors(notes / run_folder.MODEL)
    header["train"] = json.dumps(json.loads(header["train"]) | dict(recipe="tofy"))
    store.save_tensors(tmp_path / "copy" / run_folder.MODEL, tensors, header | dict(recipe='"tofy"'))
    settings = (notes / store.SETTINGS).read_text()
    (tmp_path / "copy" / store.SETTINGS).write_text(settings.replace('recipe = "notes"', 'recipe = "tofy"'))
    assert names(diagnose(tmp_path / "copy")) == names(diagnose(notes))


@pytest.mark.parametrize("name, settings", {
    "divergence": dict(steps=150, lr=3., weight_decay=0.),
    "the table does not move": dict(steps=120, lr=1e-7, min_lr=0.),
    "collapse": dict(steps=250, lr=1e-2, mse_weight=1., rank_weight=0., dropout=0.),
    "the loss equals the unigram entropy": dict(steps=300, lr=2e-2, layers=0, positions="none", corrupt=(1., 0., 0.)),
    "all words scored alike": dict(steps=120, temperature=1000., learn_temperature=False),
    "acc_neg at chance": dict(steps=120, lr=1e-7, min_lr=0.),
    "no better than counting words": dict(steps=120, lr=1e-7, min_lr=0.),
    "too many masks": dict(steps=20, mask_rate=.95),
    "too few masks": dict(steps=20, mask_rate=.01),
    "padding attended": dict(steps=20, attend_padding=True),
    "a weight that weighs nothing": dict(steps=20, mse_weight=4., reduction="notes"),
}.items())
def test_a_real_run_has(name, settings, tmp_path):
    assert name in names(diagnose(run(tmp_path / "run", **settings)))


def test_overfitting_by_a_real_run(tmp_path):
    settings = dict(dim=64, steps=400, lr=2e-3, flat=1.0, learn_temperature=False, dropout=0., mask_mode="one",
                    corrupt=(1., 0., 0.), weight_decay=0., smoothing=0., positions="sinusoidal")
    found = names(diagnose(run(tmp_path / "run", "builtin:120", data=dict(valid=.4), **settings)))
    assert "overfitting" in found and "training looks better than use" in found


def test_a_run_that_became_nan(tmp_path):
    "Its log ends before the NaN; the experiment log knows."
    with pytest.raises(RunError):
        run(tmp_path / "run", "builtin", dim=128, layers=2, steps=150, lr=1e3)
    found = diagnose(tmp_path / "run")
    assert names(found)[0] == "divergence" and "NaN" in found[0].evidence


def test_data_that_cannot_be_judged(tmp_path):
    assert "too few held-out blanks" in names(diagnose(run(tmp_path / "a", "builtin:100", steps=20)))
    assert "too few held-out blanks" in names(diagnose(run(tmp_path / "b", "builtin:100", steps=20, data=dict(valid=0))))
    assert "many unknown words" in names(diagnose(run(tmp_path / "c", steps=20, data=dict(max_vocab=60))))


# --- runs that are not


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return shutil.copytree(READY / "healthy", tmp_path_factory.mktemp("runs") / "run")


def test_a_sound_run_has_no_finding(sound):
    assert diagnose(sound) == []
    assert diagnose(sound / run_folder.LOG) == []
    assert diagnose(sound / run_folder.LOG, run=sound) == []
    assert diagnose(run_folder.read_log(sound), sound) == []
    assert repr(diagnose(sound)) == doctor.NOTHING and doctor.NOTHING in diagnose(sound)._repr_html_()


def small_text(path: Path, lines: int) -> Path:
    "Phrases whose words are drawn without any rule, so that nothing but counts can be learnt."
    draw = random.Random(0)
    words = [w for i, w in enumerate("anna ben tea milk soup bread likes hates on and at with".split()) for _ in range(12 - i)]
    path.write_text("".join(" ".join(draw.choices(words, k=6)) + "\n" for _ in range(lines)))
    return path


@pytest.mark.parametrize("lines, settings, advice", [
    (400, dict(steps=60), "The text has only about"), (4000, dict(steps=60), "times: train longer")])
def test_worse_than_a_baseline_comes_first(lines, settings, advice, tmp_path):
    found = diagnose(run(tmp_path / "run", small_text(tmp_path / "text.txt", lines), lr=1e-5, **settings))
    assert names(found)[0] == "worse than a baseline" and advice in found[0].advice
    figures, sentence = run_figures(tmp_path / "run"), found[0].evidence
    assert f"{figures['model']['mrr']:.3f}" in sentence and f"{figures['model']['queries']:,} held-out" in sentence
    assert f"{max(figures[name]['mrr'] for name in ('unigram', 'bigram')):.3f}" in sentence
    assert figures["model"]["queries"] == figures["bigram"]["queries"] == figures["unigram"]["queries"]


def test_a_run_that_was_given_seconds_is_judged_as_well(tmp_path):
    "It ends a validation before its seconds are over."
    settings = dict(steps=None, seconds=.3, lr=1e-5, warmup=0., min_lr=0., threads=1, dim=16, layers=1, heads=2, log_every=1)
    data = load_data(small_text(tmp_path / "text.txt", 400))
    for with_log in (True, False):
        for _ in train(data, *recipe(**settings), out=tmp_path / "run", overwrite=True):
            pass
        if not with_log:
            (tmp_path / "experiments.jsonl").unlink()
        case = open_case(tmp_path / "run")
        case.columns["seconds"] *= .95 * .3 / case.columns["seconds"].max()          # on any machine
        assert doctor.finished(case) and doctor.below_baseline(case)


def test_behind_a_baseline_is_no_fault_while_it_trains(sound):
    log = doctor.open_case(sound)
    log.held, log.lines = dict(mrr=.2, queries=100), dict(unigram=dict(mrr=.1), bigram=dict(mrr=.5))
    assert doctor.below_baseline(log).name == "worse than a baseline"
    log.columns["steps"] = torch.full_like(log.columns["step"], 10_000.)           # a quarter of the plan
    assert doctor.below_baseline(log) is None


def test_a_text_of_ones_own(tmp_path):
    "Few passes, another vocabulary, few lines in the log."
    who, what = "anna ben cleo dan eva finn gina hugo".split(), "tea milk soup bread rice cake fish salad".split()
    lines = [f"{a} and {b} like {what[(i * 5 + j) % 8]} on {d}day because {a} hates {what[(i + 3) % 8]} ."
             for i, a in enumerate(who) for j, b in enumerate(who) if a != b for d in "mon tues wednes thurs fri".split()]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    assert diagnose(run(tmp_path / "run", tmp_path / "text.txt", steps=200)) == []


def test_references_and_text_may_be_missing(notes, tmp_path, monkeypatch):
    "An older run folder, whose text is gone: fewer lines, no crash."
    folder = tmp_path / "old"
    shutil.copytree(notes, folder)
    for name in (run_folder.BASELINES, run_folder.STATE, "heldout.txt"):
        (folder / name).unlink(missing_ok=True)
    monkeypatch.setattr("tofy.inference.run_data", lambda folder: (_ for _ in ()).throw(RunError("gone")))
    found = diagnose(folder)
    assert {"misleading cosine", "padding attended", "acc_neg beside the unigram baseline"} <= set(names(found))
    assert ".53" in next(f.evidence for f in found if "acc_neg" in f.name)
    (folder / run_folder.MODEL).unlink()
    assert "padding attended" in names(diagnose(folder))                         # run.toml still tells
    (folder / store.SETTINGS).unlink()
    assert {"misleading cosine", "acc_neg beside the unigram baseline"} <= set(names(diagnose(folder)))


def test_diagnosing_again_writes_nothing(sound):
    diagnose(sound)  # at most the baselines, once
    before = {p.name: p.stat().st_mtime_ns for p in sound.iterdir()}
    diagnose(sound)
    assert {p.name: p.stat().st_mtime_ns for p in sound.iterdir()} == before


# --- logs written here


def found_in(c: Case) -> list[str]:
    return [f.name for look_for in doctor.PATTERNS if (f := look_for(c))]


def test_divergence_in_a_log(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss\n" + "".join(f"{i},{5 - i / 5}\n" for i in range(8)) + "8,nan\n9,nan\n")
    assert names(diagnose(tmp_path / "log.csv")) == ["divergence"]
    assert found_in(case(30, loss=lambda t: 8 - 5 * (3 * t).clamp(0, 1) + 5 * (3 * t - 2).clamp(0, 1))) == ["divergence"]
    assert found_in(case(30, loss=lambda t: 2 + 1e4 * t)) == ["divergence"]       # never fell
    assert found_in(case(60, loss=lambda t: 2 + 2 * (-9 * t).exp() + luck(60))) == []
    assert found_in(case(60, loss=lambda t: 1.8 + luck(60))) == []                # begins on the plateau


def test_spikes():
    loss = 2 + 2 * torch.linspace(1, 0, 60, dtype=torch.double) + .05 * luck(60)
    assert found_in(case(60, loss=loss)) == []
    spiky = loss.clone()
    spiky[[20, 40]] += 3
    assert found_in(case(60, loss=spiky)) == ["loss spikes"]
    assert "step 2000, 4000" in doctor.spikes(case(60, loss=spiky)).evidence
    assert doctor.spikes(case(60, loss=2.5 + luck(60))) is None                   # a small batch is noisy all along


def test_a_table_that_cannot_have_moved():
    assert found_in(case(20, loss=5., lr=1e-8)) == ["the table does not move"]    # 1,900 steps of 1e-8
    assert found_in(case(20, loss=5., lr=1e-4)) == []


def test_collapse_by_log_alone():
    log = case(50, cos_mean=lambda t: t.clamp(max=.97), acc_neg=.4)
    assert "collapse" in found_in(log)
    assert "collapse" not in found_in(case(50, cos_mean=lambda t: t.clamp(max=.97), acc_neg=lambda t: t.clamp(max=.95)))


def test_a_printed_cosine_is_no_collapse(tmp_path):
    "A CSV of the original's dial, under its own name: .99 from the first row, and acc_neg low."
    rows = "".join(f"{i},{.992 + i / 1e5:.5f},{.5 + .1 * math.sin(i):.4f}\n" for i in range(40))
    (tmp_path / "log.csv").write_text("step,cos_mean,acc_neg\n" + rows)
    found = names(diagnose(tmp_path / "log.csv"))
    assert "misleading cosine" in found and "collapse" not in found


def test_cosines_that_are_true():
    "mse = 2(1 − cos): the notes' dial is printed, but stands for nothing."
    true = case(20, cos_mean=.5, cos_mean_notes=1 - .5 / 128, mse=1.)
    assert found_in(true) == []
    notes = case(20, cos_mean=.5, cos_mean_notes=1 - .5 / 128, mse=1. / 128)
    assert found_in(notes) == ["misleading cosine"] and "0.50" in doctor.misleading_cosine(notes).evidence
    notes.settings = Known(mse_weight=0.)
    assert found_in(notes) == []


def test_acc_neg_beside_its_line():
    log = case(30, acc_neg=lambda t: .6 + luck(30))
    assert found_in(log) == ["acc_neg beside the unigram baseline"]
    assert "0.53 to 0.60" in doctor.beside_unigram(log).evidence
    log.lines = dict(unigram=dict(acc_neg=.3, mrr=.1))
    assert found_in(log) == []                                                     # .60 ± .08 is well above .45
    log.lines = dict(unigram=dict(acc_neg=.5, mrr=.1))
    assert "0.50 here" in doctor.beside_unigram(log).evidence
    log.lines |= dict(bigram=dict(mrr=.5))
    log.columns["valid_mrr"] = torch.full((30,), .4)
    assert doctor.beside_unigram(log) is None                                   # held-out MRR knows better
    log.lines = {}
    assert doctor.beside_unigram(log) is None                                   # .4 is past counting on any text
    assert doctor.beside_unigram(case(9, acc_neg=.6)) is None                   # too few lines


def test_a_noisy_gauge_is_normal():
    "acc_neg of .4, .9, .5 in three lines of 16 blanks."
    assert found_in(case(100, acc_neg=lambda t: (.9 + luck()).clamp(0, 1))) == []


def test_behind_counted_pairs():
    log = case(11, valid_mrr=lambda t: .2 + .05 * t)
    log.lines = dict(unigram=dict(mrr=.15), bigram=dict(mrr=.5))
    log.vocab, log.lengths = make_vocab(dict(a=900, b=100)), [10] * 200            # 1,000 words: 100 phrases
    assert found_in(log) == ["no better than its neighbours"]
    log.columns["examples"] = torch.linspace(0, 500, 11)                           # five passes
    assert found_in(log) == []
    log.columns["examples"] *= 100
    log.columns["valid_mrr"] = torch.linspace(.2, .4, 11)                          # will pass it
    assert found_in(log) == []


def test_counting_words():
    log = case(11, valid_mrr=.16)
    log.lines = dict(unigram=dict(mrr=.15))
    assert found_in(log) == ["no better than counting words"]
    log.columns["steps"] = torch.full((11,), 10_000.)                              # a tenth of the plan
    assert found_in(log) == ["too short to judge"]


def test_a_spent_rate():
    def shares(t):
        return (.45 + luck(200) / 2).clamp(0, 1)

    log = case(200, lr=lambda t: 1e-3 * (1 - 3 * t).clamp(1e-4, 1), acc_neg=shares)
    assert "the learning rate is spent" in found_in(log)

    def cosine(t):
        return 1e-3 * (1 + torch.cos(math.pi * t)) / 2 + 1e-5

    assert "the learning rate is spent" not in found_in(case(200, lr=cosine, acc_neg=shares))       # a normal end
    good = case(200, lr=log.columns["lr"], acc_neg=.95)
    assert found_in(good) == []                                                    # finished early, and well


def test_no_trend():
    flat = case(400, acc_neg=lambda t: (.5 + luck(400)).clamp(0, 1))
    assert "no trend" in found_in(flat)
    assert "no trend" not in found_in(case(400, acc_neg=lambda t: (.3 + .4 * t + luck(400)).clamp(0, 1)))
    assert "no trend" not in found_in(case(30, acc_neg=lambda t: (.5 + luck(30)).clamp(0, 1)))      # too noisy to tell


def test_a_loss_that_falls_alone():
    hits = (.5 + luck()).clamp(0, 1)
    assert "the loss falls and acc_neg does not rise" in found_in(case(100, loss=lambda t: 3 - 2 * t, acc_neg=hits))
    assert "the loss falls and acc_neg does not rise" not in found_in(case(100, loss=3., acc_neg=hits))


def test_overfitting_in_the_log_of_a_language_model(tmp_path):
    rows = [f"{i},{4 - .1 * i},{3 + abs(i - 10) * .05}" for i in range(21)]
    (tmp_path / "log.csv").write_text("iter,train_loss,val_loss\n" + "\n".join(rows) + "\n")
    assert names(diagnose(tmp_path / "log.csv")) == ["overfitting"]
    assert found_in(case(21, loss=lambda t: 4 - 2 * t, valid_loss=lambda t: 4 - t)) == []
    assert found_in(case(21, loss=4., valid_loss=lambda t: 3 + t)) == []            # worse, but not by learning


def test_many_passes_alone_are_no_finding():
    log = case(50, examples=lambda t: 1e6 * t, valid_mrr=lambda t: .2 + .5 * t, acc_neg=.95)
    log.lines = dict(unigram=dict(mrr=.15, acc_neg=.5), bigram=dict(mrr=.5))
    log.vocab, log.lengths = make_vocab(dict(a=900, b=100)), [10] * 200
    assert found_in(log) == []


def test_the_wrong_model():
    log = case(21, valid_mrr=lambda t: .2 + .8 * t * (1 - t), saved=1.)
    assert found_in(log) == ["overfitting"]
    log.settings = Known(best_by="acc_ema")
    assert "the wrong model was kept" in found_in(log)
    log.columns["saved"] = (log.columns["step"] <= 1000).double()
    assert "the wrong model was kept" not in found_in(log)


def test_unigram_entropy_against_sampled_rivals():
    "With N rivals a model that counts words stands at `unigram_loss`, here by a log at that level."
    counts = [100, 50, 20, 10, 5, 5, 5, 5]
    level = unigram_loss(counts, 3)
    assert 0 < level < math.log(4) < unigram_loss(counts)
    log = case(100, rank=lambda t: level + .5 * (-20 * t).exp() + .2 * luck())
    log.vocab = make_vocab({str(i): n for i, n in enumerate(counts)})
    log.settings, log.lengths = Known(negatives=3), [10] * 20
    assert found_in(log) == ["the loss equals the unigram entropy"]
    log.lines = dict(unigram=dict(mrr=.2))
    log.columns["valid_mrr"] = torch.full((100,), .5)
    assert found_in(log) == []                                                      # it knows more than counts


# --- reading


def test_frequency_loss_by_hand():
    assert unigram_loss([2, 1, 1]) == pytest.approx(1.5 * math.log(2))
    assert unigram_loss([7] * 30, 9) == pytest.approx(math.log(10))               # all alike: ln(N+1)
    third = [math.log(1 + r) for r in (1 / 4, 4)]                                   # two words, 4:1, one rival
    assert unigram_loss([4, 1], 1, 40_000) == pytest.approx(.8 * third[0] + .2 * third[1], abs=.01)


def test_columns_of_other_programs(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeffSTEP, learning_rate ,note\n1,0.1,warm\n2,,\n3,-inf,x\n4,0.")
    columns = read_columns(tmp_path / "a.csv")
    assert columns["step"].tolist() == [1, 2, 3, 4][:len(columns["step"])]
    assert columns["lr"][0] == .1 and columns["lr"][1].isnan() and columns["lr"][2].isinf()
    assert "note" not in columns


def test_logs_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "head.csv").write_text("step,loss\n")
    for name in ("empty.csv", "binary.csv", "head.csv", "gone.csv", ""):
        with pytest.raises(UsageError):
            diagnose(tmp_path / name)
    with pytest.raises(UsageError):
        diagnose([])
    (tmp_path / "log.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(UsageError):
        diagnose(tmp_path / "log.csv", run=tmp_path / "gone")
    assert names(diagnose(tmp_path / "log.csv")) == ["too short to judge"]


def test_the_lines_that_the_original_printed(tmp_path):
    noise = (.5 + luck(120)).clamp(0, 1)
    (tmp_path / "out.txt").write_text("loading\n" + "".join(
        f"step {100 * i}/12000 loss {2 + 1 / i:.4f} cos_mean {.9935:.4f} aux 0.95 acc_neg {a:.4f} "
        f"(acc_ema {.5 - .5 * .92**i:.4f}) lr 3.0e-4{' [saved best]' * (i % 2)}\n" for i, a in enumerate(noise.tolist(), 1)))
    found = names(diagnose(tmp_path / "out.txt"))
    assert found == ["acc_neg beside the unigram baseline", "no trend", "misleading cosine"]
    assert "cos_mean" not in read_columns(tmp_path / "out.txt")


def test_the_first_table_is_that_of_the_run():
    data = load_data("builtin:200")
    fresh = open_run(data, *recipe(dim=32, seed=3, steps=5))
    assert torch.equal(doctor.first_table(fresh.model.config, 3), fresh.model.table)


# --- findings


def test_every_finding_can_be_written_and_drawn(notes, sound):
    import matplotlib
    matplotlib.use("Agg")
    found, known = diagnose(notes), open_case(notes)
    assert json.loads(json.dumps([f.to_dict() for f in found]))[0].keys() == {"name", "evidence", "meaning", "try", "read"}
    for finding in found:
        assert all(v.strip() for v in finding.to_dict().values())
        assert doctor.plot_finding(finding, known).get_title() == finding.name
    assert "&lt;" in doctor.Finding("a<b", "", "", "", "")._repr_html_()


def test_chapters_to_read_on_exist():
    import ast
    import inspect
    import re
    from pathlib import Path
    chapters = {p.stem for p in (Path(__file__).parents[1] / "nbs").glob("*.ipynb")} | {"11_crowding", "12_gap", "14_sizing"}
    strings = [n.value for n in ast.walk(ast.parse(inspect.getsource(doctor))) if isinstance(n, ast.Constant)]
    named = {s for s in strings if isinstance(s, str) and re.fullmatch(r"\d\d_[a-z]+", s)}
    assert len(named) > 5 and named <= chapters


# --- what an acceptance test found


def test_a_fall_is_named_whatever_the_loss_did():
    fallen = dict(valid_mrr=lambda t: .4 - .08 * t)
    for loss in (2., lambda t: 2 + .05 * t, lambda t: 3 - t):
        assert found_in(case(40, loss=loss, **fallen)) == ["overfitting"]
    assert found_in(case(40, loss=lambda t: 3 - t, valid_loss=lambda t: 2.5 + t)) == ["overfitting"]  # best in row 0


@pytest.mark.parametrize("n", [26, 100, 500])
def test_a_loss_that_wavers_about_one_level_is_no_divergence(n):
    logs = [case(n, loss=3 * (1 + .07 * torch.randn(n, generator=torch.Generator().manual_seed(seed)).double()))
            for seed in range(100)]
    assert sum("divergence" in found_in(log) for log in logs) <= 1


def test_nan_in_a_record_is_divergence():
    rows = [LogRecord(i, 100, i, i, 1e-3, loss=2. if i < 20 else math.nan, acc_neg=.5) for i in range(30)]
    assert "divergence" in names(diagnose(rows))


def test_a_held_out_loss_that_was_not_measured_everywhere(tmp_path):
    rows = "\n".join(f"{i},{3 - i / 50},{3 - i / 60 if i % 5 == 0 else 'nan'}" for i in range(50))
    (tmp_path / "log.csv").write_text(f"step,loss,valid_loss\n{rows}\n")
    assert diagnose(tmp_path / "log.csv") == []


def test_a_spent_rate_in_the_log_of_a_language_model():
    stopped = dict(loss=lambda t: 3 - t.clamp(max=.4), valid_loss=lambda t: 3.1 - t.clamp(max=.4))

    def rate(t):
        return torch.where(t < .4, 3e-4, 1e-6)

    assert found_in(case(100, lr=rate, **stopped)) == ["the learning rate is spent"]
    falling = dict(loss=lambda t: 3 - t, valid_loss=lambda t: 3.1 - t)
    assert found_in(case(100, lr=rate, **falling)) == []


def test_no_gap_no_flattery(notes):
    "A short run of the original's settings: bad on both sides alike."
    assert "training looks better than use" not in names(diagnose(notes))


def test_a_damaged_state_is_passed_over(notes, tmp_path):
    shutil.copytree(notes, tmp_path / "run")
    before = names(diagnose(tmp_path / "run"))
    (tmp_path / "run" / run_folder.STATE).write_bytes(b"cut")
    assert set(names(diagnose(tmp_path / "run"))) & {"padding attended"} == set(before) & {"padding attended"}


# --- targets in context

ROWS_AS_TARGETS = {"collapse", "the loss equals the unigram entropy", "all words scored alike", "acc_neg at chance",
                   "acc_neg beside the unigram baseline", "no better than counting words", "no better than its neighbours",
                   "a weight that weighs nothing", "misleading cosine", "overfitting", "divergence"}
QUICK = dict(lr=1e-2, log_every=5, dropout=0.)


@pytest.mark.parametrize("name, settings", {
    "the targets have collapsed": dict(steps=80, ema_decay=0., predictor="identity"),
    "the target encoder follows at once": dict(steps=60, ema_decay=0., lr=6e-3, init="uniform"),
    "the targets are still random": dict(steps=60, ema_decay=1.),
}.items())
def test_a_real_run_in_context_has(name, settings, tmp_path):
    found = names(diagnose(run(tmp_path / "run", recipe_name="jepa", **(QUICK | settings))))
    assert name in found and not ROWS_AS_TARGETS & set(found)


def test_a_sound_run_in_context(tmp_path):
    "It is behind counting after a few steps, and nothing else is wrong; rows are no targets, so their loss is not judged."
    found = diagnose(run(tmp_path / "run", recipe_name="jepa", steps=80, ema_decay=.97, **QUICK))
    assert names(found) == ["worse than a baseline"] and "through its readout" in found[0].evidence
    assert names(diagnose(tmp_path / "run" / run_folder.LOG)) == []


def test_no_readout_is_fitted_while_a_run_goes_on(tmp_path, monkeypatch):
    "It takes seconds, and the panel asks the doctor every few of them."
    folder = run(tmp_path / "run", recipe_name="jepa", steps=20, **QUICK)
    for file in (run_folder.READOUT, run_folder.BASELINES, "../experiments.jsonl"):
        (folder / file).unlink(missing_ok=True)
    records = run_folder.read_log(folder)
    for record in records:
        record.steps = 100
    monkeypatch.setattr("tofy.inference.fit_readout", None)
    monkeypatch.setattr("tofy.run_folder.fit_readout", None)
    diagnose(records, folder)
    assert not (folder / run_folder.READOUT).exists()


def context(n=100, **columns) -> Case:
    "The log of a run with targets in context, whose gauges are sound unless told otherwise."
    sound = dict(spread=.9, between=.9, r2=-.2, cos_mean=.5, steps=100. * (n - 1), lr=1e-3)
    made = case(n, **(sound | columns))
    made.settings = Known(target="context", target_loss="cosine", ema_decay=.996, mse_weight=0.)
    return made


@pytest.mark.parametrize("columns, expected", [
    (dict(), []),
    (dict(loss=lambda t: 1 - 3 * t * (1 - t)), []),                                # rises: its targets get harder
    (dict(spread=lambda t: .9 - .86 * t), ["the targets have collapsed"]),
    (dict(spread=lambda t: .9 * .05 ** t), ["the targets have collapsed"]),        # a tenth of the start is not left
    (dict(spread=.04, cos_mean=.995), ["the targets have collapsed"]),             # in a log that begins late
    (dict(between=.05), ["the targets no longer know the word"]),
    (dict(cos_mean=.2, r2=-.7), ["predictions no better than the mean"]),
    (dict(valid_mrr=lambda t: .34 + .02 * t), ["read no better than random weights"]),
    (dict(valid_mrr=lambda t: .34 + .3 * t), []),
    (dict(cos_mean=.35, r2=-.4), []),                                              # below 0, and scaled to fit above the mean
    (dict(spread=lambda t: .9 - .4 * t, cos_mean=.8), []),
])
def test_the_gauges_of_a_log(columns, expected):
    assert found_in(context(**columns)) == expected


def test_the_gauges_and_the_settings():
    def with_settings(columns=None, **settings):
        made = context(**(columns or {}))
        made.settings = Known(**(vars(made.settings) | settings))
        return found_in(made)

    narrow = dict(spread=lambda t: .9 - .4 * t, cos_mean=.8)
    assert with_settings(narrow, ema_decay=.5) == ["the target encoder follows at once"]
    assert with_settings(narrow, ema_decay=.85, ema_end=1.) == []                  # .925 on average
    assert with_settings(narrow, ema_decay=.5, target_loss="vicreg") == []         # no teacher
    assert with_settings(ema_decay=.5) == []                                       # and the spread is kept
    assert with_settings(ema_decay=1.) == ["the targets are still random"]
    assert with_settings(ema_decay=1., init_from="runs/other") == []
    assert with_settings(dict(cos_mean=.2, r2=-.7), target_loss="infonce") == []   # asks for the nearest, not for near


@pytest.mark.parametrize("settings, told, not_told", [
    (dict(ema_decay=0., predictor="identity", target_loss="cosine"), ["--ema-decay", "--predictor", "infonce"], []),
    (dict(ema_decay=.999, predictor="linear", target_loss="smooth_l1"), ["infonce"], ["--ema-decay", "--predictor"]),
    (dict(ema_decay=0., predictor="linear", target_loss="vicreg"), ["infonce"], ["--ema-decay"]),
    (dict(ema_decay=0., predictor="linear", target_loss="infonce"), ["--ema-decay", "--lr"], ["infonce"]),
])
def test_advice_against_collapse_fits_the_settings(settings, told, not_told):
    advice = doctor.against_collapse(Case({}, Known(**settings)))
    assert all(word in advice for word in told) and not any(word in advice for word in not_told)


def test_a_high_cosine_in_context_is_not_the_misleading_one(tmp_path):
    "A log that begins after the collapse: a cosine of .99 in every row, and it is what it says."
    (tmp_path / "log.csv").write_text("step,steps,loss,cos_mean,spread,between,r2\n"
                                      + "".join(f"{i},20,.01,.99,.01,.9,-1\n" for i in range(21)))
    assert names(diagnose(tmp_path / "log.csv")) == ["the targets have collapsed"]
