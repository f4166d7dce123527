"""A run that was stopped, whatever stopped it, ends where one that was never stopped does: bit for bit."""

import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import HANG, SIZES, hurry, make_text, ticking

from tofy import checkpoint, loop, run_folder, training
from tofy.checkpoint import load_tensors
from tofy.data import load_data
from tofy.run_folder import LOG_COLUMNS, MODEL, STATE, LogRecord, load_model, read_log
from tofy.training import recipe, train

COUNTS = ("step", "examples", "progress", "acc_ema", "best", "data", "model", "train", "pending")


def same(a: Path, b: Path) -> None:
    "Weights, optimizer, generator, best model and log are equal; the log but for the seconds."
    for name in (MODEL, STATE):
        (left, head), (right, other) = load_tensors(a / name), load_tensors(b / name)
        assert left.keys() == right.keys() and any(k.startswith("optimizer.") for k in left) == (name == STATE)
        for key in left:
            assert torch.equal(left[key], right[key]), f"{name}: {key} differs"
        keys = [k for k in (COUNTS if name == STATE else head) if k != "seconds"]
        assert {k: head[k] for k in keys} == {k: other[k] for k in keys}, name
    columns = [c for c in LOG_COLUMNS if c != "seconds"]
    left, right = ([[str(getattr(r, c)) for c in columns] for r in read_log(folder)] for folder in (a, b))
    assert left == right


def step_of(folder: Path) -> int:
    return int(load_tensors(folder / STATE)[1]["step"])


# ---- kill -9, through the command line


def die_after(step: int, delay: float):
    "Hurry, and be killed `delay` seconds after this step has begun, but before the last of 150."

    def patch():
        hurry(setattr)
        real = loop.optimizer_step

        def optimizer_step(run, *args):
            if run.step >= step and not patch.armed:
                patch.armed = True
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            if run.step >= 148:  # on a fast machine: wait for the kill
                time.sleep(HANG)
            return real(run, *args)

        patch.armed, loop.optimizer_step = False, optimizer_step

    return patch


@pytest.mark.parametrize("options", [[], ["--recipe", "notes"]], ids=["tofy", "notes"])
def test_150_steps_killed_ten_times(tofy, text, options):
    "The state is saved after every step here, so that a kill may strike in the middle of a save as well."
    command = [text, 150, *SIZES, *options, "--log-every", 10, "--eval-every", 15]
    assert tofy("train", *command, "--out", "whole").code == 0
    draw, folder, reached = random.Random(0), text.parent / "killed", 0
    moments = sorted(draw.sample(range(2, 140), 10))
    for number, moment in enumerate(moments):
        first = command if not number else ["--resume"]
        result = tofy("train", *first, "--out", "killed", before=die_after(moment, 0.03 * draw.random()))
        assert result.code == -signal.SIGKILL, result.err
        assert moment <= step_of(folder) + 1  # what was done is kept
        assert number == 0 or f"Going on from step {reached}." in result.err
        reached = step_of(folder)
    assert tofy("train", "--resume", "--out", "killed").code == 0
    same(text.parent / "whole", folder)


PACED = """
import time
from tofy import loop
real = loop.optimizer_step
def optimizer_step(*args): real(*args); time.sleep(.06)
loop.optimizer_step = optimizer_step
"""


