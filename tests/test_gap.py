"Training against use: every closed form against enumeration, every check made to fail."
import json
import math
import random
import shutil
from fractions import Fraction
from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy import gap as g
from tofy.checkpoint import load_tensors, save_tensors
from tofy.data import Data, load_data, pack
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.inference import Latent, load
from tofy.masking import Blanks, all_blanks, ask
from tofy.metrics import rank_blanks
from tofy.run_folder import MODEL
from tofy.training import recipe, train
from tofy.vocab import UNK, make_vocab, tokenize

TEXT = "\n".join(f"the {a} {v} the {b} , {w} ?" for a in ("cat", "dog", "bird", "fish") for v in ("saw", "met", "fed")
                 for b in ("cow", "hen", "pig", "fox") for w in ("yes", "no", "lately")) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple:
    "A small run on a text file: its folder and its data."
    home = tmp_path_factory.mktemp("gap")
    (home / "text.txt").write_text(TEXT)
    data = load_data(home / "text.txt", valid=20)
    for _ in train(data, *recipe(steps=30, dim=16, heads=2, layers=1, log_every=5, threads=1), out=home / "run"):
        pass
    return home / "run", data


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    return tmp_path / "run"


def by_name(checks) -> dict:
    return {c.name: c for c in checks}


# candidates

@pytest.mark.parametrize("words", range(2, 8))
def test_uniform_odds_equal_an_enumeration_of_all_draws(words):
    for rank, k in product(range(1, words + 1), range(1, words + 1)):
        draws = list(combinations(range(1, words), k - 1))              # the others, 1 to rank-1 of them better
        better = [sum(other < rank for other in draw) for draw in draws]
        top1, reciprocal = g.uniform_odds(torch.tensor([rank]), words, k)
        assert top1.item() == pytest.approx(float(Fraction(better.count(0), len(draws))), abs=1e-12)
        assert reciprocal.item() == pytest.approx(float(sum(Fraction(1, 1 + b) for b in better) / len(draws)), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_weighted_odds_equal_an_enumeration_of_all_draws(k):
    mass = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]             # three other words, the first two better
    top1 = reciprocal = Fraction(0)
    for draw in product(range(3), repeat=k - 1):
        p = math.prod((mass[i] for i in draw), start=Fraction(1))
        better = sum(i < 2 for i in draw)
        top1, reciprocal = top1 + p * (better == 0), reciprocal + p / (1 + better)
    found = g.weighted_odds(torch.tensor([5 / 6], dtype=torch.double), k)
    assert [f.item() for f in found] == pytest.approx([float(top1), float(reciprocal)], abs=1e-12)


@given(st.integers(2, 40_000), st.data())
def test_more_candidates_never_help(words, data):
    rank = torch.tensor([data.draw(st.integers(1, words))])
    few, many = sorted(data.draw(st.tuples(*[st.integers(1, words)] * 2)))
    for easy, hard in zip(g.uniform_odds(rank, words, few), g.uniform_odds(rank, words, many)):
        assert 0 <= hard.item() <= easy.item() + 1e-5 and easy.item() <= 1 + 1e-5
    assert g.uniform_odds(rank, words, words)[1].item() == pytest.approx(1 / rank.item(), abs=1e-5)


def test_all_candidates_give_the_full_figures_exactly():
    ranks = torch.tensor([1, 2, 2, 9, 30_000])
    curve = g.candidate_curve(g.Standing(ranks, torch.rand(5), 30_000), [33])
    assert curve["candidates"] == [33, 30_000]
    assert curve["uniform"]["top1"][-1] == pytest.approx(1 / 5, abs=1e-9)
    assert curve["uniform"]["mrr"][-1] == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 9 + 1 / 30_000) / 5, abs=1e-6)


@pytest.mark.parametrize("words, ks", [(2, [2]), (3, [2, 3]), (33, [2, 3, 5, 9, 17, 33]), (34, [2, 3, 5, 9, 17, 33, 34])])
def test_the_default_points_end_at_all_words(words, ks):
    assert g.candidate_curve(g.Standing(torch.tensor([1]), torch.tensor([0.]), words))["candidates"] == ks


def test_standing_ranks_as_metrics_does_with_ties_and_without_numbers():
    vocab = make_vocab({f"w{i}": 40 - i for i in range(20)})
    phrases = pack([[3 + i, 3 + (7 * i) % 20] for i in range(20)])

    def rough(q):
        return (torch.arange(23.) * 7 % 5).expand(len(q.targets), 23)

    def nothing(q):
        return torch.full((len(q.targets), 23), math.nan)

    for scorer in (rough, nothing):
        where = g.standing(scorer, phrases, all_blanks(phrases), vocab)
        assert where.ranks.equal(rank_blanks(scorer, phrases, all_blanks(phrases)))
        assert (where.better >= 0).all() and (where.better <= 1 + 1e-12).all()
    assert (where.ranks == 20).all() and where.better == pytest.approx(torch.ones(40))


