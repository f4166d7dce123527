"""What is a word, in any script: what nobody sees is none, quotation marks are alike, and a run keeps the rule it was made with."""
import json
import re
import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from tofy import corpus
from tofy.checkpoint import HELDOUT, SETTINGS, load_tables, load_tensors, save_tables, save_tensors
from tofy.data import DataConfig, load_data
from tofy.errors import RunError
from tofy.inference import READY, evaluate_run, known_baselines, load, run_data
from tofy.plan import as_command, from_command, plan, read_plan
from tofy.run_folder import BASELINES, MODEL
from tofy.training import fit
from tofy.vocab import UNK, UNSEEN, tokenize, vocab_hash

SEEN = st.characters(exclude_categories=["Cs"])
INVISIBLE = "\u200c\u200d\ufe0f\ufe0e\u00ad\u2060\ufeff\u200e\u200f\u061c\u034f\u180e\u2066\u2069\U000e0067\U000e0101"


@pytest.fixture
def made(tmp_path):
    "A small run on a text with words of several kinds."
    text = tmp_path / "text.txt"
    rows = ["‘{} night’ said the <unk> {}", "don’t {} می‌خواهم the {} ❤\ufe0f", "{} istanbul and {} İstanbul , so\u00adft"]
    words = "red blue green cold warm far near old new".split()
    text.write_text("\n".join(row.format(a, b) for row in rows for a in words for b in words), encoding="utf-8")
    data = load_data(text, valid=.2)
    fit(data, *small(), out=tmp_path / "run", quiet=True)
    return tmp_path / "run", data


def small():
    made = plan(dim=8, heads=1, layers=1, batch=8, steps=3, max_seq=12, threads=1)
    return made.model, made.train


def relabel(run, tokens):
    "As if the run had been made before the rule had versions."
    tensors, header = load_tensors(run / MODEL)
    told = json.loads(header["data"]) | dict(tokens=tokens)
    save_tensors(run / MODEL, tensors, header | dict(tokens=json.dumps(tokens), data=json.dumps(told)))
    tables = load_tables(run / SETTINGS)
    save_tables(run / SETTINGS, tables | dict(data=tables["data"] | dict(tokens=tokens)))


# ---- the rule

@pytest.mark.parametrize("mark", INVISIBLE, ids=lambda mark: f"{ord(mark):x}")
def test_what_nobody_sees_is_no_word_and_parts_none(mark):
    assert tokenize(f"{mark}co{mark}op{mark} {mark} !{mark}") == ["coop", "!"]
    assert tokenize(f"e{mark}\u0301") == ["é"]


def test_a_space_of_no_width_is_a_space():
    assert tokenize("ខ្ញុំ\u200bទៅ\u200b ផ្សារ") == ["ខ្ញុំ", "ទៅ", "ផ្សារ"]


@pytest.mark.parametrize("mark", "'’‘‛‚ʼ`´′＇՚‹›", ids=lambda mark: f"{ord(mark):x}")
def test_apostrophes_and_single_quotation_marks_are_alike(mark):
    assert tokenize(f"{mark}I don{mark}t sleep at night{mark}, he said") == tokenize("'I don't sleep at night', he said")
    assert tokenize(f"night{mark}") == ["night", "'"] and tokenize(f"{mark}tis") == ["'", "tis"]


@pytest.mark.parametrize("mark", "\"“”„‟«»″〝〞〟＂", ids=lambda mark: f"{ord(mark):x}")
def test_double_quotation_marks_are_alike(mark):
    assert tokenize(f"{mark}yes{mark} he said") == ['"', "yes", '"', "he", "said"]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("text", ["İstanbul", "İSTANBUL", "istanbul", "i\u0307stanbul", "ISTANBUL"])
def test_a_dotted_i_is_an_i(text, form):
    assert tokenize(unicodedata.normalize(form, text)) == ["istanbul"]
    assert "İ" not in text or tokenize(unicodedata.normalize(form, text), lower=False)[0][0] == "İ"


def test_marks_and_skin_tones_belong_to_what_they_follow():
    assert tokenize("👍🏽 🇩🇪🇫🇷 1\ufe0f\u20e3 #\ufe0f\u20e3 ❤\ufe0f") == ["👍🏽", "🇩🇪", "🇫🇷", "1\u20e3", "#\u20e3", "❤"]


def test_the_other_rules_are_as_they_were():
    text = "Don’t ‘stop’ night' so\u00adft ❤\ufe0f <unk> می\u200cخ İx"
    old = unicodedata.normalize("NFC", text.lower()).replace("’", "'")
    assert tokenize(text, "unicode-1") == regex.findall(r"[\p{L}\p{M}\p{N}']+|\S", old)
    assert tokenize(text, "notes") == re.findall(r"[A-Za-z0-9']+|\S", text.lower())
    assert tokenize(text) == tokenize(text, "unicode") == tokenize(text, "unicode-2") != tokenize(text, "unicode-1")


