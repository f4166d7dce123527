"""Whatever goes wrong ends in one sentence that says what and what to do, and never in a lost checkpoint."""

import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import HANG, SIZES, hurry

from tofy import loop, training
from tofy.checkpoint import HELDOUT, SETTINGS, add_line, load_tensors, save_tensors
from tofy.data import load_data
from tofy.errors import RunError, UsageError
from tofy.inference import load
from tofy.metrics import ranks
from tofy.run_folder import LOG, MODEL, STATE, VOCAB, load_model, read_log
from tofy.training import recipe, train

def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (MODEL, VOCAB, STATE)}


def finite(folder: Path) -> bool:
    return all(bool(t.isfinite().all()) for t in load_model(folder)[0].state_dict().values())


# ---- the text

TEXTS = {
    "empty": (b"", "is empty"),
    "blank lines": (b"\n  \n\t\n" * 20, "no phrase of two"),
    "single words": (b"hello\n" * 20, "no phrase of two"),
    "zero bytes": (bytes(range(256)) * 20, "not text"),
    "binary without zero bytes": (b"\x89PNG\r\n\x1a\n\xff\xfe\xfa" * 20, "not UTF-8"),
    "one bad line": (b"a good line\n" * 2 + b"a bad \xe9 line\n", "Line 3"),
    "UTF-16": (("a good line\n" * 20).encode("utf-16"), "not text"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_cannot_be_learnt_from(tofy, tmp_path, kind):
    content, words = TEXTS[kind]
    (tmp_path / "bad.txt").write_bytes(content)
    tofy("train", "bad.txt", 5, *SIZES, "--out", "run").says(2, "bad.txt", words)
    assert not (tmp_path / "run" / MODEL).exists()


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_cannot_be_evaluated_on(tofy, trained, kind):
    content, _ = TEXTS[kind]
    (trained.parent / "bad.txt").write_bytes(content)
    tofy("eval", "run", "bad.txt").says(2)


def test_missing_file_and_folder_in_its_place(tofy, tmp_path):
    tofy("train", "nowhere.txt", 5).says(2, "no file nowhere.txt")
    tofy("train", ".", 5).says(2, "no file")


LONG = {
    "a million words in one phrase": " ".join(f"w{i}" for i in range(1_000_000)),
    "one word a million times in one phrase": "la " * 1_000_000,
    "one word again and again": "la la la\n" * 5000,
    "one word in phrases of many lengths": "".join("la " * n + "\n" for n in range(2, 60)),
}


@pytest.mark.parametrize("name", ["tofy", "notes"])
@pytest.mark.parametrize("kind", LONG)
def test_lopsided_text_trains_with_a_warning(tofy, tmp_path, kind, name):
    (tmp_path / "odd.txt").write_text(LONG[kind])
    result = tofy("train", "odd.txt", 5, *SIZES, "--recipe", name, "--out", "run")
    assert result.code == 0 and "warning: " in result.err, result.err
    assert ("only one distinct word" in result.err) == ("one word" in kind)
    assert finite(tmp_path / "run")


@pytest.mark.parametrize(
    "name",
    [
        "tofy",
        "notes",
    ],
)
def test_phrases_of_unknown_words_alone(tofy, tmp_path, name):
    "A table with one word: most phrases have nothing to ask for."
    (tmp_path / "odd.txt").write_text("".join(f"x{i} y{i} z{i}\n" for i in range(200)) + "a a a a\n")
    result = tofy("train", "odd.txt", 5, *SIZES, 4, "--recipe", name, "--out", "run")
    assert result.code == 0, result.err
    assert finite(tmp_path / "run")


def test_a_held_out_file_without_a_known_word_does_not_lose_the_training(tofy, text):
    (text.parent / "other.txt").write_text("völlig andere Wörter\nund noch mehr davon\n")
    result = tofy("train", text, 20, *SIZES, "--valid", "other.txt", "--out", "run")
    assert result.code == 2 or load_model(text.parent / "run")[2]["step"] > 0


# ---- the request

MISUSE = [
    (["--max-vocab", "3"], "max_vocab is 3"),
    (["--max-vocab", "1"], "max_vocab is 1"),
    (["--heads", "3"], "divide"),
    (["--heads", "0"], "heads"),
    (["--dim", "0"], "dim"),
    (["--max-seq", "1"], "max_seq"),
    (["--layers", "-1"], "layers"),
    (["--batch", "0"], "batch"),
    (["--steps", "0"], "steps"),
    (["--seconds", "-1"], "seconds"),
    (["--lr", "0"], "lr"),
    (["--dropout", "1"], "dropout"),
    (["--mask-rate", "2"], "rate"),
    (["--negatives", "few"], "few"),
    (["--recipe", "best"], "best"),
    (["--split", "up"], "up"),
    (["--tokens", "bytes"], "bytes"),
    (["--valid", "100000"], "100000"),
    (["--valid", "none.txt"], "none.txt"),
    (["--config", "none.toml"], "none.toml"),
    (["--init-from", "none"], "none"),
    (["--resume"], ""),
]


@pytest.mark.parametrize(("options", "word"), MISUSE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_a_wrong_request(tofy, text, options, word):
    sizes = ["--batch", 8, "--dim", 16, "--max-seq", 12, "--layers", 1, "--heads", 2]
    budget = [] if options[0] in ("--steps", "--seconds", "--resume") else ["--steps", 5]
    source = [] if options[0] == "--resume" else [text]
    command = ["train", *source, *([] if options[0] == "--resume" else sizes), *budget, *options, "--out", "run"]
    tofy(*command).says(2, word)
    debug = tofy(*command, "--debug")
    assert "Traceback" in debug.err and debug.code == 1


UNCAUGHT = [
    ["--max-vocab", "0"],
    ["--log-every", "0"],
    ["--device", "cuda"],
    ["--device", "nope"],
    ["--rank-temp", "0"],
    ["--rank-temp", "-1"],
    ["--valid", "nan"],
    ["--lr", "nan"],
    ["--seconds", "nan"],
    ["--threads", "-1"],
    ["--seed", "99999999999999999999"],
    ["--steps", "5", "--seconds", "3"],
]


@pytest.mark.parametrize("options", UNCAUGHT, ids=" ".join)
def test_a_wrong_request_that_is_not_noticed(tofy, text, options):
    if options == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.xfail("this machine has one")
    budget = [] if "--seconds" in options else ["--steps", 5]
    tofy("train", text, *budget, "--batch", 8, "--dim", 16, "--layers", 1, "--heads", 2, *options, "--out", "run").says(
        2
    )


CONFIGS = {
    "not TOML": "[train\n",
    "unknown table": "[trian]\nsteps = 5\n",
    "unknown setting": "[train]\nstep = 5\n",
    "unknown recipe": "[train]\nrecipe = 'x'\n",
    "not UTF-8": "# caf\xe9\n",
}
UNCAUGHT_CONFIGS = {
    "unknown data setting": "[data]\nvocab = 5\n",
    "word for a number": "[train]\nsteps = 'many'\n",
    "a number for a table": "train = 5\n",
    "word for a size": "[model]\ndim = 'wide'\n",
}


@pytest.mark.parametrize(
    "kind",
    [*CONFIGS, *(k for k in UNCAUGHT_CONFIGS)],
)
def test_settings_files_with_a_mistake(tofy, text, kind):
    (text.parent / "run.toml").write_text((CONFIGS | UNCAUGHT_CONFIGS)[kind], encoding="latin1")
    tofy("train", text, "--config", "run.toml", "--out", "run").says(2)


def test_a_run_with_a_column_can_be_resumed(tofy, text):
    assert tofy("train", text, 5, *SIZES, "--column", "text", "--out", "run").code == 0
    assert tofy("train", "--resume", "--out", "run").code == 0


def test_a_folder_that_cannot_be_made(tofy, text):
    (text.parent / "taken").write_text("")
    tofy("train", text, 5, *SIZES, "--out", "taken/run").says(2, "taken/run", "--out")
    tofy("train", text, 5, *SIZES, "--out", "taken").says(2, "taken", "--out")


# ---- the checkpoint


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_model_cut_short(tofy, trained, share):
    whole = (trained / MODEL).read_bytes()
    (trained / MODEL).write_bytes(whole[: int(len(whole) * share)])
    tofy("diff", "run", "the _ sat => cat").says(1, MODEL, "damaged or cut short")
    tofy("eval", "run").says(1, "damaged or cut short")
    with pytest.raises(RunError, match="cut short"):
        load_model(trained)


@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_a_state_cut_short(tofy, trained, share):
    whole = (trained / STATE).read_bytes()
    (trained / STATE).write_bytes(whole[: int(len(whole) * share)])
    tofy("train", "--resume", "--steps", 20, "--out", "run").says(1, STATE, "cut short")
    assert finite(trained) and len(read_log(trained)) == 11


@pytest.mark.parametrize("name", [MODEL, STATE])
def test_a_flipped_byte_in_the_header(trained, name):
    whole = bytearray((trained / name).read_bytes())
    whole[20] ^= 255
    (trained / name).write_bytes(whole)
    with pytest.raises(RunError):
        load_model(trained) if name == MODEL else load_tensors(trained / STATE)


def other_words(content: str) -> str:
    return content.replace("cat\n", "cow\n")


def other_order(content: str) -> str:
    return (
        content.replace("cat\ndog\n", "dog\ncat\n")
        if "cat\ndog\n" in content
        else "\n".join([*content.splitlines()[:3], *reversed(content.splitlines()[3:])]) + "\n"
    )


def cut(content: str) -> str:
    return content[: len(content) // 2]


def empty(content: str) -> str:
    return ""


@pytest.mark.parametrize("change", [other_words, other_order, cut, empty])
def test_a_vocabulary_of_another_hash(tofy, trained, change):
    path = trained / VOCAB
    path.write_text(change(path.read_text()))
    tofy("diff", "run", "the _ sat => cat").says(1, VOCAB)
    with pytest.raises(RunError, match="vocabulary"):
        load_model(trained)


def test_a_vocabulary_that_is_not_text(tofy, trained):
    (trained / VOCAB).write_bytes(b"<pad>\n<unk>\n<mask>\n\xff\xfe\n")
    tofy("diff", "run", "the _ sat => cat").says(1, VOCAB)


def test_a_missing_vocabulary(tofy, trained):
    (trained / VOCAB).unlink()
    tofy("diff", "run", "the _ sat => cat").says(1, VOCAB)


@pytest.mark.parametrize(
    "command",
    [
        ["diff", "nowhere", "the _ sat => cat"],
        ["fill", "nowhere", "the _ sat"],
        ["eval", "nowhere"],
        ["diff"],
        ["eval"],
        ["diff", ".", "the _ sat => cat"],
        ["train", "--resume", "--out", "nowhere"],
    ],
    ids=" ".join,
)
def test_a_missing_folder(tofy, command):
    tofy(*command).says(2)


def test_a_shape_that_does_not_fit(tofy, trained):
    tensors, header = load_tensors(trained / MODEL)
    save_tensors(trained / MODEL, tensors | {"predictor.weight": torch.zeros(3, 3)}, header)
    tofy("diff", "run", "the _ sat => cat").says(1, "predictor.weight", "(3, 3)", "(16, 16)")
    del tensors["predictor.bias"]
    save_tensors(trained / MODEL, tensors, header)
    tofy("eval", "run").says(1, "predictor.bias", "nothing in the file")


def without_moments(tensors: dict) -> dict:
    return {k: t for k, t in tensors.items() if not k.startswith("optimizer.")}


def short_moments(tensors: dict) -> dict:
    return tensors | {"optimizer.predictor.weight.exp_avg": torch.zeros(3)}


def without_generator(tensors: dict) -> dict:
    return {k: t for k, t in tensors.items() if not k.startswith("generator.")}


def strange(tensors: dict) -> dict:
    return tensors | {"what.is.this": torch.zeros(3)}


@pytest.mark.parametrize("change", [without_moments, short_moments, without_generator, strange])
def test_a_state_that_does_not_fit(tofy, trained, change):
    tensors, header = load_tensors(trained / STATE)
    save_tensors(trained / STATE, change(tensors), header)
    tofy("train", "--resume", "--steps", 20, "--out", "run").says(1, STATE)


def test_other_data_than_the_run_began_with(tofy, trained):
    with (trained.parent / "text.txt").open("a") as file:
        file.write("a new phrase\n" * 50)
    before = files_of(trained)
    tofy("train", "--resume", "--steps", 20, "--out", "run").says(1, "data")
    assert files_of(trained) == before


# ---- a full disk


def limit_files(size: int):
    "Writes beyond `size` bytes of a file fail, as on a full disk (EFBIG)."

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_disk_that_fills_up_while_a_run_goes_on(tofy, trained):
    before, log = files_of(trained), read_log(trained)
    result = tofy("train", "--resume", "--steps", 20, "--out", "run", before=limit_files(8192))
    result.says(1, "could not be saved", "--resume")
    assert files_of(trained) == before and finite(trained)
    assert tofy("train", "--resume", "--steps", 20, "--out", "run").code == 0
    assert load_tensors(trained / STATE)[1]["step"] == "20"
    assert [r.step for r in read_log(trained)][: len(log)] == [r.step for r in log]


def test_a_disk_that_is_full_from_the_start(tofy, text):
    tofy("train", text, 10, *SIZES, "--out", "new", before=limit_files(8192)).says(1, "could not be saved")
    assert not (text.parent / "new" / MODEL).exists()
    assert tofy("train", text, 10, *SIZES, "--out", "new").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", [MODEL, STATE, VOCAB, HELDOUT, SETTINGS])
def test_no_space_left_for_one_file(tofy, text, name):
    "What is written goes through a temporary name; here that name leads to a device that is always full."
    folder = text.parent / "new"
    folder.mkdir()
    (folder / (name + ".tmp")).symlink_to("/dev/full")
    tofy("train", text, 10, *SIZES, "--out", "new").says(1, name, "the disk is full", "--out")
    assert not (folder / name).exists()
    assert list(folder.glob("*.tmp")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", [MODEL, STATE])
def test_no_space_left_keeps_the_earlier_model(tofy, trained, name):
    words = "red blue green black white brown".split()                       # a text that a few more steps learn
    lines = [f"{a} {b} {c} {a} {b} {c}" for a in words for b in words for c in words]
    (trained.parent / "text.txt").write_text("\n".join(lines))
    again = tofy("train", "text.txt", 10, *SIZES, "--out", "run", "--overwrite")
    assert again.code == 0, again.err
    before = files_of(trained)
    (trained / (name + ".tmp")).symlink_to("/dev/full")
    result = tofy("train", "--resume", "--steps", 200, "--out", "run")
    result.says(1, name, "the disk is full", "--resume")
    assert finite(trained) and load_tensors(trained / STATE) and files_of(trained)[name] == before[name]
    assert tofy("train", "--resume", "--steps", 200, "--out", "run").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_space_left_for_a_log(tofy, text):
    (text.parent / "experiments.jsonl").symlink_to("/dev/full")
    tofy("train", text, 10, *SIZES, "--out", "new").says(1, "experiments.jsonl", "the disk is full")
    with pytest.raises(RunError, match="the disk is full"):
        add_line(Path("/dev/full"), "a row")


def full_once(monkeypatch, name: str, at: int) -> None:
    "The disk is full at the `at`-th save of this file, and never again."
    real, seen = os.fsync, []

    def fsync(number: int) -> None:
        seen.append(1) if os.readlink(f"/proc/self/fd/{number}").endswith(name + ".tmp") else None
        if len(seen) == at and not full_once.done:
            full_once.done = True
            raise OSError(28, "No space left on device")
        real(number)

    full_once.done = False
    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    "name",
    [
        MODEL,
        STATE,
    ],
)
def test_the_model_whose_save_failed_is_saved_on_resuming(tmp_path, text, monkeypatch, hurried, name):
    data, sizes = load_data(text, max_seq=12), dict(dim=16, layers=1, heads=2, batch=8, steps=20)
    list(train(data, *recipe(**sizes), tmp_path / "b"))
    saves = 1 + sum(r.saved for r in read_log(tmp_path / "b"))  # the last of them, so that no later one hides the loss
    full_once(monkeypatch, name, saves)
    with pytest.raises(RunError, match="the disk is full"):
        list(train(data, *recipe(**sizes), tmp_path / "a"))
    list(train(data, *recipe(**sizes), tmp_path / "a", resume=True))
    assert [(r.step, r.saved) for r in read_log(tmp_path / "a")] == [
        (r.step, r.saved) for r in read_log(tmp_path / "b")
    ]
    (a, _), (b, _) = (load_tensors(tmp_path / folder / MODEL) for folder in "ab")
    assert all(torch.equal(a[name], b[name]) for name in b)


# ---- numbers and memory


def nan_at(step: int, value: float = float("nan")):
    "From this step on the loss is no number."

    def patch():
        real = training.latent_loss

        def latent_loss(*args):
            loss, terms = real(*args)
            patch.calls += 1
            return (loss * value if patch.calls > step else loss), terms

        patch.calls, training.latent_loss = 0, latent_loss

    return patch


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number(tofy, text, value):
    result = tofy("train", text, 200, *SIZES, "--out", "run", before=nan_at(60, value))
    result.says(1, "The loss became", "learning rate", "--lr")
    assert finite(text.parent / "run")
    assert all(bool(t.isfinite().all()) for n, t in load_tensors(text.parent / "run" / STATE)[0].items())
    assert tofy("train", "--resume", "--out", "run").code == 0
    debug = tofy("train", text, 200, *SIZES, "--out", "again", "--debug", before=nan_at(60, value))
    assert "Traceback" in debug.err and debug.code == 1


def test_no_number_is_no_rank():
    assert ranks(torch.full((1, 13), float("nan")), torch.tensor([5])).item() > 1


def test_weights_that_are_no_numbers_are_never_the_best_model(tofy, text):
    tofy("train", text, 10, *SIZES, "--lr", "1e38", "--out", "run").says(1, "learning rate")
    latent = load(text.parent / "run")
    assert latent.header["best"] < 1 and bool(latent.predict([4, 2, 5]).isfinite().all())


MEMORY = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 1099511627776 bytes."
)


def no_memory(name: str, at: int, error: BaseException):
    "The `at`-th call of this function, of the loop or of the training module, finds no memory."
    home = loop if hasattr(loop, name) else training

    def patch():
        real = getattr(home, name)

        def without(*args, **kwargs):
            patch.calls += 1
            if patch.calls == at:
                raise error
            return real(*args, **kwargs)

        patch.calls = 0
        setattr(home, name, without)

    return patch




@pytest.mark.parametrize(
    "error",
    [RuntimeError(MEMORY), MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("latent_loss", 30),
        ("optimizer_step", 1),
        ("rank_batches", 3),
        ("ranks", 2),
        pytest.param("latent_loss", 1),
        pytest.param("LatentModel", 1),
    ],
)
def test_out_of_memory(tofy, text, error, name, at):
    result = tofy("train", text, 60, *SIZES, "--out", "run", before=no_memory(name, at, error))
    last = result.says(1, "not enough memory").err.strip().splitlines()[-1]
    places = [last.index(option) for option in ("--batch", "--max-seq", "--dim", "--layers")]
    assert places == sorted(places)
    if at > 1:
        assert finite(text.parent / "run")
        assert tofy("train", "--resume", "--out", "run").code == 0


def limit_memory(extra: int):
    def limit():
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + extra, used + extra))

    return limit


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param(("200", "1024", "12", "1", "2"), id="in the first batch"),
        pytest.param(("1", "2048", "12", "6", "2"), id="in the model"),
        pytest.param(("1", "1536", "12", "1", "2"), id="in the first save"),
    ],
)
def test_memory_that_is_really_short(tofy, text, sizes):
    "Room for 150 MB more than the program itself needs."
    result = tofy("train", text, 60, *sizes, "--out", "run", before=limit_memory(150_000_000))
    result.says(1, "not enough memory", "--batch")


