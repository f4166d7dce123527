"""`tofy.hub` against Parquet on disk and a small Hub on the loopback interface. No internet.

`datasets` reads HF_ENDPOINT and HF_HOME when it is imported, so each conversation with the Hub is a process of its own.
"""
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tofy.hub
from tofy.errors import RunError, UsageError
from tofy.hub import (
    Counts,
    HubId,
    cache_file,
    casual_pairs,
    fetch,
    one_line,
    parse_hub,
    read_qa,
    resolve,
    whole,
    write_lines,
)
from tofy.vocab import tokenize

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
sys.path.insert(0, str(Path(__file__).parent))
from hub_server import hub as serve  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
RUNNER = """
import json, sys
from pathlib import Path
import tofy.hub
from tofy.vocab import TofyError
answers = []
for function, args, kwargs in json.loads(sys.argv[1]):
    try:
        out = getattr(tofy.hub, function)(*args, **kwargs)
        is_file = isinstance(out, Path)
        out = dict(path=str(out), lines=out.read_text("utf-8").split("\\n")) if is_file else dict(out=list(out))
    except TofyError as err:
        out = dict(error=type(err).__name__, message=str(err))
    answers.append(out | dict(datasets="datasets" in sys.modules))
print("ANSWERS" + json.dumps(answers))
"""


def put(file: Path, row_group_size=None, **columns):
    "Write one Parquet file."
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file, row_group_size=row_group_size)


def ask(calls, url, home, cwd, **env):
    "Run (function, args, kwargs) of `tofy.hub` in a fresh process; returns what each gave, and stderr."
    env = dict(os.environ, PYTHONPATH=str(ROOT), HF_ENDPOINT=url, HF_HOME=str(home), OMP_NUM_THREADS="1", **env)
    for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_CACHE", "HF_HUB_CACHE"):
        env.pop(key, None)
    cwd.mkdir(exist_ok=True, parents=True)
    done = subprocess.run([sys.executable, "-c", RUNNER, json.dumps(calls)], env=env | {"no_proxy": "127.0.0.1"},
                          cwd=cwd, capture_output=True, text=True, timeout=300)
    assert "ANSWERS" in done.stdout, done.stderr
    return json.loads(done.stdout.split("ANSWERS")[1]), done.stderr


def shelf(root: Path):
    "The data sets of these tests, laid out as on the Hub."
    put(root/"teapot/talk/data/train-00000-of-00002.parquet", label=[0, 1], text=["hi, you?", None], title=["a", "b"])
    put(root/"teapot/talk/data/train-00001-of-00002.parquet", label=[2, 3], text=["a\tb|||c\nd", " "], title=["c", "d"])
    put(root/"teapot/talk/data/test-00000-of-00001.parquet", label=[4], text=["bye."], title=["e"])
    put(root/"teapot/turns/train.parquet", id=[1, 2, 3], turns=[["x y", None, "z"], [], None])
    put(root/"teapot/numbers/train.parquet", x=[1, 2], y=[.5, .25])
    put(root/"teapot/blank/train.parquet", text=["", None])
    put(root/"teapot/qa/train.parquet", index=[0, 1], Question=["who?", None], answer=["me.", "you."])
    for config in ("en", "fr"):
        put(root/f"teapot/letters/{config}/train.parquet", text=[f"dear {config}"])
    entry = "- config_name: {0}\n  data_files:\n  - split: train\n    path: {0}/*.parquet\n"
    (root/"teapot/letters/README.md").write_text(f"---\nconfigs:\n{entry.format('en')}{entry.format('fr')}---\n")
    for name in ("scripted", "converted"):
        (root/"teapot"/name).mkdir()
        (root/f"teapot/{name}/{name}.py").write_text("raise SystemExit('a script of the Hub was run')")
    for split in ("train", "test"):
        put(root/f"teapot/converted@parquet/plain/{split}/0000.parquet", dialog=[[f"{split} one", "two"]])
    (root/"teapot/empty").mkdir()
    (root/"teapot/empty/README.md").write_text("nothing here")


