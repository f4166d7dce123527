"Stories: a wide grammar, documents with their line breaks, epochs in a settings file, marks by checkpoint, the page."
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import nbformat
import pytest
import torch
from typer.testing import CliRunner

from tofy import sources
from tofy.errors import UsageError
from tofy.history import checkpoints
from tofy.lab import tales as T
from tofy.lab import training
from tofy.lab.cli import app
from tofy.lab.decoder import DecoderConfig
from tofy.lab.synthetic import price, text_of
from tofy.lab.training import TextConfig, epochs_in, load_texts, read_configs, read_documents, train

sys.path.insert(0, str(Path(__file__).parent))
from hub_server import hub as serve  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
STORIES = ["One day.\n\nA cat sat.", 'Two "days".\n\tAn owl sat.', "Three."]
TINY = ["--dim", "16", "--layers", "1", "--heads", "2", "--context", "32", "--threads", "1", "--sample", "0"]


def run(*words):
    "What a laboratory command gives."
    return CliRunner().invoke(app, [str(word) for word in words])


def some(n, seed=0):
    "The first stories of a seed."
    source = T.tales(Random(seed))
    return [next(source) for _ in range(n)]


# ---- the grammar


def test_tales_are_right_by_their_own_marks_and_repeat():
    text = text_of(some(150))
    assert text == T.TALES.text(150) != T.TALES.text(150, 1) and text.count(T.END_OF_STORY) == 150
    marks = T.TALES.score([""], [text])
    assert {marks.share(row) for row in marks.rows} == {1.0} and all(asked > 100 for _, asked in marks.rows.values())


def test_every_hole_can_be_filled_and_every_word_is_a_word():
    for rows in T._patterns().values():
        for row in rows:
            for kind, _, form in T._holes(row):
                assert T._options(kind, form), (row, kind, form)
            assert row.count("(n)") == len(re.findall(r"[Aa]\(n\) \{", row)), row
    forms = {word for kind in T._bank().values() for forms in kind for word in forms.values()}
    assert len(forms) > 9000 and all(re.fullmatch(r"[A-Za-z][A-Za-z-]+", word) for word in forms)
    for kind, words in T._kinds(T._NOUNS).items():
        assert len(set(words)) == len(words), kind


def test_the_price_and_the_letters_are_those_of_the_rule():
    law, drawn = T.tales_law(), some(1200, 3)
    text = text_of(drawn)
    assert price(drawn) / 1200 == pytest.approx(law.nats, rel=0.01)
    assert len(text) / 1200 == pytest.approx(law.length, rel=0.01)
    for sign in "aeint \nAT.,":
        assert text.count(sign) / 1200 == pytest.approx(law.counts[sign], rel=0.06), sign


@pytest.mark.parametrize(("wrong", "row"), [
    ("The cat saw owl.", "articles"), ("Lily found a owl.", "a or an"), ("Lily found an unicorn.", "a or an"),
    ("Max had four kite.", "one or many"), ("Max had a big red kites.", "one or many"), ("The cat sleep.", "sentences")])
def test_a_fault_costs_its_own_mark(wrong, row):
    found = dict(T.check_tales("", wrong))
    assert found[row] is False and all(right for name, right in found.items() if name not in (row, "sentences"))


def test_what_is_not_finished_is_not_marked():
    assert T.sentences_of('Mr. Owl ran. "Oh! No," said Mrs. Cat. Then the') == ["Mr. Owl ran.", '"Oh! No," said Mrs. Cat.']
    assert list(T.check_tales("Once upon a time", " there was")) == []


# ---- documents and their line breaks


def test_documents_of_a_table_and_of_a_list_keep_their_lines(tmp_path):
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps(dict(text=story)) + "\n" for story in STORIES))
    assert list(read_documents(path).values()) == STORIES == list(read_documents(STORIES).values())
    assert list(sources.source_lines(path))[0] == "One day.  A cat sat."               # a phrase has one line


def test_two_lists_that_differ_in_line_breaks_are_two_texts():
    one, two = sources.as_source(["a\nb", "c"]), sources.as_source(["a b", "c"])
    assert one != two and one.phrases == two.phrases and one.documents == ("a\nb", "c")


