"On fresh draws of the built-in corpus no predictor beats the exact posterior by more than two standard errors."
import pytest
import torch

from tofy import corpus
from tofy.data import load_data, pack
from tofy.inference import Latent
from tofy.loop import run_steps
from tofy.masking import Blanks
from tofy.metrics import Bigram, baseline_scorers, rank_blanks
from tofy.training import open_run, recipe

N = 20_000


@pytest.fixture(scope="module")
def fresh():
    "Fresh draws and the rank that the exact posterior gives to each hidden word."
    draws, best = list(corpus.draws(N, seed=77)), []
    for tokens, position in draws:
        law = corpus.posterior(tokens, position)
        order = sorted(law, key=lambda w: (-law[w], w))
        best.append(order.index(tokens[position]) + 1)
    return draws, torch.tensor(best, dtype=torch.float64)


def trained(**settings):
    "Data and a model trained on it."
    data = load_data("builtin")
    run = open_run(data, *recipe(**settings))
    for _ in run_steps(run):
        pass
    return data, Latent(run.model.eval(), data.vocab, {})


@pytest.fixture(scope="module")
def quick():
    return trained(steps=200, dim=64, eval_queries=200)


def paired_excess(best, theirs):
    "Mean of (theirs − best) and its standard error."
    gap = theirs - best
    return gap.mean().item(), (gap.std() / len(gap) ** .5).item()


def compare(name, scorer, data, fresh):
    "Assert that this scorer is not above the posterior, in MRR nor in top-1; returns its MRR."
    draws, best = fresh
    known = torch.tensor([tokens[p] in data.vocab.ids for tokens, p in draws])
    phrases = pack([data.vocab.encode(" ".join(tokens)) for tokens, _ in draws])
    assert phrases.lengths.tolist() == [len(tokens) for tokens, _ in draws]          # one token stays one token
    blanks = Blanks(known.nonzero()[:, 0], torch.tensor([p for _, p in draws])[known])
    theirs = torch.full((N,), float("inf"), dtype=torch.float64)                      # an unknown word is never found
    theirs[known] = rank_blanks(scorer, phrases, blanks).double()
    for figure in (lambda r: 1 / r, lambda r: (r <= 1).double()):                     # MRR and top-1
        excess, error = paired_excess(figure(best), figure(theirs))
        print(f"{name}: {figure(theirs).mean():.4f} against {figure(best).mean():.4f}, standard error {error:.4f}")
        assert excess <= 2 * error
    return (1 / theirs).mean().item()


@pytest.mark.parametrize("name", ["unigram", "bigram", "model"])
def test_no_predictor_beats_the_posterior(name, fresh, quick):
    data, latent = quick
    compare(name, latent.score if name == "model" else baseline_scorers(data.vocab, Bigram.count(data.train, len(data.vocab)))[name], data, fresh)


@pytest.mark.slow
def test_a_model_near_the_posterior_does_not_beat_it(fresh):
    data, latent = trained(steps=4000)
    assert compare("model of 4,000 steps", latent.score, data, fresh) > .7


def test_the_bound_would_notice_a_cheat(fresh):
    _, best = fresh
    excess, error = paired_excess(1 / best, torch.ones(N, dtype=torch.float64))
    assert excess > 2 * error