CALLS = {
    "text": ("hub:teapot/talk", {}),
    "splits": ("hub:teapot/talk:test+train", {}),
    "column": ("hub:teapot/talk", {"column": "title"}),
    "list": ("hub:teapot/turns", {}),
    "config": ("hub:teapot/letters:fr", {}),
    "old name": ("hub:oldtalk", {}),
    "converted": ("hub:teapot/converted", {}),
    "converted split": ("hub:teapot/converted:plain:test", {}),
    "no text column": ("hub:teapot/numbers", {}),
    "number column": ("hub:teapot/talk", {"column": "label"}),
    "no such column": ("hub:teapot/talk", {"column": "body"}),
    "no such split": ("hub:teapot/talk:dev", {}),
    "no such config": ("hub:teapot/letters:de", {}),
    "config needed": ("hub:teapot/letters", {}),
    "no such converted config": ("hub:teapot/converted:fancy", {}),
    "script": ("hub:teapot/scripted", {}),
    "unknown": ("hub:teapot/none", {}),
    "unknown old name": ("hub:text", {}),
    "no files": ("hub:teapot/empty", {}),
    "no text at all": ("hub:teapot/blank", {}),
}


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    "Everything asked once of a running Hub, then again when it is gone."
    tmp = tmp_path_factory.mktemp("hub")
    shelf(tmp/"repos")
    (tmp/"online").mkdir()
    (tmp/"online/mine.txt").write_text("a local file that nobody asked for\n")
    calls = [("fetch", [source], kwargs) for source, kwargs in CALLS.values()] + [("read_qa", ["hub:teapot/qa"], {})]
    with serve(tmp/"repos", moved={"oldtalk": "teapot/talk"}) as server:
        online, said = ask(calls, server.url, tmp/"home", tmp/"online")
        phrase_files = {p.name for p in (tmp/"online/data").iterdir()}
        folder_in_the_way, _ = ask([("fetch", ["hub:teapot/talk"], {})], server.url, tmp/"home2", tmp/"repos")
    again, _ = ask(calls[:8], server.url, tmp/"empty home", tmp/"online")        # the phrase files alone
    cache_only, cache_said = ask(calls, server.url, tmp/"home", tmp/"elsewhere")  # the Hub's own cache alone
    names = [*CALLS, "qa"]
    return dict(online=dict(zip(names, online, strict=True)), again=dict(zip(names[:8], again, strict=True)),
                cache_only=dict(zip(names, cache_only, strict=True)), in_the_way=folder_in_the_way[0],
                said=said, cache_said=cache_said, files=phrase_files, tmp=tmp)


@pytest.mark.parametrize("name,file,lines", [
    ("text", "cached_teapot--talk.txt", ["hi, you?", "a b| ||c d", ""]),
    ("splits", "cached_teapot--talk--split=test+train.txt", ["bye.", "hi, you?", "a b| ||c d", ""]),
    ("column", "cached_teapot--talk--column=title.txt", ["a", "b", "c", "d", ""]),
    ("list", "cached_teapot--turns.txt", ["x y", "z", ""]),
    ("config", "cached_teapot--letters--config=fr.txt", ["dear fr", ""]),
    ("old name", "cached_oldtalk.txt", ["hi, you?", "a b| ||c d", ""]),
    ("converted", "cached_teapot--converted.txt", ["train one", "two", ""]),
    ("converted split", "cached_teapot--converted--config=plain--split=test.txt", ["test one", "two", ""]),
])
def test_loads(talk, name, file, lines):
    for when in ("online", "again"):
        assert talk[when][name]["path"] == str(Path("data")/file)
        assert talk[when][name]["lines"] == lines
    assert not talk["again"][name]["datasets"], "a run with its phrase file must not import datasets"


@pytest.mark.parametrize("name,words", [
    ("no text column", ["no text", "x (int64), y (double)"]),
    ("number column", ["no text in column 'label'", "title (string)"]),
    ("no such column", ["no column 'body'", "label (int64), text (string), title (string)"]),
    ("no such split", ["no split 'dev'", "train, test"]),
    ("no such config", ["no configuration 'de'", "en, fr"]),
    ("config needed", ["several configurations", "en, fr", "hub:teapot/letters:en"]),
    ("no such converted config", ["no configuration 'fancy'", "plain"]),
    ("script", ["Python script", "no Parquet copy"]),
    ("unknown", ["no data set 'teapot/none'"]),
    ("unknown old name", ["no data set 'text'"]),
    ("no files", ["teapot/empty"]),
    ("no text at all", ["holds no text", "2 rows gave 0 lines"]),
])
def test_says_what_is_wrong(talk, name, words):
    answer = talk["online"][name]
    assert answer.get("error") == "UsageError", answer
    assert "\n" not in answer["message"] and answer["message"].endswith((".", ".)"))
    for word in words:
        assert word in answer["message"]


