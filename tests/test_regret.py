"Regret and irreducible variance: targets whose figures are known, brute force, disguises, and what is left out."
import math
import time

import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from tofy.causes import Disguise, cause_words
from tofy.corpus import draws, posterior
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import UsageError
from tofy.regret import Regret, _adjusted, latent_regret, plot_regret
from tofy.vocab import PAD, UNK, make_vocab

VOCAB = make_vocab(dict.fromkeys(Disguise().spelt, 1))
ASKED = list(draws(60, 31))


def word_at(ids, positions):
    return ids.gather(1, positions[:, None])[:, 0]


def one_hot(ids, positions):
    return torch.eye(len(VOCAB))[word_at(ids, positions)]


def mixed(ids, positions):
    "A target that depends on the word, on where it stands and on the phrase."
    rows = torch.randn(len(VOCAB), 7, generator=Generator().manual_seed(1))
    return rows[word_at(ids, positions)] + .3 * rows[ids[:, 0]] * positions[:, None] + .1 * (ids != PAD).sum(1)[:, None]


def test_of_one_hot_targets_the_mean_is_the_posterior():
    found = latent_regret(one_hot, VOCAB, ASKED, torch.zeros(60, len(VOCAB)), mass=1.)
    for (tokens, i), mean, variance, regret in zip(ASKED, found.mean, found.variances, found.regrets, strict=True):
        law = posterior(tokens, i)
        for word, p in law.items():
            assert math.isclose(mean[VOCAB.ids[word]], p, abs_tol=1e-7)
        assert math.isclose(mean.sum(), 1, abs_tol=1e-6)
        assert math.isclose(variance, 1 - sum(p * p for p in law.values()), abs_tol=1e-6)
        assert math.isclose(regret, sum(p * p for p in law.values()), abs_tol=1e-6)          # the prediction is 0
    assert found.cut < 1e-9 and math.isclose(found.unknown["word"], 1, abs_tol=1e-9)


def test_brute_force():
    "Word by word and cause by cause, for a target that depends on the phrase."
    pred = torch.randn(60, 7, generator=Generator().manual_seed(2))
    found = latent_regret(mixed, VOCAB, ASKED, pred, mass=1., batch=50)
    every, within, table = [], 0., {}
    for k, (tokens, i) in enumerate(ASKED):
        law = posterior(tokens, i)
        z = {word: mixed(torch.tensor([[VOCAB.ids[t] for t in (*tokens[:i], word, *tokens[i + 1:])]]), torch.tensor([i]))[0].double()
             for word in law}
        mean = sum(p * z[word] for word, p in law.items())
        spread = sum(p * (z[word] - mean).square().sum() for word, p in law.items())
        torch.testing.assert_close(found.mean[k], mean, atol=1e-5, rtol=1e-5)
        assert math.isclose(found.variances[k], spread, rel_tol=1e-4, abs_tol=1e-6)
        assert math.isclose(found.regrets[k], (pred[k] - mean).square().sum(), rel_tol=1e-5)
        every += [(p, z[word]) for word, p in law.items()]
        for topic, words in cause_words(tokens, i)["topic"].items():
            p = sum(words.values())
            inner = sum(q * z[word] for word, q in words.items()) / p
            within += p * (inner - mean).square().sum() / 60
            weight, total = table.get(topic, (0., torch.zeros(7).double()))
            table[topic] = weight + p, total + p * inner
    grand = sum(p * vector for p, vector in every) / 60
    total = sum(p * (vector - grand).square().sum() for p, vector in every) / 60
    between = sum(p * (sums / p - grand).square().sum() for p, sums in table.values()) / 60 / total
    assert math.isclose(found.total, total, rel_tol=1e-4)
    assert math.isclose(found.unknown["topic"], within / found.irreducible, rel_tol=1e-3, abs_tol=1e-6)
    assert math.isclose(found.kept["topic"], _adjusted(between, 60, len(table)), abs_tol=1e-4)
    assert math.isclose(found.r2, 1 - (found.regret + found.irreducible) / found.total)


def test_predictions_by_the_mean_have_no_regret_and_every_error_is_regret_plus_irreducible():
    plain = latent_regret(mixed, VOCAB, ASKED)
    assert plain.regret is None and plain.r2 is None and all("regret" not in row for row in plain.by["slot"].values())
    best = latent_regret(mixed, VOCAB, ASKED, plain.mean)
    assert best.regret < 1e-9 and math.isclose(best.r2, best.predictable)
    other = latent_regret(mixed, VOCAB, ASKED, plain.mean + 2.)
    assert math.isclose(other.regret, 7 * 4, rel_tol=1e-6) and math.isclose(other.irreducible, best.irreducible)
    for cause, table in other.by.items():
        assert math.isclose(sum(row["weight"] for row in table.values()), 1, rel_tol=1e-5), cause
        for figure in ("irreducible", "regret"):
            mean = sum(row["weight"] * row[figure] for row in table.values())
            assert math.isclose(mean, getattr(other, figure), rel_tol=1e-4)


