"""The laboratory's core: tokenizers that lose nothing, a decoder that does not look ahead, a loop that goes on."""

import json
import math
import signal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy.checkpoint import load_tensors, read_records
from tofy.lab.decoder import Decoder, DecoderConfig, next_loss
from tofy.lab.tokenizers import (
    check_words,
    count_tokens,
    encode_texts,
    fingerprint,
    rename_token,
    train_tokenizer,
)
from tofy.lab.training import (
    TextConfig,
    TextRecord,
    TextRun,
    draw_windows,
    load_texts,
    side_by_side,
    split_documents,
    train,
    window_losses,
)
from tofy.lab.writing import Sampling, Writer, draw_from, generate, load_decoder
from tofy.layers import Attention, Block
from tofy.run_folder import STATE
from tofy.vocab import make_vocab

TEXT = ["the cat sat on the mat, the end.\n", "naïve café, 12 000 €\n", "\tdef f(x):\n\t\treturn x  # ok\n"] * 20
KINDS = {kind: train_tokenizer(TEXT, kind, vocab_size=320, reserved=2) for kind in ("ascii", "character", "byte", "bpe")}


# ---- tokenizers


@settings(max_examples=400, deadline=None)
@given(st.text())
def test_bytes_and_byte_pairs_lose_nothing(text):
    for kind in ("byte", "bpe"):
        ids = KINDS[kind].encode(text)
        assert KINDS[kind].decode(ids) == text
        assert all(0 <= i < len(KINDS[kind]) for i in ids)
    assert len(KINDS["byte"].encode(text)) == len(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_loses_nothing_of_ascii(text):
    assert KINDS["ascii"].decode(KINDS["ascii"].encode(text)) == text


@settings(max_examples=200, deadline=None)
@given(st.text(sorted(set("".join(TEXT)))))
def test_characters_lose_nothing_they_have_seen(text):
    assert KINDS["character"].decode(KINDS["character"].encode(text)) == text
    assert len(KINDS["character"].encode(text)) == len(text)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_folding_case_twice_is_folding_it_once(text):
    folded = train_tokenizer(TEXT, "byte", lower=True)
    once = folded.decode(folded.encode(text))
    assert folded.decode(folded.encode(once)) == once
    if text.isascii():
        assert once == text.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_can_spell_a_special_token(kind):
    tokenizer = KINDS[kind]
    special = {tokenizer.words.index(word) for word in ("<end>", "<reserved_0>", "<reserved_1>")}
    assert 0 in special and not special & set(tokenizer.encode("<end>a<reserved_0>"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_token_moves_no_other(kind):
    before = KINDS[kind]
    after = rename_token(before, "<reserved_1>", "<ask>")
    number = before.words.index("<reserved_1>")
    assert after.encode("<ask>cat")[0] == number and after.decode([number]) == "<ask>"
    assert after.encode("the cat") == before.encode("the cat") and len(after) == len(before)
    assert fingerprint(after) != fingerprint(before)


def test_training_a_tokenizer_twice_gives_the_same():
    assert fingerprint(train_tokenizer(TEXT, vocab_size=300)) == fingerprint(train_tokenizer(TEXT, vocab_size=300))
    some = [train_tokenizer(TEXT, vocab_size=300, sample=3, seed=seed) for seed in (0, 0, 1)]
    assert fingerprint(some[0]) == fingerprint(some[1]) != fingerprint(some[2])


def test_counts_are_those_of_the_encoded_text():
    counts = count_tokens(KINDS["bpe"], TEXT)
    assert sum(counts) == sum(len(KINDS["bpe"].encode(text)) for text in TEXT)
    assert counts[KINDS["bpe"].words.index(" the")] == 40
    assert len(check_words(KINDS["bpe"], ["the"])["the"]) == 1


def test_a_changed_tokenizer_or_text_never_reads_a_stale_cache(tmp_path):
    other = train_tokenizer(TEXT, vocab_size=300)
    for tokenizer in (KINDS["bpe"], other, KINDS["bpe"]):
        for texts in (TEXT, TEXT[:5], ["".join(TEXT)]):
            found = encode_texts(tokenizer, texts, tmp_path)
            assert [t.tolist() for t in found] == [tokenizer.encode(text) for text in texts]
    assert len(list(tmp_path.iterdir())) == 6


def test_the_cache_is_really_read(tmp_path, monkeypatch):
    found = encode_texts(KINDS["bpe"], TEXT, tmp_path)
    monkeypatch.setattr(type(KINDS["bpe"]), "encode", lambda *_: pytest.fail("encoded again"))
    assert all(torch.equal(a, b) for a, b in zip(found, encode_texts(KINDS["bpe"], TEXT, tmp_path), strict=True))


def test_a_vocabulary_serves_as_tokenizer():
    vocab = make_vocab({"cat": 3, "sat": 2})
    data_ids = encode_texts(vocab, ["cat sat", "sat dog"])
    assert [t.tolist() for t in data_ids] == [[3, 4], [4, 1]]
    model = Decoder(DecoderConfig(vocab_size=len(vocab), dim=16, layers=1, heads=2, context=8))
    assert set(Writer(model, vocab).write("cat", 5).text.split()) <= {*vocab.words}


# ---- decoder


SHAPES = [dict(positions=p, kv_heads=k) for p in ("none", "sinusoidal", "learned", "rotary") for k in (None, 2, 1)]


def decided(**shape) -> Decoder:
    "An untrained decoder with opinions, so that differences show."
    torch.manual_seed(0)
    model = Decoder(DecoderConfig(**dict(vocab_size=40, dim=32, layers=2, heads=4, context=16) | shape)).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(25)
    return model


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_place_sees_a_later_one(shape):
    model, ids = decided(**shape), torch.randint(40, (3, 16))
    for at in (1, 8, 15):
        changed = ids.clone()
        changed[:, at] = (ids[:, at] + 1) % 40
        difference = (model(ids) - model(changed)).abs().amax(-1)
        assert difference[:, :at].max() < 1e-4 < difference[:, at].min()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_cache_changes_nothing(shape):
    model = decided(**shape)
    for how in (Sampling(seed=1), Sampling(0.0), Sampling(0.7, top_k=5, top_p=0.9, seed=2)):
        with_cache, without = (list(generate(model, [3], 50, how, cache)) for cache in (True, False))
        assert [s.id for s in with_cache] == [s.id for s in without]
        assert [s.probability for s in with_cache] == pytest.approx([s.probability for s in without], abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.booleans())
def test_attention_read_in_any_parts_is_attention_read_at_once(parts, rotary):
    torch.manual_seed(0)
    block = Block(16, 4, causal=True, rotary=rotary, kv_heads=2, base=1000.0)
    x, past = torch.randn(2, sum(parts), 16), []
    with torch.no_grad():
        assert torch.allclose(torch.cat([block(p, past=past) for p in x.split(parts, 1)], 1), block(x), atol=1e-5)


def test_without_positions_an_encoder_is_as_before_the_grouping():
    "Torch's own attention is the reference, for the layout of the weights that old checkpoints have."
    torch.manual_seed(0)
    ours, theirs, x = Attention(24, 3), torch.nn.MultiheadAttention(24, 3, batch_first=True), torch.randn(2, 7, 24)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    keep = torch.arange(7) < torch.tensor([[7], [4]])
    assert torch.allclose(ours(x, keep), theirs(x, x, x, key_padding_mask=~keep)[0], atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-32, 32), min_size=2, max_size=9, unique=True),
    st.floats(0.1, 3),
    st.integers(0, 9),
    st.floats(0.01, 1),
)
def test_what_is_drawn_from_is_a_distribution_over_the_likeliest(scores, temperature, top_k, top_p):
    logits = torch.tensor(scores) / 8
    p = draw_from(logits, Sampling(temperature, top_k, top_p))
    assert p.sum().item() == pytest.approx(1, abs=1e-5) and (p >= 0).all()
    kept = p > 0
    assert kept[logits.argmax()]
    if top_k:
        assert kept.sum() <= top_k
    if kept.any() and not kept.all():
        assert logits[kept].min() >= logits[~kept].max()


def test_sampling_draws_what_it_says():
    p, generator = draw_from(torch.tensor([0.1, 0.2, 0.7]).log(), Sampling()), torch.Generator().manual_seed(0)
    drawn = torch.multinomial(p, 20_000, replacement=True, generator=generator).bincount(minlength=3) / 20_000
    assert drawn.tolist() == pytest.approx([0.1, 0.2, 0.7], abs=0.01)


def test_stop_strings_end_the_text_and_are_left_out():
    tokenizer = train_tokenizer(["abc"], "character")
    model = decided(vocab_size=len(tokenizer))
    free = Writer(model, tokenizer).write("a", 60, Sampling(seed=5)).text
    for stop in ("b", "cb", "<unk>"):
        if stop in free:
            held = Writer(model, tokenizer).write("a", 60, Sampling(seed=5), stop=["never", stop])
            assert held.text == free[: free.index(stop)]


def test_weighted_loss_is_that_of_repeated_tokens():
    logits, targets = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0])
    repeated = torch.cat([logits.flatten(0, 1)[i : i + 1].expand(int(weights[t]), 5) for i, t in enumerate(targets.flatten())])
    asked = torch.cat([t.expand(int(weights[t])) for t in targets.flatten()])
    assert next_loss(logits, targets, weights).item() == pytest.approx(
        torch.nn.functional.cross_entropy(repeated, asked).item(), rel=1e-5)


