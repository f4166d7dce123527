"A question reaches the model as training would have put it: padding, company and typing change nothing."
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy.data import Phrases, load_data, pack
from tofy.encoder import LatentModel, ModelConfig
from tofy.inference import Latent, diff, encode_phrases, read_blank
from tofy.masking import all_blanks, ask
from tofy.metrics import ranks
from tofy.vocab import tokenize

DATA = load_data("builtin:600", valid=.1)


def make_latent(**shape) -> Latent:
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=len(DATA.vocab), dim=32, heads=4, max_seq=200, **shape)
    return Latent(LatentModel(config).eval(), DATA.vocab, {})


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "none"])
@settings(max_examples=25, deadline=None)
@given(ids=st.lists(st.integers(3, len(DATA.vocab) - 1), min_size=2, max_size=40), extra=st.integers(1, 150), where=st.integers(0, 39))
def test_padding_to_any_length_changes_no_score(positions, ids, extra, where):
    latent = make_latent(positions=positions)
    row = torch.tensor([ids])
    row[0, where % len(ids)] = 2
    wide = F.pad(row, (0, extra))
    with torch.no_grad():
        scores = [latent.model.cosines(latent.model(r, r == 2)[0]) for r in (row, wide)]
    assert (scores[0] - scores[1]).abs().max() < 1e-5


def test_company_in_the_batch_changes_no_score():
    latent, blanks = make_latent(), all_blanks(DATA.valid, 200)
    together = latent.score(ask(DATA.valid, blanks))
    for i in range(0, 200, 20):
        alone = latent.score(ask(DATA.valid, type(blanks)(blanks.rows[i:i + 1], blanks.positions[i:i + 1])))
        assert (alone[0] - together[i]).abs().max() < 1e-5


def test_diff_and_eval_read_every_phrase_as_training_did(tmp_path):
    "The ids of every phrase, by three ways: training, eval's file reader, and diff's typed phrase."
    latent = make_latent()
    file = tmp_path / "heldout.txt"
    file.write_text("".join(text + "\n" for text in DATA.heldout))
    phrases, _ = encode_phrases(file, DATA.vocab, 72)
    assert torch.equal(phrases.flat, DATA.valid.flat) and torch.equal(phrases.offsets, DATA.valid.offsets)
    blanks = all_blanks(DATA.valid)
    questions = ask(DATA.valid, blanks)
    for n, (row, position) in enumerate(zip(blanks.rows.tolist(), blanks.positions.tolist())):
        tokens = DATA.heldout[row].split()
        typed = " ".join(tokens[:position] + ["_"] + tokens[position + 1:])
        assert read_blank(DATA.vocab, typed) == [i for i in questions.inputs[n].tolist() if i]
        if n % 50 == 0:
            assert diff(latent, f"{typed} => {tokens[position]}").rank == ranks(
                latent.score(ask(DATA.valid, type(blanks)(blanks.rows[n:n + 1], blanks.positions[n:n + 1]))), questions.targets[n:n + 1]).item()


def test_known_words_are_counted_beyond_what_a_float_can_count():
    "More than 2^24 tokens: a sum in single precision would lose the last phrases' words."
    n = 2**24 + 1
    flat = torch.full((n + 3,), 3, dtype=torch.int32)
    flat[n:] = torch.tensor([1, 3, 1])
    assert Phrases(flat, torch.tensor([0, n, n + 1, n + 2, n + 3])).known().tolist() == [n, 0, 1, 0]


@given(st.text(max_size=80))
def test_tokens_joined_by_spaces_are_cut_the_same_way(text):
    "Held-out phrases are kept as tokens joined by spaces, so cutting them again must give the same tokens."
    for rule in ("unicode", "notes"):
        tokens = tokenize(text, rule)
        assert tokenize(" ".join(tokens), rule) == tokens


@given(st.lists(st.lists(st.integers(3, 50), min_size=2, max_size=12), min_size=1, max_size=20))
def test_batches_hold_what_was_packed(rows):
    phrases = pack(rows)
    ids = phrases.batch(torch.arange(len(rows)))
    assert [[i for i in row if i] for row in ids.tolist()] == rows