def test_only_what_was_asked_for_is_written(talk):
    "Failed requests leave neither a phrase file nor a part of one."
    assert talk["files"] == {Path(talk["online"][n]["path"]).name for n in list(CALLS)[:8]}


def test_counts_are_said_and_no_bars_in_a_pipe(talk):
    said = talk["said"].splitlines()
    assert any("4 rows gave 2 lines; values without text, skipped: 2" in line for line in said)
    assert any("3 rows gave 2 lines; values without text, skipped: 3" in line for line in said)
    assert sum("rows gave" in line for line in said) == 8 and "%|" not in talk["said"]


def test_first_into_the_hubs_cache(talk):
    assert list((talk["tmp"]/"home").rglob("*.parquet")) and list((talk["tmp"]/"home").rglob("*.arrow"))


def test_qa_from_the_hub(talk):
    assert talk["online"]["qa"]["out"] == [["who?", "me."], ["", "you."]]


def test_offline_with_the_hubs_cache_only(talk):
    for name in ("text", "splits", "column", "list", "config"):
        assert talk["cache_only"][name]["lines"] == talk["online"][name]["lines"]
    assert "does not answer" in talk["cache_said"]
    assert talk["cache_only"]["qa"]["out"] == talk["online"]["qa"]["out"]


def test_offline_with_nothing(talk):
    for name in ("unknown", "unknown old name", "script", "no such config"):
        answer = talk["cache_only"][name]
        assert answer["error"] == "RunError" and "can't be reached" in answer["message"], answer


def test_a_folder_of_that_name_is_not_read(talk):
    assert talk["in_the_way"]["error"] == "UsageError" and "rename it" in talk["in_the_way"]["message"]


def test_from_a_folder_that_stands_in_for_the_hub(talk, tmp_path):
    "The same code on Parquet on disk, without any server."
    root = {"root": str(talk["tmp"]/"repos")}
    calls = [("fetch", [s], kw | root) for s, kw in CALLS.values() if "old" not in s and "converted" not in s]
    names = [n for n, (s, _) in CALLS.items() if "old" not in s and "converted" not in s]
    answers, _ = ask(calls, "http://127.0.0.1:9", tmp_path/"home", tmp_path)
    for name, answer in zip(names, answers, strict=True):
        expected = talk["online"][name]
        assert answer.get("lines") == expected.get("lines"), name
        assert answer.get("error") == expected.get("error"), name


# ---- addresses -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("source,hub", [
    ("hub:ag_news", HubId("ag_news")),
    ("hub:ag_news:test", HubId("ag_news", splits=("test",))),
    ("hub:a/b:fr", HubId("a/b", "fr")),
    ("hub:a/b:fr:train+test", HubId("a/b", "fr", ("train", "test"))),
    ("hub:a/b::extra", HubId("a/b", splits=("extra",))),
    ("hub:a/b:x+y", HubId("a/b", splits=("x", "y"))),
    ("hub:a/b:train", HubId("a/b")),
    ("hub:Salesforce/wikitext:wikitext-2-raw-v1", HubId("Salesforce/wikitext", "wikitext-2-raw-v1")),
])
def test_addresses(source, hub):
    assert parse_hub(source) == hub
    assert parse_hub(str(hub)) == hub