# ---- data


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 500), min_size=2, max_size=30), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_loses_no_document_and_has_two_sides(lengths, share, seed):
    documents = {f"{i}": "x" * n for i, n in enumerate(lengths)}
    train_side, valid_side = split_documents(documents, share, seed)
    assert train_side and valid_side and {**train_side, **valid_side} == documents


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 200), st.integers(1, 50))
def test_windows_side_by_side_ask_for_every_token_once(length, context):
    windows = side_by_side(torch.arange(length), context)
    asked = windows[:, 1:].flatten().tolist()
    assert asked == list(range(1, len(asked) + 1)) and length - 1 - len(asked) < context


def test_every_place_of_the_text_can_begin_a_window():
    drawn = draw_windows(torch.arange(9), 2000, 4, seed=1, step=0)
    assert set(drawn[:, 0].tolist()) == {0, 1, 2, 3, 4} and drawn.max() == 8
    assert draw_windows(torch.arange(3), 5, 8, 0, 0).shape == (5, 3)           # a text shorter than the context


# ---- the loop


@pytest.fixture(scope="module")
def data():
    return load_texts("builtin:200")


SMALL = DecoderConfig(dim=16, layers=2, heads=2, context=16, dropout=0.1)
BRIEF = dict(steps=20, seconds=None, batch=4, log_every=5, eval_every=10, eval_tokens=200, sample=4, threads=1)


