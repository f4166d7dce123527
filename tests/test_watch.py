"""A run that is watched and changed while it trains: what is in force, what is noted, what is seen, and what a resumed run knows of it."""
import json
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from conftest import HANG
from matplotlib.figure import Figure

from tofy import background, loop, training
from tofy.background import BREAKS, WATCHED, Background, Hand, Watched, Watcher, break_run, breaks_for, broken, probe
from tofy.crowding import common_words, effective_rank, word_rows
from tofy.data import load_data
from tofy.doctor import diagnose
from tofy.history import CHANGES, read_changes, spans, write_change
from tofy.panels.training import Screen, TrainingPanel, figures, painters, seen_in, story
from tofy.plan import plan, read_plan
from tofy.run_folder import LogRecord, read_log
from tofy.schedule import learning_rate
from tofy.training import RECIPES, open_run, recipe, train
from tofy.vocab import SPECIALS

SMALL = dict(dim=16, layers=1, heads=2, log_every=5, threads=1, eval_queries=60, batch=16)
PROBE = "did you _ the soup at the cafe ?"


@pytest.fixture(scope="module")
def data():
    return load_data("builtin:300")


def wished(**wishes) -> Hand:
    "A hand that has heard these wishes."
    return Hand(SimpleNamespace(wishes=wishes))


def until(what) -> None:
    end = time.monotonic() + HANG
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(.05)


# ---- breaking and undoing

@pytest.mark.parametrize("name", RECIPES)
def test_undoing_restores_every_setting(name, data):
    "Each break alone, all together, and none: computed from the settings at the beginning, so nothing is left behind."
    run = open_run(data, *recipe(name, steps=9, **SMALL))
    model, config, possible = run.model.config, run.config, breaks_for(plan(name))
    for names in [*([one] for one in possible), possible, []]:
        break_run(run, names)
        if names:
            assert (run.model.config, run.config, run.teacher_off) != (model, config, False)
    assert (run.model.config, run.config, run.teacher_off) == (model, config, False)
    assert run.model.config is run.model.encoder.config


def test_what_a_break_does(data):
    whole = plan()
    assert broken(whole.model, whole.train, ["rate"])[1].lr == pytest.approx(10 * whole.train.lr)
    off = broken(whole.model, whole.train, ["ranking"])[1]
    assert (off.rank_weight, off.mse_weight) == (0, 1)                          # else there would be no loss at all
    assert broken(whole.model, plan(mse_weight=3.).train, ["ranking"])[1].mse_weight == 3
    run = open_run(data, *recipe(steps=9, **SMALL))
    ids = data.train.batch(torch.arange(4))
    before = run.model.encoder.embed(ids)[0].shape[1]
    break_run(run, ["padding"])
    x, keep = run.model.encoder.embed(ids)
    assert keep is None and x.shape[1] == run.model.config.max_seq > before


@pytest.mark.parametrize("target", ["context", "ema"])
def test_without_its_teacher_a_model_makes_its_own_targets(data, target):
    "They get their gradient; the teacher goes on following, and is there again after the break."
    run = open_run(data, *recipe("jepa" if target == "context" else "tofy", steps=9, target=target, **SMALL))
    assert "teacher" in breaks_for(plan("jepa" if target == "context" else "tofy", target=target))
    for teacher_off in (False, True, False):
        break_run(run, ["teacher"] * teacher_off)
        batch = run.next_batch()
        found = training.predict(run, batch.masked, None)[2] if target == "context" else training.target_table(run)
        assert found.requires_grad == teacher_off
        loop.training_step(run, False)
    slow = next(run.teacher.parameters() if target == "context" else run.teacher.buffers())
    own = run.model.encoder.state_dict()["embedding.weight"]
    assert not torch.equal(slow, own) and F.cosine_similarity(slow.flatten(), own.flatten(), dim=0) > .9


