"""The terminal: what is printed anywhere, commands that can be run as printed, and repeated commands."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HANG, ROOT, SIZES
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy import inference, processes
from tofy.cli import BOOK_RECORD, ask_command, can_be_asked, lay_book, own_notebooks, question_of, unchanged
from tofy.data import load_data
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import TofyError, UsageError, command_line, readable
from tofy.lab.decoder import Decoder, DecoderConfig
from tofy.lab.training import TextConfig, load_texts
from tofy.lab.training import train as train_decoder
from tofy.lab.writing import load_decoder
from tofy.plan import as_command, from_command, plan, read_plan
from tofy.processes import at_most, numbers_in
from tofy.run_folder import STATE, read_log
from tofy.sharing import encode
from tofy.training import recipe, train

TINY = dict(dim=16, layers=1, heads=2, steps=2, threads=1)

# ---- what a stream's encoding lacks


def encoded(name: str):
    def before():
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=name)

    return before


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("words", [["fill", "run", "the _ sat"], ["diff", "run", "the _ sat => cat"], ["eval", "run"], ["diagnose", "run"]], ids=lambda w: w[0])
def test_answers_on_a_narrow_stream(tofy, trained, encoding, words):
    result = tofy(*words, before=encoded(encoding))
    assert result.code == 0 and "Error" not in result.err, result.err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_training_on_any_script_on_a_narrow_stream(tofy, tmp_path, encoding):
    (tmp_path / "مثال.txt").write_text("من به خانه رفتم امروز\nتو به مدرسه رفتی 😀 دیروز\n" * 40, encoding="utf-8")
    result = tofy("train", "مثال.txt", 3, *SIZES, "--out", "run", before=encoded(encoding))
    assert result.code == 0 and "tofy diff run" in result.out and "\\u06" in result.out


def test_lab_on_a_narrow_stream(tofy, tmp_path):
    (tmp_path / "text.txt").write_text("▪ من به خانه رفتم\n" * 60, encoding="utf-8")
    shape = ("--dim", 16, "--layers", 1, "--heads", 2, "--context", 16, "--steps", 2, "--sample", 5)
    assert tofy("lab", "train", "text.txt", "--out", "a", *shape, before=encoded("cp1252")).code == 0
    for words in (["generate", "a", "--tokens", 30], ["info", "a"], ["lineage", "."]):
        result = tofy("lab", *words, before=encoded("ascii"))
        assert result.code == 0 and "Error" not in result.err, result.err


# ---- what a terminal obeys


def test_control_characters_of_a_text_are_written_out(tofy, trained):
    path = trained / "vocab_latent.txt"
    result = tofy("eval", "no\x1b[2Jfolder")
    assert "\x1b" not in result.err and "\\x1b[2J" in result.err
    from tofy.run_folder import load_model, save_model
    from tofy.vocab import Vocab

    model, vocab, about = load_model(trained)
    words = [f"\x1b]0;{word}\x07\u202e" if word == "cat" else word for word in vocab.words]
    try:
        odd = Vocab(words, vocab.counts, vocab.tokens, vocab.lower)
        save_model(trained, model, odd, {k: about[k] for k in ("data", "train", "recipe", "step") if k in about})
    except TofyError:
        return  # refused where it is written
    assert path.is_file()
    result = tofy("fill", "run", "the _ sat", "--top", 18)
    assert not set(result.out + result.err) & set("\x1b\x07\u202e") and (result.code or "\\x1b]0;cat" in result.out)


@given(st.text())
def test_readable_text_moves_no_cursor(text):
    found = readable(text)
    assert all(c in "\n\t" or c >= " " and not "\x7f" <= c <= "\x9f" and c not in "\u202d\u202e\u2066" for c in found)
    assert readable(found) == found


# ---- commands that can be run as printed

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=4))
@settings(max_examples=20)
def test_a_shell_reads_the_words_of_a_command(words):
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {command_line(*words)}"], capture_output=True, check=True)
    assert done.stdout.decode() == "".join(f"{word}\0" for word in words)


ODD = ["$(touch bad)/x y.txt", "-n.txt", "it's `touch bad`.txt", "a;touch bad", "a\"b&touch bad", "~/x", "*", "$HOME"]


@pytest.mark.parametrize("source", ODD)
@pytest.mark.parametrize("seeds", [{}, dict(seed=3)], ids=str)
def test_a_pasted_command_runs_nothing_of_a_path(tmp_path, source, seeds):
    mine = plan(source=source, cache=f"c{source}", **seeds)
    for out in (f"runs/{source}".rstrip("/"), source):
        text = as_command(mine, out)
        done = subprocess.run(["sh", "-c", f"tofy() {{ printf '%s\\0' \"$@\"; }}; {text}"], capture_output=True, cwd=tmp_path)
        told = done.stdout.decode().split("\0")[:-1]
        assert not any(tmp_path.iterdir()) and told == shlex.split(text)[1:], done.stderr
        assert not any(word.startswith("-") for word in told[1:2]) and Path(from_command(text).data.source) == Path(source)


def test_a_label_of_a_recipe_is_no_command():
    mine = plan()
    mine.train.recipe = "tofy; touch bad"
    with pytest.raises(UsageError):
        as_command(mine, "runs/a")




HELD = [
    "the $(touch bad) cat `touch bad` \"sat\" on the mat !",
    "it's the cat's mat , isn't it ?",
    "- a cat sat on a mat",
    "a => b => c cat sat",
    "snake_case words of the cat sat here",
    "cat",
    "a [MASK] of cats sat down here",
]


@pytest.mark.parametrize("phrase", HELD)
def test_the_closing_hint_can_be_run_as_printed(tofy, tmp_path, phrase):
    (tmp_path / "text.txt").write_text("".join(f"{phrase} {a} {b}\n" for a in "abcdefgh" for b in "ijklmnop"))
    result = tofy("train", "text.txt", 2, *SIZES[:2], 40, *SIZES[3:], "--out", "my 'run' $x", "--valid", 8)
    assert result.code == 0, result.err
    line = result.out.strip().splitlines()[-1]
    words = shlex.split(line[line.index("tofy diff") :])[1:]
    if len(words) > 2:
        answer = tofy(*words)
        assert answer.code == 0 and "rank " in answer.out, (words, answer)
        assert words[-1].split("=>")[-1].strip() in tmp_path.joinpath("text.txt").read_text().lower()
    else:
        assert words == ["diff", "my 'run' $x"]
    assert not (tmp_path / "bad").exists()


def test_a_text_without_a_question_has_a_hint_without_one(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat\n" * 3 + "a dog ran\n" * 3 + "we saw it\n")
    data = load_data(tmp_path / "text.txt", valid=0)
    assert question_of(data) == "" and ask_command(data, Path("runs/a b")) == "tofy diff 'runs/a b'"


def test_a_token_that_cannot_be_asked_for_alone_is_not(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on it\na dog ran to it\n" * 9)
    data = load_data(tmp_path / "text.txt", valid=1)
    assert can_be_asked(data, ["the", "cat", "sat"], 1) == "the _ sat => cat"
    assert can_be_asked(data, ["the", "_", "sat"], 0) == "[MASK] _ sat => the" and can_be_asked(data, ["the", "cat", "=>"], 2) == ""


def test_what_the_laboratory_suggests_can_be_run(tofy, tmp_path):
    result = tofy("lab", "data", "words", "--lines", 60, "--output", "my words.txt")
    line = next(line for line in result.out.splitlines() if "tofy lab train" in line)
    words = shlex.split(line[line.index("tofy lab train") :])
    assert words[3] == "my words.txt"
    result = tofy(*words[1:], "--steps", 1, "--dim", 16, "--layers", 1, "--heads", 2, "--context", 16, "--out", "a b")
    assert result.code == 0 and shlex.split(result.out.split("Let it write:")[1]) == ["tofy", "lab", "generate", "a b"]
    result = tofy("lab", "insert-layer", "a b")
    assert shlex.split(result.out.split("Train it:")[1])[4:] == ["a b-layer", "--out", "a b-layer-trained"]


def test_messages_quote_a_folder(tofy, tmp_path):
    with pytest.raises(UsageError, match=r"tofy train --out 'no such/run'"):
        inference.load("no such/run")
    tofy("lab", "info", "no such").says(2, "--out 'no such'")
    tofy("runs", "--folder", "no such").says(2, "--out 'no such/latent'")


# ---- settings files and names


def test_a_settings_file_from_notepad(tofy, trained, text):
    path = trained / "run.toml"
    content = path.read_text(encoding="utf-8").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert read_plan(path).model.dim == 16
    assert tofy("train", "--resume", "--out", "run").code == 0
    stages = text.parent / "plan.toml"
    stages.write_bytes(b"\xef\xbb\xbf[[stage]]\r\nsteps = 1\r\n")
    from tofy.lab.schedule import read_schedule

    assert read_schedule(stages)[0][0].steps == 1


@pytest.mark.parametrize("command", [["train"], ["size", "--probe", 0], ["lab", "train"], ["lab", "grow"]], ids=lambda c: c[-1])
def test_a_folder_as_settings_file(tofy, text, command):
    (text.parent / "folder").mkdir()
    words = ["folder"] if command[-1] == "grow" else ["--config", "folder"]
    tofy(*command, *words).says(2, "folder")
    if command[0] == "train":
        assert not (text.parent / "runs").exists()


def test_a_run_folder_as_settings_file(tofy, trained):
    assert tofy("train", "--config", "run", "--out", "again").code == 0


LONG = "x" * 300


@pytest.mark.parametrize(
    "command",
    [
        ["train", LONG],
        ["train", "text.txt", "--out", LONG],
        ["train", "text.txt", "--config", LONG],
        ["train", "text.txt", "--tokenizer", LONG],
        ["train", "text.txt", "--init-from", LONG],
        ["train", "text.txt", "--cache", LONG],
        ["fill", LONG],
        ["eval", "run", LONG],
        ["runs", "--folder", LONG],
        ["diagnose", LONG],
        ["lab", "train", LONG],
        ["lab", "train", "--out", LONG],
        ["lab", "info", LONG],
        ["lab", "grow", LONG],
        ["lab", "data", "words", "--output", LONG],
    ],
    ids=lambda c: " ".join(w if w != LONG else "…" for w in c),
)
def test_a_name_that_is_too_long(tofy, trained, command):
    "More than 255 characters."
    tofy(*command).says(2, LONG)


@pytest.mark.parametrize("value", [-1, 0, 1.5, "5", None, True])
def test_top_must_be_a_whole_number_above_0(value):
    latent = inference.load(inference.READY / "healthy")
    for ask, phrase in ((inference.fill, "how are _ ?"), (inference.diff, "how are _ ? => you")):
        with pytest.raises(UsageError, match="top is"):
            ask(latent, phrase, value)


def test_other_counts_in_calls():
    latent = inference.load(inference.READY / "healthy")
    phrases = inference.heldout_phrases(inference.READY / "healthy", latent)
    for most in (0, -1, 1.5, "5"):
        with pytest.raises(UsageError, match="max_queries is"):
            inference.evaluate(latent, phrases, most)
    with pytest.raises(UsageError, match="n is -2"):
        inference.nearest_words(latent, "you", -2)
    assert len(inference.fill(latent, "how are _ ?", np.int64(3)).top) == 3


def test_counts_and_prompts_of_a_decoder(text):
    out = text.parent / "d"
    how = TextConfig(steps=1, seconds=None, sample=0, threads=1)
    list(train_decoder(load_texts(text), DecoderConfig(dim=16, layers=1, heads=2, context=16), how, out))
    writer = load_decoder(out)
    for prompt, n, message in (("a", -1, "n is -1"), ("a", 2.5, "n is 2.5"), (None, 2, "prompt is None")):
        with pytest.raises(UsageError, match=message):
            writer.write(prompt, n)


def test_an_answer_shown_in_a_terminal_moves_no_cursor():
    answer = inference.Answer("a _", [("\x1b[2J", .5)], 9)
    assert "\x1b" not in repr(answer) + repr(inference.Answers([answer])) and "\\x1b[2J" in repr(answer)


@pytest.mark.parametrize("phrase", [None, 3, ["how are _ ?"], b"how are _ ?"])
def test_a_phrase_must_be_a_text(phrase):
    latent = inference.load(inference.READY / "healthy")
    for ask in (inference.fill, inference.diff, inference.attention):
        if ask is inference.fill and isinstance(phrase, list):       # it takes several, and each must be a text
            phrase = [*phrase, 3]
        with pytest.raises(TofyError, match="text"):
            ask(latent, phrase)
    with pytest.raises(UsageError, match="text"):
        encode(latent, [phrase])


# ---- PyTorch set otherwise


@pytest.fixture
def small(text):
    return load_data(text)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode])
def test_training_without_gradients(small, text, block):
    out = text.parent / "runs" / "a"
    with block(), pytest.raises(UsageError, match="Gradients are switched off"):
        next(train(small, *recipe(**TINY), out=out))
    assert not out.parent.exists()
    with block(), pytest.raises(UsageError, match="Gradients are switched off"):
        next(train_decoder(load_texts(text), DecoderConfig(dim=16, layers=1, heads=2), TextConfig(steps=1, seconds=None)))


def test_training_in_another_precision(small, text, float64):
    with pytest.raises(UsageError, match="default dtype is torch.float64"):
        next(train(small, *recipe(**TINY)))
    with pytest.raises(UsageError, match="default dtype is torch.float64"):
        next(train_decoder(load_texts(text), DecoderConfig(dim=16, layers=1, heads=2), TextConfig(steps=1, seconds=None)))


def test_training_on_another_default_device(small):
    torch.set_default_device("meta")
    try:
        with pytest.raises(UsageError, match="default device is meta"):
            next(train(small, *recipe(**TINY)))
    finally:
        torch.set_default_device(None)


# ---- more than there is room for


@pytest.mark.parametrize("sizes", [dict(layers=10**18), dict(dim=2**40), dict(ngrams=10**15), dict(dim=10**30, heads=1)], ids=str)
def test_a_model_larger_than_the_memory_is_refused_with_both_figures(small, text, sizes):
    out = text.parent / "run"
    with pytest.raises(UsageError, match=r"parameters needs at least [\d,.]+ GB to train, and only [\d,.]+ GB are free"):
        next(train(small, *recipe(**TINY | sizes), out=out))
    assert not out.exists()


@pytest.mark.parametrize("option", [["--layers", 10**18], ["--dim", 2**40], ["--ngrams", 10**15]], ids=str)
def test_commands_refuse_a_model_larger_than_the_memory(tofy, text, option):
    tofy("train", text, 5, *option, "--out", "run").says(2, "GB are free", "--layers")
    if "--ngrams" not in option:
        tofy("lab", "train", text, "--steps", 1, *option).says(2, "GB are free", "--layers")
    assert not (text.parent / "run").exists() and not (text.parent / "runs").exists()


def test_positions_without_end(small):
    with pytest.raises(UsageError, match="GB are free"):
        next(train(small, *recipe(**TINY, max_seq=10**14, positions="learned")))


def test_what_a_step_takes_is_compared_with_what_is_free(tofy, text):
    def hardly_any():
        processes.free_memory = lambda device="cpu": 40_000

    tofy("train", text, 5, *SIZES, "--out", "run", before=hardly_any).says(2, "GB are free", "--batch")
    assert not (text.parent / "run").exists()


def test_numbers_are_counted_as_they_are():
    for config in (ModelConfig(layers=3), ModelConfig(layers=0, ngrams=9), ModelConfig(positions="learned", predictor="mlp")):
        model = LatentModel(config)
        count = sum(t.numel() for t in (*model.parameters(), *model.buffers()))
        assert numbers_in(LatentModel, config) == count <= at_most(config)
    for config in (DecoderConfig(), DecoderConfig(heads=8, kv_heads=2, head_width=40, positions="learned")):
        model = Decoder(config)
        count = sum(t.numel() for t in (*model.parameters(), *model.buffers()))
        assert numbers_in(Decoder, config) == count <= at_most(config)


def test_a_loss_without_a_term(tofy, text):
    tofy("train", text, 5, "--rank-weight", 0, "--out", "run").says(2, "rank_weight", "give one a weight")
    tofy("train", text, 5, "--rank-weight", 0, "--spread", "vicreg", "--spread-weight", 0, "--out", "run").says(2, "weight")
    with pytest.raises(UsageError, match="no loss"):
        recipe("notes", mse_weight=0, rank_weight=0, aux_weight=0)
    assert recipe(rank_weight=0, spread="vicreg")[1].spread == "vicreg" and recipe(rank_weight=0, aux_weight=.1)
    assert not (text.parent / "run").exists()


# ---- Ctrl-C while the program is being loaded


@pytest.mark.parametrize("module", ["typer", "tofy.cli", "torch", "safetensors"])
@pytest.mark.parametrize("how", ["raise KeyboardInterrupt", "try: raise KeyboardInterrupt\nexcept BaseException: raise ImportError('half loaded')"], ids=["plain", "wrapped"])
def test_ctrl_c_during_imports_is_no_traceback(tmp_path, module, how):
    (tmp_path / "sitecustomize.py").write_text(f"""
