"""A tokenizer file as the rule of the latent encoder: from the pieces of a text to a filled blank, and every fault."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import SIZES, Tofy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tofy import sharing
from tofy.checkpoint import HELDOUT, SETTINGS, load_tensors
from tofy.corpus import lines
from tofy.data import context, load_data
from tofy.errors import RunError, UsageError
from tofy.gap import parity
from tofy.inference import fill, heldout_phrases, hide_word, load, one_token, phrase_words, question_for, read_blank
from tofy.lab.tokenizers import fingerprint, load_tokenizer, save_tokenizer, train_tokenizer
from tofy.panels.training import SettingsForm
from tofy.plan import as_command, plan, read_plan
from tofy.run_folder import MODEL, STATE, load_model, load_settings
from tofy.training import recipe, train
from tofy.vocab import MASK, SPECIALS, TOKENIZER, UNK, PieceRule, faults_of_tokenizers, make_vocab, read_rule

TEXT = [context(line) for line in lines(300)]
ODD = ["naïve café, über €5", "日本語 and 😀😀", "don't we're  two  spaces", "a\u00a0b\u2028c", "mid·dot � \\xc3 end", "<unk> <mask> _x"]
FILES = {f"bpe {size}": train_tokenizer(TEXT, vocab_size=size, lower=True) for size in (257, 300, 700)}
FILES |= {"letters": train_tokenizer(TEXT + ODD * 20, vocab_size=600), "cased": train_tokenizer([t.title() for t in TEXT], vocab_size=400, reserved=2)}
FILES |= {kind: train_tokenizer(TEXT, kind) for kind in ("byte", "character", "ascii")}
RULES = {name: PieceRule(file.json) for name, file in FILES.items()}
LOSSLESS = ("bpe 257", "bpe 300", "bpe 700", "letters", "cased", "byte")


# ---- pieces


@pytest.mark.parametrize("name", RULES)
def test_the_pieces_are_the_tokenizers_own(name):
    file, rule = FILES[name], RULES[name]
    for text in TEXT[:50] + ODD:
        assert rule.cut(text) == [rule.shown[i] for i in file.encode(text)]
    for i, word in enumerate(file.words):                                # as the laboratory reads them
        if rule.shown[i][0] != "�":
            assert rule.shown[i].replace("·", " ") == word


@pytest.mark.parametrize("name", RULES)
def test_no_two_pieces_look_alike_and_none_breaks_a_line(name):
    shown = list(RULES[name].shown.values())
    assert len(set(shown)) == len(shown) == len(FILES[name])
    assert all(piece.isprintable() and piece and " " not in piece for piece in shown)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_comes_back_from_its_pieces(text):
    for name in LOSSLESS:
        rule = RULES[name]
        whole = text[:-1] if rule.spaced and text.endswith(" ") else text
        assert rule.join(rule.cut(text)) == (whole.lower() if rule.lower else whole)


def test_case_is_the_tokenizers_own_business(tmp_path):
    (tmp_path / "text.txt").write_text("".join(t.title() + "\n" for t in TEXT))
    for name, capitals in (("bpe 300", False), ("cased", True)):
        save_tokenizer(FILES[name], tmp_path / f"{name}.json")
        vocab = load_data(tmp_path / "text.txt", tokens=tmp_path / f"{name}.json").vocab
        assert any(word != word.lower() for word in vocab.words if word[0] != "�") == capitals != vocab.lower


def test_a_letter_that_a_tokenizer_lacks_is_unknown(tmp_path):
    save_tokenizer(FILES["character"], tmp_path / "letters.json")
    (tmp_path / "text.txt").write_text("".join(f"{t} ß\n" for t in TEXT))
    data = load_data(tmp_path / "text.txt", max_seq=200, tokens=tmp_path / "letters.json")
    assert data.vocab.words.count("<unk>") == 1 and data.vocab.counts[UNK] == len(data.train) and not data.warnings


# ---- a blank


@pytest.mark.parametrize("name", RULES)
def test_every_piece_can_be_hidden_and_asked_for(name):
    "Typed, a phrase with a blank becomes the ids of the whole phrase with <mask> in that piece's place."
    rule, texts = RULES[name], TEXT[:8] + ODD[2:3] * (name in LOSSLESS) + ODD[:2] * (name == "letters")    # half a letter can't be typed
    vocab = make_vocab({piece: 1 for text in texts for piece in rule.cut(text)}, tokens=rule)
    for text in texts:
        tokens, ids = vocab.tokenize(text), vocab.encode(text)
        for place, token in enumerate(tokens):
            if token in vocab.ids:
                phrase, asked = one_token(vocab, *question_for(vocab, tokens, place).split("=>"))
                assert (asked, read_blank(vocab, phrase)) == (token, [*ids[:place], MASK, *ids[place + 1:]])


def test_the_panels_words_can_be_hidden_one_after_the_other():
    rule = RULES["bpe 700"]
    vocab = make_vocab({piece: 1 for text in TEXT for piece in rule.cut(text)}, tokens=rule)
    text = TEXT[0]
    tokens = vocab.tokenize(text)
    question = hide_word(vocab, text, 1)
    assert phrase_words(vocab, question.partition("=>")[0]) == [tokens[0], "_", *tokens[2:]]
    assert hide_word(vocab, question, 1) == text                                      # pressed twice
    assert hide_word(vocab, question, 3) == question_for(vocab, tokens, 3)            # pressed elsewhere


# ---- data


def test_what_is_held_out_reads_the_same_from_its_file(tmp_path):
    "Phrases that are cut in the middle of a word or a letter, too."
    (tmp_path / "text.txt").write_text("".join(f"{text} {odd}\n" for text in TEXT[:60] for odd in ODD))
    save_tokenizer(FILES["bpe 300"], tmp_path / "bpe.json")
    for max_seq, split in ((7, "none"), (20, "none"), (7, "windows"), (30, "sentences")):
        data = load_data(tmp_path / "text.txt", max_seq=max_seq, split=split, tokens=tmp_path / "bpe.json", valid=.5)
        (tmp_path / HELDOUT).write_text("".join(text + "\n" for text in data.heldout), newline="")
        model = recipe(dim=8, layers=1, heads=2)[0]
        model.max_seq = max_seq
        latent = type("Any", (), dict(vocab=data.vocab, model=type("Any", (), dict(config=model)), header={}))
        again = heldout_phrases(tmp_path, latent)
        assert again.flat.equal(data.valid.flat) and again.offsets.equal(data.valid.offsets)


def test_a_changed_tokenizer_cannot_read_a_stale_cache(tmp_path):
    text, file, cache = tmp_path / "text.txt", tmp_path / "bpe.json", tmp_path / "cache"
    text.write_text("".join(t + "\n" for t in TEXT))
    for name in ("bpe 300", "bpe 700", "cased", "bpe 300"):
        save_tokenizer(FILES[name], file)                                             # under the same name
        kept, fresh = load_data(text, tokens=file, cache=cache), load_data(text, tokens=file)
        assert kept.vocab == fresh.vocab and kept.hash == fresh.hash and kept.heldout == fresh.heldout
    assert len(list(cache.iterdir())) == 3
    shutil.copy(file, tmp_path / "same.json")                                         # the same under another name
    assert load_data(text, tokens=tmp_path / "same.json", cache=cache).hash == fresh.hash
    assert len(list(cache.iterdir())) == 3
    load_data(text, cache=cache)
    assert len(list(cache.iterdir())) == 4


def test_too_few_rows_are_told_of(tmp_path):
    save_tokenizer(FILES["bpe 700"], tmp_path / "bpe.json")
    (tmp_path / "text.txt").write_text("".join(t + "\n" for t in TEXT))
    few, all_ = (load_data(tmp_path / "text.txt", n, tokens=tmp_path / "bpe.json") for n in (100, 703))
    assert any("larger --max-vocab" in w for w in few.warnings) and few.vocab.counts[UNK] > 0
    assert not any("--max-vocab" in w for w in all_.warnings) and all_.vocab.counts[UNK] == 0


# ---- from the command line


@pytest.fixture(scope="module")
def made(tmp_path_factory, loaded) -> Path:
    "A folder with a text, a tokenizer bpe.json, and a finished run on its pieces: all by commands."
    tofy = Tofy(tmp_path_factory.mktemp("made"))
    (tofy.folder / "text.txt").write_text("".join(t + "\n" for t in TEXT))
    learned = tofy("lab", "tokenizer", "train", "text.txt", "--vocab-size", 500, "--lower", "--out", "bpe.json")
    assert learned.code == 0, learned.err
    trained = tofy("train", "text.txt", 10, "8", "16", "40", "1", "2", "--tokenizer", "bpe.json", "--out", "run")
    assert trained.code == 0 and " pieces)" in trained.err, trained.err
    return tofy.folder


@pytest.fixture
def pieces(made, tmp_path) -> Path:
    "The run in a copy of that folder."
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def test_from_a_text_to_a_filled_blank(tofy, pieces, monkeypatch):
    file, folder = pieces.parent / "bpe.json", pieces
    assert (folder / TOKENIZER).read_bytes() == file.read_bytes()
    header = json.loads(load_tensors(folder / MODEL)[1]["tokenizer_sha256"])
    assert header == read_rule(file).sha256 == fingerprint(FILES["bpe 700"].__class__(read_rule(file).inner))
    assert load_settings(folder / SETTINGS)["data"]["tokens"] == str(folder / TOKENIZER)
    file.unlink()                                                                     # no longer needed,
    (folder.parent / "elsewhere").mkdir()
    folder = folder.rename(folder.parent / "elsewhere" / "moved")                     # nor is the old place
    phrase = next(t for t in TEXT if " the " in t).replace(" the ", " _ ", 1)
    answer, = tofy("diff", folder, f"{phrase} => the", "--json").json["answers"]
    assert answer["word"] == "·the" and 1 <= answer["rank"] <= answer["vocab_size"] == len(load(folder).vocab) - len(SPECIALS)
    assert "· stands for a space" in answer["note"]
    assert "best possible" not in answer["baselines"]
    assert "· stands for a space" in tofy("fill", folder, phrase).out
    figures = tofy("eval", folder, "--json").json
    assert figures["unit"] == "pieces" and figures["unknown"] < figures["queries"] == int(
        (heldout_phrases(folder, load(folder)).flat >= len(SPECIALS)).sum())
    assert "pieces" in tofy("eval", folder, "text.txt").out
    found = tofy("diagnose", folder, "--json").json
    assert "split on spaces" not in found["gap"]["ways"] and "asked right" in found["gap"]["ways"]
    assert "many unknown words" not in [finding["name"] for finding in found["findings"]]
    monkeypatch.chdir(pieces.parent)                                                  # where the text is
    assert not [check for check in parity(folder) if not check.passed]
    assert tofy("train", "--config", folder / SETTINGS, "--out", "again").code == 0
    assert load_model(folder.parent.parent / "again")[1] == load_model(folder)[1]


def test_a_resumed_run_goes_on_with_the_same_ids(tofy, pieces):
    def state():
        return load_tensors(pieces / STATE)[1]

    before = state()
    assert tofy("train", "--resume", "--steps", 20, "--out", "run").code == 0
    assert (json.loads(before["step"]), json.loads(state()["step"])) == (10, 20) and before["data"] == state()["data"]


def test_an_answer_of_several_pieces_comes_with_a_question_that_works(tofy, pieces):
    refused = tofy("diff", pieces, "we met at the _ again => xylophone").says(1, "pieces here", "a blank hides one", "such as: ")
    question = refused.err.strip().partition("such as: ")[2]
    assert tofy("diff", pieces, question).says or True
    result = tofy("diff", pieces, question)
    assert result.code == 0 or "not in vocab" in result.err
    tofy("diff", pieces, "we _ it =>").says(1, "give exactly one")


def test_stripping_is_for_words(tofy, pieces):
    tofy("diff", pieces, "we saw _ cat => the", "--strip-answer").says(2, "reads pieces")


def test_the_whole_word_is_not_one_of_its_pieces(pieces):
    latent = load(pieces)
    with_space, without = (one_token(latent.vocab, phrase, "the")[1] for phrase in ("we saw _ cat", "_ cat"))
    assert (with_space, without) == ("·the", "the")


FAULTS = {
    "no such file": (["--tokenizer", "gone.json"], "There is no tokenizer file gone.json"),
    "not a tokenizer": (["--tokenizer", "text.txt"], "is not a tokenizer file"),
    "not JSON of the library": (["--tokenizer", "other.json"], "is not a tokenizer file"),
    "a folder without one": (["--tokenizer", "."], "There is no tokenizer file"),
    "beside a word rule": (["--tokenizer", "bpe.json", "--tokens", "notes"], "either tokens or tokenizer"),
    "the name of a rule": (["--tokenizer", "unicode"], "There is no tokenizer file unicode"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_tokenizer_is_one_sentence(tofy, text, fault):
    options, said = FAULTS[fault]
    save_tokenizer(FILES["bpe 300"], text.parent / "bpe.json")
    (text.parent / "other.json").write_text('{"version": "1.0", "model": {"type": "None"}}')
    tofy("train", text, 5, *SIZES, *options, "--out", "run").says(2, said)
    assert not (text.parent / "run" / MODEL).exists()


def test_a_tokenizer_that_changed_is_noticed(tofy, pieces):
    save_tokenizer(FILES["bpe 300"], pieces / TOKENIZER)
    tofy("train", "--resume", "--steps", 20, "--out", "run").says(2, "is not the one that", TOKENIZER)
    tofy("diff", pieces, "we _ it => the").says(2, "is not the one that")
    (pieces / TOKENIZER).unlink()
    tofy("train", "--resume", "--steps", 20, "--out", "run").says(2, "There is no tokenizer file")
    tofy("eval", pieces).says(2, "There is no tokenizer file")


def test_a_resumed_run_takes_no_other_tokenizer(tofy, pieces):
    save_tokenizer(FILES["bpe 300"], pieces.parent / "other.json")
    tofy("train", "--resume", "--tokenizer", "other.json", "--out", "run").says(2, "tokens is other.json", "--resume")
    assert tofy("train", "--resume", "--tokenizer", "bpe.json", "--out", "run").code == 0      # its own


def test_without_the_library_words_work_and_pieces_are_a_sentence(tofy, text):
    def without() -> None:
        sys.modules["tokenizers"] = None

    save_tokenizer(FILES["bpe 300"], text.parent / "bpe.json")
    assert tofy("train", text, 5, *SIZES, "--out", "words", before=without).code == 0
    tofy("train", text, 5, *SIZES, "--tokenizer", "bpe.json", "--out", "run", before=without).says(
        2, "tokenizers, which is not installed")


# ---- from Python


def test_the_library_does_the_same(tmp_path):
    save_tokenizer(FILES["bpe 700"], tmp_path / "bpe.json")
    data = load_data("builtin:400", tokens=tmp_path / "bpe.json")
    for _ in train(data, *recipe(dim=16, layers=1, heads=2, steps=5), out=tmp_path / "run"):
        pass
    told = as_command(plan(tokens=data.settings["tokens"], source="builtin:400"), tmp_path / "run")
    panel = SettingsForm()
    panel.show(read_plan(tmp_path / "run"))
    assert panel.read("tofy", "builtin:400").data.tokens == str(tmp_path / "run" / TOKENIZER)
    assert f"--tokens {tmp_path / 'bpe.json'}" in told
    (tmp_path / "bpe.json").unlink()
    assert read_plan(tmp_path / "run").data.tokens == str(tmp_path / "run" / TOKENIZER)
    model = sharing.Tofy.from_pretrained(tmp_path / "run")
    shared = sharing.Tofy.from_pretrained(model.save_pretrained(tmp_path / "shared", "anna/pieces"))
    assert shared.fill("how are _ ?").top == fill(load(tmp_path / "run"), "how are _ ?").top
    assert (shared.encode(["how are you ?"]) == model.encode(["how are you ?"])).all()
    assert str(tmp_path) not in (tmp_path / "shared" / SETTINGS).read_text()
    assert f"{len(data.vocab) - len(SPECIALS):,} pieces" in (tmp_path / "shared" / "README.md").read_text()
    with pytest.raises(UsageError, match="is not the one that"):
        list(train(load_data("builtin:400"), *recipe(dim=16, layers=1, heads=2, steps=9), out=tmp_path / "run", resume=True))


# ---- what files hold beside the cutting

PADDING = dict(direction="Right", pad_to_multiple_of=None, pad_id=0, pad_type_id=0, pad_token="<end>")
LIMIT = dict(direction="Right", strategy="LongestFirst")
EXTRAS = {
    "padding": dict(padding=PADDING | dict(strategy=dict(Fixed=64))),
    "padding of a batch": dict(padding=PADDING | dict(strategy="BatchLongest", pad_to_multiple_of=8)),
    "padding without end": dict(padding=PADDING | dict(strategy=dict(Fixed=10**10))),
    "a limit": dict(truncation=LIMIT | dict(max_length=3, stride=0)),
    "a limit of nothing": dict(truncation=LIMIT | dict(max_length=0, stride=0)),
    "a limit that panics": dict(truncation=LIMIT | dict(max_length=3, stride=5)),
    "merges left out at random": dict(model=dict(dropout=.9)),
    "two of them": dict(padding=PADDING | dict(strategy=dict(Fixed=64)), truncation=LIMIT | dict(max_length=3, stride=0)),
}
PANICS = {
    "a pattern that matches nothing": dict(normalizer=dict(type="Replace", pattern=dict(String=""), content="y")),
    "pieces of no length": dict(pre_tokenizer=dict(type="FixedLength", length=0)),
    "a prefix that no merge has": dict(model=dict(continuing_subword_prefix="####")),
    "a pattern that is none": dict(normalizer=dict(type="Replace", pattern=dict(Regex="("), content="y")),
    "padding beyond all numbers": dict(padding=PADDING | dict(strategy=dict(Fixed=10**30))),
}


def changed_file(changes: dict) -> str:
    "The tokenizer file of 300 pieces, with changes."
    content = json.loads(FILES["bpe 300"].json)
    return json.dumps(content | {name: content[name] | value if name == "model" else value for name, value in changes.items()})


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_a_file_holds_beside_the_cutting_changes_nothing(tmp_path, extra):
    "The same pieces, the same data: no padding is learned, no phrase is cut short, nothing is drawn."
    (tmp_path / "text.txt").write_text("\n".join(TEXT))
    save_tokenizer(FILES["bpe 300"], tmp_path / "plain.json")
    (tmp_path / "extra.json").write_text(changed_file(EXTRAS[extra]))
    plain, found = (load_data(tmp_path / "text.txt", tokens=tmp_path / name) for name in ("plain.json", "extra.json"))
    assert found.hash == plain.hash and found.vocab.counts == plain.vocab.counts and found.heldout == plain.heldout
    assert "<end>" not in found.vocab.words
    lab = load_tokenizer(tmp_path / "extra.json")
    assert [lab.encode(text) for text in TEXT[:20]] == [FILES["bpe 300"].encode(text) for text in TEXT[:20]]


@pytest.mark.parametrize("panic", PANICS)
def test_a_file_that_makes_the_library_panic_is_a_sentence(tofy, text, panic):
    path = text.parent / "panics.json"
    path.write_text(changed_file(PANICS[panic]))
    with pytest.raises(UsageError, match="panics.json is not a tokenizer file"):
        read_rule(path)
    with pytest.raises(RunError, match="panics.json is not a tokenizer file"):
        load_tokenizer(path)
    tofy("train", text, 5, *SIZES, "--tokenizer", path, "--out", "run").says(2, "is not a tokenizer file")
    assert not (text.parent / "run" / MODEL).exists()


def test_a_panic_later_is_a_sentence_and_ctrl_c_is_not_caught():
    with pytest.raises(UsageError, match="cannot cut the text 'the cat'"):
        PieceRule(changed_file(PANICS["pieces of no length"])).cut("the cat")
    for stop in (KeyboardInterrupt, SystemExit, GeneratorExit):
        with pytest.raises(stop), faults_of_tokenizers("", ""):
            raise stop