def same(a, b) -> None:
    "Weights, optimizer, best model and log are equal."
    for name in (TextRun.MODEL, TextRun.STATE):
        (left, _), (right, _) = load_tensors(a / name), load_tensors(b / name)
        assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
    rows = [[(r.step, r.loss, r.saved, str(r.valid_loss)) for r in read_records(folder, TextRecord)] for folder in (a, b)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("at", [0, 1, 7, 10, 19])
@pytest.mark.parametrize("changes", [{}, dict(accumulate=2, recompute=True)], ids=["plain", "accumulated"])
def test_stopped_anywhere_it_ends_the_same(data, tmp_path, monkeypatch, at, changes):
    monkeypatch.setattr("tofy.loop.Clock.quiet_for", lambda *_: True)      # a progress record after every step
    config = TextConfig(**BRIEF | changes)
    list(train(data, SMALL, config, tmp_path / "whole"))
    loop = train(data, SMALL, config, tmp_path / "parts")
    next(r for r in loop if r.step >= at)
    loop.close()
    list(train(data, SMALL, config, tmp_path / "parts", resume=True))
    same(tmp_path / "whole", tmp_path / "parts")


def test_the_best_model_is_the_one_that_was_best(data, tmp_path, monkeypatch):
    "With a rate that ruins the model after a third, that one is the best, and log lines between validations save none."
    monkeypatch.setattr("tofy.loop.learning_rate", lambda config, progress: 0.01 if progress < 1 / 3 else 10.0)
    config = TextConfig(**BRIEF | dict(steps=30, clip=0.0))
    records = [r for r in train(data, SMALL, config, tmp_path / "run") if r.is_line]
    checked = [r for r in records if not math.isnan(r.valid_loss)]
    best = min(checked, key=lambda r: r.valid_loss)  # about 3, and 50 or more at the next
    assert not any(r.saved for r in records if math.isnan(r.valid_loss)) and best is checked[1]
    writer = load_decoder(tmp_path / "run")
    held = side_by_side(data.valid, 16, 200 // 16)
    found = torch.cat(list(window_losses(writer.model, held))).mean().item()
    assert found == pytest.approx(best.valid_loss, rel=1e-4) and writer.about["step"] == best.step


def test_a_model_can_learn_what_there_is_to_learn():
    "Of abcabc… every letter follows from the one before: the loss goes to nothing."
    data = load_texts("builtin:50")
    data.tokenizer = train_tokenizer(["abc"], "character")
    row = torch.tensor(data.tokenizer.encode("abc" * 200), dtype=torch.int32)
    data.train, data.valid, data.valid_bytes = row, row[:100], 100
    config = TextConfig(**BRIEF | dict(steps=120, lr=1e-2, prompt="a", sample=9))
    last = [r for r in train(data, SMALL, config)][-1]
    assert last.valid_loss < 0.05 and last.bits_per_byte < 0.1 and last.sample[:6] == "bcabca"


def test_a_decoder_and_a_latent_run_do_not_share_a_folder(data, tmp_path):
    (tmp_path / STATE).write_bytes(b"")
    with pytest.raises(ValueError, match="already holds a run"):
        next(train(data, SMALL, TextConfig(**BRIEF), tmp_path))
    with pytest.raises(ValueError, match="no run to resume"):
        next(train(data, SMALL, TextConfig(**BRIEF), tmp_path, resume=True))


# ---- the command line


def test_a_decoder_from_the_command_line(tofy, tmp_path):
    options = ["builtin:100", "--preset", "nano", "--batch", 4, "--log-every", 5, "--sample", 5]
    assert tofy("lab", "train", *options, "--steps", 10, "--out", "run", "--token-weight", "e=2").code == 0
    assert json.loads(tofy("lab", "info", "run", "--json").out)["step"] in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    figures = tofy("lab", "loss", "run", "--json").json
    assert figures["bits_per_byte"] == pytest.approx(figures["loss"] / math.log(2), rel=0.1)
    one, two = (tofy("lab", "generate", "run", "we ", "--seed", "3", "--tokens", 9).out for _ in range(2))
    assert one == two and one.startswith("we ")
    assert len(tofy("lab", "generate", "run", "we ", "--tokens", 4, "--why").out.splitlines()) == 4
    tofy("lab", "train", *options, "--out", "run").says(2, "already holds a run")
    tofy("lab", "train", "--resume", "--out", "run", "--dim", 8).says(2, "dim is 8 here and 64 in the run")
    assert tofy("lab", "train", "--resume", "--out", "run", "--steps", 15).code == 0
    tofy("diff", "run", "how are _ => you").says(2)


def test_ctrl_c_leaves_a_whole_run(tofy, tmp_path):
    child = tofy.start("lab", "train", "builtin:100", "--preset", "nano", "--steps", 1_000_000, "--sample", 0, "--out", "run")
    child.wait_for("step", tmp_path / "run" / TextRecord.file)
    child.kill(signal.SIGINT)
    result = child.wait()
    assert result.code == 130 and "tofy lab train --resume --out run" in result.err
    assert load_decoder(tmp_path / "run").model


@pytest.mark.parametrize("command", [("lab",), ("lab", "tokenizer"), ("lab", "train"), ("lab", "generate"), ("lab", "info"),
                                     ("lab", "loss"), ("lab", "tokenizer", "train"), ("lab", "tokenizer", "check")])
def test_help(tofy, command):
    result = tofy(*command, "--help")
    assert result.code == 0 and ("Example" in result.out or "Begin with" in result.out or "examine" in result.out)