@pytest.mark.parametrize("source", [
    "hub:../../etc/passwd", "hub:..", "hub:a/..", "hub:/etc/passwd", "hub:///etc", "hub:a/b/c", "hub:a/b/../c",
    "hub:a\\b", "hub:C:\\x", "hub:~/x", "hub:a/b\n", "hub:a\0b", "hub:a\x1bb", "hub:a b", "hub:a--b", "hub:a/b.git",
    "hub:", "hub:/", "hub:a/", "hub:a:../up", "hub:a:x/y:train", "hub:a:b:../..", "hub:a:b:train+", "hub:a:b:c:d",
    "hub:a%2fb", "hub:ａ/b", "hub:.hidden", "hub:-rf", "hub:" + "a"*97, "HUB:a", "file.txt", "",
])
def test_addresses_refused(source, tmp_path):
    with pytest.raises(UsageError):
        parse_hub(source)
    if source.startswith("hub:"):
        with pytest.raises(UsageError):
            fetch(source, folder=tmp_path/"data")
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_address_is_refused_or_stays_in_the_folder(tail, column):
    try:
        path = cache_file(HubId(**vars(parse_hub("hub:" + tail)) | {"column": column}), "data")
    except UsageError:
        return
    assert path.parent == Path("data") and path.name.startswith("cached_") and path.name.isprintable()
    assert not set(path.name) & set('/\\:*?"<>|\0') and len(os.fsencode(path.name)) < 255


def test_no_two_requests_share_a_file():
    hubs = [HubId(i, c, s, k) for i in ("a", "b", "a/b", "a/b_c", "a_b/c", "a.b") for c in (None, "a", "b", "a--b")
            for s in (("train",), ("test",), ("test", "train"), ("train", "test"))
            for k in (None, "", "text", "a/b", "a%2Fb")]
    assert len({cache_file(h) for h in hubs}) == len(hubs)


# ---- lines -----------------------------------------------------------------------------------------------------------

@given(st.text(st.one_of(st.sampled_from(" \n\t\r|a'.\u2028"), st.characters(exclude_categories=["Cs", "Cc"]))))
def test_a_line_has_the_tokens_of_its_text(text):
    line = one_line(text)
    assert len(line.splitlines()) <= 1 and "\t" not in line and "|||" not in line
    assert tokenize(line) == tokenize(text)


def test_counts():
    out = io.StringIO()
    counts = write_lines(["a", None, 3, ["b", "", "c", 4], [], b"bytes", " "], out)
    assert counts == Counts(rows=7, lines=3, skipped=7) and out.getvalue() == "a\nb\nc\n"


# ---- whole files -----------------------------------------------------------------------------------------------------

