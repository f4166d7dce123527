"""Kept checkpoints: the same set whatever interrupted the run, each the model of its log line, each known by a name."""

import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import make_text

from tofy import checkpoint as store
from tofy.crowding import frames, load_frames
from tofy.data import load_data
from tofy.errors import RunError, UsageError
from tofy.history import checkpoints, due, epoch_table, read_checkpoint, run_of
from tofy.inference import evaluate_run, load
from tofy.lab import training as lab
from tofy.lab.decoder import DecoderConfig
from tofy.lab.stretches import ask_by
from tofy.lab.surgery import kin_of
from tofy.lab.writing import load_decoder
from tofy.run_folder import LogRecord, read_log
from tofy.terminal import in_epochs
from tofy.training import TrainConfig, recipe, train

KINDS = "latent", "decoder"
SIZES = dict(batch=8, steps=24, log_every=4, eval_every=12, lr=.005, keep="every:5", threads=1)


@pytest.fixture(scope="module")
def latent_data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(make_text())
    return load_data(path, max_seq=12)


@pytest.fixture(scope="module")
def texts():
    return lab.load_texts("builtin:60")


@pytest.fixture(scope="module")
def go(latent_data, texts):
    "Train one kind of run with changes to its settings; its records."
    def start(kind, folder, resume=False, overwrite=False, **changes):
        told = SIZES | changes
        if kind == "latent":
            configs = recipe(**told | dict(dim=16, layers=1, heads=2))
            return train(latent_data, *configs, folder, resume, overwrite)
        config = lab.TextConfig(**told | dict(seconds=None, sample=0))
        return lab.train(texts, DecoderConfig(dim=16, layers=1, heads=2, context=16), config, folder, resume, overwrite)
    return start


@pytest.fixture(scope="module")
def kept(go, tmp_path_factory):
    "A finished run of each kind, with checkpoints of steps 5, 10, 15 and 20."
    home = tmp_path_factory.mktemp("kept")
    for kind in KINDS:
        list(go(kind, home / kind))
    return home


def files(kind):
    return f"model_{kind}.safetensors", f"state_{kind}.safetensors"


def contents(folder):
    return {step: store.load_tensors(folder / store.kept_name(step)) for step in store.kept_steps(folder)}


