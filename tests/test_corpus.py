"""Properties of the built-in corpus: the text repeats, the posterior is a law, and it matches counts."""
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy.corpus import best, draws, figures, generate, lines, posterior

ROOT = Path(__file__).resolve().parents[1]


def some_draw(seed: int, names: int = 0):
    "One context with a blank."
    return next(draws(1, seed, names))


def test_file_is_the_function():
    assert (ROOT / "data" / "casual_pairs.txt").read_text(encoding="utf-8").splitlines() == lines()


@given(st.integers(0, 10**6), st.sampled_from([0, 400]))
@settings(max_examples=20, deadline=None)
def test_same_seed_same_text(seed, names):
    text = generate(20, seed, names)
    assert generate(20, seed, names) == text
    assert generate(7, seed, names) == text[:7]
    assert generate(20, seed + 1, names) != text


@given(st.integers(0, 10**6), st.sampled_from([0, 0, 2000]), st.sampled_from([None, None, 0, 1, 4]))
@settings(max_examples=150, deadline=None)
def test_posterior_is_a_law_and_allows_the_truth(seed, names, window):
    tokens, i = some_draw(seed, names)
    law = posterior(tokens, i, names, window)
    assert abs(sum(law.values()) - 1) < 1e-9
    assert law[tokens[i]] > 0
    assert all(p > 0 for p in law.values())
    ordered = list(law.values())
    assert all(a > b - 1e-11 for a, b in zip(ordered, ordered[1:], strict=False))


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_hidden_token_is_ignored_and_a_string_will_do(seed):
    tokens, i = some_draw(seed)
    law = posterior(tokens, i)
    blanked = [*tokens[:i], "_", *tokens[i + 1 :]]
    assert posterior(blanked, i) == law
    assert posterior(" ".join(blanked), i) == law


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_any_word_of_the_posterior_could_stand_there(seed):
    "Filling the blank with one of its words leaves a phrase that the grammar can make, at every other blank too."
    tokens, i = some_draw(seed)
    law = posterior(tokens, i)
    for word in list(law)[:3] + list(law)[-1:]:
        filled = [*tokens[:i], word, *tokens[i + 1 :]]
        j = (i + 1) % len(tokens)
        assert posterior(filled, j)[filled[j]] > 0
        assert posterior(filled, i) == law


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_two_blanks_agree(seed):
    "p(a | b) / p(a' | b) does not depend on the path: swapping two tokens one after the other closes the loop."
    tokens, i = some_draw(seed)
    j = (i + len(tokens) // 2) % len(tokens)
    a, b = tokens[i], tokens[j]
    a2, b2 = next(iter(posterior(tokens, i))), next(iter(posterior(tokens, j)))

    def ratio(position, new, old, at):
        law = posterior([at.get(k, token) for k, token in enumerate(tokens)], position)
        return law.get(new, 0.0) / law[old]

    there = ratio(i, a2, a, {}) * ratio(j, b2, b, {i: a2})
    back = ratio(j, b2, b, {}) * (ratio(i, a2, a, {j: b2}) if b2 != b else ratio(i, a2, a, {}))
    assert math.isclose(there, back, rel_tol=1e-9, abs_tol=1e-12)


def deviations(n: int, seed: int, key, window: int | None = None) -> list[float]:
    "For each (key, word) expected 20 times or more: the count's distance from the expectation, in standard deviations."
    seen, mean, variance = Counter(), Counter(), Counter()
    for tokens, i in draws(n, seed):
        k = key(tokens, i)
        seen[k, tokens[i]] += 1
        for word, p in posterior(tokens, i, window=window).items():
            mean[k, word] += p
            variance[k, word] += p * (1 - p)
    return [(seen[k] - mean[k]) / math.sqrt(variance[k]) for k in mean if mean[k] >= 20 and variance[k] > 5]


@pytest.mark.parametrize("window", [None, 1, 3])
def test_posterior_matches_counts(window):
    z = deviations(6000, 21, lambda tokens, i: None, window)
    assert len(z) > 25
    assert max(map(abs, z)) < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("side", [-1, 1, 5])
def test_posterior_matches_200_000_counts(side):
    "Grouped by the neighbour on either side, and by a token five places on."
    z = deviations(200_000, 33, lambda tokens, i: tokens[i + side] if 0 <= i + side < len(tokens) else "")
    assert len(z) > 500
    assert max(map(abs, z)) < 5
    assert 0.9 < sum(x * x for x in z) / len(z) < 1.1


@pytest.mark.slow
def test_frequent_frames_match_200_000_counts():
    "Blanks with the same neighbours, length and position have one law (window=1); its words come as often as it says."
    frames, example = Counter(), {}
    for tokens, i in draws(200_000, 44):
        if 0 < i < len(tokens) - 1:
            frame = len(tokens), i, tokens[i - 1], tokens[i + 1]
            frames[frame, tokens[i]] += 1
            example[frame] = tokens
    totals, compared = Counter(), 0
    for (frame, _), n in frames.items():
        totals[frame] += n
    for frame, total in totals.most_common(150):
        for word, p in posterior(example[frame], frame[1], window=1).items():
            if total * p >= 10 and total * (1 - p) >= 10:
                compared += 1
                assert abs(frames[frame, word] - total * p) < 4.5 * math.sqrt(total * p * (1 - p)), (frame, word)
    assert compared > 200


def test_size_of_the_language():
    words = {word for pair in generate() for text in pair for word in text.split()}
    assert 600 <= len(words) <= 1200
    assert len({word for context, _ in generate(20_000, names=8000) for word in context.split()}) > 4000
    assert len({context for context, _ in generate(20_000, 3)}) > 19_500


def test_best_is_between_the_limits():
    top = best(4000)
    assert 0.55 < top["top1"] < 0.75
    assert top["top1"] < top["top5"] < top["top10"] < 1
    assert set(top) >= {"queries", "top1", "top5", "top10", "mrr", "median_rank", "mean_rank", "top1_se", "mrr_se"}
    assert figures([1, 1])["mrr_se"] == 0


@pytest.mark.parametrize(
    "phrase, position, said",
    [("this is no phrase of ours", 2, "cannot have made"), ("", 0, "outside"), ("have you _ ?", -1, "outside"),
     ("zebra has moved to london .", 2, "cannot have made"), ("anna has moved to london .", 6, "outside")],
)
def test_what_cannot_be_asked(phrase, position, said):
    with pytest.raises(ValueError, match=said):
        posterior(phrase, position)