def test_breaks_that_mean_nothing_are_not_offered():
    assert {name: breaks_for(plan(name)) for name in RECIPES} == dict(
        tofy=["ranking", "padding", "rate"], notes=["ranking", "rate"], jepa=["teacher", "padding", "rate"])
    assert "teacher" not in breaks_for(plan("jepa", target_loss="vicreg"))      # it has none
    assert "padding" not in breaks_for(plan("jepa", predictor="queries"))


def test_collapse_and_recovery(data):
    "What the buttons are for, and that the dial shows it: without the ranking term the common words use fewer directions."
    look, ranks = Watcher(lambda seen: ranks.__setitem__(seen["step"], seen.get("rank"))), {}
    job = open_run(data, *recipe(steps=90, lr=.03, warmup=0., flat=1., **SMALL))
    for record in loop.run(job):
        if record.is_line and record.step % 10 == 0 and record.step not in ranks:
            look.look(job, PROBE)
        if record.is_line and record.step in (10, 60):
            break_run(job, ["ranking"] * (record.step == 10))
    assert ranks[60] < ranks[10] - 2 and ranks[90] > ranks[60] + .5


# ---- what is noted

def test_a_changed_run_can_be_resumed_and_begins_as_planned(data, tmp_path):
    "Its state holds the planned settings; the break is ended in the notes, those after the saved step are gone."
    settings, folder = recipe(steps=40, **SMALL), tmp_path / "run"
    records = train(data, *settings, folder, watch=lambda run: run.step >= 10 and not run.planned and break_run(run, ["rate", "padding"]))
    rates = {}
    for record in records:
        rates[record.step] = record.lr
        if record.step >= 20:
            break
    records.close()
    assert rates[20] == pytest.approx(10 * learning_rate(settings[1], 20 / 40), rel=.01) and read_plan(folder).train.lr == settings[1].lr
    (change,) = read_changes(folder)
    assert change["now"] == ["rate × 10", "padding seen"] and 10 <= change["step"] <= 20
    write_change(SimpleNamespace(folder=folder, step=39, clock=SimpleNamespace(seconds=9.)), ["of a future that was lost"])
    lines = [record for record in train(data, *settings, folder, resume=True) if record.is_line]
    assert lines[-1].lr < settings[1].lr and [now["now"] for now in read_changes(folder)] == [change["now"], []]
    assert [(name, began["step"]) for name, began, _ in spans(read_changes(folder))] == [(name, change["step"]) for name in change["now"]]
    (finding,) = [f for f in diagnose(folder) if f.name == "changed while it trained"]
    assert "rate × 10 from step" in finding.evidence
    fresh = [record for record in train(data, *settings, folder, overwrite=True) if record.is_line]
    assert len(fresh) and not (folder / CHANGES).exists()                        # another run: nothing of the old one


def test_the_curves_show_what_was_changed():
    changes = [dict(step=10, seconds=1., now=["ranking off"]), dict(step=20, seconds=2., now=["ranking off", "rate × 10"]),
               dict(step=30, seconds=3., now=["rate × 10"])]
    lines = [LogRecord(step, 0, step / 10, step, .001, loss=1., valid_mrr=.1, progress=step / 100) for step in range(0, 50, 10)]
    for train_config, end, places in ((plan(steps=100).train, 100, [(10, 30), (20, 100)]), (plan(seconds=20).train, 20, [(1, 3), (2, 20)])):
        for paint in painters(lines, {}, train_config, changes):
            ax = Figure().subplots()
            paint(ax=ax)
            assert ax.get_xlim() == (0, end)                                     # the planned end, not the last record
            assert [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches] == places
            assert [t.get_text().strip() for t in ax.texts][:2] == ["ranking off", "rate × 10"]


# ---- what is seen

