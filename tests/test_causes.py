"What made a phrase: recorded as it is drawn, worked out from its words, and checked by counting; disguises of the text."
import hashlib
import math
import random
from collections import Counter

import pytest

from tofy.causes import CAUSES, Disguise, cause_words, causes, ceilings, generate_causes, reply_odds
from tofy.corpus import best, builtin_sizes, draws, generate, lines, posterior
from tofy.data import load_data
from tofy.errors import UsageError
from tofy.sources import fingerprint, source_lines

def of(record: dict, cause: str, i: int) -> str:
    "The recorded value of a cause, at token i."
    return record[cause][i] if cause in ("slot", "form") else record[cause]


def test_the_text_of_a_seed_has_not_changed():
    "Pinned before causes were recorded."
    text = hashlib.sha256(repr((generate(3700), generate(2000, 7, 4000))).encode()).hexdigest()
    assert text == "87fe9f21ffdf55c156306191d5b10c982c4e5dce932b30522a08bd128f3ad6b7"


@pytest.mark.parametrize("seed, names", [(0, 0), (5, 0), (6, 800)])
def test_recorded_causes_belong_to_the_text_of_generate(seed, names):
    found = list(generate_causes(400, seed, names))
    assert [(r["context"], r["response"]) for r in found] == generate(400, seed, names)
    for r in found:
        assert list(r) == ["context", "response", *CAUSES]
        patterns = [token for cause in ("opener", "core", "tail") for token in r[cause].split()]
        for word, pattern, slot, form in zip(r["context"].split(), patterns, r["slot"], r["form"], strict=True):
            if slot == "fixed":
                assert (word, "plain") == (pattern, form)
            elif slot == "choice":
                assert word in pattern.split("/")
            else:
                assert pattern == "{" + slot + ("" if form == "plain" else f".{form}") + "}"


@pytest.mark.parametrize("names", [0, 400])
def test_causes_add_up_and_allow_the_truth(names):
    for r in generate_causes(150, 3, names):
        tokens = r["context"].split()
        i = len(tokens) // 3
        for found in (causes(tokens, i, names), causes(r["context"], None, names), causes(tokens, i, names, hide=False)):
            for cause, law in found.items():
                assert math.isclose(sum(law.values()), 1, rel_tol=1e-9) and law[of(r, cause, i)] > 0
                assert list(law.values()) == sorted(law.values(), reverse=True)
        split, law = cause_words(tokens, i, names), posterior(tokens, i, names)
        for table in split.values():
            for word, p in law.items():
                assert math.isclose(sum(words.get(word, 0) for words in table.values()), p, rel_tol=1e-9)
        for value, p in causes(tokens, i, names)["topic"].items():
            assert math.isclose(sum(split["topic"][value].values()), p, rel_tol=1e-9)


def test_the_hidden_word_is_not_looked_at_and_the_seen_one_is():
    tokens = "i adored the rye my cousins tried .".split()
    blank = [*tokens[:1], "_", *tokens[2:]]
    assert causes(tokens, 1) == causes(blank, 1)
    assert math.isclose(causes(blank, 1)["mood"]["good"], .65) and causes(tokens, 1, hide=False)["mood"] == {"good": 1.}


def expected_and_counted(pairs) -> list[float]:
    "From ((key, law), truth) pairs: for each (key, value) the count's distance from its expectation in deviations."
    mean, variance, true = Counter(), Counter(), Counter()
    for key, law, truth in pairs:
        true[key, truth] += 1
        for value, p in law.items():
            mean[key, value] += p
            variance[key, value] += p * (1 - p)
    return [(true[k] - mean[k]) / math.sqrt(variance[k]) for k in mean if variance[k] > 3]


def test_causes_match_what_happened():
    "Summed over 4,000 phrases, each with one word hidden."
    def pairs():
        for r in generate_causes(4000, 12):
            tokens = r["context"].split()
            i = len(tokens) - 3
            for cause, law in causes(tokens, i).items():
                yield cause, law, of(r, cause, i)
    z = expected_and_counted(pairs())
    assert len(z) >= 10 and max(map(abs, z)) < 4


def test_causes_of_short_phrases_match_all_counts():
    "Of the likeliest contexts: the share of each cause among many draws of this very phrase."
    seen = Counter()
    for r in generate_causes(60_000, 2):
        seen[r["context"], tuple(r[c] for c in CAUSES[:6])] += 1
    totals = Counter()
    for (context, _), n in seen.items():
        totals[context] += n
    for context, total in totals.most_common(8):
        for j, cause in enumerate(CAUSES[:6]):
            for value, p in causes(context)[cause].items():
                n = sum(k for (c, values), k in seen.items() if c == context and values[j] == value)
                assert abs(n - total * p) < 4.5 * math.sqrt(total * p * (1 - p)) + 1e-6


