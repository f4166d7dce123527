"""What was there before a run stays until the new run stands; nothing of a user's is replaced, and nobody's word moves a reader."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from conftest import make_text

from tofy import checkpoint, data, inference, loop, training
from tofy.checkpoint import HELDOUT, SETTINGS, load_tensors, save_tables, save_tensors
from tofy.data import DataConfig, load_data
from tofy.encoder import ModelConfig
from tofy.errors import RunError, TofyError, UsageError
from tofy.inference import evaluate_run, run_baselines, run_data
from tofy.lab.decoder import DecoderConfig
from tofy.lab.training import TextConfig, TextDataConfig, load_run, load_texts
from tofy.lab.training import train as train_decoder
from tofy.run_folder import BASELINES, MODEL, STATE, load_model
from tofy.schedule import LoopConfig
from tofy.settings import settings_of
from tofy.sharing import Tofy
from tofy.training import TrainConfig, recipe, train

TINY = DecoderConfig(dim=16, layers=1, heads=2, context=16)
SMALL = dict(dim=16, layers=1, heads=2, batch=8, steps=2, max_seq=12)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    "text.txt, run (trained on it), decoder (too); tests copy it and leave it as it is."
    home = tmp_path_factory.mktemp("home")
    (home / "text.txt").write_text(make_text())
    before = Path.cwd()
    os.chdir(home)
    try:
        list(train(load_data("text.txt", max_seq=12), *recipe(**SMALL), "run"))
        list(train_decoder(load_texts("text.txt"), TINY, TextConfig(steps=2, seconds=None, sample=4, eval_tokens=100), "decoder"))
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def place(home, tmp_path, monkeypatch) -> Path:
    "A copy of the fixture `home`, as the current folder and as if the runs had been trained there."
    place = tmp_path / "home"
    shutil.copytree(home, place)
    monkeypatch.chdir(place)
    for file in ("run/" + MODEL, "decoder/model_decoder.safetensors"):
        told, path = json.loads(load_tensors(place / file)[1]["text"]), str((place / "text.txt").resolve())
        altered(place, file, text=told | dict(path=path) if "path" in told else dict(source=told["source"] | dict(path=path)))
    return place


def altered(folder: Path, file: str = MODEL, **changes) -> None:
    "Write other values into a file's header; None removes them."
    tensors, header = load_tensors(folder / file)
    header |= {name: json.dumps(value) for name, value in changes.items()}
    save_tensors(folder / file, tensors, {name: value for name, value in header.items() if changes.get(name, 0) is not None})


# ---- B1: the old run stays until the new one stands


@pytest.mark.parametrize("where", ["save_state", "save_model", "write_files", "tables"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_before_the_first_save_is_done_keeps_the_old_run(place, monkeypatch, where, error):
    before = contents(place / "run")

    def fail(*args, **kwargs):
        raise error("no")

    monkeypatch.setattr(*((loop, where) if where == "save_state" else (training.LatentRun, where)), fail)
    with pytest.raises(error):
        list(train(load_data("builtin:300", max_seq=12), *recipe(**SMALL), "run", overwrite=True))
    assert contents(place / "run") == before
    assert load_model(place / "run")[2]["data"]["source"] == "text.txt"


@pytest.mark.parametrize("name", [MODEL, STATE, HELDOUT, SETTINGS])
def test_a_full_disk_keeps_the_old_run(place, monkeypatch, name):
    real, before = os.replace, contents(place / "run")
    real_open = Path.open

    def full(path, *args, **kwargs):
        if path.name == name + ".tmp":
            raise OSError(28, "No space left on device")
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunError, match="what was saved before is untouched"):
        list(train(load_data("builtin:300", max_seq=12), *recipe(**SMALL), "run", overwrite=True))
    monkeypatch.undo()
    assert os.replace is real and contents(place / "run") == before


def test_a_power_cut_in_the_middle_of_the_exchange_is_made_good(place, monkeypatch):
    real, calls = os.replace, []

    def cut(old, new):
        calls.append(new)
        if len(calls) == 3:                                     # the list itself, one file, and then the cut
            raise KeyboardInterrupt
        real(old, new)

    fresh = load_data("builtin:300", max_seq=12)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", cut)
        next(train(fresh, *recipe(**SMALL), "run", overwrite=True))
    list(train(fresh, *recipe(**SMALL), "run", resume=True))
    assert load_model(place / "run")[2]["data"]["source"] == "builtin:300"
    assert not list((place / "run").glob("*.tmp")) and not (place / "run" / ".replacing").exists()


def test_a_run_of_words_that_replaces_one_of_pieces_leaves_no_stray_tokenizer(place):
    list(train_decoder(load_texts("builtin:200"), TINY, TextConfig(steps=2, seconds=None, sample=0), "decoder", overwrite=True))
    list(train(load_data("builtin:300", max_seq=12), *recipe(**SMALL), "decoder", overwrite=True))
    assert not (place / "decoder" / "tokenizer.json").exists() and not (place / "decoder" / "model_decoder.safetensors").exists()


# ---- B2: numpy's numbers


def as_numpy(value: object) -> object:
    if isinstance(value, tuple):
        return np.array(value)
    if isinstance(value, dict):
        return {k: np.float32(v) for k, v in value.items()}
    kinds = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}
    return kinds.get(type(value), lambda v: v)(value)


@pytest.mark.parametrize("kind", [DataConfig, ModelConfig, TrainConfig, TextDataConfig, TextConfig, LoopConfig])
def test_every_setting_takes_numpys_numbers(kind, tmp_path):
    usual = kind()
    odd = kind(**{name: as_numpy(getattr(usual, name)) for name in settings_of(usual)})
    assert asdict(odd) == asdict(usual)
    save_tables(tmp_path / "a.toml", dict(data=asdict(odd)))
    for f in fields(odd):
        assert type(getattr(odd, f.name)).__module__ == "builtins"
    json.dumps(asdict(odd))


def test_a_sweep_of_numpys_numbers_trains(tmp_path):
    for dim in np.linspace(16, 32, 2).astype(int):
        fresh = load_data("builtin:300", max_vocab=np.int64(200), max_seq=np.int32(12), valid=np.float32(.1), seed=np.uint8(1))
        list(train(fresh, *recipe(**SMALL | dict(dim=dim, lr=np.float64(1e-3), corrupt=np.array([.8, .1, .1]))), tmp_path / str(dim)))
        assert load_model(tmp_path / str(dim))[2]["config"]["dim"] == int(dim)


@pytest.mark.parametrize("wrong", [dict(lower="no"), dict(lower=1), dict(max_vocab=200.5), dict(max_vocab=np.float64(200)),
                                   dict(max_seq=True), dict(valid=float("nan")), dict(valid=10**400), dict(seed="1"),
                                   dict(max_vocab=np.array([200, 300])), dict(split=None), dict(max_vocab=np.datetime64("2020"))])
def test_a_setting_of_the_wrong_kind_is_refused_before_anything_is_touched(wrong, place):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        load_data("builtin:300", **wrong)


# ---- B3: one training at a time


HOLD = """
import sys, time
from pathlib import Path
from tofy.checkpoint import at_work
with at_work(Path(sys.argv[1]), False, True, "state_latent.safetensors"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(place):
    env = os.environ | dict(PYTHONPATH=str(Path(checkpoint.__file__).parents[1]))
    child = subprocess.Popen([sys.executable, "-c", HOLD, "run"], stdout=subprocess.PIPE, text=True, env=env)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


def test_a_folder_in_work_is_refused_by_name_and_a_killed_run_leaves_no_lock(place, holder):
    before = contents(place / "run")
    for how in (dict(resume=True), dict(overwrite=True)):
        with pytest.raises(UsageError, match=f"process {holder.pid}"):
            list(train(load_data("text.txt", max_seq=12), *recipe(**SMALL), "run", **how))
    assert contents(place / "run") == before
    holder.kill()
    holder.wait()
    (place / "run" / (STATE + ".tmp")).write_bytes(b"half a state")                 # it was killed while saving
    list(train(load_data("text.txt", max_seq=12), *recipe(**SMALL), "run", overwrite=True))
    assert not (place / "run" / (STATE + ".tmp")).exists()


def test_two_runs_of_one_process_and_a_decoder(place):
    fresh = load_data("text.txt", max_seq=12)
    first = train(fresh, *recipe(**SMALL), "run", overwrite=True)
    next(first)
    with pytest.raises(UsageError, match=f"in use: process {os.getpid()}"):
        next(train(fresh, *recipe(**SMALL), "run", resume=True))
    first.close()                                                                    # lets go
    list(train(fresh, *recipe(**SMALL), "run", resume=True))
    config = TextConfig(steps=3, seconds=None, sample=0)
    with checkpoint.at_work(Path("decoder"), True, False, "state_decoder.safetensors"), pytest.raises(UsageError, match="in use"):
        list(train_decoder(load_texts("text.txt"), TINY, config, "decoder", resume=True))


def test_a_disk_that_cannot_lock_gets_a_sentence(place, monkeypatch, caplog):
    def acquire(self, *args, **kwargs):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(checkpoint.filelock.FileLock, "acquire", acquire)
    list(train(load_data("text.txt", max_seq=12), *recipe(**SMALL), "run", overwrite=True))
    assert "cannot lock files (Operation not supported)" in caplog.text


# ---- A2: a run's own text


def test_where_a_text_lay_and_its_hash_are_kept_and_not_shared(place):
    header = load_model("run")[2]
    assert header["data"]["source"] == "text.txt"
    assert header["text"]["source"]["path"] == str((place / "text.txt").resolve())
    Tofy.from_pretrained("run").save_pretrained("shared")
    assert not any(str(place).encode() in content for content in contents(place / "shared").values())
    assert "text" not in load_model("shared")[2]


def test_resuming_from_another_folder_reads_the_runs_own_text(tofy, place):
    tofy.folder = place / "elsewhere"
    tofy.folder.mkdir()
    (tofy.folder / "text.txt").write_text("quite another text\n" * 30)
    found = tofy("train", "--resume", "--steps", 4, "--out", "../run")
    assert found.code == 0 and f"read from {place.resolve() / 'text.txt'}" in found.err, found.err
    assert checkpoint.load_tables(place / "run" / SETTINGS)["data"]["source"] == "text.txt"        # as it was given


@pytest.mark.parametrize("change", ["changed", "gone", "in another folder"])
def test_a_text_that_is_not_the_runs_is_refused_with_both_names(tofy, place, change):
    was, tofy.folder = str((place / "text.txt").resolve()), place
    if change == "changed":
        Path("text.txt").write_text(make_text(299))
    else:
        Path("text.txt").unlink()
    if change == "in another folder":
        (place / "other").mkdir()
        os.chdir(place / "other")
        tofy.folder = place / "other"
        Path("text.txt").write_text(make_text(200))
    for command in (["train", "--resume", "--steps", 9, "--out", place / "run"],
                    ["lab", "loss", place / "decoder"],
                    ["lab", "train", "--resume", "--steps", 9, "--out", place / "decoder"],
                    ["lab", "train", "--from", place / "decoder", "--steps", 2, "--out", "child"]):
        tofy(*command).says(1, str(Path("text.txt").absolute()), was)
    assert not Path("child").exists() or not list(Path("child").glob("*.safetensors"))


def test_lab_loss_names_what_it_measured(tofy, place):
    tofy.folder = place
    own = tofy("lab", "loss", "decoder")
    assert own.code == 0 and "own held-out text, from text.txt" in own.out, own.err
    (place / "else").mkdir()
    shutil.copytree("decoder", "else/decoder")
    tofy.folder = place / "else"
    Path("else", "text.txt").write_text("another text\n" * 99)
    assert tofy("lab", "loss", "decoder").out.splitlines()[0] == own.out.splitlines()[0]
    assert "measured on text.txt" in tofy("lab", "loss", "decoder", "text.txt").out


# ---- E1: what no run of ours wrote


@pytest.mark.parametrize("name", [HELDOUT, SETTINGS, "log_latent.csv", "vocab_latent.txt", BASELINES])
@pytest.mark.parametrize("how", [dict(), dict(overwrite=True)])
def test_a_users_file_is_never_replaced(tmp_path, name, how):
    (tmp_path / name).write_text("my own words\n")
    with pytest.raises(UsageError, match=f"holds a {name} that no run of tofy wrote"):
        list(train(load_data("builtin:300", max_seq=12), *recipe(**SMALL), tmp_path, **how))
    assert contents(tmp_path) == {name: b"my own words\n"}


def test_a_users_file_beside_a_run_of_ours(place):
    heldout, fresh = place / "run" / HELDOUT, load_data("builtin:300", max_seq=12)
    heldout.write_text("my own words\n")                                             # by its hash not the run's
    (place / "run" / "tokenizer.json").write_text("{}")                              # a run of words wrote none
    with pytest.raises(UsageError, match=HELDOUT):
        list(train(fresh, *recipe(**SMALL), "run", overwrite=True))
    heldout.unlink()
    list(train(fresh, *recipe(**SMALL), "run", overwrite=True))
    assert (place / "run" / "tokenizer.json").read_text() == "{}"
    with pytest.raises(UsageError, match="tokenizer.json"):
        list(train_decoder(load_texts("text.txt"), TINY, TextConfig(steps=2, seconds=None), "run", overwrite=True))


def test_a_run_does_not_replace_the_text_it_reads(place):
    before = contents(place / "run")
    with pytest.raises(UsageError, match="which it reads"):
        list(train(load_data("run/heldout.txt", max_seq=12), *recipe(**SMALL), "run", overwrite=True))
    with pytest.raises(UsageError, match="which it reads"):
        list(train(load_data("text.txt", max_seq=12, valid="run/heldout.txt"), *recipe(**SMALL), "run", overwrite=True))
    assert contents(place / "run") == before


def test_the_notes_spelling_refuses_only_what_is_in_its_way(tofy, tmp_path):
    (tmp_path / "text.txt").write_text(make_text())
    (tmp_path / "tokenizer.json").write_text("mine")
    (tmp_path / HELDOUT).write_text("mine")
    tofy("--latent", "text.txt", 12, 8, 16, 12, 1, 2, 200).says(2, HELDOUT)
    assert (tmp_path / HELDOUT).read_text() == "mine"
    (tmp_path / HELDOUT).unlink()
    assert tofy("--latent", "text.txt", 12, 8, 16, 12, 1, 2, 200).code == 0
    assert (tmp_path / "tokenizer.json").read_text() == "mine" and (tmp_path / MODEL).is_file()


def test_commands_that_write_one_file(tofy, tmp_path):
    for name in ("words.txt", "tokenizer.json"):
        (tmp_path / name).write_text("mine")
    tofy("lab", "data", "words", "--lines", 5).says(2, "words.txt", "--overwrite")
    tofy("lab", "tokenizer", "train", "builtin:50", "--kind", "byte").says(2, "tokenizer.json", "--overwrite")
    assert {(tmp_path / name).read_text() for name in ("words.txt", "tokenizer.json")} == {"mine"}
    assert tofy("lab", "data", "words", "--lines", 5, "--overwrite").code == 0
    assert tofy("lab", "data", "words", "--lines", 5).code == 0                      # the very same text: nothing is lost


def test_a_shared_model_and_the_experiment_log_spare_a_users_files(place):
    (place / "site").mkdir()
    (place / "site" / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README.md"):
        Tofy.from_pretrained("run").save_pretrained("site")
    (place / "experiments.jsonl").write_text("my notes\n")
    list(train(load_data("text.txt", max_seq=12), *recipe(**SMALL), "run", overwrite=True))
    assert (place / "site" / "README.md").read_text() == "mine" and (place / "experiments.jsonl").read_text() == "my notes\n"


# ---- E2: a stranger's run


@pytest.mark.parametrize("source", ["/etc/hostname", "../secret.txt", "hub:someone/something", "builtin:1000000000", "builtin:2000000",
                                    "builtin:x", "/dev/zero", 7, ["a"]])
def test_nothing_is_read_fetched_or_written_by_a_headers_word(place, monkeypatch, source):
    Path("../secret.txt").write_text(make_text())
    header = load_model("run")[2]
    cache = place.parent / "cache"
    altered(place / "run", data=header["data"] | dict(source=source, cache=str(cache), column="x"), text=None)
    for name in ("resolve", "fetch", "open_hub"):
        monkeypatch.setattr(f"tofy.hub.{name}", lambda *args, **kwargs: pytest.fail("the Hub was asked"))
    with pytest.raises(RunError):
        run_data("run")
    assert "bigram" not in run_baselines("run") and evaluate_run("run")["queries"] > 0
    assert not cache.exists() and not Path("run", BASELINES).exists()


@pytest.mark.parametrize("source", ["/etc/hostname", "..", "hub:someone/something", "builtin:1000000000", "builtin:x", "/dev/zero", 7])
def test_the_loss_of_a_strangers_decoder_is_not_measured_on_a_text_of_mine(place, source):
    tables = checkpoint.load_tables(Path("decoder", SETTINGS))
    save_tables(Path("decoder", SETTINGS), tables | dict(data=tables["data"] | dict(source=source)))
    altered(place / "decoder", "model_decoder.safetensors", text=None)
    with pytest.raises(TofyError):
        load_run("decoder", vouched=True)


def test_a_text_is_read_where_its_hash_is_the_headers(place):
    shutil.move("text.txt", "../moved.txt")
    header = load_model("run")[2]
    with pytest.raises(RunError, match="cannot be read again"):
        run_data("run")
    told = header["text"]["source"] | dict(path=str(Path("../moved.txt").resolve()))
    altered(place / "run", text=dict(source=told))
    assert run_data("run").hash == json.loads(load_tensors(Path("run", STATE))[1]["data"])
    assert "bigram" in run_baselines("run")


def test_a_held_out_file_that_is_not_the_runs(place):
    whole = Path("run", HELDOUT).read_text()
    Path("run", HELDOUT).write_text(whole[:len(whole) // 3])
    with pytest.raises(RunError, match="is not the file that was written with this run"):
        evaluate_run("run")
    altered(place / "run", heldout_sha256=None)                                      # a run made before there was a hash
    assert evaluate_run("run")["queries"] > 0


def test_ready_made_runs_have_no_hashes_and_are_read():
    folder = inference.READY / "crowded"
    assert "text" not in load_model(folder)[2] and run_data(folder).settings["source"].startswith("builtin")


# ---- E9: what killed processes leave behind


def test_parts_of_killed_caches_are_removed(tmp_path):
    cache = tmp_path / "cache"
    dead, live, young = (cache / f"text-{name}.part-x" for name in ("dead", "live", "young"))
    for part in (dead, live, young):
        part.mkdir(parents=True)
        (part / "flat").write_bytes(bytes(100))
    with data.part_lock(live):
        for part in (dead, live):
            os.utime(part, (time.time() - 999,) * 2)
        load_data("builtin:300", cache=cache)
        assert not dead.exists() and live.exists() and young.exists()


def test_samples_do_not_repeat_steps_after_a_resume(tmp_path):
    text, config = load_texts("builtin:200"), TextConfig(steps=8, seconds=None, sample=3, eval_every=2, log_every=1, eval_tokens=100)
    records = train_decoder(text, TINY, config, tmp_path / "run")
    next(r for r in records if r.step == 2)
    state = (tmp_path / "run" / "state_decoder.safetensors").read_bytes()             # saved at the start
    next(r for r in records if r.step == 6)
    records.close()
    (tmp_path / "run" / "state_decoder.safetensors").write_bytes(state)               # as if it had been killed
    with (tmp_path / "run" / "samples.jsonl").open("a") as file:
        file.write('{"step": 6, "te')
    list(train_decoder(text, TINY, config, tmp_path / "run", resume=True))
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4, 6, 8]


def test_a_run_leaves_no_lock_in_its_folder(home):
    assert not [p.name for folder in ("run", "decoder") for p in (home / folder).iterdir() if p.name.startswith(".")]