# ---- being stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_polite_kill_end_in_good_order(tofy, text, number):
    child = tofy.start("train", text, 1_000_000, *SIZES, "--out", "run")
    child.wait_for("\n300,", text.parent / "run" / LOG)
    child.kill(number)
    result = child.wait()
    assert result.code == 130 and "Traceback" not in result.err
    assert result.err.strip().splitlines()[-1] == "Stopped; go on with: tofy train --resume --out run"
    step = int(load_tensors(text.parent / "run" / STATE)[1]["step"])
    assert step >= 300 and finite(text.parent / "run")
    result = tofy("train", "--resume", "--steps", step + 10, "--out", "run")
    assert result.code == 0 and f"Going on from step {step}." in result.err
    steps = [r.step for r in read_log(text.parent / "run")]
    assert steps == sorted(set(steps)) and steps[-1] == step + 10


def test_ctrl_c_with_json_leaves_standard_output_alone(tofy, text):
    child = tofy.start("train", text, 1_000_000, *SIZES, "--out", "run", "--json")
    child.wait_for("\n200,", text.parent / "run" / LOG)
    child.kill(signal.SIGINT)
    result = child.wait()
    assert result.code == 130 and result.out == ""


def test_ctrl_c_in_a_real_process(tofy, text):
    "Nothing of the tests' own process is in this one."
    run = tofy.process("train", text, 1_000_000, *SIZES, "--out", "run")
    while not (text.parent / "run" / LOG).is_file() or "\n200," not in (text.parent / "run" / LOG).read_text():
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=HANG)
    assert run.returncode == 130 and err.strip().endswith("Stopped; go on with: tofy train --resume --out run")
    assert finite(text.parent / "run") and int(load_tensors(text.parent / "run" / STATE)[1]["step"]) >= 200


