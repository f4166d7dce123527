"A text in any form is read as the same phrases, or refused in a sentence that names the cause."
import bz2
import copy
import gc
import gzip
import io
import json
import lzma
import os
import pickle
import random
import sys
import tempfile
import threading
from pathlib import Path
from weakref import WeakValueDictionary

import numpy
import pytest
import torch
from conftest import SIZES
from hypothesis import given, settings
from hypothesis import strategies as st

import tofy.sources as sources
from tofy import run_folder
from tofy.data import load_data
from tofy.errors import TofyError, UsageError
from tofy.inference import evaluate_run, heldout_phrases, load
from tofy.lab.tokenizers import train_tokenizer
from tofy.lab.training import load_texts, read_documents
from tofy.run_folder import BASELINES
from tofy.sources import NAME, Given, as_source, fingerprint, read_lines, source_lines
from tofy.training import recipe, train
from tofy.vocab import tokenize, vocab_hash

WORDS = ["tea", "milk", "żółty", "can't", '"so"', "5,5", "über", "the", "a", "{x}", "it's", "naïve"]


def phrases(n: int = 120) -> list[str]:
    "Phrases with commas, quotation marks, letters of other scripts, and a response behind a tab."
    draw = random.Random(3)
    made = [" ".join(draw.choices(WORDS, k=draw.randint(2, 7))) for _ in range(n)]
    return ["the first line is plain", *made[:-2], made[-2] + "\tits response", made[-1] + "  "]


PHRASES = phrases()
PLAIN = "".join(line + "\n" for line in PHRASES).encode()


def error_of(do) -> str:
    "The message of the `UsageError` that this raises."
    with pytest.raises(UsageError) as error:
        do()
    return str(error.value)


def csv_bytes(rows, delimiter=","):
    import csv
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def table(column: str = "text"):
    return [("id", column, "label"), *((str(i), line, "x") for i, line in enumerate(PHRASES))]


def json_lines(column: str = "text") -> bytes:
    return "".join(json.dumps({"id": i, column: line, "label": "x"}) + "\n" for i, line in enumerate(PHRASES)).encode()


def parquet(path: Path, column: str = "text") -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"id": list(range(len(PHRASES))), column: PHRASES}), path)
    return path


def folder_of(path: Path) -> Path:
    "The lines in three files, one of them packed, in folders whose order matters."
    half = len(PHRASES) // 2
    for name, part in {"a/part 2.txt": PHRASES[:5], "b.txt.gz": PHRASES[5:half], "c": PHRASES[half:]}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        content = "".join(line + "\n" for line in part).encode()
        (path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (path / ".hidden").write_text("not to be read at all\n")
    (path / "picture.png").write_bytes(b"\x89PNG\0")
    return path


def written(name: str, content: bytes):
    def write(home: Path) -> Path:
        (home / name).write_bytes(content)
        return home / name
    return write


def series(home):
    return pytest.importorskip("pandas").Series(PHRASES)


def frame(home):
    return pytest.importorskip("pandas").DataFrame(dict(id=range(len(PHRASES)), text=PHRASES))


def dataset(home):
    return pytest.importorskip("datasets").Dataset.from_dict(dict(id=list(range(len(PHRASES))), text=PHRASES))


FORMS = {
    "path": written("t.txt", PLAIN), "text of a path": lambda home: str(written("t.txt", PLAIN)(home)),
    "BOM and CRLF": written("t.txt", b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n")),
    "gz": written("t.txt.gz", gzip.compress(PLAIN)), "bz2": written("t.txt.bz2", bz2.compress(PLAIN)),
    "xz": written("t.xz", lzma.compress(PLAIN)), "gz by its bytes alone": written("t.txt", gzip.compress(PLAIN)),
    "two gz in a row": written("t.gz", gzip.compress(PLAIN[:500]) + gzip.compress(PLAIN[500:])),
    "jsonl": written("t.jsonl", json_lines()), "ndjson, packed": written("t.ndjson.gz", gzip.compress(json_lines())),
    "json": written("t.json", json.dumps([dict(text=line) for line in PHRASES], indent=1).encode()),
    "json of texts": written("t.json", json.dumps(PHRASES).encode()),
    "csv": written("t.csv", csv_bytes(table())), "csv in Excel's way": written("t.csv", b"\xef\xbb\xbf" + csv_bytes(table(), ";")),
    "tsv": written("t.tsv", csv_bytes(table(), "\t")), "csv, packed": written("t.csv.gz", gzip.compress(csv_bytes(table()))),
    "parquet": lambda home: parquet(home / "t.parquet"), "parquet by its bytes": lambda home: parquet(home / "t"),
    "folder": lambda home: folder_of(home / "texts"),
    "list": lambda home: list(PHRASES), "tuple": lambda home: tuple(PHRASES), "lines": lambda home: PLAIN.decode().splitlines(True),
    "generator": lambda home: (line for line in PHRASES), "open file": lambda home: io.StringIO(PLAIN.decode()),
    "records": lambda home: [dict(text=line) for line in PHRASES],
    "Series": series, "DataFrame": frame, "Dataset": dataset, "pipe": None, "standard input": None, "hub": None}


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    "No text of another test is alive."
    sources.standard_input.cache_clear()
    monkeypatch.setattr(sources, "LIVING", WeakValueDictionary())


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    home = tmp_path_factory.mktemp("plain")
    (home / "t.txt").write_bytes(PLAIN)
    return load_data(home / "t.txt", valid=10)


@pytest.fixture
def opened(request, tmp_path, monkeypatch):
    "A source in the form that the test is given."
    monkeypatch.chdir(tmp_path)
    name = request.param
    if name == "standard input":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN)))
        return "-"
    if name == "hub":
        pytest.importorskip("datasets")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "cached_tiny--talk.txt").write_bytes(PLAIN)                # as if fetched already
        return "hub:tiny/talk"
    if name == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        os.mkfifo(tmp_path / "pipe")
        threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(PLAIN,), daemon=True).start()
        return str(tmp_path / "pipe")
    return FORMS[name](tmp_path)