def test_ceilings_are_the_mean_of_the_largest():
    asked = list(draws(40, 2))
    tops = ceilings(asked)
    for cause in CAUSES:
        assert math.isclose(tops[cause], sum(max(causes(*q)[cause].values()) for q in asked) / 40)
    assert set(ceilings([(tokens, None) for tokens, _ in asked])) == set(CAUSES[:6])


def test_reply_odds_match_counts():
    "Of the 25 commonest responses."
    pairs = list(generate_causes(1200, 8))
    common = [text for text, _ in Counter(r["response"] for r in pairs).most_common(25)]
    def laws():
        for r in pairs:
            law = dict(zip(common, reply_odds(r["context"], common), strict=True))
            yield None, law, r["response"]
    z = expected_and_counted(laws())
    assert len(z) > 10 and max(map(abs, z)) < 4
    assert all(reply_odds(r["context"], [r["response"]])[0] > 0 for r in pairs)


def test_reply_odds_of_everything_sayable_make_one():
    "Of the commonest context; nearly everything that can be said is among 30,000 draws."
    context = max(Counter(c for c, _ in generate(20_000, 3)).items(), key=lambda pair: pair[1])[0]
    acts = set(causes(context)["act"])
    replies = {r["response"] for r in generate_causes(30_000, 4) if r["act"] in acts}
    assert .9 < sum(reply_odds(context, sorted(replies))) <= 1 + 1e-9


@pytest.mark.parametrize("ask, said", [
    (lambda: causes("colourless green ideas sleep ."), "cannot have made"), (lambda: causes(""), "outside"),
    (lambda: causes("anna has moved to london .", 6), "outside"), (lambda: cause_words("anna has moved .", -1), "outside"),
    (lambda: reply_odds("colourless green ideas .", []), "cannot have made"), (lambda: Disguise(0), "spellings"),
    (lambda: Disguise(noise=-1), "noise")])
def test_what_cannot_be_asked(ask, said):
    with pytest.raises(UsageError, match=said):
        ask()


def test_no_disguise_is_the_text_itself():
    plain = Disguise(names=400)
    assert plain.lines(100, 3) == lines(100, 3, 400) and list(plain.draws(100, 3)) == list(draws(100, 3, 400))
    assert plain.best(100) == best(100, names=400) and not plain.noises


@pytest.mark.parametrize("odd", [Disguise(2), Disguise(16), Disguise(noise=3), Disguise(4, 2, 400)], ids=str)
def test_a_disguise_can_be_taken_off(odd):
    true = [line.split("\t") for line in lines(200, 5, odd.names)]
    for (context, response), line in zip(true, odd.lines(200, 5), strict=True):
        for turn, worn in zip((context, response), line.split("\t"), strict=True):
            assert [w for w in map(odd.truth.get, worn.split()) if w != odd.NOISE] == turn.split()
            assert len(worn.split()) == len(turn.split()) + odd.noise
        assert odd.undo(line.split("\t")[0])[0] == context.split()
    everything = [spelling for some in odd.spelt.values() for spelling in some] + odd.noises
    assert len(everything) == len(set(everything)) == len(odd.truth)
    assert all(len(some) == (odd.spellings if word.isalpha() else 1) and some[0] == word for word, some in odd.spelt.items())


@pytest.mark.parametrize("odd", [Disguise(3), Disguise(noise=2), Disguise(2, 1)], ids=str)
def test_the_disguised_posterior_is_a_law_and_matches_counts(odd):
    "Counted by the true word and by how many spellings of it came; noise by itself."
    asked, spellings = list(odd.draws(3000, 21)), Counter()
    def laws():
        for tokens, i in asked:
            law = odd.posterior(tokens, i)
            assert math.isclose(sum(law.values()), 1, rel_tol=1e-9) and law[tokens[i]] > 0
            spellings[odd.spelt.get(odd.truth[tokens[i]], [""]).index(tokens[i]) if tokens[i] not in odd.noises else -1] += 1
            yield None, law, tokens[i]
    z = expected_and_counted(laws())
    assert len(z) > 20 and max(map(abs, z)) < 4.5
    if odd.noise:
        share = sum(odd.noise / len(tokens) for tokens, _ in asked)
        assert abs(spellings[-1] - share) < 4 * math.sqrt(share)
        tokens, i = next((t, i) for t, i in asked if t[i] in odd.noises)
        assert odd.posterior(tokens, i) == dict.fromkeys(odd.noises, 1 / 100) and odd.undo(tokens, i)[1] is None