@pytest.mark.slow
def test_1500_steps_killed_ten_times(tofy, tmp_path):
    """As a user meets it: real processes, killed at random times, and nothing kept but what is saved every 15 seconds.
    Each step of the killed ones waits a little, so that ten lives are too short for 1,500 steps on any machine."""
    command = [
        "builtin",
        1500,
        "--batch",
        16,
        "--dim",
        64,
        "--layers",
        2,
        "--heads",
        4,
        "--log-every",
        50,
        "--threads",
        1,
    ]
    whole = tofy.process("train", *command, "--out", "whole")
    assert whole.wait() == 0, whole.stderr.read()
    draw, folder, kills, kept = random.Random(1), tmp_path / "killed", 0, []
    while True:
        run = tofy.process(
            "train",
            *(["--resume"] if kills else command),
            "--out",
            "killed",
            before=PACED,
            stdout=(tmp_path / "out").open("w"),
            stderr=(tmp_path / "err").open("w"),
        )
        began, mark = step_of(folder) if kills else 0, (folder / STATE).stat().st_mtime_ns if kills else 0
        while run.poll() is None and not (
            "Going on" in (tmp_path / "err").read_text() if kills else (folder / STATE).is_file()
        ):
            time.sleep(0.02)
        life = draw.uniform(1, 12) if kills % 2 else draw.uniform(16, 24)  # half of them too short to reach a save
        limit = time.monotonic() + life
        while run.poll() is None and (kills >= 10 or time.monotonic() < limit):
            time.sleep(0.02)
        if run.poll() is not None:
            break
        run.kill()
        run.wait()
        kills += 1
        load_model(folder)
        saved = step_of(folder)
        assert saved >= began
        if life > 16 and (folder / STATE).stat().st_mtime_ns != mark:
            assert saved > began
        kept.append(saved)
    assert run.returncode == 0, (tmp_path / "err").read_text()
    print(f"{kills} kills; the state stood at {kept}")
    assert kills == 10 and max(kept) > 0 and kept == sorted(kept)
    same(tmp_path / "whole", folder)


# ---- in one process

SETTINGS = dict(dim=16, layers=1, heads=2, batch=8, steps=24, log_every=4, eval_every=6, lr=0.005)
RECIPES = {
    "tofy": {},
    "notes": dict(name="notes"),
    "ema": dict(target="ema"),
    "stopgrad": dict(target="stopgrad", negatives=5, replacement=True),
    "jepa": dict(name="jepa", ema_end=1.),
    "sigreg": dict(name="jepa", target_loss="sigreg", target_states="blocks"),
    "queries": dict(name="jepa", target_loss="infonce", predictor="queries"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(make_text())
    return load_data(path, max_seq=12)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    "A run of these settings that nothing has stopped."
    folder = tmp_path_factory.mktemp("whole")
    list(go(data, folder))
    return folder


def go(data, folder, resume=False, **changes):
    settings = SETTINGS | changes
    return train(data, *recipe(settings.pop("name", "tofy"), **settings), folder, resume=resume)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "stopgrad")) for kind in RECIPES])
def test_a_kill_at_any_record_resumes_to_the_same_end(data, tmp_path, hurried, kind):
    "While the loop waits, its folder is what `kill -9` would leave: resume a copy from every one."
    copies = []
    for number, _ in enumerate(go(data, tmp_path / "whole", **RECIPES[kind])):
        copies.append(shutil.copytree(tmp_path / "whole", tmp_path / f"copy{number}"))
    assert len(copies) > 24
    for copy in copies[::6 if RECIPES[kind].get("name") == "jepa" else 1]:      # each of these fits a readout at its end
        list(go(data, copy, resume=True, **RECIPES[kind]))
        same(tmp_path / "whole", copy)


def test_a_kill_within_fifteen_seconds_begins_again_from_step_0(data, tmp_path, clock):
    "The price of saving every 15 seconds, said plainly."
    records = go(data, tmp_path / "run", steps=10_000)
    assert next(records).step == 0
    assert next(r for r in records if r.step >= 40)
    assert step_of(tmp_path / "run") == 0
    records.close()
    assert step_of(tmp_path / "run") >= 40


@pytest.mark.parametrize("at", range(0, 24, 3))
def test_closing_the_generator(data, whole, tmp_path, hurried, at):
    records = go(data, tmp_path / "run")
    next(r for r in records if r.step >= at)
    records.close()
    assert step_of(tmp_path / "run") == at
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


def test_closing_at_once_and_dropping(data, whole, tmp_path):
    "A generator that was never begun leaves nothing; one that is dropped is closed."
    go(data, tmp_path / "never").close()
    assert not (tmp_path / "never").exists()
    records = go(data, tmp_path / "run")
    next(records)
    del records
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_exception_thrown_where_the_loop_waits(data, whole, tmp_path, error):
    records = go(data, tmp_path / "run")
    next(r for r in records if r.step >= 12)
    with pytest.raises(error):
        records.throw(error)
    assert step_of(tmp_path / "run") >= 12
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


