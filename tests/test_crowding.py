"The table under the microscope: limits, ties, empty input, and sizes that must not explode."
import json
import math

import matplotlib
import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from tofy import crowding as c
from tofy.data import load_data, pack
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.inference import Latent
from tofy.masking import Blanks, all_blanks
from tofy.metrics import Bigram, rank_blanks, unigram_scorer
from tofy.training import open_run, recipe
from tofy.vocab import make_vocab

matplotlib.use("agg")


def latent(n_words: int = 9, dim: int = 8, rows: torch.Tensor | None = None, source: str = "") -> Latent:
    "An untrained model whose words have these rows."
    vocab = make_vocab({f"w{i:05}": n_words - i for i in range(n_words)}, n_words + 3)
    torch.manual_seed(0)
    model = LatentModel(ModelConfig(len(vocab), dim, layers=1, heads=1)).eval()
    if rows is not None:
        model.table.data[3:] = rows
    return Latent(model, vocab, dict(data=dict(source=source)))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


# the sandbox

@pytest.mark.parametrize("dim", [2, 3, 4, 17, 128, 384])
def test_cap_share_against_closed_forms(dim):
    "Even D: the recursion I_D = ((D−3) I_{D−2} − cos θ sin^{D−3} θ) / (D−2) of ∫ sin^{D−2}, from D = 2 or 3 up."
    for degrees in (10., 45., 80., 100., 170.):
        t, part, whole = math.radians(degrees), None, None
        for d in range(2 + dim % 2, dim + 1, 2):
            if part is None:
                part, whole = (t, math.pi) if d == 2 else (1 - math.cos(t), 2.)
            else:
                part = ((d - 3) * part - math.cos(t) * math.sin(t)**(d - 3)) / (d - 2)
                whole *= (d - 3) / (d - 2)
        if part / whole > 1e-9:                       # below, the recursion loses its digits, not the sum of logarithms
            assert c.log_cap_share(dim, degrees).exp().item() == pytest.approx(part / whole, rel=1e-5)
    assert c.log_cap_share(dim, 180.).item() == pytest.approx(0, abs=1e-5)
    assert c.log_cap_share(dim, 0.).item() == -math.inf


def test_cap_share_and_its_complement():
    for angle in (20., 60., 89.):
        near, far = (c.log_cap_share(64, a).exp().item() for a in (angle, 180 - angle))
        assert near + far == pytest.approx(1, abs=1e-6)


def test_tiny_probabilities_are_not_lost():
    p = c.wrong_by_theory(8000, 384, 30.).item()
    assert p == pytest.approx(7999 * math.exp(c.log_cap_share(384, 30.).item()), rel=1e-9) and 0 < p < 1e-90


def test_theory_at_its_ends():
    assert c.wrong_by_theory(1, 8, 50.).item() == 0 and c.wrong_by_theory(100, 8, 0.).item() == 0
    assert c.wrong_by_theory(100, 8, 180.).item() == pytest.approx(1)
    angles = torch.linspace(0, 180, 50)
    assert (c.wrong_by_theory(500, 32, angles).diff() >= 0).all() and c.wrong_by_theory(5, 3, angles).shape == (50,)


def test_simulation_in_blocks_is_the_same(monkeypatch):
    whole = c.wrong_by_simulation(300, 6, 40., 200)
    monkeypatch.setattr(c, "CELLS", 900)
    assert c.wrong_by_simulation(300, 6, 40., 200) == whole


def test_impossible_angles_and_dimensions_are_refused():
    for dim, angle in ((1, 10.), (8, -1.), (8, 181.), (8, torch.tensor([10., 200.]))):
        with pytest.raises(UsageError, match="at least 2 dimensions"):
            c.log_cap_share(dim, angle)


# figures of a table

@pytest.mark.parametrize("n, dim", [(2, 2), (5, 16), (16, 16), (700, 16)])
def test_effective_rank_is_the_definition(n, dim):
    rows = normal(n, dim).double()
    s = torch.linalg.svdvals(F.normalize(rows, dim=-1))
    p = s / s.sum()
    assert c.effective_rank(rows) == pytest.approx(math.exp(-(p * p.log()).sum()), rel=1e-6)
    assert c.effective_rank(rows * torch.rand(n, 1).double()) == pytest.approx(c.effective_rank(rows))   # lengths don't count


def test_anisotropy_is_the_mean_off_the_diagonal():
    rows = normal(40, 7) + .5
    unit = F.normalize(rows, dim=-1)
    cosines = (unit @ unit.T)[~torch.eye(40, dtype=torch.bool)]
    figures = c.table_figures(rows)
    assert figures["anisotropy"] == pytest.approx(cosines.mean().item(), abs=1e-6)
    centre = unit.mean(0)
    assert figures["mean_direction"] == pytest.approx(F.cosine_similarity(unit, centre[None]).mean().item(), abs=1e-6)


