"Properties of the laboratory's data: texts made by rule and their marks, and the numbering of examples."

import math
import re
from collections import Counter
from itertools import islice, permutations
from random import Random

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Generator

from tofy.data import pack
from tofy.errors import UsageError
from tofy.lab.prefixes import (
    IGNORED,
    Marks,
    Prefixes,
    Windows,
    batch,
    batch_with_middles,
    costs,
    coverage,
    hide_middle,
    loss_by_length,
    questions,
    show_middle,
    shuffled,
)
from tofy.lab.synthetic import (
    SETS,
    SLOTS,
    addition_law,
    check_action,
    check_lines,
    check_story,
    check_sum,
    check_word,
    context_entropy,
    explain_loss,
    parse_story,
    price,
    result_of,
    row,
    sequence2_law,
    stories_law,
    tally,
    text_of,
    words_law,
)

UNHURRIED = settings(deadline=None)
ALL = st.sampled_from(list(SETS))
CHANCE = st.sampled_from([name for name in SETS if name != "sequence"])


# ---- texts made by rule


@given(ALL, st.integers(0, 10**6), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_same_seed_gives_the_same_text_and_a_longer_one_begins_with_it(name, seed, lines):
    text = SETS[name].text(lines, seed)
    assert text == SETS[name].text(lines, seed)
    assert SETS[name].text(lines + 5, seed).startswith(text)


@given(CHANCE, st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_another_seed_gives_another_text(name, seed):
    assert SETS[name].text(400, seed) != SETS[name].text(400, seed + 1)


@given(st.sampled_from(["words", "actions", "addition", "stories"]), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_what_is_made_is_marked_right(name, seed):
    assert SETS[name].score([""], [SETS[name].text(200 if name == "actions" else 30, seed)]).passed


@pytest.mark.parametrize(
    "name, outcomes",
    [
        ("words", 5 * 5 * 7 * 4 * (1 + 6 * 3)),  # after three words; four letters, or two more
        ("addition", 101 * 101),
        ("stories", 3**5 * math.prod(len(options) for options in SLOTS.values())),
        ("sequence", 1),
    ],
)
def test_the_price_of_a_line_is_its_chance(name, outcomes):
    "The mean of 1/p over lines drawn with chance p is the number of lines there are."
    lines = SETS[name].sample(20_000, seed=3)[3:]
    counted = sum(math.exp(price([line])) for line in lines) / len(lines)
    assert counted == pytest.approx(outcomes, rel=0.02)


def test_the_chances_of_actions_add_up_to_one():
    chance = sum(10 * 6**n * math.exp(-(n * math.log(6) + math.log(5)) - math.log(10)) for n in range(4, 9))
    assert chance == pytest.approx(1)
    for line in SETS["actions"].sample(500)[1:]:
        n = len(line[0][0])
        assert price([line]) == pytest.approx(n * math.log(6) + math.log(5) + math.log(10))


def test_the_law_of_words_by_listing_all_words():
    heads, vowels = {n: list(permutations("bcdfghjk", n)) for n in (2, 3)}, {n: list(permutations("aeiou", n)) for n in (2, 3)}
    counts, entropy = Counter(), 0.0
    for n in (2, 3):
        words = [w for c in heads[n] for v in vowels[n] for w in ["".join(a + b for a, b in zip(c, v, strict=True)) + ";\n"]]
        entropy += 0.5 * math.log(2 * len(words))
        for sign, times in Counter("".join(words)).items():
            counts[sign] += 0.5 * times / len(words)
    law = words_law()
    assert {s: pytest.approx(n) for s, n in law.counts.items()} == counts
    assert law.nats == pytest.approx(entropy - math.log(8) + math.log(5))  # three first letters are barred


def test_the_numbers_of_the_notes():
    "The losses at which the experiments stopped are unigram entropies."
    assert SETS["actions"].law().unigram == pytest.approx(2.716, abs=5e-4)
    assert SETS["addition"].law().unigram == pytest.approx(2.463, abs=5e-4)
    assert SETS["sequence"].law().unigram == pytest.approx(2.403, abs=5e-4)
    assert SETS["sequence"].law().unigram == pytest.approx(math.log(24) / 3 + 2 / 3 * math.log(7.5))  # 8 letters, 5 symbols


def test_entropies_of_the_others_by_hand():
    assert addition_law().nats == pytest.approx(2 * math.log(101))
    flip = 0.002
    binary = -flip * math.log(flip) - (1 - flip) * math.log(1 - flip)
    assert sequence2_law().floor == pytest.approx(binary + flip * math.log(12))
    assert sequence2_law().length == pytest.approx(8)
    assert stories_law().nats == pytest.approx(math.log(3**5 * 36 * 6 * 36 * 12 * 5))


@pytest.mark.parametrize("name", list(SETS))
def test_laws_against_counts(name):
    lines = SETS[name].sample(4620, seed=11)
    text, law = text_of(lines), SETS[name].law()
    assert set(text) <= set(law.counts)
    for sign, n in law.counts.items():
        assert text.count(sign) / 4620 == pytest.approx(n, abs=0.05 * (1 + n**0.5))
    assert context_entropy(text, 0) == pytest.approx(law.unigram, abs=0.01)
    assert price(lines) / len(text) == pytest.approx(law.floor, abs=0.01)


@pytest.mark.parametrize("name", ["words", "actions", "addition", "sequence2"])
def test_more_memory_costs_no_more_and_never_less_than_the_floor(name):
    text = SETS[name].text(20_000)
    prices = [context_entropy(text, k) for k in range(3)]
    assert prices == sorted(prices, reverse=True) and prices[-1] > SETS[name].law().floor


@given(st.text("ab", min_size=3, max_size=50), st.integers(0, 2))
@UNHURRIED
def test_context_entropy_against_its_definition(text, k):
    pairs = [(text[i : i + k], text[i + k]) for i in range(len(text) - k)]
    by_hand = 0.0
    for context in {c for c, _ in pairs}:
        follows = Counter(s for c, s in pairs if c == context)
        by_hand -= sum(n * math.log(n / follows.total()) for n in follows.values())
    assert context_entropy(text, k) == pytest.approx(by_hand / len(pairs), abs=1e-12)


# ---- marks

SYLLABLES = st.lists(st.sampled_from([c + v for c in "bcgj" for v in "aeiu"]), min_size=1, max_size=4)
LINES = SYLLABLES.map(lambda found: "".join(found) + ";") | st.text("bcgkaeiou;", max_size=8)


@given(LINES)
@UNHURRIED
def test_words_against_the_rule_spelt_out(line):
    letters = line[:-1]
    right = (
        line.endswith(";")
        and len(letters) in (4, 6)
        and len(set(letters)) == len(letters)
        and all(c in ("aeiou" if i % 2 else "bcdfghjk") for i, c in enumerate(letters))
    )
    assert dict(check_word([line], 0))["pattern"] == right


@given(st.integers(0, 9), st.text("abcdef", min_size=4, max_size=8), st.text("abcdef", min_size=4, max_size=8))
@UNHURRIED
def test_actions_against_a_table(action, data, before):
    moved = dict(zip("abcdef", "ghijkl", strict=True))
    table = ["", data[:3], data[-3:], *("".join(moved[c] for c in part) for part in (data[:3], data[-3:])),
             before[:3], before[-3:], *("".join(moved[c] for c in part) for part in (before[:3], before[-3:])), "z"]  # fmt: skip
    assert result_of(action, data, before) == table[action]
    lines = [f"{before}0;", f"{data}{action}{table[action]};"]
    assert dict(check_action(lines, 1)) == {"form": True, str(action): True}
    assert dict(check_action([lines[0], f"{data}{action}{table[action]}a;"], 1)) == {"form": True, str(action): False}


@given(st.integers(0, 120), st.integers(0, 120), st.integers(0, 240))
@UNHURRIED
def test_sums_against_arithmetic(a, b, c):
    found = dict(check_sum([f"{a} + {b} = {c};"], 0))
    assert found["form"] == (a <= 100 and b <= 100)
    assert found.get("sum", a + b == c) == (a + b == c)


@given(st.text("0123456789+= ;", max_size=20))
@UNHURRIED
def test_a_sum_of_the_right_form_is_a_sum(line):
    if dict(check_sum([line], 0))["form"]:
        a, b = (int(n) for n in re.findall(r"\d+", line)[:2])
        assert line.startswith(f"{a} + {b} = ") and line.endswith(";") and max(a, b) <= 100


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_an_article_taken_away_or_exchanged_is_noticed(seed, chance):
    story = SETS["stories"].text(1, seed)
    places = [m for m in re.finditer(r"\b(an?|the|An?|The|his|her|its) ", story)]
    place = chance.choice(places)
    asked = Counter(name for name, _ in check_story([story], 0))
    missing = Counter(name for name, right in check_story([story[: place.start()] + story[place.end() :]], 0) if not right)
    assert missing["articles"] == 1 and missing["stories"] == 1 and asked["articles"] == len(places)
    if place[1].lower() in ("a", "an"):
        swapped = "a" if place[1].lower() == "an" else "an"
        other = story[: place.start()] + swapped + story[place.end() - 1 :]
        wrong = Counter(name for name, right in check_story([other], 0) if not right)
        assert wrong["a or an"] == 1 and wrong["articles"] == 0 and wrong["stories"] == 1


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_story_tells_its_cast(seed):
    story = SETS["stories"].text(1, seed)
    cast = parse_story(story)
    assert [len(options) for options in cast.values()] == [1] * 5
    hero = cast["hero"][0]["name"]
    other = next(n for n in ("Tim", "Mia") if n != hero)
    if story.count(hero) > 1:
        assert parse_story(other.join(story.rsplit(hero, 1))) is None  # somebody else went home


@given(st.sampled_from(["words", "addition"]), st.integers(1, 6), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_only_whole_new_lines_are_marked(name, lines, more):
    prompt, text = SETS[name].text(lines, 1), SETS[name].text(lines + 3, 1)
    cut = text[len(prompt) : len(prompt) + more]
    first = next(iter(SETS[name].need))
    asked = [found for found, _ in SETS[name].check(prompt, cut) if found == first]
    assert len(asked) == cut.count("\n")


def test_the_lines_of_the_prompt_count_as_what_came_before():
    assert dict(check_lines(check_action, "fadeb0;\n", "cabba7lgj;\n")) == {"form": True, "7": True}
    assert dict(check_lines(check_word, "bacodi;\n", "bedo;\n"))["first letter"] is False


def test_the_last_three_first_letters_are_barred_and_no_more():
    lines = ["bacodi;", "dafe;", "hugo;", "kico;"]
    for i, first in enumerate("bdhk"):
        assert dict(check_word([*lines, f"{first}ejo;"], 4))["first letter"] is (i == 0)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
@UNHURRIED
def test_a_pass_is_above_the_share_or_all_of_them(right, wrong, percent):
    score = tally([("row", True)] * right + [("row", False)] * wrong, {"row": percent / 100})
    assert score.passed == (bool(right) and (not wrong or 100 * right > percent * (right + wrong)))


def test_keys_of_the_sequences():
    whole = text_of(islice(SETS["sequence"].source(Random(0)), 90))
    for prompt in SETS["sequence"].prompts():
        at = whole.index(prompt)
        key = whole[at + 4 : at + 18]
        assert dict(SETS["sequence"].check(prompt, key + "anything")) == {prompt: True}
        assert not any(dict(SETS["sequence"].check(prompt, key[:13] + "?")).values())
    for prompt in SETS["sequence2"].prompts():
        i = next(i for i in range(4620) if prompt.startswith(row(i) + row(i + 1)))
        right = row(i + 10) + row(i + 11)
        assert all(dict(SETS["sequence2"].check(prompt, right)).values())
        assert dict(SETS["sequence2"].check(prompt, right[:8] + "a" * 8)) == {"next line": True, "line after": False}


@given(ALL, st.lists(st.floats(0, 8), min_size=2, max_size=6))
@UNHURRIED
def test_sentences_about_losses_come_in_order(name, losses):
    ranks = ["below the best", "as good as", "of the way", "alone give", "not even", "worse than"]
    said = [explain_loss(loss, SETS[name].law(), 256) for loss in sorted(losses)]
    found = [next(i for i, words in enumerate(ranks) if words in sentence) for sentence in said]
    assert found == sorted(found)


# ---- examples by number

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=6)
CONTEXT = st.integers(1, 12)


def listed(lengths: list[int], context: int, stride: int | None) -> list[tuple[int, int, int, int]]:
    "The list that an index replaces: (document, start, length, asked), written out."
    found = []
    for document, n in enumerate(lengths):
        if stride is None:
            found += [(document, max(0, t - context), min(t, context), 1) for t in range(1, n)]
            continue
        start, reached = 0, 0  # the last token asked for
        while reached < n - 1:
            end = min(start + context, n - 1)
            found.append((document, start, end - start, end - reached))
            reached, start = end, start + stride
    return found


@st.composite
def indexes(draw):
    lengths, context = draw(LENGTHS), draw(CONTEXT)
    stride = draw(st.none() | st.integers(1, context))
    lengths = torch.tensor(lengths)
    return (Prefixes(lengths, context) if stride is None else Windows(lengths, context, stride)), stride


@given(indexes())
@UNHURRIED
def test_numbers_stand_for_the_list(drawn):
    index, stride = drawn
    expected = listed(index.lengths.tolist(), index.context, stride)
    examples = index.locate(torch.arange(len(index)))
    assert list(zip(*(x.tolist() for x in examples), strict=True)) == expected
    assert index.tokens_read() == sum(length for _, _, length, _ in expected)
    assert [index.number(*example[:3]) for example in expected] == list(range(len(index)))


@given(indexes(), st.integers(-1, 6), st.integers(-1, 41), st.integers(0, 13))
@UNHURRIED
def test_what_is_not_an_example_has_no_number(drawn, document, start, length):
    index, stride = drawn
    known = {e[:3] for e in listed(index.lengths.tolist(), index.context, stride)}
    assume((document, start, length) not in known)
    with pytest.raises(UsageError, match="No example reads"):
        index.number(document, start, length)


@given(indexes())
@UNHURRIED
def test_an_epoch_asks_for_every_token_once(drawn):
    index, stride = drawn
    examples = index.locate(torch.arange(len(index)))
    counts = coverage(examples, index.lengths)
    begins = (index.lengths.cumsum(0) - index.lengths)[index.lengths > 0]
    expected = torch.ones_like(counts)
    expected[begins] = 0  # nothing comes before the first
    assert torch.equal(counts, expected)
    _, place, context = questions(examples)
    least = index.context - (stride or 1) + 1
    assert bool((context <= place.clamp(max=index.context)).all()) and bool((context >= place.clamp(max=least)).all())


@given(LENGTHS, CONTEXT)
@UNHURRIED
def test_windows_of_stride_one_are_the_prefixes(lengths, context):
    lengths = torch.tensor(lengths)
    one, other = Windows(lengths, context, 1), Prefixes(lengths, context)
    asked = [questions(index.locate(torch.arange(len(index)))) for index in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*asked, strict=True))
    assert one.tokens_read() <= other.tokens_read()
    assert [row["computed"] for row in costs(lengths, context, (1,))] == [one.tokens_read(), other.tokens_read()]


def test_coverage_sees_what_is_left_out_and_what_is_asked_twice():
    lengths = torch.tensor([5])
    examples = Windows(lengths, 2, 2).locate(torch.tensor([0, 0]))  # asks for tokens 1 and 2, twice
    assert coverage(examples, lengths).tolist() == [0, 2, 2, 0, 0]


def test_ten_million_positions_take_little_room():
    for tokens in (1731, 11):
        index = Prefixes(torch.full((10_000_000 // (tokens - 1),), tokens), 512)
        assert len(index) >= 9_999_000
        assert 8 * (len(index.first) + len(index.lengths)) < 20e6
        last = index.locate(torch.tensor([len(index) - 1]))
        assert index.number(*[int(x) for x in last[:3]]) == len(index) - 1


@given(st.integers(1, 3000), st.integers(0, 100))
@UNHURRIED
def test_a_shuffle_leaves_out_nothing(size, seed):
    places = shuffled(torch.arange(size), size, seed)
    assert torch.equal(places.sort().values, torch.arange(size))
    some = torch.arange(size)[:: max(1, size // 7)]
    assert torch.equal(shuffled(some, size, seed), places[some])


def test_shuffles_of_175_million_and_by_seed():
    numbers = torch.arange(0, 175_000_000, 17_500)
    first, second = (shuffled(numbers, 175_000_000, seed) for seed in (0, 1))
    assert len(first.unique()) == len(numbers) and not torch.equal(first, second)
    assert 0 <= int(first.min()) and int(first.max()) < 175_000_000
    assert (torch.histc(first.double(), 10, 0, 175e6) / len(numbers) - 0.1).abs().max() < 0.02


@given(indexes(), st.randoms(use_true_random=False))
@UNHURRIED
def test_a_batch_reads_and_asks_what_the_documents_hold(drawn, chance):
    index, _ = drawn
    assume(len(index))
    texts = [[chance.randrange(3, 99) for _ in range(n)] for n in index.lengths.tolist()]
    numbers = torch.tensor([chance.randrange(len(index)) for _ in range(5)])
    examples = index.locate(numbers)
    inputs, targets = batch(pack(texts), examples)
    for read, asked, document, start, length, n in zip(inputs, targets, *(x.tolist() for x in examples), strict=True):
        assert read[:length].tolist() == texts[document][start : start + length] and not read[length:].any()
        expected = [IGNORED] * (length - n) + texts[document][start + length - n + 1 : start + length + 1]
        assert asked.tolist() == expected + [IGNORED] * (len(asked) - length)


# ---- the middle

MARKS = Marks(200, 201, 202, 203)


@given(st.lists(st.integers(0, 199), max_size=30), st.floats(0.01, 1), st.integers(0, 10**6))
@UNHURRIED
def test_a_middle_that_was_hidden_can_be_put_back(ids, p, seed):
    ids = torch.tensor(ids, dtype=torch.long)
    moved = hide_middle(ids, p, MARKS, Generator().manual_seed(seed))
    assert len(moved) in (len(ids), len(ids) + 4)
    assert torch.equal(show_middle(moved, MARKS), ids)
    if len(moved) > len(ids):
        assert [int((moved == mark).sum()) for mark in MARKS] == [1] * 4


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_length_of_the_middle_is_geometric(p):
    g, ids = Generator().manual_seed(1), torch.arange(100)
    rows = [hide_middle(ids, p, MARKS, g) for _ in range(8000)]
    sizes = torch.tensor([len(x) - 2 - int((x == 202).nonzero()) if len(x) > 100 else 0 for x in rows])
    for m in range(5):
        share = p * (1 - p) ** m
        assert abs((sizes == m).double().mean() - share) < 5 * (share * (1 - share) / 8000) ** 0.5


def test_the_middle_begins_anywhere():
    g, ids = Generator().manual_seed(0), torch.arange(4)
    moved = (hide_middle(ids, 0.5, MARKS, g) for _ in range(20_000))
    one = Counter(int((x == 201).nonzero()) - 1 for x in moved if len(x) == 8 and int((x == 202).nonzero()) == 5)
    assert set(one) == set(range(4))  # middles of one token: four places
    assert all(abs(n / one.total() - 0.25) < 0.03 for n in one.values())


@given(st.floats(0.05, 0.99), st.integers(0, 100))
@UNHURRIED
def test_batches_with_middles_hold_the_same_tokens(p, seed):
    texts = [list(range(10, 10 + n)) for n in (7, 2, 19)]
    documents = pack(texts)
    examples = Windows(documents.lengths, 20, 20).locate(torch.arange(3))
    inputs, targets = batch_with_middles(documents, examples, p, MARKS, Generator().manual_seed(seed))
    for read, asked, text in zip(inputs, targets, texts, strict=True):
        whole = torch.cat([read[:1], asked[asked != IGNORED]])
        assert torch.equal(read[: len(whole) - 1], whole[:-1])
        assert show_middle(whole, MARKS).tolist() == text


# ---- losses by length


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, 70)), min_size=1, max_size=60))
@UNHURRIED
def test_bins_hold_every_loss_once(pairs):
    losses, lengths = torch.tensor([p[0] for p in pairs], dtype=torch.float64), torch.tensor([p[1] for p in pairs])
    bins = loss_by_length(losses, lengths)
    assert sum(b.n for b in bins) == len(pairs)
    assert sum(b.n * b.mean for b in bins) == pytest.approx(float(losses.sum()), abs=1e-9)
    for b in bins:
        inside = [loss for loss, n in pairs if b.shortest <= n <= b.longest]
        assert len(inside) == b.n and b.mean == pytest.approx(sum(inside) / len(inside), abs=1e-12)