import sys
class Stop:
  def find_spec(self, name, path=None, target=None):
    if name == {module!r}: self.stop()
  def stop(self):
{chr(10).join(' ' * 3 + line for line in how.splitlines())}
sys.meta_path.insert(0, Stop())
""")
    env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    done = subprocess.run([sys.executable, "-m", "tofy", "fill", "run", "a _"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 130 and "Traceback" not in done.stderr, done


def test_the_command_starts_where_imports_are_guarded():
    text = (ROOT / "settings.ini").read_text(encoding="utf-8")
    assert "console_scripts = tofy=tofy.__main__:main" in text


# ---- a repeated command


def test_a_whole_command_repeated_with_resume(tofy, text):
    command = ["train", "text.txt", 20, *SIZES, "--lr", .01, "--seed", 3, "--mask-rate", .4, "--recipe", "notes", "--out", "run"]
    assert tofy(*command).code == 0
    result = tofy(*command, "--resume")
    assert result.code == 0 and "This run is finished" in result.err, result.err
    result = tofy("train", f"./{text.name}", 25, *command[3:], "--resume")
    assert result.code == 0 and read_log(text.parent / "run")[-1].step == 25, result.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr", 1], ["lr is 1", "0.003"]),
        (["--dim", 8], ["dim is 8", "16"]),
        (["--recipe", "notes"], ["recipe is notes", "tofy"]),
        (["other.txt"], ["source is other.txt", "text.txt"]),
        (["--seed", 1], ["seed is 1", "0"]),
        (["--no-lower"], ["lower is False", "True"]),
        (["--corrupt", "1,0,0"], ["corrupt is (1.0, 0.0, 0.0)", "0.8"]),
        (["--config", "other.toml"], ["mask_rate is 0.5", "0.3"]),
    ],
    ids=lambda o: " ".join(map(str, o)),
)
def test_a_different_setting_is_refused_by_name_with_both_values(tofy, trained, options, words):
    (trained.parent / "other.toml").write_text("[train]\nmask_rate = 0.5\n")
    before = (trained / STATE).read_bytes()
    tofy("train", *options, "--resume", "--out", "run").says(2, "--resume", *words)
    assert (trained / STATE).read_bytes() == before


def test_a_settings_file_may_give_a_new_length(tofy, trained):
    (trained.parent / "longer.toml").write_text("[train]\nsteps = 15\n")
    assert tofy("train", "--config", "longer.toml", "--resume", "--out", "run").code == 0
    assert read_log(trained)[-1].step == 15


def test_a_repeated_command_with_a_tokenizer(tofy, text):
    assert tofy("lab", "tokenizer", "train", text, "--vocab-size", 270, "--out", "t.json").code == 0
    assert tofy("lab", "tokenizer", "train", text, "--vocab-size", 264, "--out", "u.json").code == 0
    command = ["train", "text.txt", 3, *SIZES, "--out", "run", "--resume", "--tokenizer"]
    assert tofy(*command[:-2], "--tokenizer", "t.json").code == 0
    shutil.copy(text.parent / "t.json", text.parent / "copy.json")
    assert tofy(*command, "t.json").code == 0 and tofy(*command, "copy.json").code == 0
    tofy(*command, "u.json").says(2, "tokens is u.json", "tokenizer.json")


def test_a_repeated_command_of_the_laboratory(tofy, text):
    shape = ["--dim", 16, "--layers", 1, "--heads", 2, "--context", 16, "--sample", 0]
    command = ["lab", "train", "text.txt", "--preset", "nano", "--steps", 3, *shape, "--out", "a"]
    assert tofy(*command).code == 0
    assert tofy(*command, "--resume").code == 0
    tofy(*command, "--layers", 2, "--resume").says(2, "layers is 2", "1")
    tofy(*command, "--preset", "small", "--resume").says(2, "dropout is 0.2", "0.0")
    child = ["lab", "train", "--from", "a", "--steps", 2, "--sample", 0, "--out", "b"]
    assert tofy(*child).code == 0
    assert tofy(*child, "--resume").code == 0
    tofy("lab", "train", "--from", "b", "--resume", "--out", "b").says(2, "did not begin with the decoder in b")


# ---- nothing left behind


@pytest.mark.parametrize(
    "command",
    [
        ["--latent-from-checkpoint", "text.txt", 3],
        ["train", "missing.txt", "--out", "from_checkpoint/a/b"],
        ["train", "text.txt", "--init-from", "missing", "--out", "from_checkpoint"],
        ["train", "text.txt", "--config", "missing.toml", "--out", "from_checkpoint"],
        ["lab", "train", "missing.txt", "--out", "from_checkpoint"],
        ["lab", "train", "--from", "missing", "--out", "from_checkpoint"],
    ],
    ids=lambda c: " ".join(map(str, c[:4])),
)
def test_a_run_that_cannot_begin_leaves_no_folder(tofy, text, command):
    assert tofy(*command).code in (1, 2)
    assert not (text.parent / "from_checkpoint").exists()


def test_a_folder_that_was_there_stays(tofy, text):
    (text.parent / "mine").mkdir()
    tofy("train", "missing.txt", "--out", "mine/run").says(2, "missing.txt")
    assert [*(text.parent / "mine").iterdir()] == []


# ---- what train prints


def test_train_prints_parameters_and_on_request_the_terms_of_the_loss(tofy, text):
    result = tofy("train", text, 3, *SIZES, "--recipe", "notes", "--log-every", 1, "--out", "a")
    from tofy.encoder import count_parameters
    from tofy.run_folder import load_model

    model = load_model(text.parent / "a")[0]
    model.log_temperature.requires_grad_(False)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is not model.log_temperature)
    count = count_parameters(model) - model.encoder.positions.table.numel() * (model.encoder.positions.table.requires_grad if isinstance(model.encoder.positions.table, torch.nn.Parameter) else 0)
    assert f"{count:,} parameters" in result.err and "MB of memory a step" in result.err
    assert "  mse " not in result.out and "  rank " not in result.out
    result = tofy("train", text, 3, *SIZES, "--recipe", "notes", "--log-every", 1, "--loss-terms", "--out", "b")
    lines = [line for line in result.out.splitlines() if line.startswith("step")]
    for line, record in zip(lines, read_log(text.parent / "b"), strict=True):
        assert f"loss {record.loss:.3f}  mse {record.mse:.3f}  rank {record.rank:.3f}  aux {record.aux:.3f}" in line


# ---- the course's own notebooks


def test_only_the_course_s_own_notebooks_are_trusted(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True, capture_output=True)

    nbs = tmp_path / "nbs"
    (nbs / "lab").mkdir(parents=True)
    own = [nbs / "index.ipynb", nbs / "ü 1.ipynb", nbs / "lab" / "a.ipynb", nbs / "changed.ipynb"]
    for path in own:
        path.write_text('{"cells": []}', encoding="utf-8")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "x")
    (nbs / "dropped.ipynb").write_text('{"cells": [1]}')
    (nbs / "lab" / "copy.ipynb").write_text('{"cells": []}')
    own[-1].write_text('{"cells": [2]}')
    assert sorted(own_notebooks(nbs)) == sorted(own[:-1])
    assert own_notebooks(tmp_path / "nowhere") == []


def test_without_a_repository_nothing_is_trusted(tmp_path):
    (tmp_path / "nbs").mkdir()
    (tmp_path / "nbs" / "index.ipynb").write_text('{"cells": []}')
    assert own_notebooks(tmp_path / "nbs") == []




def edition(folder: Path, **files: str) -> Path:
    "A book of these files."
    for name, text in files.items():
        (folder / "nbs" / "lab").mkdir(parents=True, exist_ok=True)
        (folder / "nbs" / f"{name}.ipynb").write_bytes(text.encode())
    return folder


def test_an_update_of_the_book_keeps_what_the_reader_changed(tmp_path):
    first = edition(tmp_path / "1", index="a", one="b\r\n", two="c", three="ü")
    mine = tmp_path / "mine" / "book"
    assert lay_book(first, mine) == lay_book(first, mine) == []
    assert sorted(p.name for p in unchanged(mine)) == ["index.ipynb", "one.ipynb", "three.ipynb", "two.ipynb"]
    assert (mine / "nbs" / "one.ipynb").read_bytes() == b"b\r\n"
    edition(mine, two="my c", three="my ü", own="mine")
    (mine / "nbs" / "one.ipynb").unlink()                                # what was deleted comes back
    assert lay_book(first, mine) == []
    second = edition(tmp_path / "2", index="A", one="B", two="C", three="ü", four="D", own="theirs")
    beside = lay_book(second, mine)
    assert sorted(p.name for p in beside) == ["own.new.ipynb", "two.new.ipynb"]
    held = {p.name: p.read_text(encoding="utf-8") for p in (mine / "nbs").glob("*.ipynb")}
    assert held == {"index.ipynb": "A", "one.ipynb": "B", "two.ipynb": "my c", "two.new.ipynb": "C", "three.ipynb": "my ü",
                    "four.ipynb": "D", "own.ipynb": "mine", "own.new.ipynb": "theirs"}
    assert lay_book(second, mine) == []                                  # said once
    assert sorted(p.name for p in unchanged(mine)) == ["four.ipynb", "index.ipynb", "one.ipynb", "own.new.ipynb", "two.new.ipynb"]


def test_a_new_version_laid_beside_is_not_written_over_either(tmp_path):
    mine = tmp_path / "mine"
    lay_book(edition(tmp_path / "1", one="1"), mine)
    edition(mine, one="my 1")
    lay_book(edition(tmp_path / "2", one="2"), mine)
    edition(mine, **{"one.new": "2, and my notes"})
    assert [p.name for p in lay_book(edition(tmp_path / "3", one="3"), mine)] == ["one.new2.ipynb"]
    held = {p.name: p.read_text() for p in (mine / "nbs").glob("*.ipynb")}
    assert held == {"one.ipynb": "my 1", "one.new.ipynb": "2, and my notes", "one.new2.ipynb": "3"}


@pytest.mark.parametrize("record", ["", "[]", "null", '{"nbs/one.ipynb": 1}', "\x00"])
def test_a_damaged_list_of_the_book_loses_nothing(tmp_path, record):
    mine = edition(tmp_path / "mine", one="mine")
    (mine / BOOK_RECORD).write_text(record)
    assert [p.name for p in lay_book(edition(tmp_path / "1", one="1"), mine)] == ["one.new.ipynb"]
    assert (mine / "nbs" / "one.ipynb").read_text() == "mine"


def test_a_book_is_not_laid_among_other_files(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    for wrong in (tmp_path, tmp_path / "letter.txt"):
        with pytest.raises(UsageError, match="holds other files, and no book; name a new folder"):
            lay_book(edition(tmp_path.parent / "book", one="1"), wrong)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_in_a_clone_its_own_notebooks_are_opened(tofy, tmp_path):
    result = tofy("notebooks", "--no-open")
    assert (result.code, result.out) == (0, "") and not (tmp_path / "tofy-book").exists()
    assert result.err.startswith("The book begins at ") and result.err.endswith("tofy notebooks opens it.\n")
    tofy("notebooks", "mine", "--no-open").says(2, "runs from a clone of the project")
