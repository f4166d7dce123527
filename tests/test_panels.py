"""The training panel without a page: controls are set, buttons clicked, and the run is a process of its own."""
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest
import torch
from conftest import HANG
from matplotlib.figure import Figure

from tofy.background import Background
from tofy.checkpoint import read_experiments
from tofy.cli import plan_for
from tofy.crowding import load_frames, table_figures, word_rows
from tofy.errors import RunError
from tofy.inference import fill, load
from tofy.panels.parts import READY
from tofy.panels.training import SettingsForm, TrainingPanel, in_words, painters
from tofy.plan import as_command, plan, read_plan
from tofy.run_folder import MODEL, STATE, load_baselines, read_log
from tofy.training import RECIPES
from tofy.vocab import SPECIALS

SMALL = dict(dim=16, layers=1, heads=2, log_every=10, threads=1, eval_queries=100)
TEXT = dict(source="builtin:300")


def axes():
    return Figure().subplots()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return open(f"/proc/{pid}/stat").read().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):                   # it ended just now
        return True


def until(what, seconds: float = HANG) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(.05)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    "A run that is told to stop has time to save its state, on a machine however busy."
    monkeypatch.setattr(Background.stop, "__defaults__", (HANG,))


@pytest.fixture
def panel(tmp_path):
    panel = TrainingPanel("builtin:300", tmp_path)
    with panel.quietly():
        panel.settings.show(plan(steps=100_000, **SMALL))
    yield panel
    panel.end()


# ---- a run in the background

def test_it_ends_when_the_one_who_started_it_is_killed(tmp_path):
    "Nobody is left to say stop; the state is saved all the same."
    code = ("from tofy.background import Background; from tofy.plan import plan; import time\n"
            f"run = Background(plan(**{TEXT}, steps=100_000, **{SMALL}), {str(tmp_path / 'r')!r})\n"
            f"run.wait(lambda run: run.lines); print(run.process.pid, flush=True); time.sleep({HANG})")
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: gone(child))
    assert (tmp_path / "r" / STATE).is_file()
    assert read_experiments(tmp_path)[-1]["outcome"] == "stopped"


def test_ctrl_c_of_the_notebook_is_not_its_business(tmp_path):
    "An interrupted cell does not end the run: it has a session of its own."
    run = Background(plan(**TEXT, steps=100_000, **SMALL), tmp_path / "r")
    run.wait(lambda run: run.lines)
    assert os.getsid(run.process.pid) != os.getsid(0)
    run.stop()


def test_a_paused_run_can_be_stopped(tmp_path):
    run = Background(plan(**TEXT, steps=100_000, **SMALL), tmp_path / "r")
    run.wait(lambda run: run.lines)
    run.pause()
    run.wait(lambda run: run.state == "paused")
    run.stop()
    assert run.state == "stopped"
    assert (tmp_path / "r" / STATE).is_file()


@pytest.mark.slow
def test_a_killed_run_can_go_on(tmp_path):
    run = Background(plan(**TEXT, steps=100_000, **SMALL), tmp_path / "r")
    run.wait(lambda run: run.lines)
    os.kill(run.process.pid, signal.SIGKILL)
    with pytest.raises(RunError, match="killed"):
        run.wait()
    again = Background(plan(**TEXT, steps=30, **SMALL), tmp_path / "r", resume=True)
    again.wait()
    assert again.state == "finished"


def test_what_others_print_does_no_harm(tmp_path, monkeypatch):
    "A library that prints into the child's output is passed over."
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    startup = tmp_path / "site"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text("print('hello from somebody else')\nprint('{\"half')\n")
    monkeypatch.setenv("PYTHONPATH", str(startup))
    run = Background(plan(**TEXT, steps=5, **SMALL), tmp_path / "r")
    run.wait()
    assert run.state == "finished"


def test_the_command_means_the_same_settings():
    "What as_command writes, the command line reads as the same plan."
    import shlex
    one = plan("notes", source="builtin:300", max_vocab=500, valid=.1, seconds=30., mask_rate=.45, negatives=7, dim=64)
    words = shlex.split(as_command(one, "runs/x"))
    given = dict(zip((w[2:].replace("-", "_") for w in words[3::2]), words[4::2]))
    given.pop("out")
    name = given.pop("recipe")
    typed = {k: v if k in ("split", "tokens") else float(v) if "." in v else int(v) for k, v in given.items()}
    typed |= dict(valid=float(given["valid"]), seconds=float(given["seconds"]))
    assert plan_for(name, None, typed | dict(source=words[2])) == one