def test_a_line_endoftext_ends_a_document(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"One.\r\nTwo.\r\n<|endoftext|>\r\n\r\nThree, <|endoftext|> and four.\r\n<|endoftext|>")
    assert list(read_documents(tmp_path / "a.txt").values()) == ["One.\r\nTwo.\n", "Three, <|endoftext|> and four.\n"]
    (tmp_path / "b.txt").write_text("\nx = '<|endoftext|>'\n\n")
    assert list(read_documents(tmp_path / "b.txt").values()) == ["\nx = '<|endoftext|>'\n\n"]
    assert list(read_documents(tmp_path / "b.txt", "=").values()) == ["\nx ", " '<|endoftext|>'\n\n"]


def program(folder, *words, env=(), **more):
    "Run tofy in a folder, in a process of its own."
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **dict(env)}
    return subprocess.run([sys.executable, *map(str, words)], cwd=folder, env=env, capture_output=True, text=True, **more)


def test_the_hub_serves_stories_with_their_lines(tmp_path):
    "The page's address: a tokenizer and a decoder learn from it, and the second reading needs no Hub."
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    shelf, home = tmp_path / "hub/roneneldan/TinyStories/data", tmp_path / "work"
    shelf.mkdir(parents=True)
    home.mkdir()
    pq.write_table(pa.table(dict(text=[*STORIES * 9, None, " "])), shelf / "train-00000-of-00001.parquet")
    pq.write_table(pa.table(dict(text=STORIES[:1])), shelf / "validation-00000-of-00001.parquet")
    source = "hub:roneneldan/TinyStories"
    with serve(tmp_path / "hub") as server:
        env = dict(HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "cache"), no_proxy="127.0.0.1")
        made = program(home, "-m", "tofy", "lab", "tokenizer", "train", source, "--vocab-size", 270, env=env)
        assert made.returncode == 0 and "270 tokens" in made.stdout, made.stderr
    done = program(home, "-m", "tofy", "lab", "train", source, *TINY, "--steps", 2, env=env)
    assert done.returncode == 0, done.stderr
    read = "from tofy.lab.training import read_documents as r; import json; print(json.dumps([*r('" + source + "').values()]))"
    assert json.loads(program(home, "-c", read, env=env).stdout) == STORIES
    assert [p.name for p in (home / "data").iterdir()] == ["cached_roneneldan--TinyStories.jsonl"]


# ---- epochs in a settings file, and marks by checkpoint


def toml(tmp_path, train, text="a story of a cat and an owl. " * 40):
    (tmp_path / "text.txt").write_text(text)
    path = tmp_path / "top.toml"
    path.write_text(f'[data]\nsource = "{(tmp_path / "text.txt").as_posix()}"\n\n[model]\ndim = 16\nlayers = 1\nheads = 2\n'
                    f"context = 16\n\n[train]\nbatch = 4\nsample = 0\nthreads = 1\n{train}\n")
    return path