def test_what_cannot_be_drawn_is_refused():
    nothing = g.Standing(torch.zeros(0, dtype=torch.long), torch.zeros(0), 5)
    for wrong in (lambda: g.candidate_curve(nothing), lambda: g.uniform_odds(torch.tensor([1]), 5, 6),
                  lambda: g.uniform_odds(torch.tensor([1]), 5, 0),
                  lambda: g.candidate_curve(g.Standing(torch.tensor([1]), torch.tensor([0.]), 1))):
        with pytest.raises(UsageError):
            wrong()


# broken ways

@given(st.text(alphabet="ab'é .,?!;:()[]%\"-…9", max_size=40))
def test_what_is_typed_is_cut_as_in_training(text):
    for rule in ("unicode", "notes"):
        tokens = tokenize(text, rule)
        assert tokenize(g.as_typed(tokens), rule) == tokens


def test_splitting_at_spaces_loses_word_and_mark():
    vocab = make_vocab({"read": 3, "lately": 2, "?": 1, ",": 1})
    ids = vocab.encode("read , lately ? zebra")
    assert g.split_on_spaces(vocab, ids) == [UNK, UNK, UNK]
    assert g.split_on_spaces(vocab, vocab.encode("read lately")) == vocab.encode("read lately")
    assert g.split_on_spaces(vocab, []) == []


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "none"])
@pytest.mark.parametrize("attend", [False, True])
def test_rows_of_its_own_width_are_the_models_own_way(positions, attend):
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=30, dim=16, heads=2, layers=2, max_seq=12, positions=positions, attend_padding=attend)
    latent = Latent(LatentModel(config).eval(), None, {})
    phrases = pack([[3, 4, 5], [6, 7, 8, 9, 10]])
    asked, before = ask(phrases, all_blanks(phrases)), torch.get_rng_state()
    plain, kept = latent.score(asked), {k: v.clone() for k, v in latent.model.state_dict().items()}
    assert (g.in_rows(latent, 12, attend)(asked) - plain).abs().max() < 1e-5
    wide = g.in_rows(latent, 40, attend)(asked)
    assert ((wide - plain).abs().max() < 1e-5) == (not attend)
    assert g.in_rows(latent, 40, attend)(asked).equal(wide)                        # nothing random
    assert torch.get_rng_state().equal(before) and latent.model.config.max_seq == 12
    assert all(v.equal(latent.model.state_dict()[k]) for k, v in kept.items())     # the model itself is untouched


def test_ways_are_asked_on_the_same_blanks(run):
    latent, data = load(run[0]), run[1]
    ways = g.broken_ways(latent, data.valid, 50)
    assert list(ways) == ["asked right", "rows of 96 tokens", "rows of 24 tokens", "padding attended", "split on spaces",
                          "answer stripped", "all three at once"]
    assert {way["queries"] for way in ways.values()} == {50}
    assert ways["rows of 96 tokens"]["mrr"] == pytest.approx(ways["asked right"]["mrr"], abs=1e-6)
    assert ways["split on spaces"]["changed"] == 1.                                # each phrase ends in "word ?"
    with pytest.raises(UsageError, match="no known word"):
        g.broken_ways(latent, pack([[1, 1]]))


def test_phrases_that_do_not_fit_a_row_are_left_out(run):
    latent = load(run[0])
    latent.model = LatentModel(ModelConfig(vocab_size=len(latent.vocab), dim=16, heads=2, layers=1, max_seq=8)).eval()
    ways = g.broken_ways(latent, run[1].valid)
    assert "rows of 2 tokens" not in ways and "rows of 10 tokens" in ways


def test_stripping_takes_every_copy_and_keeps_the_answer():
    phrases = pack([[5, 4, 5, 5]])
    texts, places = g.ask_otherwise(phrases, Blanks(torch.tensor([0]), torch.tensor([2])),
                                    lambda side, answer: [i for i in side if i != answer])
    assert texts[0].tolist() == [4, 5] and places.positions.tolist() == [1]


# bins, facts, neighbours, calibration

@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 50)), min_size=1, max_size=60))
def test_bins_partition_the_blanks(pairs):
    values, ranks = map(torch.tensor, zip(*pairs))
    bins = g.by_bins(values, ranks, [0, 1, 7, math.inf])
    assert sum(b["queries"] for b in bins) == len(pairs)
    total = sum(b["queries"] * b["mrr"] for b in bins) / len(pairs)
    assert total == pytest.approx(sum(1 / r for _, r in pairs) / len(pairs))


