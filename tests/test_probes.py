"Probes: the linear one against its formula, both where the answer is known, and what they must not be fooled by."
import math
import time

import pytest
import torch
from torch import Generator, nn

from tofy.causes import CAUSES, Disguise, causes, generate_causes
from tofy.data import pack
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import UsageError
from tofy.masking import Blanks
from tofy.probes import Labelled, _discriminant, features, labelled, learning_curve, probe, word_features
from tofy.readout import blank_features
from tofy.vocab import MASK, make_vocab

made = Generator().manual_seed(0)


def test_the_discriminant_is_bayes_rule_for_normal_classes():
    "Its scores differ by the log odds of two normal densities with one covariance (Fisher 1936; Bishop 2006, eq. 4.65)."
    x, y = torch.randn(400, 3, generator=made, dtype=torch.double), torch.randint(0, 2, (400,), generator=made)
    x[y == 1] += torch.tensor([1., -2, .5])
    weights, bias = _discriminant(x, y, 2)(.1)
    means = [x[y == c].mean(0) for c in (0, 1)]
    inner = torch.cat([x[y == c] - means[c] for c in (0, 1)])
    law = torch.distributions.MultivariateNormal
    shared = inner.T @ inner / 400 + .1 * torch.eye(3)
    odds = [law(means[c], shared).log_prob(x) + math.log((y == c).sum() / 400) for c in (0, 1)]
    scores = x @ weights + bias
    torch.testing.assert_close(scores[:, 1] - scores[:, 0], odds[1] - odds[0])


def test_the_linear_probe_reaches_the_best_for_normal_classes():
    "Two clouds two deviations apart: nobody is right more often than Φ(1) = .841."
    y = torch.randint(0, 2, (20_000,), generator=made)
    x = torch.randn(20_000, 16, generator=made)
    x[:, 3] += 2. * y
    found = probe(x[:10_000], y[:10_000].tolist(), x[10_000:], y[10_000:].tolist())
    assert abs(found["accuracy"] - .8413) < 4 * found["se"] and abs(found["majority"] - .5) < .02
    assert math.isclose(found["se"], math.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 10_000), rel_tol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_no_information_gives_the_majority_and_labels_may_be_anything(kind):
    names = ["tea", ("a", 1), 7]
    y = [names[min(i % 10, 2)] for i in range(2000)]                       # 7: 80%
    x = torch.randn(2000, 8, generator=made)
    found = probe(x[:1500], y[:1500], x[1500:], y[1500:], kind)
    assert found["majority"] == .8 and found["accuracy"] <= .8 + 1e-6 and abs(found["balanced"] - 1 / 3) < .05
    assert probe(x[:1500], y[:1500], x[1500:], y[1500:], kind) == found


@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_scale_shift_and_empty_columns_change_nothing(kind):
    y = torch.randint(0, 3, (600,), generator=made)
    x = torch.randn(600, 5, generator=made)
    x[torch.arange(600), y] += 3.
    plain = probe(x[:400], y[:400].tolist(), x[400:], y[400:].tolist(), kind)
    other = torch.cat([x * torch.tensor([1e-3, 1, 1e3, 1, 1]) + 50., torch.full((600, 2), 7.)], 1)
    assert plain["accuracy"] > .85
    assert abs(probe(other[:400], y[:400].tolist(), other[400:], y[400:].tolist(), kind)["accuracy"] - plain["accuracy"]) < .006


def test_a_constant_and_a_single_row():
    found = probe(torch.ones(60, 4), [0] * 40 + [1] * 20, torch.ones(3, 4), [0, 0, 1])
    assert math.isclose(found["accuracy"], 2 / 3, rel_tol=1e-6)
    assert probe(torch.ones(1, 2), ["a"], torch.ones(2, 2), ["a", "never seen"])["accuracy"] == .5


def test_strength_is_chosen_on_rows_held_back_by_phrase():
    "Copies of a row with a label by chance: held back row by row, memory seems to pay; held back together, it does not."
    rows = torch.randn(60, 80, generator=made).repeat_interleave(10, 0) + .01 * torch.randn(600, 80, generator=made)
    y = torch.randint(0, 2, (60,), generator=made).repeat_interleave(10).tolist()
    group = torch.arange(60).repeat_interleave(10)
    fresh, labels = torch.randn(200, 80, generator=made), torch.randint(0, 2, (200,), generator=made).tolist()
    apart, together = probe(rows, y, fresh, labels), probe(rows, y, fresh, labels, groups=group * 3 + 5)
    assert apart["strength"] <= together["strength"]


def test_twenty_thousand_rows_take_no_minute():
    x, y = torch.randn(20_000, 128, generator=made), torch.randint(0, 50, (20_000,), generator=made).tolist()
    begin = time.process_time()
    probe(x, y, x[:2000], y[:2000])
    assert time.process_time() - begin < 20                                # about .3 s on an idle core


@pytest.mark.parametrize("wrong", [dict(kind="deep"), dict(y=[1]), dict(test_y=[1, 2])])
def test_what_cannot_be_probed(wrong):
    with pytest.raises(UsageError, match="a label for every row"):
        probe(**dict(x=torch.ones(3, 2), y=[1, 2, 1], test_x=torch.ones(1, 2), test_y=[1]) | wrong)


