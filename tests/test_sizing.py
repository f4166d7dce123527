"Sizes: counted against built models, enumeration, torch's profiler and figures worked by hand."
import itertools
import json
import math
import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy.data import load_data, pack
from tofy.encoder import LatentModel, ModelConfig, count_parameters
from tofy.errors import UsageError
from tofy.masking import choose_blanks
from tofy.sizing import (
    PRESETS,
    SIZES,
    Probe,
    activations,
    advise,
    askable,
    blanks_a_step,
    expected_blanks,
    learns_temperature,
    memory,
    notes_rule,
    parameters,
    passes,
    preset,
    probe,
    profile_step,
    steps_for,
    suggest,
    survey,
)
from tofy.training import TrainConfig, new_run, recipe
from tofy.vocab import SPECIALS, UNK, Vocab

CASES = dict(deadline=None, derandomize=True, max_examples=60)
builtin = load_data("builtin:300")


def data_of(rows: list[list[int]], V: int = len(builtin.vocab)):
    "Data of these phrases and a vocabulary of V words."
    words = Vocab(SPECIALS + tuple(f"w{i}" for i in range(V - 3)), (0, 0, 0) + (1,) * (V - 3))
    return replace(builtin, vocab=words, train=pack(rows), valid=pack(rows[:2]))


def random_rows(n: int, shortest: int, longest: int, V: int) -> list[list[int]]:
    "Phrases of random words and lengths."
    torch.manual_seed(0)
    lengths = torch.randint(shortest, longest + 1, (n,)).tolist()
    return [torch.randint(3, V, (length,)).tolist() for length in lengths]


# parameters

@settings(**CASES)
@given(V=st.integers(4, 60), each=st.integers(1, 9), heads=st.integers(1, 4), layers=st.integers(0, 4),
       max_seq=st.integers(1, 20), positions=st.sampled_from(["sinusoidal", "learned", "rotary", "none"]),
       predictor=st.sampled_from(["identity", "linear", "mlp", "queries"]), learnt=st.booleans(),
       feed_forward=st.sampled_from(["geglu", "gelu"]))
