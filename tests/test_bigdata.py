"""Texts larger than memory: the same data with and without a cache, whatever happens to the cache, in little memory."""

import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HANG
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tofy import data as module
from tofy import masking, readout, training
from tofy.data import Phrases, Reading, context, epoch_batches, first_of_each, gather, load_data, mapped, pack
from tofy.errors import UsageError
from tofy.masking import all_blanks
from tofy.metrics import Bigram, rank_blanks
from tofy.readout import blank_features
from tofy.training import recipe, train
from tofy.vocab import SPECIALS, UNK, tokenize

ROOT = Path(__file__).parents[1]
WORDS = st.sampled_from("a b c d e , ||| \t é ’s A".split(" "))
LINES = st.lists(st.lists(WORDS, max_size=7).map(" ".join), max_size=25)
QUICK = dict(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def rows(phrases: Phrases) -> list[list[int]]:
    return [phrases[i].tolist() for i in range(len(phrases))]


def outcome(*args, **kwargs):
    "All there is to see of the data, or the sentence that refuses them."
    try:
        data = load_data(*args, **kwargs)
    except UsageError as error:
        return str(error)
    return data.hash, rows(data.train), rows(data.valid), data.heldout, data.report, data.vocab


@pytest.fixture
def small_pieces(monkeypatch):
    "Pieces of seven tokens and columns that spill at once, so that a short text has many of both."
    monkeypatch.setattr(Phrases.pieces, "__defaults__", (None, 7))
    monkeypatch.setattr(module, "SPILL", 5)


# The same data


@settings(max_examples=60, **QUICK)
@given(
    LINES,
    st.sampled_from(["none", "windows"]),
    st.sampled_from([0, 0.05, 0.5, 1, 2]),
    st.integers(0, 3),
    st.integers(2, 6),
    st.sampled_from([4, 6, 4000]),
)
def test_the_cache_changes_nothing(tmp_path_factory, small_pieces, lines, split, valid, seed, max_seq, max_vocab):
    home = tmp_path_factory.mktemp("text")
    (home / "text.txt").write_text("\n".join(lines))
    how = dict(split=split, valid=valid, seed=seed, max_seq=max_seq, max_vocab=max_vocab)
    plain = outcome(home / "text.txt", **how)
    assert outcome(home / "text.txt", cache=home / "cache", **how) == plain  # made
    assert outcome(home / "text.txt", cache=home / "cache", **how) == plain  # opened
    assert not list(home.glob("cache/*.part-*"))


@settings(max_examples=40, **QUICK)
@given(LINES)
def test_every_phrase_once_in_the_order_of_the_text(tmp_path_factory, small_pieces, lines):
    "Against the same thing said in three lines of Python."
    home = tmp_path_factory.mktemp("text")
    (home / "text.txt").write_text("\n".join(lines))
    phrases = [tuple(tokenize(context(line))) for line in lines]
    unique = list(dict.fromkeys(p for p in phrases if len(p) > 1))
    found = outcome(home / "text.txt", valid=0, cache=home / "cache")
    if not unique:
        assert "is empty" in found or "no phrase of two" in found
        return
    _, ids, held, texts, report, vocab = found
    assert [tuple(vocab.words[i] for i in p) for p in ids] == unique and not held and not texts
    assert report["duplicates"] == sum(len(p) > 1 for p in phrases) - len(unique)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_seed_draws_from_the_phrases_without_their_copies(tmp_path, small_pieces, seed):
    "The first 3 places of a shuffle of the 8 phrases that differ; with windows, of the 4 rows."
    lines = ["a b", "b c d", "a b", "c d e", "d e", "b c d", "e f", "f g h", "g h", "h a"]
    unique = list(dict.fromkeys(lines))
    (tmp_path / "text.txt").write_text("\n".join(lines))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed)).tolist()
    for cache in (None, tmp_path / "cache"):
        data = load_data(tmp_path / "text.txt", valid=3, seed=seed, cache=cache)
        assert data.heldout == [unique[i] for i in sorted(order[:3])]
    (tmp_path / "rows.txt").write_text("a b c d\nb c d e\nc d e f\nd e f g\n")
    kept = [["a b", "b c", "c d"], ["d e"], ["e f"], ["f g"]]  # windows of two, copies left out
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed)).tolist()
    for cache in (None, tmp_path / "cache"):
        data = load_data(tmp_path / "rows.txt", valid=1, seed=seed, max_seq=2, split="windows", cache=cache)
        assert data.heldout == kept[order[0]]