def test_the_curve_ends_with_all_rows():
    y = torch.randint(0, 2, (300,), generator=made)
    x = torch.randn(300, 4, generator=made)
    x[:, 0] += 4. * y
    curve = learning_curve(x, y.tolist(), x, y.tolist(), (4, 100, 300, 1000), draws=3)
    assert list(curve) == [4, 100, 300] and curve[300] == (probe(x, y.tolist(), x, y.tolist())["accuracy"], 0.)
    assert curve[4][1] >= 0 and curve[4][0] < curve[300][0]


# ---- phrases and features

@pytest.fixture(scope="module")
def vocab():
    odd = Disguise(2, 3)
    return make_vocab({word: 1 for word in [*(s for some in odd.spelt.values() for s in some), *odd.noises]}, 10_000)


@pytest.mark.parametrize("disguise", [None, Disguise(2, 3)], ids=str)
def test_labels_belong_to_the_phrases(vocab, disguise):
    found, used = labelled(vocab, 120, 5, disguise), disguise or Disguise()
    assert isinstance(found, Labelled) and list(found.causes) == list(CAUSES)
    for i, record in enumerate(generate_causes(120, 5)):
        at = int(found.blanks.positions[i])
        worn = [vocab.words[k] for k in found.phrases[i].tolist()]
        tokens, position = found.questions[i]
        assert used.undo(worn, at) == ([*tokens[:position], "_", *tokens[position + 1:]], position)
        assert " ".join(tokens) == record["context"] and used.truth[worn[at]] == tokens[position]
        for cause, law in causes(tokens, position).items():
            assert law[found.causes[cause][i]] > 0
        assert found.causes["slot"][i] == record["slot"][position] and found.causes["topic"][i] == record["topic"]
    short = labelled(make_vocab({"the": 3}), 5, 5)
    assert (short.phrases.flat == 1).any() and not (short.phrases.flat == 2).any()       # a word without a row


def test_features_are_the_models_own(vocab):
    torch.manual_seed(0)
    model = LatentModel(ModelConfig(vocab_size=len(vocab), dim=16, heads=2, dropout=.5)).train()
    some = labelled(vocab, 40, 3)
    found = features(model, some.phrases, some.blanks, batch=7)
    assert model.training and set(found) == {"hidden", "prediction"}
    model.eval()
    for i in (0, 13, 39):
        ids = some.phrases[i][None].clone()
        at = int(some.blanks.positions[i])
        torch.testing.assert_close(features(model, some.phrases)["phrase"][i], model.encoder(ids)[0].mean(0), atol=1e-5, rtol=1e-4)
        ids[0, at] = MASK
        hidden = model.encoder(ids)[0, at]
        torch.testing.assert_close(found["hidden"][i], hidden, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found["prediction"][i], model.predictor(hidden), atol=1e-5, rtol=1e-4)


def test_probes_and_readouts_read_the_same(vocab, monkeypatch):
    "One loop over blanks, in their order; a model that fails is left in training mode as it was."
    model = LatentModel(ModelConfig(vocab_size=len(vocab), dim=16, heads=2, dropout=.5)).train()
    some = labelled(vocab, 40, 3)
    found, read = features(model, some.phrases, some.blanks, 8), blank_features(model, some.phrases, some.blanks, 8)
    assert all(torch.equal(found[name], read[name]) and not found[name].requires_grad for name in found) and model.training
    monkeypatch.setattr(model, "forward", lambda *args: 1 / 0)
    for reader in (features, blank_features):
        with pytest.raises(ZeroDivisionError):
            reader(model, some.phrases, some.blanks)
        assert model.training


def test_any_model_of_that_form_will_do():
    class Ids(nn.Module):
        def encoder(self, ids): return ids[..., None].float()
        def forward(self, inputs, mask): return inputs[mask][:, None].float() * 0, inputs[mask][:, None].float()
    phrases = pack([[5, 6, 7], [8, 9]])
    found = features(Ids(), phrases, Blanks(torch.tensor([1, 0]), torch.tensor([0, 2])))
    assert found["hidden"].tolist() == [[MASK], [MASK]] and found["prediction"].tolist() == [[0], [0]]
    assert features(Ids(), phrases)["phrase"].tolist() == [[6.], [8.5]]


def test_the_hidden_word_is_in_no_baseline():
    a, b = pack([[5, 6, 7], [8, 9]]), pack([[5, 33, 7], [34, 9]])
    blanks = Blanks(torch.tensor([0, 1]), torch.tensor([1, 0]))
    for name, found in word_features(a, blanks, 64).items():
        assert torch.equal(found, word_features(b, blanks, 64)[name])
    assert not torch.equal(word_features(a)["bag"], word_features(b)["bag"])
    assert word_features(pack([[5, 6], [6, 5]]))["bag"].unique(dim=0).shape[0] == 1
    assert word_features(pack([[5, 6], [6, 5]]))["neighbours"].unique(dim=0).shape[0] == 2