@pytest.mark.parametrize("module", ["tofy.hub.source_data", "tofy.inference.load"])
def test_ctrl_c_outside_training_is_no_traceback(tofy, trained, module):
    def interrupt():
        import importlib

        home, name = module.rsplit(".", 1)

        def raises(*args, **kwargs):
            raise KeyboardInterrupt

        setattr(importlib.import_module(home), name, raises)

    command = ["train", "text.txt", 5] if "source_data" in module else ["diff", "run", "the _ sat => cat"]
    result = tofy(*command, before=interrupt)
    assert result.code in (1, 130) and "Traceback" not in result.err


def test_a_reader_that_goes_away(tofy, text):
    "`tofy train … | head -1`"
    run = tofy.process("train", text, 400, *SIZES, "--out", "run", "--log-every", 1)
    run.stdout.readline()
    run.stdout.close()
    err = run.stderr.read()
    run.wait(HANG)
    assert "Traceback" not in err and "Exception ignored" not in err, err
    assert finite(text.parent / "run") and load_tensors(text.parent / "run" / STATE)


KILLS = 25


def test_kill_9_during_saves(tofy, text):
    "Killed at any moment of a run that does little but save: every file is whole, and none goes back."
    folder, generator, reached = text.parent / "run", torch.Generator().manual_seed(0), -1

    def busy():
        hurry(setattr)

    for number in range(KILLS):
        options = ["--resume", "--steps", 100_000] if number else [text, 100_000, *SIZES, "--eval-every", 1]
        child = tofy.start("train", *options, "--out", "run", before=busy)
        child.wait_for(f"\n{reached + 2},", folder / LOG)  # two steps have been saved, each before its line
        time.sleep(0.15 * torch.rand(1, generator=generator).item())
        child.kill()
        assert child.wait().code == -signal.SIGKILL
        model, vocab, header = load_model(folder)
        tensors, state = load_tensors(folder / STATE)
        assert all(bool(t.isfinite().all()) for t in (*model.state_dict().values(), *tensors.values()))
        assert int(state["step"]) >= reached
        reached = int(state["step"])
        assert header["step"] <= reached + 1
        steps = [r.step for r in read_log(folder)]
        assert steps == list(range(len(steps))) and reached - 1 <= steps[-1] <= reached + 1
    assert reached > KILLS
    assert tofy("train", "--resume", "--steps", reached + 3, "--out", "run").code == 0


