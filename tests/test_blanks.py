"Blanks and answers as people type them: underscores of the text's own, =>, pasted characters, wrong bytes, wrong folders."
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tofy.data import load_data
from tofy.errors import RunError
from tofy.gap import parity
from tofy.inference import (
    answer_tokens,
    diff,
    evaluate,
    fill,
    hide_word,
    load,
    phrase_and_answer,
    phrase_words,
    question_for,
    read_blank,
)
from tofy.panels.models import FillPanel
from tofy.plan import plan
from tofy.training import fit
from tofy.vocab import MASK, make_vocab

VOCAB = make_vocab(dict.fromkeys(["how", "are", "you", "_", "eou", "snake", "case", "=", ">", "?"], 2))
DIALOGUE = ["hello {} __eou__ i am {} __eou__", "use snake_case in {} for {}", "{} => {} is __init__ or so", "it <unk> {} the {} <unk>"]


@pytest.fixture(scope="module")
def dialogue(tmp_path_factory):
    "A run on a text full of underscores, arrows and <unk>."
    folder = tmp_path_factory.mktemp("dialogue")
    words = "red blue green cold warm far near old new".split()
    (folder / "text.txt").write_text("\n".join(row.format(a, b) for row in DIALOGUE for a in words for b in words))
    small = plan(dim=8, heads=1, layers=1, batch=8, steps=3, max_seq=24, threads=1)
    fit(load_data(folder / "text.txt", max_seq=24), small.model, small.train, out=folder / "run", quiet=True)
    return folder / "run"


# ---- underscores and arrows

@pytest.mark.parametrize("mark", ["[MASK]", "[mask]"])
def test_with_mask_an_underscore_is_text(mark):
    ids = VOCAB.encode("how are __eou__ snake_case")
    for place in range(len(ids) + 1):
        tokens = VOCAB.tokenize("how are __eou__ snake_case")
        phrase = " ".join([*tokens[:place], mark, *tokens[place:]])
        assert read_blank(VOCAB, phrase) == [*ids[:place], MASK, *ids[place:]]
        assert phrase_words(VOCAB, phrase) == [*tokens[:place], "[MASK]", *tokens[place:]]


def test_without_mask_a_run_of_underscores_is_the_blank():
    assert read_blank(VOCAB, "how ___ you") == read_blank(VOCAB, "how _ you") == read_blank(VOCAB, "how[MASK]you")
    with pytest.raises(RunError, match=r"3 blanks .* \[MASK\], and underscores are text"):
        read_blank(VOCAB, "how are _ __eou__")
    with pytest.raises(RunError, match="2 blanks found.*leave exactly one.$"):
        read_blank(VOCAB, "[MASK] are [MASK]")


@pytest.mark.parametrize("question, phrase, answer", [
    ("a => b _ => c", "a => b _ ", "c"), ("a _=>c", "a _", "c"), ("a _ =>", "a _ ", ""), ("a _ => ", "a _ ", " "),
    ("a _", "a _", None), ("", "", None), ("a => _ => b => c", "a => _ => b ", "c"), ("_ => =>", "_ ", "=>")])
def test_the_last_arrow_divides(question, phrase, answer):
    assert phrase_and_answer(question) == (phrase, answer)


@given(st.lists(st.sampled_from(VOCAB.words[3:]), min_size=2, max_size=8), st.data())
@example(["=", ">"], None)
def test_any_token_can_be_hidden_and_asked_for(tokens, data):
    for place in range(len(tokens)) if data is None else [data.draw(st.integers(0, len(tokens) - 1))]:
        question = question_for(VOCAB, tokens, place)
        phrase, answer = phrase_and_answer(question)
        ids = VOCAB.encode(" ".join(tokens))
        assert read_blank(VOCAB, phrase) == [*ids[:place], MASK, *ids[place + 1:]] and VOCAB.tokenize(answer) == [tokens[place]]
        other = (place + 1) % len(tokens)
        moved, hidden = phrase_and_answer(hide_word(VOCAB, question, other))
        assert read_blank(VOCAB, moved) == [*ids[:other], MASK, *ids[other + 1:]] and hidden == tokens[other]


def test_a_text_with_underscores_of_its_own(dialogue):
    "What diff, evaluate, the checks and the panel say of it agree."
    latent, data = load(dialogue), load_data(dialogue.parent / "text.txt", max_seq=24)
    assert latent.vocab.ids["_"] and evaluate(latent, data.valid)["queries"] > 0
    checks = parity(dialogue)
    assert all(check.passed for check in checks if check.name in ("tokenizer rule", "held-out phrases", "diff and evaluate"))
    asked = next(check.detail for check in checks if check.name == "diff and evaluate")
    assert int(asked.split(" of ")[1].split()[0]) > 20                          # none is left out for its underscores
    panel = FillPanel(dialogue)
    for _ in range(4):
        assert panel.first.answer is not None and panel.first.answer.rank, panel.first.text.value
        page = panel.phrase.page
        assert page["words"][page["blank"]] in ("_", "[MASK]")
        panel.another.click()