def test_a_settings_file_gives_epochs(tmp_path):
    path, out = toml(tmp_path, 'epochs = 3\nkeep = "epochs"'), tmp_path / "run"
    done = run("train", "--config", path, "--out", out)
    assert done.exit_code == 0, done.output
    _, shape, config = read_configs(out)
    texts = load_texts(read_configs(path)[0])
    assert config.seconds is None and config.steps == -(-3 * (len(texts.train) - 1) // (4 * shape.context))
    assert len(checkpoints(out)) == 3 and epochs_in(out / "run.toml") is None
    done = run("train", "--config", path, "--out", tmp_path / "two", "--steps", 2)                # an option wins
    assert done.exit_code == 0 and read_configs(tmp_path / "two")[2].steps == 2


@pytest.mark.parametrize(("train", "says"), [("epochs = 0", "above 0"), ("epochs = true", "above 0"),
                                             ('epochs = "5"', "above 0"), ("epochs = 2\nsteps = 9", "both epochs and steps")])
def test_wrong_epochs_are_told_in_a_sentence(tmp_path, train, says):
    with pytest.raises(UsageError, match=says):
        epochs_in(toml(tmp_path, train))


def test_each_kept_checkpoint_gets_its_marks(tmp_path):
    path = tmp_path / "text.txt"
    done = run("data", "tales", "--lines", 3, "--output", path, "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["lines"] == 3 and len(read_documents(path)) == 3
    assert run("train", path, *TINY, "--steps", 4, "--keep", "every:2", "--out", tmp_path / "run").exit_code == 0
    done = run("score", "tales", tmp_path / "run@all", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1 and [Path(name).name for name in told["checkpoints"]] == ["run@2", "run@4"]
    assert told["rows"] == told["checkpoints"][str(tmp_path / "run@4")] and set(told["rows"]) == set(T.TALES.need)
    text = run("score", "tales", tmp_path / "run@all").stdout
    assert "one or many" in text.splitlines()[0] and len(text.splitlines()) == 4


# ---- the compiler


def compiled(**changes):
    config = TextConfig(**dict(steps=3, seconds=None, batch=2, sample=0, threads=1, compile=True) | changes)
    texts = load_texts(["a cat and a dog"] * 1 + ["an owl and a bear"], valid=0.4)
    return list(train(texts, DecoderConfig(dim=16, layers=1, heads=2, context=8), config))


def test_without_a_compiler_a_sentence_says_so_at_once(monkeypatch):
    monkeypatch.setattr(training.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="needs a C\\+\\+ compiler"):
        compiled()


def test_what_a_compiler_says_is_told_in_a_sentence(monkeypatch):
    def compiler(model):
        def broken(ids):
            raise RuntimeError("Command: g++\nmain.cpp:1:10: fatal error: Python.h: No such file or directory\nmore")
        return broken
    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(UsageError, match=r"^torch.compile fails here \(error: Python.h: No such file or directory\); leave"):
        compiled()


def test_a_limit_and_a_signal_end_a_compiler_that_takes_for_ever(monkeypatch):
    def compiler(model):
        return lambda ids: time.sleep(5) or model(ids)
    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setattr(training.shutil, "which", lambda name: name)
    began = time.perf_counter()
    with pytest.raises(UsageError, match="more than all 0.5 seconds"):
        compiled(steps=None, seconds=0.5)
    texts = load_texts(["a cat and a dog", "an owl and a bear"], valid=0.4)
    records = train(texts, DecoderConfig(dim=16, layers=1, heads=2, context=8),
                    TextConfig(steps=3, seconds=None, batch=2, sample=0, threads=1, compile=True))
    assert next(records).step == 0                             # the watcher is heard while the compiler works
    records.close()
    assert time.perf_counter() - began < 4


@pytest.mark.slow
def test_a_real_compiler_gives_the_same_model_and_ctrl_c_ends_it(tmp_path):
    (tmp_path / "a.txt").write_text("a story of a cat\n" * 200)
    words = [sys.executable, "-m", "tofy", "lab", "train", "a.txt", *TINY, "--batch", "2", "--compile", "--out", "run"]
    env = os.environ | dict(PYTHONPATH=str(ROOT), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    started = subprocess.Popen([*words, "--steps", "3"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run/state_decoder.safetensors").exists():
        time.sleep(.2)
    time.sleep(2)
    started.send_signal(signal.SIGINT)
    assert started.wait(30) == 130 and "--resume" in started.stderr.read()


# ---- the page


@pytest.mark.slow
def test_the_page_works_as_printed(tmp_path):
    "Every command and the settings file of the page, in an empty folder."
    book = nbformat.read(ROOT / "nbs/lab/05a_small_vocabulary.ipynb", 4)
    page = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    (file,), (commands,) = re.findall(r"```toml\n(.*?)```", page, re.S), re.findall(r"```sh\n(.*?)```", page, re.S)
    (tmp_path / "top10k.toml").write_text(file)
    (tmp_path / "tofy").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tofy "$@"\n')
    (tmp_path / "tofy").chmod(0o755)
    env = os.environ | dict(PYTHONPATH=str(ROOT), PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    said = []
    for line in [*commands.strip().splitlines(), "tofy lab score tales runs/top10k@all || true"]:
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        said.append(done.stdout + done.stderr)
    assert len(said) == 6 and "10,000 tokens" in said[1] and "warning" not in said[1].lower()
    assert said[2].count("survives") == 3 and len(checkpoints(tmp_path / "runs/top10k")) == 5
