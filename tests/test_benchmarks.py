"The benchmark and the search run, leave nothing behind, and count right."

import json
import math
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from benchmarks import gpu, jepa, report, search
from benchmarks.__main__ import flops, matmul_rate
from benchmarks.arms import ARMS, ours
from benchmarks.report import gpu_table, latest, load, plot_gpu, ratio, seconds_to, table
from tofy import encoder, layers, loop, training
from tofy.causes import Disguise
from tofy.data import load_data
from tofy.masking import Masked, all_blanks
from tofy.memory import Memory
from tofy.metrics import judge
from tofy.probes import labelled, word_features
from tofy.readout import blank_features
from tofy.vocab import MASK, SPECIALS

ROOT, DATA = Path(__file__).parents[1], load_data("builtin:200")
SMALL = dict(dim=16, layers=1, heads=2, batch=16)


@pytest.mark.parametrize("name", ["recipe", *search.CHANGES, "smoothing=0,positions=sinusoidal"])
def test_a_change_trains_and_is_taken_back(name):
    before = training.latent_loss, training.mask_batch, loop.optimizer_step, layers.F.gelu, F.scaled_dot_product_attention
    found = search.attempt(DATA, name, 0, 3, **SMALL)
    after = training.latent_loss, training.mask_batch, loop.optimizer_step, layers.F.gelu, F.scaled_dot_product_attention
    assert 0 < found["mrr"] < 1 and before == after
    assert "forward" not in vars(encoder.nn.Embedding(2, 2))


def test_an_unknown_change_is_a_sentence():
    with pytest.raises(SystemExit, match="no change 'magic'"):
        search.attempt(DATA, "magic", 0, 3)


@pytest.mark.parametrize("arm", [name for name in ARMS if name != "bert"])
def test_an_arm_reports_to_its_end(arm):
    seen = []
    small = {} if arm == "plain" else SMALL | (dict(heads=4) if arm == "notes" else {})
    ARMS[arm](DATA, 1.5, 0, lambda seconds, examples, scorer: seen.append((seconds, examples)), **small)
    seconds, examples = zip(*seen)
    assert list(seconds) == sorted(seconds) and examples[-1] > 0
    assert seconds[-1] > {"third": .3, "half": .5}.get(arm, .9) * (1.5 if arm not in ("third", "half") else 1)


def test_a_memory_is_built_within_the_time(monkeypatch):
    "By a clock that only moves when it is asked and with each blank: reading all blanks takes 3% of the time, then 40%."
    clock, own, words = [0.], blank_features, int(DATA.train.known().sum())
    monkeypatch.setattr("tofy.memory.PIECE", 256)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.__setitem__(0, clock[0] + 5e-4) or clock[0])
    for takes in (.03, .4):
        def slow(model, phrases, blanks, takes=takes):
            clock[0] += takes * len(blanks.rows) / words
            return own(model, phrases, blanks)

        monkeypatch.setattr("tofy.memory.blank_features", slow)
        seen = []
        ARMS["memory"](DATA, 1., 0, lambda at, examples, scorer, seen=seen: seen.append((at, scorer)), **SMALL)
        (*_, (before, _), (end, scorer)) = seen
        kept, = (cell.cell_contents for cell in scorer.__closure__ if isinstance(cell.cell_contents, Memory))
        assert len(kept) == words if takes < .1 else 256 <= len(kept) < words / 3
        assert .9 < end < 1.02 and before < end
        assert 0 < judge(scorer, DATA.valid, all_blanks(DATA.valid, 50), len(DATA.vocab))["mrr"] < 1


def test_operations_are_counted():
    "Without blocks there are two weight matrices: D × D and the table. Each takes a product forward and two backward."
    counted = flops(ours, DATA, 0, dict(SMALL, layers=0, positions="none"))
    blanks = counted / (3 * 2 * 16 * (16 + len(DATA.vocab) - len(SPECIALS)))
    words = DATA.train.known().float()
    assert blanks == pytest.approx((.3 * words + .7**words).mean().item(), rel=.1)
    torch.set_num_threads(1)
    assert matmul_rate() > 1e9


def test_table_and_ratio_by_hand():
    runs = [dict(arm=arm, seed=seed, mrr=mrr, top1=.5, examples_per_second=10., flops_per_example=1e9, matmul_gflops=20.,
                 peak_mb=100, curve=[(0, 0, 0.), (10, 1, mrr)])
            for seed in (0, 1) for arm, mrr in (("tofy", .5 + .1 * seed), ("bert", .5))]
    text = table(runs)
    assert "0.5500 ± 0.0707" in text and " 50% " in text and "1.10" in text
    middle, half, n = ratio(runs, "tofy", "bert")
    assert (round(middle, 6), n) == (1.1, 2) and math.isclose(half, 12.71 * .2 / 2**.5 / 2**.5, rel_tol=.01)
    assert seconds_to(runs[0], .25) == 5 and seconds_to(runs[0], .9) == math.inf