def test_interrupted_write(tmp_path, monkeypatch):
    "Ctrl-C in the middle leaves nothing; the next run makes the whole file."
    def stop(parts, columns, progress=False):
        yield from ([("one",)] * 10_000)
        raise KeyboardInterrupt
    monkeypatch.setattr(tofy.hub, "open_hub", lambda *a: ([], ["text"]))
    monkeypatch.setattr(tofy.hub, "rows", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch("hub:a/b", folder=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(tofy.hub, "rows", lambda parts, columns, progress=False: iter([("one",), ("two",)]))
    assert fetch("hub:a/b", folder=tmp_path, progress=False).read_text() == "one\ntwo\n"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_write(tmp_path):
    "Even a process that is killed outright leaves no file of that name."
    path = tmp_path/"cached_a.txt"
    code = ("import os, sys\nfrom pathlib import Path\nfrom tofy.hub import whole\n"
            "with whole(Path(sys.argv[1])) as out:\n    out.write('half'*100_000)\n    out.flush()\n"
            "    os.kill(os.getpid(), 9)\n")
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.returncode == -signal.SIGKILL and not path.exists()
    with whole(path) as out:
        out.write("all\n")
    assert path.read_text() == "all\n"


def test_empty_file_is_not_believed(tmp_path, monkeypatch):
    cache_file(HubId("a/b"), tmp_path).touch()
    monkeypatch.setattr(tofy.hub, "open_hub", lambda *a: ([], ["text"]))
    monkeypatch.setattr(tofy.hub, "rows", lambda parts, columns, progress=False: iter([("one",)]))
    assert fetch("hub:a/b", folder=tmp_path, progress=False).read_text() == "one\n"


def test_unwritable_folder(tmp_path, monkeypatch):
    (tmp_path/"data").write_text("a file where the folder should be")
    monkeypatch.setattr(tofy.hub, "open_hub", lambda *a: ([], ["text"]))
    monkeypatch.setattr(tofy.hub, "rows", lambda parts, columns, progress=False: iter([("one",)]))
    with pytest.raises(RunError, match="can't be written"):
        fetch("hub:a/b", folder=tmp_path/"data", progress=False)


def test_resolve_leaves_other_sources_alone(tmp_path):
    assert resolve("builtin") == "builtin" and resolve(tmp_path) is tmp_path
    cache_file(HubId("a/b"), tmp_path).write_text("x y\n")
    assert resolve("hub:a/b", folder=tmp_path) == tmp_path/"cached_a--b.txt"


# ---- questions and answers -------------------------------------------------------------------------------------------

def test_read_qa_from_csv(tmp_path):
    file = tmp_path/"qa.csv"
    file.write_text('\ufeffid, QUESTION ,Answer\n1,"a, b?",c\n2,"two\nlines?"\n', encoding="utf-8")
    assert list(read_qa(file)) == [("a, b?", "c"), ("two\nlines?", "")]


@pytest.mark.parametrize("content,words", [
    (b"q,a\n1,2\n", "it has: 'q', 'a'"), (b"", "question"), (b"question,answer\n\xff\xfe,x\n", "UTF-8"),
    (None, "There is no file"),
])
def test_read_qa_errors(tmp_path, content, words):
    file = tmp_path/"qa.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        list(read_qa(file))


def test_casual_pairs():
    pairs = [("Hi, you?", "Fine."), ("A\nb", "c\td"), ("one", "two three"), ("", "x y"), ("A B", "C|||D")]
    assert list(casual_pairs(pairs)) == ["hi, you?\tfine.", "a b\tc d", "a b\tc| ||d"]
    assert list(casual_pairs(pairs, count=str.split)) == ["a b\tc d", "a b\tc| ||d"]
    three = ["Hi, you?\tFine.", "A b\tc d", "one\ttwo three"]
    assert list(casual_pairs(pairs, min_tokens=0, lower=False, max_pairs=3)) == three
    assert list(casual_pairs(pairs, max_pairs=0)) == []


# ---- size ------------------------------------------------------------------------------------------------------------

MEMORY = """
import json, threading, time
def kb(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))
top = [0]
def watch():
    while True:
        top[0] = max(top[0], kb("RssAnon"))
        time.sleep(.01)
threading.Thread(target=watch, daemon=True).start()
import pyarrow, tofy.hub
began, start, load = time.time(), [], tofy.hub.open_hub
def open_hub(*args):
    out = load(*args)
    pyarrow.default_memory_pool().release_unused()
    start.append(kb("RssAnon"))
    top[0] = 0
    return out
tofy.hub.open_hub = open_hub
path = tofy.hub.fetch("hub:big/reviews", progress=False)
seconds, grown = time.time() - began, max(top[0], kb("RssAnon")) - start[0]
lines = sum(1 for _ in open(path, "rb"))
print(json.dumps(dict(writing_mb=grown/1024, peak_mb=kb("VmHWM")/1024, seconds=seconds, lines=lines)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_560_000_rows(tmp_path, capsys):
    """220 MB of text are written with next to no memory of our own.

    The peak counts all else: the imports (140 MB), the library's conversion of the Parquet file, and the pages of the
    mapped Arrow file (220 MB here), which the system drops when it needs the room.
    """
    n, words, file = 560_000, " some more words of a review" * 14, tmp_path/"repos/big/reviews/train.parquet"
    file.parent.mkdir(parents=True)
    with pq.ParquetWriter(file, pa.schema({"text": pa.string()})) as out:
        for first in range(0, n, 10_000):
            out.write_table(pa.table({"text": [f"{i}{words}" for i in range(first, first + 10_000)]}))
    env = dict(os.environ, PYTHONPATH=str(ROOT), HF_HOME=str(tmp_path/"home"), OMP_NUM_THREADS="1")
    with serve(tmp_path/"repos") as server:
        done = subprocess.run([sys.executable, "-c", MEMORY], cwd=tmp_path, capture_output=True, text=True, timeout=600,
                              env=env | {"HF_ENDPOINT": server.url, "no_proxy": "127.0.0.1"})
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    with capsys.disabled():
        print("\n   ", {k: round(v, 1) for k, v in measured.items()})
    assert measured["lines"] == n and measured["writing_mb"] < 50 and measured["peak_mb"] < 1000
