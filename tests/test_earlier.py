"Runs made before the block had settings (plain feed-forward, base 100, a larger start) are read and go on as they were."

import json
from pathlib import Path

import pytest
import torch
from conftest import make_text

from tofy.checkpoint import SETTINGS, load_tables, load_tensors, save_tables, save_tensors
from tofy.data import load_data
from tofy.errors import UsageError
from tofy.plan import as_command, read_plan
from tofy.run_folder import EARLIER, LOG_COLUMNS, MODEL, STATE, load_model, read_log
from tofy.training import recipe, train

# What a run.toml held, and the header of its model, on the day before there were `feed_forward`, `rotary_base` and `init`.
RUN = """
[data]
source = "text.txt"
max_vocab = 4000
max_seq = 12
valid = 0.05
seed = 0
split = "none"
tokens = "unicode-2"
lower = true

[model]
dim = 16
layers = 2
heads = 2
dropout = 0.1
positions = "rotary"
predictor = "linear"
attend_padding = false
ngrams = 0

[train]
steps = 8
lr = 0.002
min_lr = 1e-05
warmup = 0.1
flat = 0.25
weight_decay = 0.1
clip = 1.0
log_every = 1
seed = 0
threads = 1
device = "cpu"
batch = 8
replacement = false
mask_mode = "rate"
mask_rate = 0.3
corrupt = [0.8, 0.1, 0.1]
unk_targets = false
random_specials = false
negatives = 0
temperature = 0.1
learn_temperature = true
mse_weight = 0.0
rank_weight = 1.0
smoothing = 0.1
aux_weight = 0.0
reduction = "sum"
target = "table"
target_loss = "cosine"
target_states = "last"
ema_decay = 0.996
spread = "none"
spread_weight = 1.0
eval_queries = 2000
best_by = "valid_mrr"
recipe = "tofy"
"""
CONFIG = dict(vocab_size=21, dim=16, layers=2, heads=2, max_seq=12, dropout=.1, positions="rotary", predictor="linear",
              attend_padding=False, ngrams=0)
NOTES = (dict(dropout=0., positions="sinusoidal", predictor="mlp", attend_padding=True),
         dict(lr=.0003, weight_decay=.01, clip=0., replacement=True, mask_mode="one", unk_targets=True,
              random_specials=True, negatives=32, learn_temperature=False, mse_weight=1., smoothing=0., aux_weight=.1,
              reduction="notes", best_by="acc_ema", recipe="notes"))
JEPA = {}, dict(corrupt=[1., 0., 0.], target="context", ema_decay=.999, recipe="jepa")
# What the program of that day logged for them: the loss at steps 0 to 8, and the held-out MRR at the end.
LOGGED = dict(
    tofy=({}, {}, [5.00489, 4.48904, 5.27709, 4.00033, 2.81034, 3.98134, 4.69361, 4.62831, 4.07523], .19854),
    notes=(*NOTES, [5.78386, 6.62489, 6.20932, 6.16481, 5.23257, 5.70785, 5.14589, 5.75714, 3.91455], .22432),
    jepa=(*JEPA, [.83225, .80556, .8798, .85377, .57467, .89222, .71523, .67414, .69876], .16715))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    "A folder with the text and, in `old`, the settings file of a run."
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(make_text())
    Path("old").mkdir()
    Path("old", SETTINGS).write_text(RUN)
    return tmp_path


def forget(folder: Path) -> None:
    "Make the folder of a run what it would have been then: nothing in it names the later settings."
    def of_then(told: dict) -> dict:
        return {name: value for name, value in told.items() if name not in (*EARLIER, "optimizer")}

    for name, keys in ((MODEL, ["config"]), (STATE, ["model", "train"])):
        tensors, header = load_tensors(folder / name)
        header |= {key: json.dumps(of_then(json.loads(header[key]))) for key in keys}
        if name == STATE:
            header["moments"] = json.dumps(list(json.loads(header["moments"])))      # their names alone
        save_tensors(folder / name, tensors, header)
    tables = load_tables(folder / SETTINGS)
    save_tables(folder / SETTINGS, {name: of_then(table) for name, table in tables.items()})


def old_run(out: str, stop: int | None = None) -> None:
    "A run from the old settings file, stopped after a step, in a folder such as it was then."
    plan = read_plan("old")
    records = train(load_data("text.txt", max_seq=12), plan.model, plan.train, out=out)
    for record in records:
        if record.step == stop and record.is_line:
            records.close()
            break
    forget(Path(out))
    assert json.loads(load_tensors(Path(out, MODEL))[1]["config"]).keys() == CONFIG.keys()
    assert load_tables(Path(out, SETTINGS))["model"].keys() == load_tables(Path("old", SETTINGS))["model"].keys()