CALLS = ("next_batch", "batch_loss", "optimizer_step", "rank_batches", "ranks", "append_log", "save_state", "validation_due")
PLACES = [(name, when) for name in CALLS for when in ("before", "after")]


@pytest.mark.parametrize("number", [2, 4, 7])
@pytest.mark.parametrize(("name", "when"), [*PLACES, ("save_model", "after"), ("save_model", "before")])
def test_ctrl_c_in_the_middle_of_a_step(data, whole, tmp_path, monkeypatch, hurried, name, when, number):
    "In a notebook an interrupt may strike anywhere."
    home = next(module for module in (loop, training, run_folder, checkpoint) if hasattr(module, name))
    real, calls = getattr(home, name), []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == number and when == "before":
            raise KeyboardInterrupt
        result = real(*args, **kwargs)
        if len(calls) == number:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(home, name, interrupted)
    try:
        list(go(data, tmp_path / "run"))
        assert len(calls) < number, "it was not interrupted"
    except KeyboardInterrupt:
        monkeypatch.setattr(home, name, real)
        list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


def test_ctrl_c_before_the_last_best_model_is_saved(data, whole, tmp_path, monkeypatch, hurried):
    real, last = run_folder.save_model, max(r.step for r in read_log(whole) if r.saved)

    def interrupted(folder, model, vocab, about):
        if about["step"] == last > 0:
            raise KeyboardInterrupt
        real(folder, model, vocab, about)

    monkeypatch.setattr(run_folder, "save_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(go(data, tmp_path / "run"))
    monkeypatch.setattr(run_folder, "save_model", real)
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


@pytest.mark.parametrize("kind", RECIPES)
def test_the_model_that_is_kept_hangs_on_the_steps_alone(data, tmp_path, monkeypatch, kind):
    "With a length in steps, a machine a thousand times slower validates at the same steps and keeps the same model."
    for name, tick in (("fast", 1e-4), ("slow", .1)):
        ticking(monkeypatch.setattr, tick)
        list(go(data, tmp_path / name, eval_every=None, **RECIPES[kind]))
    told = [[(r.step, r.valid_mrr == r.valid_mrr, r.saved) for r in read_log(tmp_path / name)] for name in ("fast", "slow")]
    assert told[0] == told[1] and sum(measured for _, measured, _ in told[0]) > 9
    fast, slow = (load_tensors(tmp_path / name / MODEL)[0] for name in ("fast", "slow"))
    assert fast.keys() == slow.keys() and all(torch.equal(fast[name], slow[name]) for name in fast)


@pytest.mark.parametrize("place", ["AdamW.step", "Tensor.backward"])
@pytest.mark.parametrize("number", [1, 9])
def test_ctrl_c_between_the_weights_and_the_counter(data, whole, tmp_path, monkeypatch, hurried, place, number):
    "The weights have changed and the step is not counted: such a state must not be saved."
    owner = torch.optim.AdamW if place.startswith("AdamW") else torch.Tensor
    name, calls = place.split(".")[1], []
    real = getattr(owner, name)

    def interrupted(*args, **kwargs):
        result = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, interrupted)
        list(go(data, tmp_path / "run"))
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


def test_ctrl_c_during_the_first_save_leaves_a_folder_that_can_be_used(data, whole, tmp_path, monkeypatch):
    "The first state is saved before the first model, so that --resume can go on."

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_folder, "save_model", interrupted)
        next(go(data, tmp_path / "run"))
    assert step_of(tmp_path / "run") == 0                      # the state came first
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