def test_a_held_out_file_is_the_same_too(tmp_path, small_pieces):
    (tmp_path / "text.txt").write_text("a b c\nd e\na b c\nb c d\n")
    (tmp_path / "held.txt").write_text("d e\nd e\nc c c\n")
    plain = outcome(tmp_path / "text.txt", valid=tmp_path / "held.txt")
    assert plain[3] == ["d e", "c c c"] and plain[4]["duplicates"] == 2  # a copy, and what is held out
    assert outcome(tmp_path / "text.txt", valid=tmp_path / "held.txt", cache=tmp_path / "cache") == plain
    (tmp_path / "held.txt").write_text("b c d\n")
    assert outcome(tmp_path / "text.txt", valid=tmp_path / "held.txt", cache=tmp_path / "cache")[3] == ["b c d"]


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=60))
def test_first_of_each_marks_what_a_set_would_let_through(digests):
    seen = set()
    expected = [not (d in seen or seen.add(d)) for d in digests]
    assert first_of_each(np.array(digests, np.uint64)).tolist() == expected


# Pieces


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=12), st.integers(1, 9), st.data())
def test_pieces_are_the_whole_in_its_order(lists, size, draw):
    phrases = pack(lists)
    pieces = list(phrases.pieces(size=size))
    assert [row for p in pieces for row in rows(p)] == lists
    assert all(len(p.flat) <= size or len(p) == 1 for p in pieces) and all(len(p) for p in pieces)
    where = draw.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists)))
    some = [row for p in phrases.pieces(torch.tensor(where, dtype=torch.bool), size) for row in rows(p)]
    assert some == [row for row, marked in zip(lists, where, strict=True) if marked]


@settings(**QUICK)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=12))
def test_known_words_and_files_by_pieces(tmp_path_factory, small_pieces, lists):
    phrases, place = pack(lists), tmp_path_factory.mktemp("npy") / "x"
    assert phrases.known().tolist() == [sum(i >= len(SPECIALS) for i in row) for row in lists]
    assert rows(gather(phrases.pieces(), place)) == rows(gather(phrases.pieces())) == rows(mapped(place)) == lists
    flat = np.load(f"{place}-flat.npy")  # plain .npy files, for any program
    assert flat.dtype == np.int32 and flat.tolist() == sum(lists, [])