def test_a_line_has_lost_everything_whatever_its_spread():
    figures = c.table_figures(torch.stack([torch.ones(16), -torch.ones(16)]).repeat(10, 1))
    assert figures["spread"] == pytest.approx(1) and figures["effective_rank"] == pytest.approx(1, abs=1e-4)
    assert figures["anisotropy"] == pytest.approx((2 * 9 * 10 - 2 * 100) / (20 * 19))
    assert figures["nn_cosine_mean"] == pytest.approx(1)


def test_the_collapse_of_common_words_is_not_hidden_by_rare_ones():
    rows = normal(200, 32)
    rows[:20] = 1.
    figures = c.table_figures(rows, torch.tensor([1000] * 20 + [1] * 180))
    assert figures["spread"] > .9 and figures["effective_rank"] > 20
    assert figures["common_words"] <= 20 and figures["common_spread"] < 1e-5
    assert figures["common_effective_rank"] == pytest.approx(1, abs=1e-4)


def test_common_words_without_counts_or_of_one_word():
    assert c.common_words(torch.zeros(5)).tolist() == [0, 1, 2, 3, 4]
    assert c.common_words(torch.tensor([100, 1, 0])).tolist() == [0, 1]


def test_nearest_in_blocks(monkeypatch):
    rows = normal(101, 5)
    values, index = c.nearest(rows)
    monkeypatch.setattr(c, "CELLS", 700)
    again = c.nearest(rows)
    assert torch.allclose(again[0], values, atol=1e-6) and torch.equal(again[1], index)
    assert (index != torch.arange(101)).all()
    cosine = F.cosine_similarity(rows[:, None], rows[None], dim=-1).fill_diagonal_(-2)
    assert torch.allclose(values, cosine.max(1).values, atol=1e-6)


def test_pairs_are_sampled_above_the_limit_and_blocked(monkeypatch):
    rows = normal(300, 4)
    whole = c.pair_cosines(rows, 20)
    monkeypatch.setattr(c, "CELLS", 1000)
    assert torch.allclose(c.pair_cosines(rows, 20), whole, atol=1e-4)
    assert (c.pair_cosines(rows, 20, limit=100) - whole).abs().max() < .02 and whole.sum() == pytest.approx(1)


def test_zero_rows_are_no_crash():
    figures = c.table_figures(torch.cat([torch.zeros(1, 4), torch.eye(4)]))
    assert all(math.isfinite(v) for v in figures.values())
    assert all(math.isfinite(v) for v in c.table_figures(torch.zeros(3, 4)).values())


def test_word_rows_refuses_what_cannot_be_measured():
    with pytest.raises(UsageError, match="fewer than two words"):
        c.word_rows(latent(1).model)
    broken = latent()
    broken.model.table.data[5, 0] = math.nan
    with pytest.raises(RunError, match="diverged"):
        c.word_rows(broken.model)


# crowding

def test_identical_rows_are_as_crowded_as_can_be():
    "All scores tie, so the ranks are those by id: each word but the first loses to its neighbour."
    model = latent(9, 8, torch.ones(9, 8))
    figures = c.crowding(model, pack([range(3, 12)]))
    assert figures["crowded"] == pytest.approx(8 / 9) and figures["nn_cosine_median"] == pytest.approx(1)
    assert figures["effective_rank"] == pytest.approx(1, abs=1e-4) and figures["bins"][-1]["high"] == 1
    assert figures["misses"] == pytest.approx(8 / 9)


def test_orthogonal_rows_and_a_right_prediction_are_not_crowded():
    model = latent(8, 8, torch.eye(8))
    phrases = pack([range(3, 11)])
    _, own, above = c.duels(lambda q: torch.eye(11)[q.targets], phrases, all_blanks(phrases), torch.arange(11).roll(1))
    assert own.tolist() == [1] * 8 and above.tolist() == [0] * 8
    assert c.table_figures(c.word_rows(model.model))["effective_rank"] == pytest.approx(8, abs=1e-4)