def test_constant_targets_have_nothing_to_tell():
    found = latent_regret(lambda ids, positions: torch.ones(len(ids), 3), VOCAB, ASKED)
    assert found.total < 1e-12 and found.irreducible < 1e-12 and math.isnan(found.predictable)


def test_a_target_of_the_slot_keeps_the_slot():
    "A vector for each slot: all of its variance lies between slots, and hardly any can't be predicted."
    slots = {}
    for tokens, i in ASKED:
        for slot, words in cause_words(tokens, i)["slot"].items():
            slots |= {(len(tokens), i, word): slot for word in words}
    names = sorted(set(slots.values()))
    def target(ids, positions):
        lengths = (ids != PAD).sum(1).tolist()
        words = [VOCAB.words[k] for k in word_at(ids, positions)]
        return torch.eye(len(names))[[names.index(slots[key]) for key in zip(lengths, positions.tolist(), words, strict=True)]]
    found = latent_regret(target, VOCAB, ASKED)
    assert found.kept["slot"] > .9 and found.kept["slot"] > found.kept["topic"] + .3 and found.predictable > .9


def test_the_tail_is_cut_and_told():
    full, cut = (latent_regret(one_hot, VOCAB, ASKED, mass=mass) for mass in (1., .6))
    assert cut.cases < full.cases and 0 < cut.cut < .4
    assert torch.allclose(cut.mean.sum(1), torch.ones(60).double(), atol=1e-6)
    for (tokens, i), mean in zip(ASKED, cut.mean, strict=True):
        law, total, kept = posterior(tokens, i), 0., []
        for word in sorted(law, key=lambda w: (-law[w], w)):
            if total < .6:
                kept.append(word)
                total += law[word]
        assert {VOCAB.words[k] for k in mean.nonzero()[:, 0]} == set(kept)


@pytest.mark.parametrize("s", [1, 3])
def test_spellings(s):
    "One-hot spellings: 1 − Σp²/s can't be known; and knowing the word leaves 1 − 1/s."
    odd = Disguise(s)
    vocab = make_vocab({spelling: 1 for some in odd.spelt.values() for spelling in some})
    asked = list(odd.draws(25, 4))
    found = latent_regret(lambda ids, pos: torch.eye(len(vocab))[word_at(ids, pos)], vocab, asked, disguise=odd, split=["word"], mass=1.)
    variances, left = [], 0.
    for tokens, i in asked:
        law = odd.posterior(tokens, i)
        variances.append(1 - sum(p * p for p in law.values()))
        left += sum(p * (1 - 1 / len(odd.spelt[odd.truth[w]])) for w, p in law.items()) / 25
    assert torch.allclose(found.variances, torch.tensor(variances).double(), atol=1e-6)
    assert math.isclose(found.unknown["word"], 1 - left / found.irreducible, abs_tol=1e-6)


def test_a_hidden_noise_word_and_unknown_words():
    odd = Disguise(noise=2)
    asked = [(tokens, i) for tokens, i in odd.draws(40, 6) if tokens[i] in odd.noises][:3]
    vocab = make_vocab(dict.fromkeys([*odd.spelt, *odd.noises], 1))
    found = latent_regret(lambda ids, pos: torch.eye(len(vocab))[word_at(ids, pos)], vocab, asked, disguise=odd, mass=1.)
    assert torch.allclose(found.variances, torch.full((3,), .99).double()) and set(found.by["topic"]) == {odd.NOISE}
    few = make_vocab({"the": 1})
    seen = []
    latent_regret(lambda ids, pos: seen.append(ids) or torch.zeros(len(ids), 1), few, ASKED[:5])
    assert all(set(ids.unique().tolist()) <= {PAD, UNK, few.ids["the"]} for ids in seen)


def test_five_hundred_blanks_of_an_encoder():
    torch.manual_seed(0)
    model = LatentModel(ModelConfig(vocab_size=len(VOCAB), dim=128)).eval()
    begin = time.process_time()
    found = latent_regret(lambda ids, pos: F.normalize(model.encoder(ids)[torch.arange(len(ids)), pos], dim=1), VOCAB,
                          list(draws(500, 1)), torch.zeros(500, 128))
    assert isinstance(found, Regret) and found.cut < .001 and found.cases < 500 * 50
    assert math.isclose(found.regret + found.irreducible, 1, rel_tol=1e-5)                   # unit vectors, from 0
    assert time.process_time() - begin < 60                                                  # some 3 s on an idle core


def test_bars_make_one():
    import matplotlib
    matplotlib.use("Agg")
    found = latent_regret(mixed, VOCAB, ASKED, torch.zeros(60, 7))
    ax = plot_regret({"a": found, "b": latent_regret(mixed, VOCAB, ASKED)})
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert math.isclose(ends[2], 1) and math.isclose(ends[5], 1)


@pytest.mark.parametrize("wrong", [dict(questions=[]), dict(mass=0.), dict(split=[]), dict(pred=torch.zeros(3, 7))])
def test_what_cannot_be_measured(wrong):
    with pytest.raises(UsageError, match="a prediction a question"):
        latent_regret(**dict(target=mixed, vocab=VOCAB, questions=ASKED) | wrong)