def test_a_resumed_run_never_puts_a_worse_model_in_place_of_a_better(tmp_path, text):
    "The state is up to 15 seconds older than the best model. A run given seconds never passes the same way again."
    data, sizes = load_data(text, max_seq=12), dict(dim=16, layers=1, heads=2, batch=8, steps=200, eval_every=5)
    loop = train(data, *recipe(**sizes), tmp_path / "run")
    for record in loop:
        if record.saved and record.step >= 60:
            break
    best = load_model(tmp_path / "run")[2]["best"]
    shutil.copytree(tmp_path / "run", tmp_path / "killed")  # what a kill at this moment would have left
    loop.close()
    again = train(data, *recipe(**sizes), tmp_path / "killed", resume=True)
    for record in again:
        if record.saved and record.step > 0:
            break
    again.close()
    assert load_model(tmp_path / "killed")[2]["best"] >= best


# ---- --overwrite


def test_overwrite_replaces_a_run(tofy, trained):
    assert tofy("train", "text.txt", 4, *SIZES, "--out", "run", "--overwrite").code == 0
    assert [r.step for r in read_log(trained)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "options",
    [["--mask-rate", 2], ["--init-from", "nowhere"], ["--init-from", "run"]],
    ids=lambda o: " ".join(map(str, o)),
)
def test_overwrite_that_cannot_begin_keeps_the_old_run(tofy, trained, options):
    before = files_of(trained)
    if tofy("train", "text.txt", 4, *SIZES, "--out", "run", "--overwrite", *options).code:
        assert files_of(trained) == before


# ---- the library says the same


def test_errors_of_the_library_are_of_two_kinds(tmp_path):
    for wrong in ("", "\n\n"):
        (tmp_path / "bad.txt").write_text(wrong)
        with pytest.raises(UsageError):
            load_data(tmp_path / "bad.txt")
    with pytest.raises(UsageError, match="no folder"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match=MODEL):
        load_model(tmp_path / "there")


def test_more_words_than_the_whole_table_limit(tofy, tmp_path):
    "Shared rivals hold some of the answers themselves; with a learned temperature that once ended in NaN."
    lines = [" ".join(f"w{(7 * i + j) % 20_500}" for j in range(10)) for i in range(4100)]
    (tmp_path / "wide.txt").write_text("\n".join(lines))
    result = tofy("train", "wide.txt", 3, 64, 16, 12, 1, 2, 30_000, "--valid", 10, "--out", "run")
    assert result.code == 0, result.err
    assert len(load_model(tmp_path / "run")[1]) > 20_000