@given(st.text(SEEN, max_size=60), st.booleans())
@example("i\u0307\u0307 ' ''a'' <UNK><unk> '\u0301", True)
@example("I\u0327\u0307 Į\u0307 ΣΑΣ'", True)
def test_what_holds_of_any_text(text, lower):
    "Joined and cut again the tokens are the same, however the text was composed, and in none is anything unseen."
    tokens = tokenize(text, lower=lower)
    assert tokenize(" ".join(tokens), lower=lower) == tokens
    assert tokenize(unicodedata.normalize("NFD", text), lower=lower) == tokenize(unicodedata.normalize("NFC", text), lower=lower)
    assert not any(UNSEEN.search(token) or "\u200b" in token or token.split() != [token] for token in tokens)
    assert all(token == "<unk>" or "'" not in token.strip("'") or token.strip("'") == token for token in tokens)


def test_every_character_alone_and_inside():
    for start in range(0, 0x110000, 0x400):
        tokens = tokenize(" ".join(f"{chr(i)} a{chr(i)}b" for i in range(start, start + 0x400)))
        assert tokenize(" ".join(tokens)) == tokens and not UNSEEN.search("".join(tokens)), hex(start)


def test_the_course_reads_as_before():
    "No figure of the course moves: all rules cut the built-in corpus alike, and the ready-made runs have its words."
    for names in (0, 2000):
        for line in corpus.lines(3700, names=names):
            assert tokenize(line) == tokenize(line, "unicode-1")
    hashes = {vocab_hash(load(READY / name).vocab) for name in ("healthy", "notes", "collapsed")}
    assert hashes == {vocab_hash(load_data("builtin").vocab)}
    assert vocab_hash(load(READY / "crowded").vocab) == vocab_hash(load_data("builtin:3700:2000").vocab)
    assert hashes == {"04f0959068707731fc9e75ea62443b50339f627aedd0c68c59b9ea17ae7fbbe0"}


# ---- unknown words of a text's own

def test_unk_in_a_text_is_one_unknown_token(made):
    run, data = made
    assert "<unk>" not in data.vocab.ids and not {"<", ">", "unk"} & set(data.vocab.ids)
    both = [*data.train.flat.tolist(), *data.valid.flat.tolist()]
    assert data.vocab.counts[UNK] == data.train.flat.tolist().count(UNK) > 0 and both.count(UNK) == 81
    heldout = (run / HELDOUT).read_text(encoding="utf-8")
    assert "<unk>" in heldout and load(run).vocab.encode("the <unk>")[1:] == [UNK]
    figures = evaluate_run(run)
    assert figures["unknown"] == heldout.count("<unk>")
    assert figures["queries"] == len(data.valid.flat) - figures["unknown"]


# ---- what a run stores

def test_a_run_stores_the_exact_name(made):
    run, data = made
    header = load_tensors(run / MODEL)[1]
    assert json.loads(header["tokens"]) == json.loads(header["data"])["tokens"] == "unicode-2"
    assert load_tables(run / SETTINGS)["data"]["tokens"] == "unicode-2"
    assert DataConfig().tokens == DataConfig(tokens="unicode").tokens == data.vocab.rule == "unicode-2"
    assert load(run).vocab == data.vocab and run_data(run).hash == data.hash


def test_a_run_made_before_keeps_its_rule(made, tmp_path):
    run, data = made
    old = load_data(tmp_path / "text.txt", valid=.2, tokens="unicode-1")
    fit(old, *small(), out=tmp_path / "old", quiet=True)
    relabel(tmp_path / "old", "unicode")
    latent = load(tmp_path / "old")
    assert latent.vocab == old.vocab and "night'" in latent.vocab.ids and "\u200c" in latent.vocab.ids
    assert latent.vocab.tokenize("night'") == ["night'"] and run_data(tmp_path / "old").hash == old.hash
    again = read_plan(tmp_path / "old")
    assert again.data.tokens == "unicode-1" and from_command(as_command(again, tmp_path / "old")).data == again.data
    assert evaluate_run(tmp_path / "old")["queries"] > 0
    fit(load_data(tmp_path / "text.txt", valid=.2, tokens=again.data.tokens), *small(), out=tmp_path / "old", resume=True,
        quiet=True)
    assert load(tmp_path / "old").vocab == old.vocab


def test_a_rule_of_a_later_version_is_a_sentence(made):
    relabel(made[0], "unicode-3")
    with pytest.raises(RunError, match="unicode-3"):
        load(made[0])


def test_baselines_of_the_ready_made_runs_serve_a_new_run(tmp_path):
    "The same words and held-out phrases of the built-in corpus, so the same blanks, whichever rule cut them."
    short = plan(dim=8, heads=1, layers=1, batch=8, steps=1, threads=1)
    fit(load_data("builtin"), short.model, short.train, out=tmp_path / "new", quiet=True)
    (tmp_path / "new" / BASELINES).unlink(missing_ok=True)
    assert known_baselines(tmp_path / "new") == known_baselines(READY / "healthy")