def test_duels_keep_the_order_of_the_blanks_and_mark_what_has_no_score():
    phrases = pack([[3, 4, 5, 6], [7, 3]])                                   # asked the short phrase first
    blanks = all_blanks(phrases)

    def scorer(questions):
        scores = -torch.arange(8.).repeat(len(questions.targets), 1)
        scores[questions.targets == 5] = math.nan
        return scores

    rank, own, above = c.duels(scorer, phrases, blanks, torch.tensor([0, 0, 0, 4, 3, 3, 3, 3]))
    assert rank.tolist() == [1, 2, 5, 4, 5, 1] and own[[0, 1, 3, 4, 5]].tolist() == [-3, -4, -6, -7, -3]
    assert above[[0, 1, 3, 4, 5]].tolist() == [0, 1, 1, 1, 0] and above[2].isnan()


def test_crowding_is_plain_json_with_every_promised_key():
    data = load_data("builtin:400")
    model = Latent(LatentModel(ModelConfig(len(data.vocab), 16, layers=1, heads=1)).eval(), data.vocab,
                   dict(data=dict(source="builtin:400")), Bigram.count(data.train, len(data.vocab)))
    figures = c.crowding(model, data.valid, 200)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    promised = ("words dim mean_norm anisotropy effective_rank spread uniformity alignment nn_cosine_mean "
                "nn_cosine_median crowded crowded_bigram crowded_best misses bins queries")
    assert set(promised.split()) <= set(figures)
    assert sum(b["blanks"] for b in figures["bins"]) == figures["queries"] == 200
    for name, total in dict(model="crowded", bigram="crowded_bigram").items():
        parts = sum(b["blanks"] * b[name] for b in figures["bins"])
        assert parts / 200 == pytest.approx(figures[total])
    assert figures["crowded_best"] < figures["crowded"] and 1.5 < figures["alignment"] < 2.5     # untrained


def test_crowding_of_a_text_that_is_not_builtin_has_no_best():
    figures = c.crowding(latent(), pack([[3, 4, 5]]))
    assert "crowded_best" not in figures and "crowded_bigram" not in figures and figures["queries"] == 3
    with pytest.raises(UsageError, match="no known word"):
        c.crowding(latent(), pack([[1, 1]]))
    with pytest.raises(UsageError, match="no blank"):
        c.predictions(latent(), pack([]), all_blanks(pack([])))


def test_a_text_that_the_grammar_cannot_make_has_no_best_and_still_a_picture():
    figures = c.crowding(latent(source="builtin"), pack([[3, 4, 5]]))
    assert figures["crowded_best"] is None and json.dumps(figures, allow_nan=False)
    assert len(c.plot_crowding(figures).get_legend().get_texts()) == 1


def test_negative_neighbours_and_width():
    bins = c.cosine_bins(torch.tensor([-1., -.05, 1.]), dict(model=torch.tensor([1., 0., 0.])))
    assert [(b["low"], b["high"], b["model"]) for b in bins] == [(-1, -.9, 1), (-.1, 0, 0), (.9, 1, 0)]


# repairs

def test_cleaned_by_hand():
    "Unit rows (1,0) and (0,1): their mean is (½,½); centred they are opposite, and have one component."
    model = latent(2, 2, torch.tensor([[3., 0.], [0., 2.]]))
    phrases = pack([[3, 4]])
    blanks = Blanks(torch.tensor([0]), torch.tensor([0]))
    pred = c.predictions(model, phrases, blanks)[0]                                             # (2,)
    wanted = (pred[0] - pred[1]).item() / 2**.5
    found = next(c.rank_batches(c.cleaned(model), phrases, blanks))[2][0, 3:]
    assert found.tolist() == pytest.approx([wanted, -wanted], abs=1e-6)


def test_cleaning_the_predictions_takes_their_own_mean_away():
    model, phrases = latent(30, 8), pack([range(3, 33)])
    seen = c.predictions(model, phrases, all_blanks(phrases))
    scores = torch.cat([s for _, _, s in c.rank_batches(c.cleaned(model, 2, seen), phrases, all_blanks(phrases))])
    unit = F.normalize(model.model.table.detach(), dim=-1)
    u, v = unit - unit[3:].mean(0), seen - seen.mean(0)
    top = torch.linalg.svd(u[3:]).Vh[:2]
    u, v = (F.normalize(x - x @ top.T @ top, dim=-1) for x in (u, v))
    assert torch.allclose(scores, v @ u.T, atol=1e-5)


def test_a_prior_breaks_ties_by_count():
    model, phrases = latent(9, 8, torch.ones(9, 8)), pack([range(3, 12)])
    prior = rank_blanks(c.with_prior(model, 1.), phrases, all_blanks(phrases))
    assert torch.equal(prior, rank_blanks(unigram_scorer(model.vocab), phrases, all_blanks(phrases)))