@pytest.mark.parametrize("opened", FORMS, indirect=True)
def test_each_form_of_one_text_gives_the_same_data(opened, expected):
    found = load_data(opened, valid=10)
    assert (vocab_hash(found.vocab), found.hash, found.heldout) == (vocab_hash(expected.vocab), expected.hash, expected.heldout)
    json.dumps(found.settings["source"])                                                # a run can store its name


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv", "parquet", "Dataset", "DataFrame", "records"])
def test_another_column(name, tmp_path, expected):
    made = {"jsonl": lambda: written("t.jsonl", json_lines("said"))(tmp_path),
            "csv": lambda: written("t.csv", csv_bytes(table("said")))(tmp_path),
            "tsv": lambda: written("t.tsv", csv_bytes(table("said"), "\t"))(tmp_path),
            "parquet": lambda: parquet(tmp_path / "t.parquet", "said"),
            "Dataset": lambda: dataset(tmp_path).rename_column("text", "said"),
            "DataFrame": lambda: frame(tmp_path).rename(columns=dict(text="said")),
            "records": lambda: [dict(id=1, said=line) for line in PHRASES]}[name]
    data = load_data(made(), valid=10, column="said")
    assert data.hash == expected.hash
    message = error_of(lambda: load_data(made(), column="sad"))
    assert "no column 'sad'" in message and "'id'" in message and "'said'" in message


# ---- what is no phrase