@pytest.mark.parametrize("edges", [[], [1], [2, 1], [1, 1]])
def test_edges_must_rise(edges):
    with pytest.raises(UsageError, match="rising"):
        g.by_bins(torch.tensor([1]), torch.tensor([1]), edges)


def test_facts_equal_a_plain_count():
    chance = random.Random(0)
    rows = [[chance.randint(3, 6) for _ in range(chance.randint(2, 5))] for _ in range(60)]
    train_, asked = rows[:50], rows[50:]
    vocab = make_vocab({f"w{i}": sum(r.count(3 + i) for r in train_) for i in range(4)})
    phrases = pack(asked)
    facts = g.blank_facts(pack(train_), phrases, all_blanks(phrases), vocab)
    padded = [[0, *row, 0] for row in train_]
    triples = [tuple(row[i - 1:i + 2]) for row in padded for i in range(1, len(row) - 1)]
    wanted = [(a, tuple([0, *row, 0][i:i + 3])) for row in asked for i, a in enumerate(row)]
    assert facts["triple"].tolist() == [triples.count(t) for _, t in wanted]
    assert facts["neighbours"].tolist() == [sum((t[0], t[2]) == (u[0], u[2]) for u in triples) for _, t in wanted]
    assert facts["answer"].tolist() == [vocab.counts[a] for a, _ in wanted]


def test_the_phrase_itself_is_its_nearest(run):
    data = run[1]
    words = data.vocab.decode(data.train[5]).split()
    score, text, word = g.nearest_phrases(data, " ".join([*words[:1], "_", *words[2:]]), 1)[0]
    assert text.split()[2:] == words[2:] and word is not None and score > 1


def test_neighbours_of_unknown_words_are_still_found(run):
    assert len(g.nearest_phrases(run[1], "zzz _ qqq", 2)) == 2


def test_calibration_answers_fewer_at_a_higher_threshold():
    best = torch.rand(200, generator=torch.Generator().manual_seed(0))
    rows = g.calibration(best, best > .5)
    assert [r["answered"] for r in rows] == sorted((r["answered"] for r in rows), reverse=True)
    assert g.calibration(best, best > .5, [.6])[0]["accuracy"] == 1.


# parity and gap

def test_a_whole_run_passes_every_check(run):
    assert [c.passed for c in g.parity(run[0])] == [True] * 8
    assert g.parity(run[0], run[1]) == g.parity(run[0])


def test_a_swapped_vocabulary_fails(copy):
    words = (copy / "vocab_latent.txt").read_text().split("\n")
    words[3:5] = words[4], words[3]
    (copy / "vocab_latent.txt").write_text("\n".join(words))
    only, = g.parity(copy)
    assert only.passed is False and "is not the vocabulary" in only.detail


@pytest.mark.parametrize("key, value, said", [("lower", "false", "case kept"), ("tokens", '"notes"', "split by notes")])
def test_a_changed_tokenizer_rule_fails(copy, run, key, value, said):
    tensors, header = load_tensors(copy / MODEL)
    save_tensors(copy / MODEL, tensors, header | {key: value})
    check = by_name(g.parity(copy, run[1]))["tokenizer rule"]
    assert check.passed is False and said in check.detail


def test_words_that_the_rule_cuts_fail():
    latent = Latent(None, make_vocab({"lately?": 2, "read": 1}), {})
    assert g.check_tokens(latent).passed is False and "lately?" in g.check_tokens(latent).detail


def test_a_trained_phrase_among_the_held_out_fails(copy, run):
    lines = (copy / "heldout.txt").read_text().split("\n")
    lines[3] = run[1].vocab.decode(run[1].train[0])
    (copy / "heldout.txt").write_text("\n".join(lines))
    checks = by_name(g.parity(copy, run[1]))
    assert checks["nothing leaked"].passed is False and checks["nothing leaked"].detail.startswith("1 of")
    assert checks["held-out phrases"].passed is False


def test_a_figure_that_does_not_come_out_again_fails(copy, run):
    tensors, header = load_tensors(copy / MODEL)
    tensors["encoder.embedding.weight"] = tensors["encoder.embedding.weight"].roll(1, 0)
    save_tensors(copy / MODEL, tensors, header)
    assert by_name(g.parity(copy, run[1]))["figure in the log"].passed is False


def test_a_log_without_the_kept_step_is_not_checked(copy, run):
    (copy / "log_latent.csv").unlink()
    assert by_name(g.parity(copy, run[1]))["figure in the log"].passed is None