def alike(one, other):
    one, other = contents(one), contents(other)
    assert one.keys() == other.keys()
    for step, (tensors, texts) in one.items():
        assert all(torch.equal(t, other[step][0][name]) for name, t in tensors.items()) and texts == other[step][1]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_keeps_the_same_set(go, kept, tmp_path, hurried, kind):
    "While the loop waits, its folder is what `kill -9` would leave."
    copies = []
    for number, _ in enumerate(go(kind, tmp_path / "whole", keep_last=3)):
        copies.append(shutil.copytree(tmp_path / "whole", tmp_path / f"copy{number}"))
    assert store.kept_steps(tmp_path / "whole") == [10, 15, 20]
    for copy in copies[::7]:
        list(go(kind, copy, resume=True, keep_last=3))
        alike(tmp_path / "whole", copy)
    assert checkpoints(kept / kind) == [f"{kept / kind}@{step}" for step in (5, 10, 15, 20)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_is_not_kept_by_an_interrupted_run_is_written_again(go, tmp_path, clock, kind):
    "The last state is of step 0, and the checkpoints are newer: they are removed with the log lines, and come again."
    records = go(kind, tmp_path / "run")
    next(r for r in records if r.step == 15 and r.is_line)
    dead = shutil.copytree(tmp_path / "run", tmp_path / "dead")
    records.close()
    resumed = go(kind, dead, resume=True)
    assert next(resumed).step == 0 and store.kept_steps(dead) == []
    list(resumed)
    list(go(kind, tmp_path / "run", resume=True))
    alike(tmp_path / "run", dead)


def test_a_checkpoint_measures_what_the_log_says(kept):
    at = {r.step: r for r in read_log(kept / "latent")}
    for step in (5, 10, 15, 20):
        assert evaluate_run(f"{kept / 'latent'}@{step}")["mrr"] == pytest.approx(at[step].valid_mrr, abs=1e-6)
        assert load(f"{kept / 'latent'}@{step}").header["step"] == step
    log = {r.step: r.valid_loss for r in store.read_records(kept / "decoder", lab.TextRecord)}
    for step in (5, 10, 15, 20):
        data = lab.load_run(f"{kept / 'decoder'}@{step}")[0]
        writer = load_decoder(f"{kept / 'decoder'}@{step}")
        assert lab.measure_loss(writer, data.valid, data.valid_bytes)["loss"] == pytest.approx(log[step], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_best_and_last_are_names(kept, kind):
    run, names = kept / kind, files(kind)
    best, last = (read_checkpoint(f"{run}@{which}", *names) for which in ("best", "last"))
    assert best[1] == read_checkpoint(run, *names)[1]
    assert last[1]["step"] == "24" and last[0].keys() == best[0].keys()
    state = store.load_tensors(run / names[1])[0]
    assert all(torch.equal(t, state[f"model.{name}"]) for name, t in last[0].items() if name != "vocab.counts")
    with pytest.raises(UsageError, match="it has those of steps 5, 10, 15, 20, and best and last"):
        read_checkpoint(f"{run}@7", *names)


def test_a_folder_of_that_very_name_wins(kept, tmp_path):
    shutil.copytree(kept / "decoder", tmp_path / "run")
    shutil.copytree(kept / "decoder", tmp_path / "run@5")
    assert load_decoder(tmp_path / "run@5").about["step"] == load_decoder(kept / "decoder").about["step"] != 5
    assert run_of(tmp_path / "run@5") == tmp_path / "run@5" and run_of(tmp_path / "run@10") == tmp_path / "run"
    with pytest.raises(UsageError, match="There is no decoder in"):
        load_decoder(tmp_path / "other@5")
    with pytest.raises(UsageError, match="There is no folder"):
        load(tmp_path / "other@5")


def test_checkpoints_of_a_run_are_kin(kept):
    young, old = (kin_of(load_decoder(f"{kept / 'decoder'}@{step}")) for step in (5, 20))
    assert young.run == old.run and (young.steps, old.steps) == (5, 20) and young.hash != old.hash


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_run_in_the_folder_takes_the_old_checkpoints_away(go, kept, tmp_path, kind):
    run = shutil.copytree(kept / kind, tmp_path / "run")
    list(go(kind, run, overwrite=True, steps=4, keep=None))
    assert store.kept_steps(run) == [] and store.kinds_in(run) == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_a_strangers_file_is_not_replaced(go, tmp_path, kind):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model_000005.safetensors").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds a model_000005.safetensors that no run of tofy wrote"):
        next(go(kind, tmp_path / "run"))
    assert (tmp_path / "run" / "model_000005.safetensors").read_bytes() == b"mine"


def test_a_damaged_checkpoint_is_told(kept, tmp_path):
    run = shutil.copytree(kept / "latent", tmp_path / "run")
    path = run / "model_000010.safetensors"
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(RunError, match="model_000010"):
        load(f"{run}@10")
    assert load(f"{run}@5") and load(run)


def test_the_film_is_that_of_the_checkpoints(kept):
    found = list(frames(kept / "latent"))
    log = {r.step: r.valid_mrr for r in read_log(kept / "latent")}
    assert [f.step for f in found] == [5, 10, 15, 20] and [f.mrr for f in found] == [log[s] for s in (5, 10, 15, 20)]
    assert load_frames(kept / "latent").step.tolist() == [5, 10, 15, 20] and load_frames(kept / "decoder") is None


def test_keeping_changes_nothing_else(go, kept, tmp_path):
    "The weights at the end are those of a run that keeps nothing; and the setting may change in a resumed run."
    list(go("latent", tmp_path / "run", keep=None))
    one, other = (store.load_tensors(folder / files("latent")[1])[0] for folder in (kept / "latent", tmp_path / "run"))
    assert all(torch.equal(t, other[name]) for name, t in one.items())
    list(go("latent", tmp_path / "run", resume=True, keep=3, steps=30))
    assert store.kept_steps(tmp_path / "run") == [30]


def test_keeping_by_time():
    "A run that is given seconds keeps so many at equal shares of its time, however many steps fit in."
    run = SimpleNamespace(config=TrainConfig(seconds=10., keep=4), step=0)
    shares = [i / 90 for i in range(91)]
    assert [round(b * 90) for a, b in zip(shares, shares[1:]) if due(run, a, b)] == [23, 45, 68, 90]


def test_epochs_are_steps(latent_data, texts):
    n = len(latent_data.train)
    config = in_epochs(TrainConfig(batch=8), latent_data, None, 3, {})
    assert (config.steps, config.seconds) == (3 * -(-n // 8), None)
    assert in_epochs(TrainConfig(), latent_data, None, .001, {}).steps == 1
    shape, short = DecoderConfig(context=16), lab.TextConfig(batch=4, accumulate=2)
    assert in_epochs(short, texts, shape, 2, {}).steps == math.ceil(2 * (len(texts.train) - 1) / (4 * 2 * 16))
    windows = ask_by(texts, 16)
    assert in_epochs(short, windows, shape, 2, {}).steps == math.ceil(2 * len(windows.index) / 8)
    for given in (dict(steps=5), dict(seconds=2.)):
        with pytest.raises(UsageError, match="either epochs or"):
            in_epochs(short, texts, shape, 2, given)
    with pytest.raises(UsageError, match="above 0"):
        in_epochs(short, texts, shape, 0, {})


def test_the_log_by_epoch(go, latent_data, tmp_path):
    each = -(-len(latent_data.train) // 8)
    log = [r for r in go("latent", tmp_path / "run", steps=2 * each + 3, keep="epochs", eval_every=1000) if r.is_line]
    assert store.kept_steps(tmp_path / "run") == [each, 2 * each]
    rows = [row.split() for row in epoch_table(log).splitlines()[1:]]
    assert [row[0] for row in rows] == ["1.00", "2.00", f"{2 + 3 / each:.2f}"]
    assert [int(row[1]) for row in rows] == [each, 2 * each, 2 * each + 3]
    assert all(len(row) == 6 for row in rows)                                   # each epoch was validated at its end
    assert epoch_table([replace(r, epoch=math.nan) for r in read_log(tmp_path / "run")]).count("\n") == 0
    assert LogRecord(0, 0, 0., 0, 0.).epoch != LogRecord(0, 0, 0., 0, 0.).epoch      # unknown in an older log


def test_from_the_command_line(tofy, tmp_path):
    options = ["builtin:60", "--dim", 16, "--layers", 1, "--heads", 2, "--context", 16, "--batch", 16, "--sample", 0,
               "--threads", 1, "--out", "run"]
    made = tofy("lab", "train", *options, "--epochs", 2, "--keep", "epochs")
    assert made.code == 0 and "Keeping checkpoints: 2 of" in made.err and "An epoch takes" in made.err
    steps = store.kept_steps(tmp_path / "run")
    assert len(steps) == 2 and "   epoch " in made.err
    rows = tofy("lab", "grid", "run@all", "--tokens", 3, "--json").json["rows"]
    assert set(rows[0]) == {"prompt", *(f"run@{step}" for step in steps)}
    assert tofy("lab", "generate", f"run@{steps[0]}", "i", "--tokens", 2).code == 0
    assert tofy("lab", "loss", "run@last", "--json").json["loss"] > 0
    assert "same run" in tofy("lab", "compare", f"run@{steps[0]}", f"run@{steps[1]}").out
    tofy("lab", "loss", "run@1").says(2, "has kept no checkpoint of step 1")
    tofy("lab", "grid", "nowhere@all").says(2, "names no kept checkpoint")
    tofy("lab", "train", *options, "--overwrite", "--epochs", 2, "--steps", 3).says(2, "either epochs or steps")
    tofy("lab", "train", *options, "--overwrite", "--keep", "often").says(2, "every:500")
    more = tofy("lab", "train", "--resume", "--out", "run", "--epochs", 3)
    assert more.code == 0 and len(store.kept_steps(tmp_path / "run")) == 3


def test_the_latent_commands_take_a_checkpoint(tofy, tmp_path, kept):
    shutil.copytree(kept / "latent", tmp_path / "run")
    log = {r.step: r.valid_mrr for r in read_log(tmp_path / "run")}
    assert tofy("eval", "run@10", "--json").json["mrr"] == pytest.approx(log[10], abs=1e-5)
    first, last = (tofy("fill", f"run@{which}", "the _ sat", "--json").json["answers"][0] for which in ("5", "last"))
    assert first != last
    assert tofy("diff", "run@best", "the _ sat => cat").code == 0
    tofy("diff", "run@7", "the _ sat => cat").says(2, "has kept no checkpoint of step 7")
    tofy("diagnose", "run@10").says(2, "name run,")