REFUSED = {
    "json in a text file": ("t.txt", json_lines(), ["t.txt --column text", "JSON record"]),
    "header in a text file": ("t.txt", b"question,answer\nhow are you,fine\n", ["--column question", "header"]),
    "tab header": ("t", b"id\ttext\n1\thow are you\n", ["--column text"]),
    "columns to choose from": ("t.csv", b"question,answer\nhow are you,fine\n", ["'question', 'answer'", "t.csv --column question"]),
    "no header at all": ("t.csv", b"how are you,fine\nso am I,well\n", ["no header line", ".txt"]),
    "phrases in a one-column csv": ("t.csv", b"how are you\nso am I\n", ["no header line", ".txt"]),
    "context and response": ("t.tsv", b"how are you\tfine\nso am I\twell\n", ["no header line", ".txt"]),
    "numbers": ("t.jsonl", b'{"n": 1}\n{"n": 2}\n', ["'n'"]),
    "a json line cut short": ("t.jsonl", json_lines()[:-20], ["Record 121 of", "not JSON"]),
    "nested without end": ("t.jsonl", b"[" * 200_000, ["not JSON"]),
    "half a surrogate pair": ("t.jsonl", b'{"text": "a \\ud800 b"}\n', ["surrogate"]),
    "NUL in a record": ("t.jsonl", b'{"text": "a \\u0000 b"}\n', ["NUL"]),
    "pdf": ("t.txt", b"%PDF-1.7\n", ["pdftotext"]), "zip": ("t.txt", b"PK\3\4....", ["unzip"]),
    "docx": ("t.docx", b"PK\3\4....", ["unzip"]), "html": ("t.txt", b"<!DOCTYPE HTML>\n<p>how are you", ["pandoc"]),
    "xml": ("t.txt", b"<?xml version='1.0'?>\n<a>how are you</a>", ["xmllint"]), "page": ("page.html", b"<p>how are you", ["pandoc"]), "zst": ("t.zst", b"(\xb5/\xfd....", ["zstd -d"]),
    "tar": ("t.tar.gz", gzip.compress(b"a.txt"), ["tar xf"]), "utf-16": ("t.txt", "a b c\n".encode("utf-16"), ["iconv -f utf-16"]),
    "a gz cut short": ("t.gz", gzip.compress(PLAIN)[:-30], ["cut short"]), "a gz with a wrong byte": (
        "t.gz", gzip.compress(PLAIN)[:60] + b"??" + gzip.compress(PLAIN)[62:], ["damaged"]),
    "parquet cut short": ("t.parquet", b"PAR1....", ["whole Parquet file"]), "not parquet": ("t.parquet", PLAIN, ["whole Parquet file"]),
    "carriage returns": ("t.txt", PLAIN.replace(b"\n", b"\r"), ["carriage returns", "tr '\\r'"]),
    "zero bytes at the end": ("t.txt", b"how are you\n" * 1000 + b"so am\0 I\n", ["line 1001", "NUL", "tr -d"]),
    "zero bytes, packed": ("t.gz", gzip.compress(b"how are you\n" * 1000 + b"so am\0 I\n"), ["line 1001", "NUL"]),
    "an unclosed mark": ("t.csv", b'text\n"how are you\n' + b"so am I\n" * 900, ["line 2 ", "901 lines run together"]),
    "a mark closed by another": ("t.csv", b"text\n" + b"a b\n" * 9 + b'"how are you\n' + b"so am I\n" * 99 + b'"why, then"\n' + b"a b\n" * 9,
                                 ["line 11 ", "101 lines run together"]),
    "only responses": ("t.txt", b"\thow are you\n" * 20, ["20 lines begin with a tab"]),
    "Chinese": ("t.txt", "".join(f"今天天气很好我们去公园玩吧{chr(0x4e00 + i)}\n" for i in range(50)).encode(), ["without spaces", "--tokenizer"]),
    "Thai": ("t.txt", "".join(f"วันนี้อากาศดีเราไปสวนสาธารณะกัน{chr(0xe01 + i)}\n" for i in range(40)).encode(), ["without spaces", "--tokenizer"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_text_is_refused_with_its_cause(kind, tmp_path):
    name, content, words = REFUSED[kind]
    if "arquet" in kind:
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    message = error_of(lambda: load_data(tmp_path / name))
    assert all(word in message for word in words) and name in message, message


OBJECTS = {
    "a set": ({"a b", "c d"}, "cannot be read as text"), "a dict": (dict(text=["a b"]), "A dict"), "bytes": (b"a b", "bytes"),
    "numbers": ([1, 2], "Phrase 1 of the list is 1"), "mixed": (["a b", 3.5], "Phrase 2"), "nothing": (None, "source is None"),
    "a number": (3, "source is 3"), "empty": ([], "is empty"), "a NUL": (["a b", "a \0"], "Phrase 2"),
    "texts and a column": ("column", "no columns"), "records": ([dict(a="b c", d="e f")], "load_data(…, column='a')"), "bytes inside": ([b"a b"], "Phrase 1")}


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_that_are_no_text(kind):
    value, words = OBJECTS[kind]
    how = dict(source=["a b"], column="text") if value == "column" else dict(source=value)
    assert words in error_of(lambda: load_data(**how))


def test_missing_values_are_counted_as_blank():
    pandas = pytest.importorskip("pandas")
    for missing in (None, float("nan"), pandas.NA, numpy.nan):
        texts = ["a b c", None, missing, "b c d", "c d e"]
        for values in (texts, pandas.Series(texts), pandas.Series(texts, dtype="string"), numpy.array(texts, dtype=object)):
            data = load_data(values, valid=1)
            assert (data.report["rows"], data.report["blank"], len(data.train)) == (5, 2, 2)


def test_lists_of_texts_in_arrays_and_tables():
    pa = pytest.importorskip("pyarrow")
    assert as_source(numpy.array(PHRASES)).phrases == as_source(PHRASES).phrases
    assert as_source(pa.array(PHRASES)).phrases == as_source(PHRASES).phrases
    assert as_source([numpy.array(["a b", "c d"]), ["e f"]]).phrases == ("a b", "c d", "e f")
    assert "not a text" in error_of(lambda: as_source(numpy.arange(3)))


def test_parquet_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert 'pip install "tofy[hub]"' in error_of(lambda: load_data(tmp_path / "t.parquet"))


def test_line_breaks_inside_a_cell_are_spaces(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps(dict(text="how are\r\nyou\nnow")) + "\n" + json.dumps(dict(text="so am I")) + "\n")
    assert list(source_lines(tmp_path / "t.jsonl")) == ["how are you now", "so am I"]


def test_a_field_over_many_lines_is_warned_of(tmp_path, caplog):
    (tmp_path / "t.csv").write_text('text\n"' + "a b\n" * 40 + '"\n' + "c d\n" * 5)
    assert len(list(source_lines(tmp_path / "t.csv"))) == 6
    assert "the row that begins in line 2 goes on for 41 lines" in caplog.text


def test_rows_with_too_many_cells_are_warned_of(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("text\na b\nwell, then\n")
    assert list(source_lines(tmp_path / "t.csv")) == ["a b", "well"]
    assert "1 rows have more cells than the header, the first in line 3" in caplog.text


def test_files_of_a_folder_that_are_not_read_are_named(tmp_path, caplog):
    list(source_lines(folder_of(tmp_path / "texts")))
    assert "1 files" in caplog.text and "picture.png" in caplog.text and "hidden" not in caplog.text


def test_a_run_folder_is_no_folder_of_texts(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "heldout.txt").write_text("a b c\n")
    assert "holds a model" in error_of(lambda: load_data(tmp_path))


# ---- warnings about the shape of a text

@pytest.mark.parametrize("name, text, words", [
    ("one line", " ".join(f"w{i}" for i in range(900)) + "\n", "one long line"),
    ("some lines begin with a tab", "".join(f"a{i} b c\n" for i in range(200)) + "\tso it is\n" * 7 + "|||and so\n", "8 lines begin"),
    ("mixed Chinese", "".join(f"今天天气很好我们{chr(0x4e00 + i)}, 去公园玩吧明天见{chr(0x4f00 + i)}。\n" for i in range(300)), "--tokenizer"),
])
def test_the_shape_of_a_text_is_said(name, text, words, tmp_path):
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    assert any(words in warning for warning in load_data(tmp_path / "t.txt", valid=0).warnings)


def test_a_usual_text_has_no_such_warning():
    assert not load_data(["我 喜欢 喝 茶", "她 不 喜欢 茶"] * 100 + [f"{i} ok" for i in range(200)], valid=1).warnings


# ---- a text in memory

def test_the_name_of_a_text_in_memory():
    named = as_source(line for line in PHRASES)
    assert isinstance(named, Given) and NAME.fullmatch(named) and named.startswith("<generator of 121 phrases, sha256 ")
    for same in (copy.deepcopy(named), pickle.loads(pickle.dumps(named))):
        assert same == named and same.phrases == named.phrases
    assert as_source(named) is named and fingerprint(named) == str(named)
    other = as_source(PHRASES[1:])
    assert other[-18:] != named[-18:]


def test_a_text_in_memory_has_a_cache_and_is_read_again_from_its_settings(tmp_path):
    plain, kept = load_data(PHRASES, valid=9), load_data(PHRASES, valid=9, cache=tmp_path)
    assert plain.hash == kept.hash == load_data(list(PHRASES), valid=9, cache=tmp_path).hash == load_data(**plain.settings).hash
    place, = tmp_path.iterdir()
    assert place.name.isascii() and not set(place.name) & set('<>:"|?*, ')
    assert load_data(PHRASES[:-5], valid=9, cache=tmp_path).hash != kept.hash


def test_held_out_phrases_in_memory():
    data = load_data(PHRASES, valid=["the milk is here", "the first line is plain"])
    assert data.heldout == ["the milk is here", "the first line is plain"]


def test_the_same_bytes_under_another_ending_have_another_cache(tmp_path):
    content = b'said\n"how are you"\n"so am I"\n'
    for name in ("t.csv", "t.txt"):
        (tmp_path / name).write_bytes(content)
    assert len({load_data(tmp_path / name, valid=0, cache=tmp_path / "kept").hash for name in ("t.csv", "t.txt")}) == 2


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "r"
    shape, config = recipe(steps=3, batch=8, dim=16, layers=1, heads=2, threads=1)
    list(train(load_data(PHRASES, valid=10), shape, config, out=out))
    return out


def test_a_run_on_a_list_tells_its_source_and_how_to_go_on(tofy, in_memory):
    assert '"<list of 121 phrases, sha256 ' in (in_memory / "run.toml").read_text()
    tofy("train", "--resume", "--out", in_memory).says(2, "was given in memory", "give the same phrases again")
    assert evaluate_run(in_memory)["queries"] > 0
    assert tofy("eval", in_memory).code == 0


def test_a_text_is_found_by_its_name_while_it_lives():
    data = load_data([*PHRASES, "one more"], valid=9)
    name = str(data.settings["source"])
    assert type(name) is str and load_data(**data.settings | dict(source=name)).hash == data.hash
    del data
    gc.collect()
    assert "in no file" in error_of(lambda: load_data(name))


def test_a_run_on_a_list_can_be_resumed_in_python(in_memory):
    shape, config = recipe(steps=5, batch=8, dim=16, layers=1, heads=2, threads=1)
    assert list(train(load_data(PHRASES, valid=10), shape, config, out=in_memory, resume=True))[-1].step == 5


def test_training_from_standard_input(tofy, tmp_path):
    result = tofy("train", "-", 3, *SIZES, "--column", "text", "--out", "run", stdin=json_lines())
    assert result.code == 0, result.err
    assert '"<standard input of 121 phrases, sha256 ' in (tmp_path / "run" / "run.toml").read_text()
    tofy("train", "--resume", "--out", "run").says(2, "came from a pipe", "with - as DATA")


def test_standard_input_that_is_empty_or_a_table_is_said(tofy):
    tofy("train", "-", 3).says(2, "standard input", "is empty")
    tofy("train", "-", 3, stdin=json_lines()).says(2, "standard input", "JSON record", "tofy train - --column text")
    tofy("train", "-", 3, stdin=json_lines("said")).says(2, "tofy train - --column said")


# ---- what training accepts, every later command reads

def test_held_out_phrases_that_look_like_a_table_are_read_by_every_command(tofy, tmp_path):
    odd = ['{ "text" : "the milk" }', "question,answer", '"unclosed, the milk', "[ 1 ]"]
    shape, config = recipe(steps=3, batch=8, dim=16, layers=1, heads=2, threads=1)
    data = load_data(odd + PHRASES[1:], valid=odd)
    assert len(data.heldout) == 4 and json.loads(data.heldout[0])
    list(train(data, shape, config, out=tmp_path / "run"))
    assert len(heldout_phrases(tmp_path / "run", load(tmp_path / "run"))) == 4
    assert tofy("eval", "run").code == 0 and tofy("diagnose", "run").code == 0


def test_a_held_out_file_of_an_older_run_with_zero_bytes_is_read(tofy, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "check_heldout", lambda folder, header: None)        # an older run has no hash of it
    (tmp_path / "t.txt").write_bytes(PLAIN)
    assert tofy("train", "t.txt", 3, *SIZES, "--out", "run").code == 0
    held = tmp_path / "run" / "heldout.txt"
    held.write_bytes(held.read_bytes() + b"the \0 milk\n")
    assert "the \0 milk" in list(read_lines(held))
    assert tofy("eval", "run").code == 0


@pytest.mark.parametrize("name, content", [("t.jsonl", json_lines("said")), ("t.csv.gz", gzip.compress(csv_bytes(table("said"))))])
def test_commands_read_a_column(name, content, tofy, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert tofy("train", name, 3, *SIZES, "--column", "said", "--out", "run").code == 0
    assert tofy("train", "--resume", "--out", "run", "--steps", 4).code == 0
    assert tofy("eval", "run", name, "--column", "said").code == 0
    assert tofy("size", name, "--column", "said", "--probe", 0).code == 0
    assert tofy("data", name, "--column", "said", "--output", "out.txt").code == 0
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines() == PHRASES
    tofy("eval", "run", name).says(2, "--column")


# ---- the laboratory

@pytest.mark.parametrize("opened", [name for name in FORMS if name not in (
    "path", "BOM and CRLF", "text of a path", "open file", "folder", "lines", "parquet by its bytes")], indirect=True)
def test_the_laboratory_reads_each_form(opened):
    texts = list(read_documents(opened).values())
    assert "".join(texts).count("the first line is plain") == 1
    if len(texts) > 1:                                                      # rows: each is a document
        assert sorted(texts) == sorted(set(PHRASES))
    else:
        assert texts == [PLAIN.decode()]


def test_a_decoder_from_a_table_and_from_a_list(tofy, tmp_path):
    (tmp_path / "t.jsonl").write_bytes(json_lines("said"))
    rows, listed = load_texts(tmp_path / "t.jsonl", column="said"), load_texts(PHRASES)
    assert rows.hash == listed.hash and torch.equal(rows.train, listed.train)
    assert tofy("lab", "train", "t.jsonl", "--column", "said", "--preset", "nano", "--steps", 2, "--out", "d").code == 0
    assert tofy("lab", "loss", "d").code == 0
    assert tofy("lab", "loss", "d", "t.jsonl", "--column", "said").code == 0
    assert tofy("lab", "train", "--resume", "--out", "d", "--steps", 3).code == 0
    assert tofy("lab", "train", "-", "--preset", "nano", "--steps", 2, "--out", "e", stdin=PLAIN).code == 0
    tofy("lab", "train", "--resume", "--out", "e").says(2, "came from a pipe", "in no file")
    tofy("lab", "train", "--from", "e", "--steps", 1, "--out", "f").says(2, "came from a pipe")
    tofy("lab", "loss", "d", "t.jsonl").says(2, "--column")


def test_files_of_a_folder_that_are_not_utf8_are_named(tmp_path, caplog):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_bytes("x = 'é'\n".encode("latin1"))
    assert list(read_documents(tmp_path)) == ["a.py"] and "1 files" in caplog.text and "b.py" in caplog.text


# ---- asked for and not reached

def test_a_vocabulary_that_is_not_reached_is_said(tofy, tmp_path, caplog):
    (tmp_path / "t.txt").write_bytes(PLAIN)
    assert "10,000 were asked for" in tofy("lab", "tokenizer", "train", "t.txt", "--vocab-size", 10000).err
    assert "5,000 were asked for" in tofy("train", "t.txt", 3, *SIZES, "--max-vocab", 5000, "--out", "run").err
    assert "--vocab-size" in tofy("lab", "train", "t.txt", "--vocab-size", 5000, "--preset", "nano", "--steps", 1, "--out", "d").err
    train_tokenizer(["a b c"], vocab_size=300, sample=50)
    assert "a sample of 50 was asked for" in caplog.text


def test_fewer_lines_than_asked_for_is_said(tofy, tmp_path):
    (tmp_path / "t.txt").write_bytes(PLAIN)
    assert "500 were asked for" in tofy("data", "t.txt", "--output", "o.txt", "--max-pairs", 500).err
    tofy("train", "t.txt", 3, *SIZES, "--out", "run")
    assert "100,000 were asked for" in tofy("eval", "run", "--max-queries", 100000).err


def test_what_is_reached_is_not_said(tofy, tmp_path):
    (tmp_path / "t.txt").write_bytes(PLAIN)
    result = tofy("train", "t.txt", 3, *SIZES, "--max-vocab", 10, "--out", "run")
    assert "asked for" not in result.err
    result = tofy("data", "t.txt", "--output", "o.txt", "--max-pairs", 5)
    assert "asked for" not in result.err + result.out


# ---- pairs, and the Hub

def test_data_casual_does_not_swallow_rows(tofy, tmp_path):
    rows = [("question", "answer"), *((f"how are you {i}?", "fine, thanks") for i in range(1200))]
    good = csv_bytes(rows)
    (tmp_path / "good.csv").write_bytes(good)
    result = tofy("data", "casual", "--input", "good.csv", "--output", "o.txt")
    assert result.code == 0 and "1,200 lines" in result.out and "1,200 rows below the header, in 1,200 lines" in result.err
    broken = good.replace(b"how are you 300?", b'"how are you 300?').replace(b'"fine, thanks"', b"fine")
    (tmp_path / "broken.csv").write_bytes(broken)
    tofy("data", "casual", "--input", "broken.csv", "--output", "b.txt").says(2, "line 302", "900 lines run together")
    assert not (tmp_path / "b.txt").exists()


@pytest.mark.parametrize("asked, meant", [
    ("hub:wikitext-2-raw-v1", "hub:wikitext:wikitext-2-raw-v1"), ("hub:wikitext-103-v1", "hub:wikitext:wikitext-103-v1"),
    ("hub:wikitext2", "hub:wikitext:wikitext-2-raw-v1"), ("hub:20231101.en", "hub:wikimedia/wikipedia:20231101.en"),
    ("hub:mrpc", "hub:nyu-mll/glue:mrpc")])
def test_a_configuration_in_the_place_of_a_data_set(asked, meant, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert f"write {meant}." in error_of(lambda: load_data(asked))


def test_several_processes_do_not_share_standard_input():
    from tofy.data import DataConfig
    from tofy.hub import source_data
    config = DataConfig(sources.piped(PLAIN, None, "standard input"))
    with pytest.raises(UsageError, match="Several processes"):
        source_data(config, 0, lambda value: [value, value])


def test_errors_are_sentences():
    for source in ("x" * 400, "a\0b", "nowhere.txt", "<list of 3 phrases, sha256 0123456789abcdef>"):
        with pytest.raises(TofyError):
            load_data(source)


# ---- any letters in any form

LETTERS = st.characters(codec="utf-8", exclude_characters="\n\0\ufeff")


@settings(max_examples=20, derandomize=True)
@given(lines=st.lists(st.text(LETTERS, max_size=20), min_size=1, max_size=8), form=st.sampled_from(
    ["txt", "txt.gz", "jsonl", "csv", "tsv", "json", "list"]), crlf=st.booleans(), column=st.sampled_from(["text", "two words", "ütf", "a,b"]))
def test_any_letters_are_read_alike_in_any_form(lines, form, crlf, column):
    lines = ["a plain first line", *lines]
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / f"t.{form}"
        end = "\r\n" if crlf else "\n"
        if form.startswith("txt"):
            content = "".join(line + end for line in lines).encode()
            path.write_bytes(gzip.compress(content) if form.endswith("gz") else content)
        elif form in ("csv", "tsv"):
            path.write_bytes(csv_bytes([("n", column), *((i, line) for i, line in enumerate(lines))], "\t" if form == "tsv" else ","))
        elif form == "json":
            path.write_text(json.dumps([{column: line} for line in lines], ensure_ascii=crlf), encoding="utf-8")
        else:
            path.write_bytes("".join(json.dumps({column: line}, ensure_ascii=crlf) + end for line in lines).encode())
        source = list(lines) if form == "list" else path
        found = list(source_lines(source, column=None if form in ("txt", "txt.gz", "list") else column))
    assert [tokenize(line) for line in found] == [tokenize(line) for line in lines]


@pytest.mark.parametrize("name", ["t.txt.gz", "t.csv", "folder"])
def test_a_run_finds_its_own_text_in_any_form_and_no_other(name, tofy, tmp_path):
    "From another folder, by its hash; after a change, in no command."
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(PLAIN))
    (tmp_path / "t.csv").write_bytes(csv_bytes(table()))
    (tmp_path / "folder").mkdir()
    folder_of(tmp_path / "folder")
    assert tofy("train", name, 3, *SIZES, "--out", "run").code == 0
    (tmp_path / "run" / BASELINES).unlink()
    assert "bigram" in tofy("eval", "run", "--json").json
    (tmp_path / "run" / BASELINES).unlink()
    path = tmp_path / (name if name != "folder" else "folder/c")
    path.write_bytes(gzip.compress(PLAIN[:-9]) if name.endswith("gz") else path.read_bytes()[:-9])
    assert "bigram" not in tofy("eval", "run", "--json").json
    tofy("train", "--resume", "--steps", 5, "--out", "run").says(1, "holds another text or none")