# ---- the panel

def test_controls_hold_every_setting_of_both_recipes():
    form = SettingsForm()
    for name in RECIPES:
        form.show(plan(name))
        assert form.read(name, "builtin") == plan(name)


def test_every_control_has_a_name_and_a_tooltip(panel):
    assert len(panel.settings.controls) > 40
    for name, control in panel.settings.controls.items():
        assert control.description == name
        assert len(control.tooltip) > 5
    for button in panel.controls.values():
        assert button.tooltip


@pytest.mark.slow
def test_two_panels_at_once_share_nothing(tmp_path):
    "Each is as if it were alone: the same seed gives the same log."
    panels = [TrainingPanel("builtin:300", tmp_path / name) for name in "ab"]
    for panel in panels:
        with panel.quietly():
            panel.settings.show(plan(steps=30, **SMALL))
        panel.controls["start"].click()
    for panel in panels:
        panel.run.wait()
        panel.live.thread.join()
    logs = [[(r.step, r.loss, r.valid_mrr) for r in read_log(p.out) if r.valid_mrr == r.valid_mrr] for p in panels]
    assert logs[0] == logs[1]
    assert panels[0].out != panels[1].out


@pytest.mark.slow
def test_no_longer_shown_means_stopped(panel):
    "The page counts its views; when the last one goes, the run is stopped and its state saved."
    panel.controls["start"].click()
    panel.run.wait(lambda run: run.lines)
    panel._view_count = 1
    panel._view_count = 0
    assert panel.run.state == "stopped"
    assert (panel.out / STATE).is_file()


def test_stop_go_on_reset(panel):
    panel.controls["start"].click()
    panel.run.wait(lambda run: run.lines)
    assert panel.controls["start"].disabled and not panel.controls["stop"].disabled
    panel.controls["stop"].click()
    panel.live.thread.join()
    assert not panel.controls["resume"].disabled
    reached = panel.run.records[-1].step
    panel.controls["resume"].click()
    panel.run.wait(lambda run: run.records[-1].step > reached)
    panel.controls["reset"].click()
    panel.live.thread.join()
    assert panel.run.state == "stopped"
    assert panel.settings["dim"].value == 128
    assert (panel.out / MODEL).is_file()                     # nothing is lost by a reset


def test_an_error_of_a_run_is_told_in_the_panel(panel):
    panel.settings["init_from"].value = "nowhere"
    panel.controls["start"].click()
    panel.live.thread.join()
    assert "There is no folder nowhere" in panel.notice.value
    assert "traceback" not in panel.notice.value
    assert not panel.controls["start"].disabled