def test_the_count_is_that_of_the_built_model(V, each, heads, layers, max_seq, positions, predictor, learnt, feed_forward):
    each += positions == "rotary" and each % 2  # numbers are turned in pairs
    config = ModelConfig(V, each * heads, layers, heads, max_seq, positions=positions, predictor=predictor,
                         feed_forward=feed_forward)
    model, count = LatentModel(config), parameters(config, learnt)
    model.log_temperature.requires_grad_(learnt)
    assert sum(count.values()) == count_parameters(model)
    assert count["table"] == model.table.numel()
    assert count["predictor"] == sum(p.numel() for p in model.predictor.parameters())
    norms = [m for m in model.encoder.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert count["norms"] == sum(p.numel() for m in norms for p in m.parameters())


def test_five_rows_of_four_numbers_by_hand():
    attention = (4 * 12 + 12) + (4 * 4 + 4)
    gated, plain = (4 * 2 * 8 + 2 * 8) + (8 * 4 + 4), (4 * 16 + 16) + (16 * 4 + 4)
    for kind, inside in dict(geglu=gated, gelu=plain).items():
        count = parameters(ModelConfig(vocab_size=5, dim=4, layers=1, heads=1, feed_forward=kind))
        assert count == dict(table=20, positions=0, blocks=attention + inside, norms=24, predictor=20, temperature=1)


def test_the_two_sizes_that_the_notes_report():
    assert notes_rule(ModelConfig(2385, 128, 2)) == 731_520
    assert round(notes_rule(ModelConfig(2385, 240, 3)) / 1e6, 4) == 2.7617


@settings(**CASES)
@given(V=st.integers(4, 9000), dim=st.integers(1, 64).map(lambda n: 4 * n), layers=st.integers(0, 6))
def test_what_the_notes_rule_leaves_out(V, dim, layers):
    "Of a two-layer predictor: 9D of biases and 4D of norms a plain block, the final norm, the temperature."
    config = ModelConfig(V, dim, layers, predictor="mlp", feed_forward="gelu")
    assert sum(parameters(config).values()) - notes_rule(config) == 13 * dim * layers + 2 * dim + 1
    gated = ModelConfig(V, 6 * dim, layers, predictor="mlp")                 # 8/3 of it is a multiple of eight: W
    biases = 5 * gated.dim + 2 * 16 * dim
    assert sum(parameters(gated).values()) - notes_rule(gated) == (biases + 4 * gated.dim) * layers + 2 * gated.dim + 1


def test_presets_against_the_figures_of_the_list_of_errors():
    assert round(notes_rule(preset("256, 4 layers, 16k")[0]) / 1e6, 1) == 7.4
    assert round(notes_rule(preset("280, 5 layers, 16k")[0]) / 1e6, 1) == 9.3
    for name in PRESETS:
        small, large = (sum(parameters(c).values()) for c in preset(name))
        assert small <= large


# effective examples and passes

@settings(**CASES)
@given(n=st.integers(0, 7), rate=st.floats(0, 1))
def test_expected_blanks_by_going_through_every_outcome(n, rate):
    total = 0.
    for hidden in itertools.product((False, True), repeat=n):
        chance = math.prod(rate if h else 1 - rate for h in hidden)
        total += chance * max(sum(hidden), min(n, 1))
    assert expected_blanks(n, recipe(mask_rate=rate)[1]).item() == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("rate", (.05, .3, .9))
def test_masking_makes_as_many_blanks_as_expected(rate):
    ids = torch.tensor([[3, 4, UNK, 5, 0, 0]] * 20_000)
    made = choose_blanks(ids, torch.Generator().manual_seed(0), "rate", rate).sum().item() / len(ids)
    assert made == pytest.approx(expected_blanks(3, recipe(mask_rate=rate)[1]).item(), abs=.02)


def test_unknown_words_are_asked_for_under_the_notes_recipe_only():
    data = data_of([[3, UNK, 4], [UNK, 5]])
    assert askable(data).tolist() == [2, 1] and askable(data, True).tolist() == [3, 2]
    assert blanks_a_step(data, recipe("notes", batch=2)[1]) == 2


def test_passes_of_a_tiny_example():
    "Three and five words, both phrases a step: 2 questions of 8, or 1.625 + 2.53125 with rate a half."
    data = data_of([[3, 4, 5], [3, 4, 5, 6, 7]])
    assert passes(data, recipe(mask_mode="one", batch=2)[1], 4) == dict(phrases=4, blanks=1)
    assert passes(data, recipe(mask_rate=.5, batch=2)[1], 1)["blanks"] == pytest.approx(4.15625 / 8)
    assert passes(data, recipe(mask_mode="one", batch=3, replacement=True)[1], 4) == dict(phrases=6, blanks=1.5)


@settings(**CASES)
@given(n=st.floats(.01, 50), batch=st.integers(1, 400), rate=st.floats(0, 1), over=st.sampled_from(["blanks", "phrases"]))
def test_steps_for_is_the_fewest_that_suffice(n, batch, rate, over):
    config = recipe(batch=batch, mask_rate=rate)[1]
    steps = steps_for(n, builtin, config, over)
    assert passes(builtin, config, steps)[over] >= n * (1 - 1e-6)
    assert passes(builtin, config, steps - 1)[over] < n


def test_the_notes_own_lines():
    "240,000 examples at batch 16: 5 to 10 passes are 75k to 150k steps (here: 2,400 positions, a hundredth)."
    data, config = data_of([[3] * 8] * 300), recipe("notes")[1]
    assert [steps_for(n, data, config) for n in (5, 10)] == [750, 1500]


@pytest.mark.parametrize("n, over", ((0, "blanks"), (-1, "blanks"), (float("nan"), "phrases"), (5, "words")))
def test_impossible_passes(n, over):
    with pytest.raises(UsageError, match="n must be above 0, and over must be"):
        steps_for(n, builtin, recipe()[1], over)


# suggestion

def test_the_suggestion_is_a_model_that_can_be_built_and_grows_with_the_data():
    for _, dim, layers in SIZES:
        assert ModelConfig(10, dim, layers, dim // 32).dim == dim
    row, sizes = [3, 4, 5, 6] * 18, []
    for n in (1, 100, 5000, 45_000):
        config, why = suggest(data_of([row] * n))
        assert config.max_seq == builtin.settings["max_seq"] and f"{72 * n:,} effective examples" in why
        sizes.append(sum(parameters(config).values()))
    assert sizes == sorted(sizes) and len(set(sizes)) == 3


# memory

FULL = dict(   # recipe, changes; phrases (whole batches), their lengths, words
    default=("tofy", dict(batch=64), (64, 5, 20, 1149)),
    notes=("notes", {}, (64, 5, 20, 2385)),
    notes_many_words=("notes", dict(dim=64), (16, 5, 20, 20_000)),
    wide=("tofy", dict(batch=128, dim=512, layers=3), (128, 5, 14, 4000)),
    long=("tofy", dict(max_seq=256, batch=8), (64, 250, 256, 2000)),
    large_batch=("tofy", dict(batch=256, dim=64), (256, 5, 20, 3000)),
    fixed_temperature=("tofy", dict(batch=256, dim=32, layers=1, learn_temperature=False), (256, 5, 20, 5000)),
    many_words=("tofy", dict(batch=8), (64, 5, 12, 16_000)),
    shared_rivals=("tofy", dict(batch=32, dim=32), (64, 25, 30, 21_000)),
    shared_rivals_few_blanks=("tofy", dict(batch=32, dim=32), (64, 5, 20, 21_000)),
    one_blank=("tofy", dict(batch=64, mask_mode="one", layers=4), (64, 5, 20, 1149)),
    rivals=("tofy", dict(batch=64, negatives=32), (64, 5, 20, 1149)),
    rivals_many_words=("tofy", dict(batch=64, negatives=32), (64, 5, 20, 15_000)),
    plain=("tofy", dict(batch=64, dropout=0., learn_temperature=False, predictor="identity", layers=1), (64, 5, 20, 1149)),
    sinusoidal=("tofy", dict(batch=64, positions="sinusoidal"), (64, 5, 20, 1149)),
    plain_feed_forward=("tofy", dict(batch=64, feed_forward="gelu"), (64, 5, 20, 1149)),
    plain_wide=("tofy", dict(batch=128, dim=512, layers=3, feed_forward="gelu"), (128, 5, 14, 4000)),
    long_rotary=("tofy", dict(positions="rotary", max_seq=256, batch=8, layers=4), (64, 250, 256, 2000)),
    deep=("tofy", dict(batch=32, layers=6, dim=64, predictor="mlp", positions="learned"), (64, 30, 40, 1000)),
    no_turns=("tofy", dict(batch=64, positions="none", smoothing=0.), (64, 5, 20, 1149)),
    shared_rivals_unsmoothed=("tofy", dict(batch=32, smoothing=0.), (64, 25, 30, 21_000)),
    many_words_many_blanks=("tofy", dict(batch=256, dim=64, layers=1), (256, 5, 12, 16_000)),
    three_terms=("tofy", dict(batch=64, mse_weight=1., aux_weight=.1, target="ema"), (64, 5, 20, 2000)))


@pytest.mark.parametrize("name", FULL)
def test_memory_is_what_the_profiler_counts(name):
    "Within 20%: gradients, activations, ranking and workspace; weights and moments to the byte."
    which, changes, (n, shortest, longest, V) = FULL[name]
    model, config = recipe(which, steps=10, dropout_after=0., **changes)      # dropout from the first step on
    data = data_of(random_rows(n, shortest, longest, V), V)
    run = new_run(data, model, config, None)
    rows = run.rows()
    assert len(rows) == run.config.batch
    run.rows = lambda: rows
    M = expected_blanks(askable(data, config.unk_targets)[rows], config).sum().item()
    found = memory(run.model.config, run.config, int(data.train.lengths[rows].max()), M)
    counted = profile_step(run)
    beside = sum(size for part, size in found.items() if part not in ("weights", "moments"))
    assert beside == pytest.approx(counted, rel=.2)
    teacher = run.teacher.table.numel() if run.teacher else 0
    weights = sum(p.numel() for p in run.model.parameters()) + teacher - (not config.learn_temperature)
    assert found["weights"] == 4 * weights
    moments = [t for state in run.optimizer.state.values() for t in state.values() if t.dim() or t is not state["step"]]
    assert found["moments"] == 4 * sum(t.numel() for t in moments)


def test_memory_by_hand():
    "Two phrases of three tokens with a blank each, D = 4, one block of two heads, V = 5, no dropout."
    model = ModelConfig(5, 4, 1, 2, dropout=0.)
    found = memory(model, recipe(mask_mode="one", batch=2)[1], 3)
    last, ends = 6 * (7 * 4 + 2 + 2) + 2 * (5 * 4 + 4 * 8 + 2), 2 * 4 * 4
    assert found["activations"] == 4 * (last + ends) and found["ranking"] == 4 * (2 * 4 + 5 * 4 + 2 * 4 + 2 * 5)
    assert found["workspace"] == 4 * (2 * 33 * 2 * 4 - 261) and found["gradients"] == 4 * 261
    by_muon = 4 * 12 + 4 * 4 + 4 * 16 + 8 * 4 + 4 * 4                # queries, keys, values; out; up; down; predictor
    assert found["moments"] == 8 * 261 - 4 * by_muon


def test_attended_padding_fills_every_row():
    model, config = recipe("notes")
    assert memory(model, config, 5) == memory(model, config, 72)


@pytest.mark.parametrize("length, batch", ((3, 256), (8, 256), (15, 137), (72, 28), (1000, 8)))
def test_without_a_batch_it_is_the_one_that_suits_the_length(length, batch):
    model = ModelConfig(100, 8, 2, 2, max_seq=1000)
    assert memory(model, recipe()[1], length) == memory(model, recipe(batch=batch)[1], length)
    assert activations(model, recipe()[1], length, 5) == activations(model, recipe(batch=batch)[1], length, 5)
    data = data_of([[3] * length] * 300)
    assert passes(data, recipe()[1], 10) == passes(data, recipe(batch=batch)[1], 10)
    assert advise(data).memory == advise(data, None, recipe(batch=batch)[1]).memory


# time

def test_a_run_of_a_known_machine_by_hand():
    p = Probe(step_seconds=.1, phrases_a_second=640, steps=20, validation_seconds=.5, save_seconds=.1)
    assert p.run_seconds(TrainConfig(100, None)) == pytest.approx(10 + 11 * .6 + .3 * 3)
    assert p.run_seconds(TrainConfig(100, None, eval_every=30)) == pytest.approx(10 + 5 * .6 + .3 * 2)
    assert p.run_seconds(TrainConfig(None, 77.)) == 77
    assert p.steps_in(TrainConfig(None, 106.6)) == 1000 and p.steps_in(TrainConfig(40, None)) == 40
    assert p.steps_in(TrainConfig(None, 1e-3)) == 1


def test_a_probe_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    p = probe(builtin, *recipe(dim=16, layers=1, batch=16, steps=5), seconds=0)
    assert p.steps >= 3 and all(math.isfinite(v) and v > 0 for v in vars(p).values())
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert not os.listdir(tmp_path)


def test_nothing_to_try():
    with pytest.raises(UsageError, match="no phrase to time a training step on"):
        probe(data_of([]))


# advice

def test_survey_by_hand():
    found = survey(data_of([[3, 4], [3, 4, 5], [3, UNK, 4, 5], [3, 4, 5]]))
    assert (found["phrases"], found["positions"], found["words_a_phrase"]) == (4, 11, 2.75)
    assert found["unknown_share"] == 1 / 12 and found["lengths"] == dict(median=3, p90=4, p99=4, longest=4)
    assert survey(data_of([]))["lengths"] == dict(median=0, p90=0, p99=0, longest=0)


def test_advice_shows_itself_in_three_ways(tmp_path):
    path = tmp_path / "<b>&.txt"
    path.write_text("".join(f"the cat {i} sat on mat {i % 7}\n" for i in range(200)))
    advice = advise(path)
    told = json.loads(json.dumps(advice.to_dict(), allow_nan=False))
    assert told["examples"] == dict(counted=sum(askable(load_data(path)).tolist()), notes=8 * told["holds"]["phrases"])
    assert told["time"] is None and told["model"]["vocab_size"] == told["holds"]["words"] + 3
    lines = repr(advice).splitlines()[1:]
    assert len({len(line) - len(line[22:].lstrip()) for line in lines}) == 1          # the values stand in one column
    assert "&lt;b&gt;&amp;" in advice._repr_html_() and "<b>" not in advice._repr_html_()


def test_advice_with_a_trial_has_times():
    told = advise(builtin, *recipe(dim=16, layers=1, steps=50), seconds=.01).to_dict()
    assert told["time"]["steps"] == 50 and told["time"]["run"] > 50 * told["time"]["step"]


def text(tmp_path, rows):
    path = tmp_path / "text.txt"
    path.write_text("".join(row + "\n" for row in rows))
    return path


@pytest.mark.parametrize("rows, words", (([], "is empty; give a text file"), (["hello", ""], "no phrase of two")))
def test_files_without_phrases(tmp_path, rows, words):
    with pytest.raises(UsageError, match=words):
        advise(text(tmp_path, rows))


def warned(advice, words: str) -> bool:
    return any(words in warning for warning in advice.warnings)


def test_all_phrases_cut(tmp_path):
    advice = advise(text(tmp_path, [f"w{i} x{i} y z a b" for i in range(50)]), ModelConfig(max_seq=3))
    assert advice.holds["cut"] == 50 and warned(advice, "100% of the phrases are cut") and "50 cut" in repr(advice)


def test_a_small_vocabulary(tmp_path):
    rows = [f"the the w{i} x{i} y{i}" for i in range(120)]
    advice = advise(text(tmp_path, rows), ModelConfig(vocab_size=4))
    assert advice.holds["words"] == 1 and advice.holds["unknown_share"] == .6 and warned(advice, "60% of the tokens are unknown")


def test_a_batch_larger_than_the_data():
    advice = advise("builtin:40", train_config=recipe(batch=512)[1])
    assert warned(advice, "A batch of 512 is larger than the text, which has 38 phrases")
    assert advice.memory == advise("builtin:40", train_config=recipe(batch=38)[1]).memory


def test_a_preset_of_20_million_on_tiny_data():
    advice = advise("builtin:40", preset("512, 6 layers, 4k")[1])
    assert sum(advice.parameters.values()) > 19e6 and warned(advice, "more than we ever tried")
    assert not warned(advise("builtin"), "than we ever tried")


def test_a_short_run_and_a_step_too_large_for_the_card():
    assert warned(advise(builtin, *recipe(steps=1)), "before it has hidden each word once")
    assert warned(advise("builtin", *recipe(batch=2000, dim=512, layers=12, heads=8)), "A step needs about")
    assert not warned(advise(builtin, *recipe(steps=5000)), "asked for once")


@pytest.mark.parametrize("settings", [
    dict(), dict(predictor="queries"), dict(target_loss="infonce", batch=128), dict(target_loss="sigreg"),
    dict(target_loss="vicreg"), dict(target_loss="sigreg", target_states="blocks"), dict(predictor="queries", target="table"),
    dict(target_loss="smooth_l1", target_states="blocks", positions="learned"),
])
def test_memory_with_targets_in_context(settings):
    "One encoder more as weights and not a gradient of it, a second pass without a teacher, the narrow predictor's share."
    data = builtin
    run = new_run(data, *recipe("jepa", **(dict(dim=64, threads=1, dropout_after=0.) | settings)))
    rows = torch.arange(run.config.batch)
    run.rows = lambda: rows
    M = expected_blanks(askable(data)[rows], run.config).sum().item()
    found = memory(run.model.config, run.config, int(data.train.lengths[rows].max()), M)
    assert sum(size for part, size in found.items() if part not in ("weights", "moments")) == pytest.approx(profile_step(run), rel=.2)
    counts = parameters(run.model.config, learns_temperature(run.config))
    assert sum(counts.values()) == count_parameters(run.model)
    slow = [*run.teacher.parameters(), *run.teacher.buffers()] if run.teacher else []
    everything = [*run.model.parameters(), *run.model.encoder.buffers(), *slow]
    assert found["weights"] == 4 * (sum({id(t): t.numel() for t in everything}.values()) - (not learns_temperature(run.config)))


def test_the_size_of_a_target_encoder_is_told():
    jepa, rows = (advise(builtin, *recipe(name, dim=64)) for name in ("jepa", "tofy"))
    whole = jepa.memory["weights"] - rows.memory["weights"]
    assert abs(jepa.target_encoder - whole) <= 4 and rows.target_encoder == 0          # the temperature is not trained
    assert f"{jepa.target_encoder / 1e6:.1f} MB of the weights" in repr(jepa) and "target encoder" not in repr(rows)
    assert advise(builtin, *recipe("jepa", target_loss="sigreg")).target_encoder == 0
