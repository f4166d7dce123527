"""Damaged files of every kind: each reader answers, or says in one sentence what is wrong; never a traceback, never much memory."""

import json
import math
import os
import random
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import make_text

from tofy import checkpoint
from tofy.checkpoint import HELDOUT, SETTINGS, load_tensors, read_experiments, read_records, save_tensors
from tofy.crowding import load_frames
from tofy.data import load_data
from tofy.doctor import diagnose
from tofy.errors import TofyError
from tofy.inference import diff, evaluate_run, fill, load, run_baselines, run_data
from tofy.lab.decoder import DecoderConfig
from tofy.lab.lineage import read_family, tree_text
from tofy.lab.training import TextConfig, TextRecord, load_run, load_texts
from tofy.lab.training import train as train_decoder
from tofy.lab.writing import DECODER, load_decoder
from tofy.plan import read_plan
from tofy.run_folder import BASELINES, LOG, MODEL, STATE, VOCAB, load_baselines, load_model, read_log
from tofy.training import recipe, train

SIZES = dict(dim=8, layers=1, heads=2, batch=8, steps=2, max_seq=12)
SHAPE, BRIEF = DecoderConfig(dim=8, layers=1, heads=2, context=8), TextConfig(steps=2, seconds=None, sample=0, eval_tokens=40)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("damage")
    (home / "text.txt").write_text(make_text(60))
    list(train(phrases(home), *recipe(**SIZES), home / "runs" / "a"))
    run_baselines(home / "runs" / "a")
    list(train_decoder(texts(home), SHAPE, BRIEF, home / "runs" / "d"))
    frames = home / "runs" / "a" / "frames.safetensors"
    save_tensors(frames, dict(xy=torch.zeros(2, 5, 2).half(), step=torch.tensor([0, 2]), mrr=torch.zeros(2), rank=torch.ones(2)), {"made": "1"})
    return home


def phrases(home: Path):
    return load_data(home / "text.txt", max_seq=12, cache=home / "cache")


def texts(home: Path):
    return load_texts(home / "text.txt", cache=str(home / "cache"), delimiter="\n")


def go_on(home: Path) -> None:
    next(train(phrases(home), *recipe(**SIZES | dict(steps=3)), home / "runs" / "a", resume=True), None)      # None: it is finished


def decoder_goes_on(home: Path) -> None:
    config = TextConfig(steps=3, seconds=None, sample=0, eval_tokens=40)
    next(train_decoder(texts(home), SHAPE, config, home / "runs" / "d", resume=True), None)


def ask(home: Path) -> None:
    latent = load(home / "runs" / "a")
    fill(latent, "the _ sat on")
    diff(latent, "the cat _ on => sat")


def write(home: Path) -> None:
    load_decoder(home / "runs" / "d").write("the", 3)


# file → what reads it
READERS: dict[str, list[Callable[[Path], object]]] = {
    f"runs/a/{MODEL}": [ask, lambda h: evaluate_run(h / "runs/a"), lambda h: run_data(h / "runs/a"), lambda h: diagnose(h / "runs/a")],
    f"runs/a/{STATE}": [go_on, lambda h: diagnose(h / "runs/a")],
    f"runs/a/{BASELINES}": [lambda h: load_baselines(h / "runs/a", load_model(h / "runs/a")[1]), lambda h: evaluate_run(h / "runs/a")],
    f"runs/a/{VOCAB}": [ask],
    f"runs/a/{HELDOUT}": [lambda h: evaluate_run(h / "runs/a"), lambda h: diagnose(h / "runs/a")],
    f"runs/a/{LOG}": [lambda h: read_log(h / "runs/a"), lambda h: diagnose(h / "runs/a"), go_on],
    f"runs/a/{SETTINGS}": [lambda h: read_plan(h / "runs/a" / SETTINGS), lambda h: evaluate_run(h / "runs/a")],
    "runs/a/frames.safetensors": [lambda h: load_frames(h / "runs/a")],
    "runs/experiments.jsonl": [lambda h: read_experiments(h / "runs"), lambda h: diagnose(h / "runs/a")],
    f"runs/d/{DECODER}": [write, lambda h: tree_text(read_family(h / "runs")), lambda h: load_run(h / "runs/d", vouched=True)],
    "runs/d/state_decoder.safetensors": [decoder_goes_on],
    f"runs/d/{SETTINGS}": [lambda h: load_run(h / "runs/d", vouched=True)],
    "runs/d/log_decoder.csv": [lambda h: read_records(h / "runs/d", TextRecord), decoder_goes_on],
    "cache/encoded": [texts],
    "cache/about.json": [phrases],
    "cache/train-flat.npy": [phrases],
}
ODD = [None, -1, 0, 7, 10**9, 10**18, 10**400, 1.5, 1e308, math.nan, -math.inf, True, "", "x", "\0", [], [[]], {}, dict(a=1), ["a"], [-1]]


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[:draw.randrange(len(content) + 1)]


def flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 9])):
        if changed:
            changed[draw.randrange(min(len(changed), draw.choice([60, 2000, 10**9])))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def put(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    junk = draw.choice([b"\0" * 9, b"\xff\xfe", b"\n", b",", b'"', b"{", b"1e999", b"9" * 5000, b"[" * 100_000, "\u2028é".encode(), b"nan"])
    return content[:at] + junk + content[at:]


def replace(content: bytes, draw: random.Random) -> bytes:
    return draw.choice([b"", b"\0" * 64, b"[]", b"null", b"{}\n[1]\n3\n", b"\xff" * 300, struct.pack("<Q", 2**60) + b"{}", os.urandom(0) + b"PK\3\4",
                        struct.pack("<Q", 200_002) + b"[" * 100_001 + b"]" * 100_001, b"a = 1\na = 2\n", b"step\n1\n", b"[data]\nsource = 3\n"])


def rewritten(path: Path, draw: random.Random) -> None:
    "A safetensors file with a right checksum and wrong content: what a stranger, not an accident, makes."
    tensors, header = load_tensors(path)
    name = draw.choice([*header] * 2 + [*tensors])
    if name in header:
        try:
            told = json.loads(header[name])
        except ValueError:
            told = header[name]
        if isinstance(told, dict) and told and draw.random() < 0.8:
            inner = draw.choice([*told])
            told = told | {inner: draw.choice(ODD)}
        else:
            told = draw.choice(ODD)
        header[name] = draw.choice([json.dumps(told)] * 9 + ["[" * 100_000, "{", "\ud7ff"])
        if draw.random() < 0.1:
            del header[name]
    else:
        t = tensors[name]
        tensors[name] = draw.choice([
            lambda: t.to(torch.int32), lambda: t.to(torch.complex64), lambda: t > 0, lambda: t.double() * math.nan,
            lambda: t.flatten()[:0], lambda: t[None], lambda: t.float() * 1e30, lambda: -t.float().nan_to_num().long(), lambda: t.half()])()
        if draw.random() < 0.1:
            del tensors[name]
    save_tensors(path, tensors, header)


def found(home: Path, name: str) -> Path:
    if name.startswith("cache/"):
        return next(home.glob("cache/encoded-*" if name == "cache/encoded" else f"cache/*/{Path(name).name}"))
    return home / name


def attack(home: Path, scratch: Path, name: str, number: int) -> None:
    "Damage a file as the number says, and let its readers read it."
    draw = random.Random(f"{name} {number}")
    kept = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    path = found(home, name)
    if path.suffix == ".safetensors" and number % 2:
        rewritten(path, draw)
    else:
        path.write_bytes(draw.choice([cut, flip, put, replace])(path.read_bytes(), draw))
    try:
        for reader in READERS[name]:
            try:
                reader(home)
            except TofyError as error:
                assert "\n" not in str(error) and len(str(error)) < 9000, str(error)
            except BaseException as error:
                raise AssertionError(f"{name}, damage {number}: {type(error).__name__}: {error}") from error
    finally:
        for old, content in kept.items():
            if not old.is_file() or old.read_bytes() != content:
                old.parent.mkdir(parents=True, exist_ok=True)
                old.write_bytes(content)


def memory() -> int:
    "The most memory that this process ever had, in MiB."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("numbers", [range(4), pytest.param(range(4, 120), marks=pytest.mark.slow)], ids=["few", "many"])
def test_a_damaged_file_ends_in_a_sentence(home, tmp_path, monkeypatch, name, numbers):
    place, before = tmp_path / "home", memory()
    shutil.copytree(home, place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint.os, "fsync", lambda number: None)
    for number in numbers:
        attack(place, tmp_path, name, number)
    assert memory() < before + 1000