def test_a_bug_is_told_with_its_traceback_folded(panel, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("who would do that")
    monkeypatch.setattr("tofy.panels.training.Background", broken)
    panel.controls["start"].click()
    assert "ZeroDivisionError: who would do that" in panel.notice.value
    assert "<details><summary>traceback" in panel.notice.value


def test_the_run_list_loads_renames_and_exports(panel, tmp_path):
    panel.settings.amount.value = 30
    panel.settings["mask_rate"].value = .5
    panel.controls["start"].click()
    panel.run.wait()
    panel.live.thread.join()
    run_list = panel.run_list
    run_list.list.value = [folder for _, folder in run_list.list.options if folder == panel.out]
    assert run_list.picture.value[:4] == b"\x89PNG"
    run_list.name.value = "half-hidden"
    run_list.rename()
    assert (tmp_path / "half-hidden" / MODEL).is_file()
    run_list.list.value = [tmp_path / "half-hidden"]
    run_list.export()
    rows = (tmp_path / "runs.csv").read_text().splitlines()
    assert rows[1].startswith('"half-hidden",0,30,')
    panel.controls["reset"].click()
    assert panel.settings["mask_rate"].value == .3
    run_list.load_one()
    assert panel.settings["mask_rate"].value == .5
    assert "mask_rate=0.5" in panel.code.value
    assert read_plan(tmp_path / "half-hidden").train.steps == 30


def test_an_uploaded_text_becomes_the_source(panel, tmp_path):
    text = "\n".join(f"the {a} sits on the {b} ." for a in ("cat", "dog", "bird") for b in ("mat", "chair", "roof")).encode()
    panel.upload.value = [dict(name="../../evil.txt", type="text/plain", size=len(text), content=memoryview(text),
                               last_modified=datetime.now(timezone.utc))]
    assert panel.source.value == str(tmp_path / "uploads" / "evil.txt")
    assert (tmp_path / "uploads" / "evil.txt").read_bytes() == text
    assert "effective examples" in panel.estimate.value


# ---- the ready-made runs

@pytest.mark.parametrize("name", ["healthy", "notes", "crowded", "collapsed"])
def test_a_ready_made_run_opens(name):
    "With its model, log, settings, baselines and the film of its table."
    folder = READY / name
    latent, lines = load(folder), load_baselines(folder, load(folder).vocab)[1]
    assert {"chance", "unigram", "bigram", "best"} <= set(lines)
    assert load_frames(folder, len(latent.vocab) - len(SPECIALS)) is not None
    assert read_plan(folder).data.source.startswith("builtin")
    assert fill(latent, "did you _ the soup at the cafe ?").top


def test_the_ready_made_runs_are_what_they_are_called():
    figures = {name: table_figures(word_rows(load(READY / name).model), torch.tensor(load(READY / name).vocab.counts[3:]))
               for name in ("healthy", "crowded", "collapsed")}
    assert figures["collapsed"]["common_spread"] < .05 < .9 < figures["healthy"]["common_spread"]
    assert figures["crowded"]["nn_cosine_median"] > figures["healthy"]["nn_cosine_median"] + .1
    last = {name: [r for r in read_log(READY / name) if r.valid_mrr == r.valid_mrr][-1].valid_mrr for name in ("healthy", "notes", "collapsed")}
    assert last["healthy"] > .7 and last["healthy"] > last["notes"] > last["collapsed"]


def test_the_ready_made_runs_are_small():
    assert sum(f.stat().st_size for f in READY.rglob("*") if f.is_file()) < 6e6


# ---- targets in context

def test_a_run_in_context_in_the_panel(tmp_path):
    "Its gauges instead of what is not measured, and where the held-out figures come from."
    panel = TrainingPanel("builtin:300", tmp_path)
    assert "jepa" in panel.recipe.options
    panel.recipe.value = "jepa"
    assert panel.settings["target"].value == "context" and panel.settings["ema_decay"].value == .999
    assert "--recipe jepa" in panel.code.value and "target encoder" in panel.estimate.value
    assert "ema" not in panel.code.value.replace("ema_decay", "")               # a slider keeps None, too
    with panel.quietly():
        panel.settings.show(plan("jepa", steps=30, **SMALL))
    panel.controls["start"].click()
    panel.run.wait()
    panel.live.thread.join()
    said, lines = panel.live.words.value, read_log(panel.out)
    assert "spread of the targets 0." in said and "R² " in said and "by a quick probe" in said
    assert "nan" not in said and "acc_neg" not in said
    assert panel.live.upper.value[:4] == panel.live.lower.value[:4] == b"\x89PNG"
    assert "worse than a baseline" in panel.live.doctor.value
    labels = [painter(ax=axes()) for painter in painters(lines, {})]
    assert [sorted(ax.get_legend_handles_labels()[1]) for ax in labels] == [
        ["loss (total)"], ["R²", "between words", "cosine", "spread of the targets"], ["MRR", "top-1"], ["learning rate"]]
    assert labels[0].get_ylabel() == "loss" and labels[2].get_ylabel() == "held out, by a quick probe"
    assert any("by a quick probe" in text for text, folder in panel.run_list.list.options if folder == panel.out)


def test_the_default_picture_is_about_mrr():
    "MRR first, and no accuracy among 33 words; nothing of a target encoder where there is none."
    lines = read_log(READY / "healthy")
    assert in_words(lines, {}).startswith("Held out at step ") and "acc_neg" not in in_words(lines, {})
    drawn = [painter(ax=axes()).get_legend_handles_labels()[1] for painter in painters(lines, {})]
    assert drawn[1] == ["cosine"] and drawn[2] == ["MRR", "top-1"]
    assert in_words(lines[:0], {}) == "No log line yet."