def test_a_watched_run_learns_the_same(data, tmp_path):
    "To the last bit, although it has been looked at, with dropout, in both recipes."
    for name in ("tofy", "jepa"):
        settings = recipe(name, steps=15, dropout=.3, dropout_after=0., **SMALL)
        runs = [open_run(data, *settings) for _ in range(2)]
        look = Watcher(lambda seen: None)
        runs[1].watch = partial(look.look, phrase=PROBE)
        for run in runs:
            for _ in loop.run(run):
                pass
        assert look.plane and all(map(torch.equal, runs[0].model.state_dict().values(), runs[1].model.state_dict().values()))


def test_the_map_is_the_table_on_a_plane_that_stays(data, tmp_path):
    told = []
    look, job, rows = Watcher(told.append), open_run(data, *recipe(steps=60, **SMALL)), {}

    def watch(run):
        if run.step % 5 == 0 and run.step not in rows:
            rows[run.step] = word_rows(run.model).clone()
            look.look(run, PROBE)

    job.watch = watch
    for _ in loop.run(job):
        pass
    head, *looks = told
    middle, directions = map(torch.tensor, head["plane"])
    assert [seen["step"] for seen in looks] == list(rows) and len(rows) > background.FIRST
    for seen in looks:
        unit = F.normalize(rows[seen["step"]][:background.SHOWN], dim=-1)
        assert torch.allclose(torch.tensor(seen["xy"]).view(-1, 2) / 1000, (unit - middle) @ directions, atol=6e-4)
        common = common_words(torch.tensor(data.vocab.counts[len(SPECIALS):]))
        assert seen["rank"] == pytest.approx(effective_rank(rows[seen["step"]][common]), abs=.01)
    assert head["words"] == list(data.vocab.words[len(SPECIALS):][:background.SHOWN])


def test_the_probe(data):
    "Five words with shares of one; a phrase that can't be asked says why; without a phrase one is held out; training goes on in training mode."
    run = open_run(data, *recipe(steps=5, **SMALL))
    seen = probe(run, "Did you _ the soup at the cafe?")
    assert seen["asked"] == PROBE and len(seen["top"]) == 5 and run.model.training
    assert sorted((share for _, share in seen["top"]), reverse=True) == [share for _, share in seen["top"]]
    model = run.model.eval()
    ids = torch.tensor([[data.vocab.ids.get(word, 1) if word != "_" else 2 for word in PROBE.split()]])
    shares = (model.scores(*model(ids, ids == 2)) / model.log_temperature.exp())[0, len(SPECIALS):].softmax(0)
    assert seen["top"][0][1] == pytest.approx(shares.max().item(), abs=1e-4)
    assert "blank" in probe(run, "no blank here")["why"] and not probe(run, "no blank here")["top"]
    assert probe(run, "")["asked"].count("_") == 1 and probe(run, "")["top"]


def test_looks_are_few_and_far_between(monkeypatch):
    "One that takes a second of the processor is followed by the next when the run has used two hundred; the last step is always seen."
    used = [0.]
    monkeypatch.setattr(background.time, "process_time", lambda: used[0])

    def seen(steps: int, each: float, cost: float) -> list[int]:
        found, look, used[0] = [], Watcher(lambda seen: None), 0.
        look.look = lambda run, phrase: (found.append(run.step), used.__setitem__(0, used[0] + cost))
        for step in range(steps + 1):
            look(SimpleNamespace(step=step, progress=step / steps), "")
            used[0] += each
        return found

    assert seen(1000, 1., 1.) == [*range(0, 1001, 200)]
    assert len(seen(4000, 1., 0.)) <= background.MOST + 1                       # costs nothing: at most MOST looks