def test_compare_pairs_its_changes():
    phrases = pack([[3, 4], [5, 3]])

    def right(q):
        return F.one_hot(q.targets, 6).float()

    def by_id(q):
        return -torch.arange(6.).expand(len(q.targets), 6)

    rows = c.compare(dict(right=right, by_id=by_id), phrases, all_blanks(phrases))     # ranks by id: 1, 2, 3, 1
    assert rows["right"] == dict(mrr=1, top1=1, change=0, error=0)
    gains = torch.tensor([0., -1 / 2, -2 / 3, 0.], dtype=torch.double)
    assert rows["by_id"]["change"] == pytest.approx(gains.mean().item())
    assert rows["by_id"]["error"] == pytest.approx(gains.std(correction=0).item() / 2)


def test_hubness_counts_every_query_k_times_and_in_blocks(monkeypatch):
    queries, rows = normal(50, 6), normal(20, 6, seed=1)
    counts = c.hubness(queries, rows, 3)
    assert counts.sum() == 150
    monkeypatch.setattr(c, "CELLS", 100)
    assert torch.equal(c.hubness(queries, rows, 3), counts)
    assert c.hubness(queries, rows[:2], 10).tolist() == [50, 50] and c.skewness(torch.ones(5)) == 0


def test_csls_marks_down_a_hub():
    model = latent(3, 2, torch.tensor([[1., 0.], [0., 1.], [-1., 0.]]))
    seen = F.normalize(torch.tensor([[1., .1], [1., -.1]]), dim=-1)                      # all near the first word
    near = seen[0, 0].item()
    phrases = pack([[3, 4]])
    plain = next(c.rank_batches(model.score, phrases, all_blanks(phrases)))[2]
    marked = next(c.rank_batches(c.csls(model, seen), phrases, all_blanks(phrases)))[2]
    assert torch.allclose((2 * plain - marked)[:, 3:], torch.tensor([near, 0., -near]).expand(2, 3), atol=1e-6)


# frames and maps

def test_frames_are_copies_at_the_steps_asked_for():
    data = load_data("builtin:300", max_vocab=60)
    settings = dict(steps=6, dim=8, layers=1, heads=1, log_every=2, eval_every=6, eval_queries=20)
    run = open_run(data, *recipe(**settings))
    kept = list(c.frames(run, 4))
    assert [f.step for f in kept] == [0, 4] and not torch.equal(kept[0].rows, kept[1].rows)
    assert math.isfinite(kept[0].mrr) and math.isnan(kept[1].mrr) and run.step == 6
    assert kept[0].rows.shape == (57, 8) and kept[0].figures["spread"] > .8
    with pytest.raises(UsageError, match="multiple"):
        next(c.frames(open_run(data, *recipe(**settings)), 0))


def test_map_keeps_distances_of_a_flat_table():
    angles = torch.linspace(0, 5, 40)
    flat = torch.stack([angles.cos(), angles.sin(), torch.zeros(40)], 1)
    assert torch.allclose(F.pdist(c.map2d(flat)), F.pdist(flat), atol=1e-4)
    assert c.map2d(flat[:, :2]).shape == (40, 2) and c.map2d(torch.eye(2)).shape == (2, 2)


def test_umap_is_used_or_asked_for_in_a_sentence():
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="pip install umap-learn"):
            c.map2d(torch.eye(5), "umap")


def test_plots_return_the_axes_they_were_given():
    import matplotlib.pyplot as plt
    model, phrases = latent(30, 8), pack([range(3, 33)])
    rows, figures = c.word_rows(model.model), c.crowding(model, phrases)
    for draw in (lambda ax: c.plot_wrong(angle=60., ax=ax), lambda ax: c.plot_pairs(rows, ax),
                 lambda ax: c.plot_neighbours(rows, model.vocab, ax), lambda ax: c.plot_crowding(figures, ax),
                 lambda ax: c.plot_bars(dict(a=.1, b=.2), "MRR", dict(chance=dict(mrr=.1)), ax=ax),
                 lambda ax: c.plot_frames(dict(x=[c.Frame(0, rows, figures, 0., 0.)]), ax=ax),
                 lambda ax: c.plot_map(c.map2d(rows), model.vocab, 5, ax)):
        ax = plt.figure().add_subplot()
        assert draw(ax) is ax and ax.figure.canvas.draw() is None
    plt.close("all")


def test_four_thousand_words_and_three_thousand_blanks():
    "Runs in about a second; no timing here, only that the sizes of the contract go through."
    model = latent(3997, 32)
    g = Generator().manual_seed(0)
    phrases = pack(torch.randint(3, 4000, (300, 12), generator=g).tolist())
    figures = c.crowding(model, phrases, 3000)
    assert figures["queries"] == 3000 and figures["words"] == 3997