def test_attended_padding_fails_and_says_so(run, tmp_path):
    for _ in train(run[1], *recipe("notes", steps=30, dim=16, heads=2, layers=1, lr=.01, threads=1), out=tmp_path / "run"):
        pass
    check = by_name(g.parity(tmp_path / "run", run[1]))["padding"]
    assert check.passed is False and "attends to padding" in check.detail
    assert "padding hidden" in g.gap(tmp_path / "run", run[1], 40)["ways"]


def test_max_seq_that_training_did_not_have_fails(copy, run):
    tensors, header = load_tensors(copy / MODEL)
    told = json.loads(header["data"]) | dict(max_seq=50)
    save_tensors(copy / MODEL, tensors, header | dict(data=json.dumps(told)))
    assert by_name(g.parity(copy, run[1]))["max_seq"].passed is False


def test_without_the_text_the_rest_is_still_measured(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    data = load_data(tmp_path / "text.txt", valid=20)
    for _ in train(data, *recipe(steps=3, dim=16, heads=2, layers=1, threads=1), out=tmp_path / "run"):
        pass
    (tmp_path / "text.txt").unlink()
    found = g.gap(tmp_path / "run")
    assert found["train"] is None and "cannot be read again" in found["why"]
    assert not {"train", "bigram"} & set(found["curves"])
    assert [c["name"] for c in found["parity"] if c["passed"] is None] == ["held-out phrases", "nothing leaked"]
    assert len(g.waterfall(found)) == 2 + 1 + 6                               # log, two columns, six broken ways


def test_gap_is_plain_json_and_its_parts_agree(run):
    found = g.gap(*run)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    words = len(run[1].vocab) - 3
    assert found["curves"]["heldout"]["candidates"] == [2, words]             # fewer words than 33
    for side in ("heldout", "train"):
        assert found["curves"][side]["uniform"]["mrr"][-1] == pytest.approx(found[side]["mrr"], abs=1e-9)
    assert found["ways"]["asked right"]["mrr"] == pytest.approx(found["heldout"]["mrr"], abs=1e-9)
    steps = g.waterfall(found)
    assert [s["before"] for s in steps[1:4]] == [s["top1"] for s in steps[:3]]
    assert {s["before"] for s in steps[4:]} == {steps[3]["top1"]}


def test_nothing_held_out_is_a_sentence(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    for _ in train(load_data(tmp_path / "text.txt", valid=0), *recipe(steps=2, dim=16, heads=2, layers=1, threads=1), out=tmp_path / "run"):
        pass
    for measure in (g.gap, g.parity):
        with pytest.raises(UsageError, match="no held-out phrases"):
            measure(tmp_path / "run")


def test_read_again_gives_data_or_a_reason(run, copy):
    data, why = g.read_again(run[0])
    assert isinstance(data, Data) and why == ""
    tensors, header = load_tensors(copy / MODEL)
    save_tensors(copy / MODEL, tensors, header | dict(data=json.dumps(dict(source="nowhere.txt")), text="{}"))
    assert g.read_again(copy)[0] is None and "nowhere.txt" in g.read_again(copy)[1]
    (copy / "vocab_latent.txt").unlink()
    with pytest.raises(RunError):
        load(copy)
    assert [c.passed for c in g.parity(copy)] == [False]


def test_plots_take_and_return_axes(run):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    found, data = g.gap(*run), run[1]
    for draw in (lambda ax: g.plot_candidates(found["curves"], ax=ax), lambda ax: g.plot_ways(found["ways"], found["lines"], ax=ax),
                 lambda ax: g.plot_waterfall(found, ax), lambda ax: g.plot_candidates(found["curves"], "weighted", "mrr", ax),
                 lambda ax: g.plot_bins(dict(model=g.by_bins(data.valid.lengths, data.valid.lengths, [0, 5, 99])), "tokens", ax=ax),
                 lambda ax: g.plot_calibration(g.calibration(torch.rand(50), torch.rand(50) > .5), found["lines"], ax=ax)):
        ax = plt.figure().add_subplot()
        assert draw(ax) is ax and ax.get_xlabel() + ax.get_ylabel()
    plt.close("all")


def test_the_figure_of_the_log_is_asked_again_unless_brief(run):
    folder, data = run
    whole, brief = (g.gap(folder, data, 50, brief=short)["parity"] for short in (False, True))
    passed = [{c["name"]: c["passed"] for c in checks}["figure in the log"] for checks in (whole, brief)]
    assert passed == [True, None] and len(whole) == len(brief) == 8