def test_a_resumed_run_is_seen_on_the_same_plane(data, tmp_path):
    settings, folder = recipe(steps=60, **SMALL), tmp_path / "run"
    hand = wished(probe=PROBE)
    hand.watcher.__class__ = type("Eager", (Watcher,), dict(__call__=Watcher.look))
    records = train(data, *settings, folder, watch=hand)
    for record in records:
        if record.step >= 40:
            break
    records.close()
    first = Watched.read(folder)
    assert len(first.looks) >= background.FIRST and first.looks[-1]["step"] <= 40
    list(train(data, *settings, folder, resume=True, watch=wished(probe=PROBE)))
    whole = Watched.read(folder)
    assert whole.head == first.head and whole.looks[-1]["step"] == 60
    steps = [seen["step"] for seen in whole.looks]
    assert steps == sorted(set(steps))
    (folder / WATCHED).write_bytes((folder / WATCHED).read_bytes()[:-9])         # cut short
    assert Watched.read(folder).looks == whole.looks[:-1]


# ---- the panel

@pytest.fixture
def panel(tmp_path, monkeypatch):
    monkeypatch.setattr(Background.stop, "__defaults__", (HANG,))
    panel = TrainingPanel("builtin:300", tmp_path)
    with panel.quietly():
        panel.settings.show(plan(steps=100_000, **SMALL))
    panel.sent = []
    panel.live.screen.send = panel.sent.append
    yield panel
    panel.end()
    if panel.live.thread:
        panel.live.thread.join()


@pytest.mark.slow
def test_the_panel_breaks_undoes_and_tells(panel):
    assert all(switch.disabled for switch in panel.breaks.values())
    panel.controls["start"].click()
    panel.run.wait(lambda run: run.lines)
    assert [name for name, switch in panel.breaks.items() if not switch.disabled] == ["ranking", "padding", "rate"]
    for number, (name, value) in enumerate([("ranking", True), ("rate", True), ("ranking", False)], 1):
        panel.breaks[name].value = value
        assert panel.breaks[name].description == "undo: " * value + BREAKS[name][0]
        until(lambda number=number: len(read_changes(panel.out)) == number)
    assert [change["now"] for change in read_changes(panel.out)] == [["ranking off"], ["ranking off", "rate × 10"], ["rate × 10"]]
    panel.probe.value = "ines has returned to _ ."
    panel.run.wait(lambda run: run.watched.looks and run.watched.looks[-1]["asked"] == panel.probe.value)
    panel.controls["stop"].click()
    panel.live.thread.join()
    told = panel.sent[-1]["told"]
    assert [span["name"] for span in told["spans"]] == ["ranking off", "rate × 10"] and told["end"] == 100_000
    assert told["exact"][PROBE][0][0] == "try" and panel.probe.value in told["exact"]
    assert sum(len(message["looks"]) for message in panel.sent) == len(panel.run.watched.looks)
    assert "changed while it trained" in panel.live.doctor.value
    assert all(switch.disabled for switch in panel.breaks.values())
    panel.controls["resume"].click()                                             # whole again
    assert not any(switch.value for switch in panel.breaks.values()) and panel.breaks["rate"].description == "rate × 10"


def test_two_runs_in_step(tmp_path):
    "A finished run, or a ready-made one, with another beside it."
    panel = TrainingPanel("builtin:300", tmp_path)
    panel.live.screen.send = (sent := []).append
    names = dict(panel.beside.options)
    panel.load(names["ready-made: healthy"])
    panel.beside.value = names["ready-made: collapsed"]
    sides = {message["side"]: message for message in sent if message["told"]}
    assert [sides[i]["told"]["title"] for i in (0, 1)] == ["healthy", "collapsed"]
    assert sides[1]["looks"][-1]["rank"] < sides[0]["looks"][-1]["rank"] / 3
    panel.beside.value = ""
    assert sent[-1] == dict(side=1, told=None, start=0, looks=[])


def test_what_the_page_is_told_is_json():
    "No NaN, whatever the log lacks."
    folder = dict(TrainingPanel().beside.options)["ready-made: notes"]
    watched = seen_in(folder)
    told = story("notes", read_plan(folder), watched, read_log(folder), [])
    json.dumps([told, watched.looks], allow_nan=False)
    assert all(figure["said"] is None or 0 <= figure["said"] <= 1 for figure in figures(read_log(folder)))
    assert Screen().show(0, None) is None