def test_unk_is_not_asked_for(dialogue):
    latent = load(dialogue)
    with pytest.raises(RunError, match="<unk> stands for every unknown word"):
        diff(latent, "it _ red the blue => <unk>")
    assert "read as unknown: <unk>" in diff(latent, "it <unk> _ the blue => red").note
    assert "<unk>" not in dict(fill(latent, "it _ red the blue", top=10**6).top)


def test_fill_says_what_it_does_not_know(dialogue):
    latent = load(dialogue)
    word = next(word for word in latent.vocab.ids if len(word) > 4)
    note = fill(latent, f"it {word}x zzyzx _ the").note
    assert note == diff(latent, f"it {word}x zzyzx _ the => it").note
    assert note.startswith(f"not in the vocabulary, read as unknown: {word}x (spelt most like it: {word}") and note.endswith(", zzyzx")
    assert "zzyzx" in fill(latent, ["it zzyzx _ the"])[0].note and fill(latent, f"it {word} _ the").note is None


# ---- what is pasted

@pytest.mark.parametrize("pasted", ["\u200b", "\ufeff", "\u200d", "\u200e", "\u2060", "\u00ad", "\u200b \u200c\u00a0"])
@pytest.mark.parametrize("rule", ["unicode-2", "unicode-1", "notes"])
def test_an_answer_with_something_unseen_is_one_word(rule, pasted):
    vocab = make_vocab(dict(you=2, are=1), tokens=rule)
    for answer in (f" you{pasted}", f"{pasted}you", f"{pasted} you {pasted}"):
        assert answer_tokens(vocab, "how are _", answer) == ["you"]


# ---- the prompt

def strict():
    sys.stdin.reconfigure(encoding="utf-8", errors="strict")           # as a terminal in UTF-8 has it


def at_prompt():
    strict()
    sys.stdin.isatty = lambda: True


def test_a_pipe_is_read_to_its_end(tofy, trained):
    lines = "\n\nthe _ sat => cat\n\n   \n\ufeffthe _ ran => dog\r\n\n"
    found = tofy("diff", "run", stdin=lines)
    assert found.code == 0 and "cat: rank" in found.out and "dog: rank" in found.out and "empty" not in found.err.split("ends.")[1]


def test_at_a_terminal_an_empty_line_ends(tofy, trained):
    found = tofy("diff", "run", stdin="the _ sat => cat\n\nthe _ ran => dog\n", before=at_prompt)
    assert found.code == 0 and "cat: rank" in found.out and "dog: rank" not in found.out


@pytest.mark.parametrize("before", [strict, at_prompt, None])
@pytest.mark.parametrize("command", ["diff", "fill"])
def test_a_byte_that_is_no_utf8_is_a_sentence_and_the_next_prompt(tofy, trained, before, command):
    found = tofy(command, "run", stdin=b"the caf\xe9 _ sat => cat\nthe _ sat => cat\n", before=before)
    assert found.code == 0 and "not UTF-8" in found.err and "Traceback" not in found.err and "the _ sat" in found.out


@pytest.mark.parametrize("words", ["the \udce9 _ => cat", "the _ sat => c\udce9"])
def test_a_byte_that_is_no_utf8_among_the_arguments(tofy, trained, words):
    tofy("diff", "run", words).says(1, "not UTF-8")


# ---- folders that do not exist

@pytest.fixture
def latest(trained):
    "runs/latent is there, and must not answer for another folder."
    (trained.parent / "runs").mkdir()
    return trained.rename(trained.parent / "runs" / "latent")


@pytest.mark.parametrize("command", ["fill", "diff"])
@pytest.mark.parametrize("missing", ["runs/my_run", "my_run", "runs/[old]", "run[1]", "my run", "my runs/my_run", "./_",
                                     "C:\\runs\\my_run", "runs/my_run/", "../x_y", "run.1", "runs/a b [MASK]/c"])
def test_a_missing_folder_is_named(tofy, latest, command, missing):
    for phrases in (["the _ sat => cat"], ["the _ sat => cat", "the [MASK] ran => dog"]):
        found = tofy(command, missing, *phrases)
        assert found.code == 2 and f"There is no folder {missing};" in found.err and not found.out


@pytest.mark.parametrize("missing", ["runs/my_run", "my_run", "gone", "run[1]"])
def test_a_missing_folder_alone_is_named(tofy, latest, missing):
    tofy("fill", missing).says(2, f"There is no folder {missing};")


@pytest.mark.parametrize("phrases", [["the _ sat"], ["the/a _ sat"], ["the cat/dog _"], ["_ sat", "the _"], ["[MASK] sat"],
                                     ["sat_", "_sat"], ["the _ and/or", "the_"]])
def test_a_phrase_is_asked_of_the_default_run(tofy, latest, phrases):
    assert tofy("fill", *phrases).code == 0


@pytest.mark.parametrize("name", ["my_run", "run[1]", "a _ b", "the _ sat", "my run"])
def test_a_folder_of_any_name_is_used(tofy, latest, name):
    latest.rename(latest.parent.parent / name)
    found = tofy("fill", name, "the _ sat")
    assert found.code == 0 and found.out.startswith("the _ sat")