@pytest.mark.parametrize("arm", ["untied", "contrast", "bag"])
def test_an_arm_from_softmax_to_jepa_is_measured_and_leaves_nothing_behind(arm, monkeypatch):
    monkeypatch.setattr(jepa, "labelled", lambda vocab, n, *more: labelled(vocab, n // 10, *more))
    monkeypatch.setattr(jepa, "KINDS", ("ridge", "prototypes"))
    monkeypatch.setattr(jepa, "word_features", partial(word_features, width=64))
    before = training.LatentModel, training.latent_loss
    row = jepa.one(arm, 0, 2, "builtin:200", SMALL)
    assert before == (training.LatentModel, training.latent_loss)
    assert 0 < row["readouts"]["mrr"] < 1 and json.loads(json.dumps(row))["arm"] == arm
    assert ("native" in row) == (arm == "untied") and ("regret" in row) == (arm == "contrast")
    assert ("baselines" in row) == (arm == "bag") and "topic " + dict(bag="bag").get(arm, "hidden") in row["probes"]
    told = report.costs([row], arm)
    assert ("predictable" in report.errors_told([row], [arm])) == (arm == "contrast")
    assert ("own MRR" in told) == (arm == "untied") and ("ms a step" in told) == (arm != "bag")


def test_all_arms_from_softmax_to_jepa_hide_the_same_words():
    "Also those whose loss draws: random negatives, or the directions of SIGReg; and as a run without such draws does."
    data = load_data("builtin:200")
    def seen(run):
        batches, own = [], run.next_batch
        run.next_batch = lambda: batches.append(own()) or batches[-1]
        jepa.train(run, 3)
        return [batch.masked.inputs for batch in batches], batches[-1].negatives
    arms = {arm: seen(jepa.prepare(data, arm, 0, 3, SMALL)) for arm in ("cosine", "sampled", "sigreg")}
    settings = dict(corrupt=(1., 0., 0.), steps=3, seed=0, eval_every=10**9) | SMALL
    plain = seen(training.new_run(data, *training.recipe("tofy", **settings)))[0]
    for inputs, _ in arms.values():
        assert len(inputs) == 3 and all(map(torch.equal, inputs, plain))
    assert arms["sampled"][1].shape[1] == 32 and torch.equal(arms["sampled"][1], seen(jepa.prepare(data, "sampled", 0, 3, SMALL))[1])


def test_the_table_from_softmax_to_jepa_mixes_no_settings(tmp_path, monkeypatch, capsys):
    def row(mrr, **settings): return dict(arm="cosine", seed=0, steps=5, data="builtin", settings=settings, readouts=dict(mrr=mrr))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (row(.25), row(.75, lr=.001))))
    for more, mrr in (([], "0.250"), (["--set", "lr=0.001"], "0.750"), (["--set", "lr=0.1"], "")):
        argv = ["jepa", "--show", "--steps", "5", "--out", str(tmp_path / "rows.jsonl"), *more]
        monkeypatch.setattr("sys.argv", argv)
        jepa.main()
        lines = capsys.readouterr().out.splitlines()[1:]
        assert [line.split("\t")[2] for line in lines] == [mrr] * bool(mrr)