@settings(max_examples=30, **QUICK)
@given(st.lists(st.lists(st.integers(1, 6), min_size=2, max_size=5), min_size=1, max_size=12))
def test_the_bigram_counts_do_not_depend_on_the_pieces(lists):
    pairs = Counter((a, b) for row in lists for a, b in zip([0, *row], [*row, 0], strict=True))
    pieces, phrases = Phrases.pieces, pack(lists)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Phrases, "pieces", lambda self, where=None, size=None: pieces(self, where, 7))
        bigram = Bigram.count(phrases, 7)
    assert {(int(p) // 7, int(p) % 7): int(n) for p, n in zip(bigram.pairs, bigram.counts, strict=True)} == pairs


# A cache that is old, half or damaged


@pytest.fixture
def cached(tmp_path, text) -> tuple[Path, Path, str]:
    "A text, its cache and its hash."
    return text, tmp_path / "cache", load_data(text, cache=tmp_path / "cache").hash


def test_the_second_start_reads_nothing(cached, monkeypatch):
    text, cache, was = cached
    monkeypatch.setattr(module, "read_phrases", lambda *_, **__: pytest.fail("read again"))
    data = load_data(text, cache=cache)
    assert data.hash == was == load_data(text, cache=cache).hash
    assert data.settings["cache"] == str(cache)
    assert data.train.flat.dtype == torch.int32 and data.train.offsets.dtype == torch.int64


def test_a_changed_text_is_read_again_even_if_its_size_and_date_are_the_same(cached):
    text, cache, was = cached
    before = text.stat()
    text.write_text(text.read_text().replace("cat", "cow"))
    os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text.stat().st_size == before.st_size
    data = load_data(text, cache=cache)
    assert "cow" in data.vocab.ids and data.hash != was


def test_a_changed_tokenizer_or_table_of_words_does_not_get_the_old_ids(cached, tmp_path, monkeypatch):
    text, cache, _ = cached
    for name in ("__init__", "corpus", "corpus_tables", "vocab", "sources", "data"):
        (tmp_path / f"{name}.py").write_bytes((ROOT / "tofy" / f"{name}.py").read_bytes())
    settings = load_data(text).settings
    was = module.cache_place(cache, settings)
    monkeypatch.setattr(module, "package_file", str(tmp_path / "__init__.py"))
    assert was.is_dir() and module.cache_place(cache, settings) == was
    for name in ("vocab", "corpus_tables"):
        was = module.cache_place(cache, settings)
        (tmp_path / f"{name}.py").write_bytes((tmp_path / f"{name}.py").read_bytes() + b"#")
        assert module.cache_place(cache, settings) != was


NAMES = ["SHA256SUMS", "about.json", *(f"{side}-{part}.npy" for side in ("train", "valid") for part in ("flat", "offsets"))]
DAMAGE = {
    "cut": lambda b: b[:-1],
    "empty": lambda b: b"",
    "one bit": lambda b: b[:-9] + bytes([b[-9] ^ 4]) + b[-8:],
    "something else": lambda b: b"\x80\x04N.",
    "gone": None,
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_cache_is_made_again(cached, caplog, name, what):
    text, cache, was = cached
    (path,) = cache.glob(f"*/{name}")
    whole = path.read_bytes()
    if DAMAGE[what] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGE[what](whole))
    with caplog.at_level(logging.WARNING, "tofy"):
        assert load_data(text, cache=cache).hash == was
    assert "is damaged" in caplog.text and path.read_bytes() == whole
    caplog.clear()
    assert load_data(text, cache=cache).hash == was and not caplog.text


@pytest.mark.parametrize("moment", ["read_phrases", "number", "save_data"])
def test_a_killed_start_leaves_nothing_that_counts(tofy, text, monkeypatch, moment):
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def before():
        monkeypatch.setattr(module, moment, die)

    assert tofy("train", text, 1, "--cache", "cache", before=before).code == -signal.SIGKILL
    left = list((text.parent / "cache").iterdir())
    assert left and all(".part-" in path.name for path in left)
    assert load_data(text, cache=text.parent / "cache").hash == load_data(text).hash


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_start_tidies_up(text, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(module, "save_data", fail)
    with pytest.raises(error):
        load_data(text, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_starts_at_once(text, tmp_path, monkeypatch):
    "While one reads, another makes the same cache: both get the data, and one folder is left."
    save, cache = module.save_data, tmp_path / "cache"

    def be_overtaken(*args):
        monkeypatch.setattr(module, "save_data", save)
        assert load_data(text, cache=cache).hash == plain
        save(*args)

    plain = load_data(text).hash
    monkeypatch.setattr(module, "save_data", be_overtaken)
    assert load_data(text, cache=cache).hash == plain
    assert len(list(cache.iterdir())) == 1


def test_no_room_is_a_sentence(tofy, text):
    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    tofy("train", text, 1, "--cache", "cache", before=before).says(1, "cannot be written", "free some space")
    assert list((text.parent / "cache").iterdir()) == []
    tofy("train", text, 1, "--cache", text).says(1, "cannot be written", "choose another folder")
    tofy("train", "nothing.txt", 1, "--cache", "cache").says(2, "There is no file nothing.txt")


# Training from a cache


def test_the_command_line_trains_from_a_cache_as_from_memory(tofy, text):
    sizes = ("--batch", 8, "--dim", 16, "--max-seq", 12, "--layers", 1, "--heads", 2, "--threads", 1)

    def no_reading():
        module.read_data = None

    home = text.parent
    for out, more, before in (
        ("plain", (), None),
        ("made", ("--cache", "c"), None),
        ("opened", ("--cache", "c"), no_reading),
    ):
        result = tofy("train", text, 6, *sizes, "--out", out, *more, before=before)
        assert result.code == 0, result.err
    names = ["heldout.txt", "vocab_latent.txt"]
    assert [(home / "plain" / n).read_bytes() for n in names] == [(home / "opened" / n).read_bytes() for n in names]
    from safetensors.torch import load_file

    plain, opened = (load_file(home / run / "state_latent.safetensors") for run in ("plain", "opened"))
    assert plain.keys() == opened.keys() and all(plain[k].equal(opened[k]) for k in plain)
    result = tofy("train", "--resume", "--out", "opened", "--steps", 9, before=no_reading)
    assert result.code == 0, result.err  # the run remembers its cache


def old_batches(lengths, batch, seed, epoch, pool):
    "The same order, worked out for the whole epoch at once."
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(lengths), generator=generator)
    pools = [p[lengths[p].argsort(stable=True)] if pool > 1 else p for p in order.split(batch * pool)]
    batches = [b for p in pools for b in p.split(batch)] if len(order) else []
    return [batches[i].tolist() for i in torch.randperm(len(batches), generator=generator)]


@given(st.lists(st.integers(2, 9), max_size=70), st.integers(1, 9), st.integers(0, 2), st.integers(0, 2), st.integers(1, 4))
def test_an_epoch_worked_out_batch_by_batch(lengths, batch, seed, epoch, pool):
    lengths = torch.tensor(lengths, dtype=torch.long)
    found = epoch_batches(lengths, batch, seed, epoch, pool)
    assert [b.tolist() for b in found] == old_batches(lengths, batch, seed, epoch, pool)
    assert len(found) == -(-len(lengths) // batch)
    with pytest.raises(IndexError):
        found[len(found)]


class Largest(TorchFunctionMode):
    "Notes the largest tensor that any operation gives back."

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


def test_the_watch_sees_what_grows():
    phrases = pack([[3, 4]] * 5000)
    with Largest() as largest:
        phrases.lengths  # noqa: B018
    assert largest.numel == 5000


def test_nothing_in_a_step_grows_with_the_text():
    "Not a batch, nor its place in the epoch, nor a log line or a second validation; 5,000 and 20,000 phrases alike."
    most = []
    for n in (5_000, 20_000):
        draw = random.Random(0)
        phrases = pack([draw.randrange(3, 9) for _ in range(draw.randint(2, 6))] for _ in range(n))
        epoch = epoch_batches(phrases.lengths, 16, 0, 0)
        with Largest() as largest:
            for i in range(100):
                phrases.batch(epoch[i])
                phrases.take(epoch[i])
        most.append(largest.numel)
    assert most == [16 * 32, 16 * 32]  # a pool of 32 batches, in which lengths are sorted


def test_no_question_grows_with_the_text(monkeypatch):
    "Neither the draw of blanks of a long text nor what is read at them: 5,000 and 20,000 phrases alike."
    monkeypatch.setattr(masking, "LONG_TEXT", 10_000)
    most = []
    for n in (5_000, 20_000):
        phrases = pack([3 + i % 2, UNK, 5] for i in range(n))
        with Largest() as largest:
            blanks = all_blanks(phrases, 100)
            found = blank_features(lambda ids, mask: (ids[mask][:, None], ids[mask][:, None]), phrases, blanks)
            rank_blanks(lambda asked: torch.zeros(len(asked.targets), 9), phrases, blanks)
        most.append(largest.numel)
        assert len(blanks.rows) == 100 and set(blanks.positions.tolist()) == {0, 2} and (blanks.rows.diff() >= 0).all()
        assert all_blanks(phrases, 100).rows.equal(blanks.rows) and not all_blanks(phrases, 100, 1).rows.equal(blanks.rows)
        assert found["words"].tolist() == [int(phrases[r][p]) for r, p in zip(*map(Tensor.tolist, blanks))]
    assert most[0] == most[1] < 5_000


def test_a_short_text_is_asked_for_the_same_blanks_as_ever():
    phrases = pack([[3, 4, 5], [UNK, 6]] * 50)
    every = all_blanks(phrases)
    drawn = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:7].sort().values
    assert all_blanks(phrases, 7).rows.equal(every.rows[drawn]) and len(every.rows) == 200


def test_the_blanks_of_the_quick_probe_are_drawn_once_a_run(text, monkeypatch):
    "Of training phrases, as the held-out ones; all validations fit to the same."
    calls, fits = [], []
    for module_, name in ((training, "all_blanks"), (readout, "all_blanks")):
        monkeypatch.setattr(module_, name, lambda *args: calls.append(args) or all_blanks(*args))
    own = training.fit_readout
    monkeypatch.setattr(training, "fit_readout", lambda *args, **more: fits.append(more["blanks"]) or own(*args, **more))
    data = load_data(text, max_seq=12)
    settings = dict(dim=16, layers=1, heads=2, batch=8, steps=6, eval_every=2, threads=1)
    lines = [r for r in train(data, *recipe("jepa", **settings)) if r.is_line and r.valid_mrr == r.valid_mrr]
    assert len(lines) == len(fits) == 4 and len({id(blanks) for blanks in fits}) == 1
    assert sorted(phrases is data.train for phrases, *_ in calls) == [False, True]


def test_held_out_blanks_are_drawn_once_a_run(text, monkeypatch):
    calls = []
    monkeypatch.setattr(training, "all_blanks", lambda *args: calls.append(args) or all_blanks(*args))
    data, sizes = load_data(text, max_seq=12), dict(dim=16, layers=1, heads=2, batch=8, steps=6, eval_every=2, threads=1)
    lines = [r for r in train(data, *recipe(**sizes)) if r.is_line and r.valid_mrr == r.valid_mrr]
    assert len(lines) == 4 and len(calls) == 1


# Memory


LIMITED = """
import json, resource, sys
from pathlib import Path
import torch
from tofy.data import load_data
text, cache, room = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
small = Path(text).parent / "small.txt"
load_data(small, valid=0, cache=cache).train.batch(torch.arange(2))                       # import all there is to import
used = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
for _ in ("made", "opened"):
    data = load_data(text, max_seq=2000, cache=cache)
    ids = sum(int((data.train.batch(rows) > 0).sum()) for rows in torch.arange(len(data.train)).split(64))
    print(json.dumps([len(data.train), len(data.train.flat), ids]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="limits on memory are Linux's")
def test_a_text_larger_than_the_memory_it_may_use(tmp_path):
    "3,000 phrases of 1,001 tokens, within 30 MB beyond what an idle process has: in memory that fails."
    draw, n = random.Random(0), 3_000
    body = " ".join(draw.choices("the a cat dog sat ran on mat".split(), k=1000))
    (tmp_path / "text.txt").write_text("".join(f"{i} {body}\n" for i in range(n)))
    (tmp_path / "small.txt").write_text("a b c\nb c d\n")
    env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")

    def start(cache):
        command = [sys.executable, "-c", LIMITED, str(tmp_path / "text.txt"), json.dumps(cache), str(30 << 20)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANG)

    plain = start(None)
    assert plain.returncode and ("MemoryError" in plain.stderr or "can't allocate memory" in plain.stderr), plain.stderr
    result = start(str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr
    made, opened = map(json.loads, result.stdout.splitlines())
    phrases, tokens, read = made
    assert made == opened and phrases == n - 150 and tokens == read == phrases * 1001
    (path,) = tmp_path.glob("cache/text-*/train-flat.npy")
    assert path.stat().st_size == 128 + 4 * tokens


def test_a_reading_keeps_little_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SPILL", 100)
    most, spill = [], Reading.spill
    monkeypatch.setattr(Reading, "spill", lambda self: most.append(len(self.flat)) or spill(self))
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i} b c d e\n" for i in range(2000)))
    load_data(text, cache=tmp_path / "cache")
    assert max(most) <= 100 + 5 and len(most) > 90


@pytest.mark.slow
def test_the_table_of_the_benchmark():
    "Two tiny sizes: a row for each size and way, and the same phrases by each way."
    command = [sys.executable, "-m", "benchmarks.scaling", "--sizes", "300,600", "--repeat", "1", "--steps", "2", "--json"]
    env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    table = json.loads(done.stdout)
    assert [(r["lines"], r["way"]) for r in table] == [
        (n, way) for n in (300, 600) for way in ("memory", "cache made", "cache opened")
    ]
    assert len({(r["lines"], r["phrases"]) for r in table}) == 2
    assert all(r["load_us"] > 0 and r["train_us"] > 0 and r["peak_MB"] > 50 for r in table)


# A long text, shard by shard


@pytest.fixture
def short_shards(monkeypatch):
    "A text of more than twenty phrases is long, and is shuffled in runs of four."
    monkeypatch.setattr(module, "SHARD", 20)
    monkeypatch.setattr(module, "RUN", 4)


@settings(max_examples=40, **QUICK)
@given(st.integers(21, 200), st.integers(1, 9), st.integers(0, 2**31 - 1), st.integers(0, 3), st.integers(1, 3))
def test_an_epoch_of_a_long_text_has_every_phrase_once(short_shards, n, batch, seed, epoch, pool):
    lengths = torch.randint(2, 9, (n,), generator=torch.Generator().manual_seed(n))
    found = epoch_batches(lengths, batch, seed, epoch, pool)
    batches = [found[i].tolist() for i in range(len(found))]
    assert sorted(sum(batches, [])) == list(range(n)) and len(batches) == -(-n // batch)
    for i in reversed(range(len(batches))):                                 # worked out anew, from anywhere
        assert epoch_batches(lengths, batch, seed, epoch, pool)[i].tolist() == batches[i]
    phrases = Phrases(torch.zeros(int(lengths.sum()), dtype=torch.int32), torch.cat([torch.zeros(1), lengths]).long().cumsum(0))
    assert [b.tolist() for b in epoch_batches(phrases, batch, seed, epoch, pool)] == batches
    other = epoch_batches(lengths, batch, seed, epoch + 1, pool)
    assert n < 40 or [b.tolist() for b in other] != batches
    with pytest.raises(IndexError):
        found[len(found)]


def test_a_shard_holds_phrases_from_all_over_the_text(short_shards):
    "And a run of phrases that follow each other stays together in it."
    of = torch.full((400,), 5)
    long = epoch_batches(of, 2, seed=1)
    shards = [torch.cat([long[i] for i in range(10 * k, 10 * k + 10)]).sort().values for k in range(20)]
    assert all(len((shard // 4).unique()) == 5 for shard in shards)
    assert sum(int(shard.max() - shard.min()) > 200 for shard in shards) > 10


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), min_size=21, max_size=120))
@settings(**QUICK)
def test_duplicates_of_a_long_text_are_found_in_files(tmp_path_factory, short_shards, digests):
    folder, digests = tmp_path_factory.mktemp("digests"), np.array(digests, np.uint64)
    assert first_of_each(digests, folder).tolist() == first_of_each(digests).tolist()
    assert [path.name for path in folder.iterdir()] == ["first"]


@settings(max_examples=30, **QUICK)
@given(st.lists(st.booleans(), min_size=50, max_size=120), st.integers(0, 20), st.integers(0, 5), st.booleans())
def test_held_out_phrases_of_a_long_text(short_shards, marks, valid, seed, by_rows):
    first = torch.tensor([*marks, *[True] * 41])
    rows = torch.arange(len(first)).div(3, rounding_mode="floor").numpy() if by_rows else None
    held = module.draw_heldout(first, valid, seed, rows)
    assert not (held & ~first).any() and held.equal(module.draw_heldout(first, valid, seed, rows))
    if not by_rows:
        assert int(held.sum()) == valid
        return
    drawn = {int(r) for r, chosen in zip(rows, held, strict=True) if chosen}
    assert len(drawn) == valid and all(bool(h) == (int(r) in drawn) for r, h, f in zip(rows, held, first, strict=True) if f)


def test_numbers_are_drawn_evenly(short_shards):
    counts = sum(torch.bincount(module.some_of(30, 7, seed), minlength=30) for seed in range(600))
    assert counts.sum() == 600 * 7 and (counts - 140).abs().max() < 60


@pytest.mark.parametrize("how", [dict(valid=9), dict(valid=3, split="windows", max_seq=4), dict(valid=0.1, seed=5)])
def test_the_cache_of_a_long_text_changes_nothing(tmp_path, small_pieces, short_shards, how):
    draw = random.Random(1)
    lines = [" ".join(draw.choices("a b c d e f".split(), k=draw.randint(1, 7))) for _ in range(150)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    plain = outcome(tmp_path / "text.txt", **how)
    assert len(plain[1]) > 60 and plain[3]
    assert outcome(tmp_path / "text.txt", cache=tmp_path / "cache", **how) == plain
    assert outcome(tmp_path / "text.txt", cache=tmp_path / "cache", **how) == plain
    (place,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in place.iterdir()) == sorted([module.SUMS, *module.PARTS_OF_CACHE])


def peak_of(function) -> int:
    "The most memory that Python and NumPy held, in bytes, and the largest tensor that is no view of something mapped."
    import tracemalloc

    class New(Largest):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and not result._is_view():
                self.numel = max(self.numel, result.numel())
            return result

    tracemalloc.start()
    try:
        with New() as largest:
            function()
        return tracemalloc.get_traced_memory()[1], largest.numel
    finally:
        tracemalloc.stop()


def test_reading_and_training_take_no_more_memory_for_four_times_the_phrases(tmp_path, monkeypatch):
    "From reading the lines to the second epoch: Python objects, NumPy arrays and tensors."
    for name, size in (("SHARD", 500), ("RUN", 50), ("SPILL", 500)):
        monkeypatch.setattr(module, name, size)
    monkeypatch.setattr(Phrases.pieces, "__defaults__", (None, 500))
    peaks = {}
    for n in (3_000, 12_000):
        words = [f"w{i}" for i in range(24)]
        with (tmp_path / f"{n}.txt").open("w") as file:
            for i in range(n):                                              # a twelfth of the lines are copies
                j = i % (n - n // 12)
                file.write(" ".join(words[j // 24**k % 24] for k in range(4)) + "\n")

        def go(n=n):
            data = load_data(tmp_path / f"{n}.txt", valid=50, cache=tmp_path / "cache")
            assert len(data.train) == n - n // 12 - 50
            run = training.new_run(data, *recipe(steps=10**6, dim=16, layers=1, heads=2, batch=25, threads=1))
            for step in (*range(0, n // 25, 7), 2 * n // 25):
                run.step = step
                training.next_batch(run)

        peaks[n] = peak_of(go)
    (few, small), (many, large) = peaks.values()
    assert large <= 1.2 * small and large < 3000, peaks
    assert many < 1.2 * few + 20_000, peaks


# Several files


def test_a_pattern_names_several_files(tofy, tmp_path, monkeypatch):
    "One door: what a folder would give, without the files that do not fit; a run finds them again, from elsewhere too."
    (tmp_path / "shards").mkdir()
    from conftest import make_text
    lines = make_text().splitlines()
    for k in range(3):
        (tmp_path / f"shards/part{k}.txt").write_text("\n".join(lines[k::3]))
    whole = outcome(tmp_path / "shards")
    (tmp_path / "shards/table.csv").write_text("text\nno part of it\n")
    assert outcome(tmp_path / "shards/*.txt") == outcome(str(tmp_path / "shards/part[0-2].txt")) == whole
    assert outcome(tmp_path / "shards/*.txt", cache=tmp_path / "cache") == whole
    assert "No file fits the pattern" in outcome(tmp_path / "shards/*.md")
    data = load_data(tmp_path / "shards/*.txt")
    assert data.origin["source"]["bytes"] == sum(p.stat().st_size for p in tmp_path.glob("shards/*.txt"))
    command = ["train", "shards/*.txt", 4, "8", "16", "12", "1", "2", "--out", "run", "--threads", 1]
    assert tofy(*command).code == 0
    assert tofy("train", "--resume", "--out", "run", "--steps", 6).code == 0
    tofy("train", "no/*.txt", 4, "--out", "new").says(2, "No file fits the pattern no/*.txt", "'shards/*.txt'")
    (tmp_path / "shards/part3.txt").write_text("another one came\n")
    tofy("train", "--resume", "--out", "run", "--steps", 8).says(1, "cannot be read again")


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    (tmp_path / "a[1].txt").write_text("the cat sat\nthe dog ran\n")
    (tmp_path / "a1.txt").write_text("no no\n")
    assert rows(load_data(tmp_path / "a[1].txt", valid=0).train) == rows(load_data(["the cat sat", "the dog ran"], valid=0).train)


def test_the_laboratory_reads_a_pattern_as_documents(tmp_path):
    from tofy.lab.training import read_documents

    for name in ("b.txt", "a.txt", "c.py"):
        (tmp_path / name).write_text(f"text of {name}\n")
    assert read_documents(tmp_path / "*.txt") == {"a.txt": "text of a.txt\n", "b.txt": "text of b.txt\n"}