def figures(folder: str) -> list[list[str]]:
    return [[str(getattr(r, c)) for c in LOG_COLUMNS if c != "seconds"] for r in read_log(folder)]


@pytest.mark.parametrize("kind", LOGGED)
def test_an_old_settings_file_trains_as_it_did(home, kind):
    model, changes, losses, mrr = LOGGED[kind]
    tables = load_tables(Path("old", SETTINGS))
    save_tables(Path("old", SETTINGS), tables | dict(model=tables["model"] | model, train=tables["train"] | changes))
    plan = read_plan("old")
    rows = [r for r in train(load_data("text.txt", max_seq=12), plan.model, plan.train) if r.is_line]
    assert [r.loss for r in rows] == pytest.approx(losses, rel=1e-3)
    assert rows[-1].valid_mrr == pytest.approx(mrr, rel=.01)


def test_an_old_run_is_resumed_filled_and_measured_with_its_own_block(home, tofy):
    old_run("whole")
    old_run("half", stop=4)
    resumed = tofy("train", "--resume", "--out", "half")
    assert resumed.code == 0 and "step      8" in resumed.out, resumed
    assert figures("half") == figures("whole")
    left, right = (load_tensors(Path(name, MODEL))[0] for name in ("half", "whole"))
    assert all(torch.equal(left[key], right[key]) for key in left | right)
    model, _, header = load_model("whole")
    assert not model.encoder.blocks[0].gated and model.encoder.blocks[0].attention.base == 100
    assert header["config"] == CONFIG | EARLIER
    assert tofy("fill", "whole", "the _ sat").code == tofy("eval", "whole").code == 0


def test_an_old_run_does_not_go_on_as_another_block(home):
    old_run("half", stop=4)
    model, config = recipe(dim=16, layers=2, heads=2, max_seq=12, dropout=.1, steps=8, batch=8, log_every=1, threads=1)
    with pytest.raises(UsageError, match="keeps its settings, but .*rotary_base, feed_forward, init, lr, optimizer differs"):
        list(train(load_data("text.txt", max_seq=12), model, config, out="half", resume=True))


def test_an_old_run_is_repeated_as_it_was_and_a_file_of_ones_own_is_of_today(home):
    plan = read_plan("old")
    assert {name: getattr(plan.model, name) for name in EARLIER} == EARLIER
    assert "--feed-forward gelu" in (words := as_command(plan, "old")) and "--init uniform" in words
    assert plan.train.optimizer == "adamw" and "--optimizer adamw" in words and recipe()[1].optimizer == "muon"
    Path("mine.toml").write_text("[model]\ndim = 64\ndropout = 0.2\n")
    mine, usual = read_plan("mine.toml").model, recipe()[0]
    assert all(getattr(mine, name) == getattr(usual, name) for name in EARLIER)
    tables = load_tables(Path("old", SETTINGS))
    save_tables("between.toml", tables | dict(model=tables["model"] | dict(feed_forward="geglu")))
    assert read_plan("between.toml").model.feed_forward == "geglu"


def test_a_run_starts_from_an_old_one_only_with_its_block(home):
    old_run("whole")
    data, same = load_data("text.txt", max_seq=12), dict(dim=16, layers=2, heads=2, max_seq=12, steps=1, threads=1)
    for changes, missing in (({}, "feed_forward gelu"), (dict(feed_forward="gelu"), "rotary_base 100")):
        with pytest.raises(UsageError, match=f"whole has {missing}.*to start from it, use"):
            list(train(data, *recipe(**same, **changes, init_from="whole")))
    list(train(data, *recipe(**same, feed_forward="gelu", rotary_base=100., init_from="whole")))   # init: no matter here


@pytest.mark.parametrize("positions", ("sinusoidal", "learned"))
def test_positions_that_are_added_must_be_as_loud(home, positions):
    "Where positions are added, `init` also says how much they are multiplied by, so it belongs to the model."
    data = load_data("text.txt", max_seq=12)
    same = dict(dim=16, layers=1, heads=2, max_seq=12, steps=1, threads=1, positions=positions)
    list(train(data, *recipe(**same, init="uniform"), out="run"))
    with pytest.raises(UsageError, match="run has init uniform, this run has normal"):
        list(train(data, *recipe(**same, init_from="run")))
    list(train(data, *recipe(**same, init="uniform", rotary_base=7., init_from="run")))   # nothing is turned