def test_causes_survive_a_disguise():
    odd = Disguise(5, 2)
    for line, r in zip(odd.lines(60, 4), generate_causes(60, 4), strict=True):
        tokens = line.split("\t")[0].split()
        assert causes(odd.undo(tokens)[0]) == causes(r["context"])
        i = random.Random(line).randrange(len(tokens))
        true, at = odd.undo(tokens, i)
        assert causes(true, at)["topic"][r["topic"]] > 0 and (at is None) == (tokens[i] in odd.noises)


@pytest.mark.parametrize("names", [0, 400])
def test_the_odds_of_a_response_to_anybody_are_its_share(names):
    "Those of the commonest against 20,000 draws; and the mean over contexts of what a context makes of it."
    drawn = Counter(response for _, response in generate(20_000, 9, names))
    common = [text for text, _ in drawn.most_common(60)]
    for text, p in zip(common, reply_odds(None, common, names), strict=True):
        assert abs(drawn[text] - 20_000 * p) < 4.5 * math.sqrt(20_000 * p)
    each = [reply_odds(context, common[:5], names) for context, _ in generate(3000, 5, names)]
    for j, p in enumerate(reply_odds(None, common[:5], names)):
        values = [odds[j] for odds in each]
        mean = sum(values) / 3000
        spread = math.sqrt(sum((v - mean) ** 2 for v in values)) / 3000
        assert abs(mean - p) < 4.5 * spread


def test_two_hidden_words_are_a_mixture_over_the_second():
    "P(cause | both hidden) is the mean over the second word, by its own probability with both hidden, of P(cause | it seen)."
    for tokens, i in draws(40, 13):
        j = (i + 3) % len(tokens)
        both = ["<mask>" if k == j else token for k, token in enumerate(tokens)]
        gone = ["<mask>" if k == i else token for k, token in enumerate(tokens)]
        law = Counter()
        for words in cause_words(gone, j)["slot"].values():
            law.update(words)
        found, mixed = causes(both, i), {cause: Counter() for cause in CAUSES}
        for word, p in law.items():
            for cause, table in causes([*tokens[:j], word, *tokens[j + 1:]], i).items():
                for value, q in table.items():
                    mixed[cause][value] += p * q
        for cause, table in found.items():
            for value, p in table.items():
                assert math.isclose(mixed[cause][value], p, rel_tol=1e-9, abs_tol=1e-12)
        assert causes(["<unk>" if token == "<mask>" else token for token in both], i) == found
        answer = ["no , not yet .", "why do you ask ?"]
        for k, p in enumerate(reply_odds(gone, answer)):
            seen = posterior(tokens, i)
            here = sum(q * reply_odds([*tokens[:i], word, *tokens[i + 1:]], answer)[k] for word, q in seen.items())
            assert math.isclose(p, here, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("source, odd, n", [("builtin:40:0:3", Disguise(3), 40), ("builtin:30:400:2:1", Disguise(2, 1, 400), 30),
                                            ("builtin:25:0:1:2", Disguise(1, 2), 25)])
def test_a_disguised_text_is_a_source_like_any_other(source, odd, n):
    assert source_lines(source, 5) == odd.lines(n, 5) and fingerprint(source) == source and builtin_sizes(source) is None
    data = load_data(source, valid=5)
    words = {word for line in odd.lines(n) for word in line.split("\t")[0].split()}
    assert set(data.vocab.words[3:]) <= words and data.settings["source"] == source and not data.origin


@pytest.mark.parametrize("source", ["builtin:5:0:x", "builtin:5:0:2:1:9", "builtin:5:0:-1", "builtin:5:0:0", "builtin:5:0:2:101",
                                    "builtin:99999999:0:2", "builtin:5:2000000:2"])
def test_a_disguise_that_cannot_be(source):
    with pytest.raises(UsageError, match="builtin|possible"):
        source_lines(source)


def test_several_hidden_words_and_noise():
    odd = Disguise(2, 1)
    tokens = odd.lines(1)[0].split("\t")[0].split()
    tokens[1] = "<mask>"
    assert odd.posterior(tokens, 1)
    with pytest.raises(UsageError, match="hide only one"):
        odd.undo(tokens, 0)