def test_with_spellings_the_true_word_is_asked_from_softmax_to_jepa(monkeypatch):
    monkeypatch.setattr(jepa, "labelled", lambda vocab, n, *more: labelled(vocab, n // 10, *more))
    monkeypatch.setattr(jepa, "KINDS", ("ridge",))
    worn = Disguise(2)
    spellings = [*SPECIALS, *worn.spelt["london"], *worn.spelt["you"], "."]
    classes = jepa.true_words(spellings, worn)
    assert classes.tolist() == [0, 1, 2, 3, 3, 4, 4, 5]
    shares = jepa.in_words(torch.tensor([[9., 9, 9, 1, 2, 0, 3, 0]]), classes)
    e = [math.exp(x) for x in (1, 2, 0, 3, 0)]
    assert shares[0].tolist() == pytest.approx([0, 0, 0, (e[0] + e[1]) / sum(e), (e[2] + e[3]) / sum(e), e[4] / sum(e)])
    row = jepa.one_disguised("cosine", 0, 2, "builtin:200:0:2", SMALL)
    assert 0 < row["native"]["mrr"] < 1 and 0 < row["readouts"]["mrr"] < 1 and "act hidden" in row["probes"]


def test_rows_from_softmax_to_jepa_by_hand():
    "Means, spreads and verdicts over the seeds that are there; what is missing is a dash or left out, never an error."
    def row(arm, seed, read, **more): return dict(arm=arm, seed=seed, readouts={"mrr": read, "linear hidden": read}, **more)
    rows = [row("tied", 0, .6, native=dict(mrr=.60, top1=.5), step_ms=40.), row("tied", 1, .7, native=dict(mrr=.64, top1=.5), step_ms=60.),
            row("context", 0, .5, gauges=[dict(spread=.2), dict(spread=.9)], r2=dict(rank=77.4)), row("context", 1, .58),
            row("bag", 0, .52, baselines=dict(chance=.01, unigram=.16, best=.8)), dict(arm="tied", cpu_ms=45.)]
    assert report.by_seed(rows, "context", "gauges/last/spread") == {0: .9} and report.by_seed(rows, "none", "r2/rank") == {}
    assert report.gain(rows, "context", "tied", report.READ) == (pytest.approx(-.11), pytest.approx(.02**.5 / 10), 2)
    assert report.verdict(rows, "context", "tied") == "context is behind tied: −.110 ± .014 (2 seeds)"
    assert report.verdict(rows, "bag", "context") == "bag is ahead of context: +.020 (1 seed)"
    assert report.verdict(rows, "bag", "frozen") == "bag and frozen: not measured yet"
    assert "own MRR .620, through the readout .650, 45 ms" in report.costs(rows, "tied")
    assert report.seeds_there(rows, ["tied", "context", "bag"]) == "Seeds: 2 for tied, context; 1 for bag."
    head, _, tied, context, bag = report.arms_table(rows, ["tied", "frozen", "context", "bag"]).splitlines()
    assert tied == "| tied | .620<br>±.028<br>.500 | .650<br>±.071 | – | –<br>–<br>– | 45 |" and "| .90 |" in context and "77" in context
    assert all(line.count("|") == head.count("|") for line in (tied, context, bag)) and report.short(-.004, 2) == ".00"
    ax = report.plot_arms(rows, ["tied", "frozen", "context", "bag"])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["tied", "context", "bag"]
    worn = [row("tied", 0, .4, native=dict(mrr=.3), probes={"act hidden": .7}, data="builtin:3700:0:16", steps=800)]
    some = [r | dict(data="builtin", steps=800) for r in rows] + worn
    assert {s: len(each) for s, each in report.by_spellings(some).items()} == {1: 6, 16: 1}
    left, act, slot = report.plot_spellings(some, ["tied", "bag"])
    assert [list(line.get_xdata()) for line in left.lines[:2]] == [[1, 16], [1, 16]] and len(act.lines) == 1 and not slot.lines
    assert "best possible" in [t.get_text() for t in ax.texts] and "chance" not in [t.get_text() for t in ax.texts]


def numbers(value) -> list[float]:
    "Every number in a row, however deep."
    if isinstance(value, dict):
        value = list(value.values())
    return [n for v in value for n in numbers(v)] if isinstance(value, list) else [value] * isinstance(value, (int, float))


@pytest.mark.slow                                           # minutes; benchmarks/gpu.sh runs the same where a card is
def test_everything_for_a_graphics_card_runs_at_a_toy_size(tmp_path):
    "Each part in its own process, as on a card; what they find is finite, right, and can be drawn."
    file = tmp_path / "gpu.jsonl"
    assert gpu.main(["--toy", "--device", "cpu", "--out", str(file)]) == 0
    rows = load(file)
    for part in gpu.PARTS:
        mine = [row for row in rows if row["part"] == part]
        assert mine[-1]["name"] == "end" and mine[-1]["rows"] == len(mine) - 1 > 0 and not mine[-1]["cut"]
        assert all(math.isfinite(n) for row in mine for n in numbers(row)), mine
    assert [row["ok"] for row in rows if "ok" in row] == [True] * 6
    backend, = (row["backend"] for row in rows if row["part"] == "processes" and row["name"] != "end")
    assert "gloo" in backend
    assert {row["name"] for row in rows if row["part"] == "quality"} == {"tofy", "bert", "modernbert", "end"}
    assert len(plot_gpu(rows).axes[0].patches) == 4 and gpu_table(rows).count("\n") == len(rows) - 1
    older = [row | dict(began="2000") for row in rows]
    assert latest(older + rows) == rows


def test_a_part_that_fails_or_takes_too_long_says_so():
    "Its last line does, and what came before is kept."
    o = gpu.options(["--toy", "--device", "cpu"])
    *_, end = gpu.run_part(o, "quality", .2)
    assert end["cut"] and end["error"] is None and end["rows"] == 0
    *rows, end = gpu.run_part(gpu.options(["--toy", "--device", "nowhere"]), "decoder", 120)
    assert not rows and not end["cut"] and "nowhere" in end["error"]


def test_the_plan_fits_in_eight_minutes(capsys):
    assert gpu.main(["--dry-run"]) == 0
    *parts, whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [part["part"] for part in parts] == list(gpu.PARTS) and whole["limit"] == sum(p["limit"] for p in parts) <= 480
    assert gpu.results_file("NVIDIA H100 80GB HBM3").name == "gpu-nvidia-h100-80gb-hbm3.jsonl"


@pytest.mark.slow
def test_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "benchmarks", "builtin:300", "--seconds", "2", "--arms", "tofy", "plain", "--seeds",
                           "0", "--out", tmp_path / "runs.jsonl", "--plot", tmp_path / "runs.png"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [r["arm"] for r in runs] == ["tofy", "plain"] and (tmp_path / "runs.png").stat().st_size > 5000
    assert all({"mrr", "examples_per_second", "peak_mb", "baselines", "flops_per_example"} <= r.keys() for r in runs)


@pytest.mark.parametrize("arm", ["modern", "electra", "hybrid"])
def test_a_rival_reports_to_its_end_and_a_pair_only_reorders_its_short_list(arm):
    from benchmarks import rivals

    pytest.importorskip("transformers")
    seen = []
    rivals.ARMS[arm](DATA, 0.3, 0, lambda *told: seen.append(told), dim=16, layers=1, heads=2)
    seconds, examples, score = seen[-1]
    assert seconds >= 0.3 and examples > 0 and [told[0] for told in seen] == sorted(told[0] for told in seen)
    ids = DATA.valid.batch(torch.arange(3))
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, 1] = True
    questions = Masked(ids.masked_fill(mask, MASK), mask, ids[mask])
    scores = score(questions)
    assert scores.shape == (3, len(DATA.vocab))
    if arm == "modern":                                              # its dropout ends with its training
        rivals.ARMS[arm](DATA, 0.3, 0, lambda *told: seen.append(told), dim=16, layers=1, heads=2, dropout=0.5)
        assert seen[-1][2](questions).equal(seen[-1][2](questions))
    if arm == "electra":
        plain, moved = score.func(0.0, questions), score.func(1.0, questions)
        assert plain.topk(10).indices.sort().values.equal(moved.topk(10).indices.sort().values)
        assert plain.topk(10).values[:, -1].lt(moved.topk(10).values[:, -1]).all()


def test_from_left_to_right_nothing_is_seen_of_what_comes_later():
    from benchmarks.peers import make_model

    pytest.importorskip("transformers")
    model = make_model("modern", 20, 8, 16, 2, 2, 0.0).eval()
    keep = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    with torch.no_grad():
        a, b = (model.model(input_ids=x, attention_mask=dict(full_attention=keep, sliding_attention=keep)).last_hidden_state
                for x in (ids, ids.clone().index_fill_(1, torch.tensor([4, 5]), 9)))
    assert torch.allclose(a[:, :4], b[:, :4], atol=1e-6) and not torch.allclose(a[:, 4:], b[:, 4:], atol=1e-3)


def test_what_is_lost_adds_up_by_how_sure_and_by_kind():
    "Four blanks by hand: of the two that the best possible predictor gets right the model misses one."
    from benchmarks.kinds import SURE, by_group
    words = ["tea", "milk", "paris", "rome"]
    questions = [("tea", "tea", .99), ("milk", "milk", .99), ("paris", "rome", .6), ("rome", "paris", .1)]
    found = by_group(questions, ["tea", "tea", "rome", "rome"], words)
    assert found["sure (.95 or more)"] == dict(blanks=2, best=1., model=.5, lost=25.)
    assert found["likely (.5 to .95)"]["lost"] == 0 and found["wide open (less)"] == dict(blanks=1, best=0., model=1., lost=-25.)
    assert sum(found[name]["lost"] for name in SURE if name in found) == sum(g["lost"] for name, g in found.items() if name not in SURE) == 0