def test_a_kill_between_the_first_model_and_the_first_state(data, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_state", interrupted)
        next(go(data, tmp_path / "run"))
    try:
        records = go(data, tmp_path / "run", resume=True)
        next(records)
    except checkpoint.UsageError:
        list(go(data, tmp_path / "run"))


def test_a_kill_while_the_log_is_trimmed(data, tmp_path, monkeypatch):
    list(go(data, tmp_path / "run"))
    before, real, calls = read_log(tmp_path / "run"), checkpoint.log_row, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(checkpoint, "log_row", interrupted)
    try:
        checkpoint.trim_log(tmp_path / "run", 24, LogRecord)
    except KeyboardInterrupt:
        pass
    assert [r.step for r in read_log(tmp_path / "run")] == [r.step for r in before]


def test_a_row_of_the_log_cut_short_is_written_again(data, whole, tmp_path, hurried):
    records = go(data, tmp_path / "run")
    next(r for r in records if r.step >= 13)
    records.close()
    log = tmp_path / "run" / run_folder.LOG
    log.write_text(log.read_text() + "14,24,0.1,9")
    list(go(data, tmp_path / "run", resume=True))
    same(whole, tmp_path / "run")


# ---- pausing, and the clock


def test_pausing_changes_nothing(data, whole, tmp_path, clock):
    for record in go(data, tmp_path / "run"):  # noqa: B007
        clock.now += 3600
    assert record.seconds < 60
    same(whole, tmp_path / "run")


def test_a_pause_uses_up_no_seconds(data, clock):
    clock.tick, ends = 0.01, []
    for pause in (0, 100):
        for record in go(data, None, steps=None, seconds=5):  # noqa: B007
            clock.now += pause
        ends.append((record.step, round(record.seconds, 2)))
    assert abs(ends[0][0] - ends[1][0]) <= 2 and ends[1][1] < 5.5


def test_closing_after_a_pause_uses_up_no_seconds(data, tmp_path, clock):
    clock.tick = 0.01
    records = go(data, tmp_path / "run", steps=None, seconds=20)
    record = next(r for r in records if r.step >= 20)
    clock.now += 3600
    records.close()
    saved = json.loads(load_tensors(tmp_path / "run" / STATE)[1]["seconds"])
    assert saved == pytest.approx(record.seconds, abs=0.1)
    assert len([r for r in go(data, tmp_path / "run", resume=True, steps=None, seconds=20) if r.step > record.step]) > 1


def test_signs_of_life_four_times_a_second_and_a_state_every_fifteen(data, tmp_path, clock, monkeypatch):
    "By a clock that moves a hundredth of a second at every look, a step takes a few of them."
    clock.tick, saves, real = 0.01, [], loop.save_state

    def save_state(run):
        saves.append(run.clock.seconds)
        real(run)

    monkeypatch.setattr(loop, "save_state", save_state)
    records = list(go(data, tmp_path / "run", steps=None, seconds=60, log_every=50, eval_every=None))
    gaps = [b.seconds - a.seconds for a, b in zip(records, records[1:], strict=False)]
    assert len(records) >= 4 * 60 and max(gaps) < 0.5
    assert sum(gaps) / len(gaps) <= 0.25
    between = [b - a for a, b in zip(saves, saves[1:], strict=False)]
    assert len(saves) >= 5 and max(between) < 16


def test_every_log_step_has_its_line(data, tmp_path):
    lines = [r for r in go(data, tmp_path / "run", steps=50, log_every=7, eval_every=20) if r.is_line]
    assert [r.step for r in lines] == [0, 7, 14, 20, 21, 28, 35, 40, 42, 49, 50]
    assert [r.step for r in read_log(tmp_path / "run")] == [r.step for r in lines]
    assert [r.step for r in lines if r.valid_mrr == r.valid_mrr] == [0, 20, 40, 50]


# ---- going on with a finished run


def test_a_finished_run_is_left_as_it_is(data, tmp_path):
    list(go(data, tmp_path / "run"))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert list(go(data, tmp_path / "run", resume=True)) == []
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_run_made_longer_stays_longer(tofy, trained):
    child = tofy.start("train", "--resume", "--steps", 100_000, "--out", "run")
    child.wait_for("\n400,", trained / run_folder.LOG)
    child.kill(signal.SIGINT)
    assert child.wait().code == 130
    result = tofy.start("train", "--resume", "--out", "run")
    result.wait_for("Going on")
    result.kill(signal.SIGINT)
    assert "is finished" not in result.wait().err
