"""Reports of a run: what TensorBoard and Weights & Biases read of it, and that whoever is told changes nothing."""

import json
import math
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import make_text

from tofy import checkpoint as store
from tofy.data import load_data
from tofy.errors import UsageError
from tofy.lab import training as lab
from tofy.lab.decoder import DecoderConfig
from tofy.lab.writing import load_decoder
from tofy.reporting import Reporter, find, label, reported, table_in
from tofy.run_folder import load_model, read_log
from tofy.training import fit, recipe, train

SIZES = dict(batch=8, steps=20, log_every=5, eval_every=10, lr=.005, threads=1)
SMALL = DecoderConfig(dim=16, layers=1, heads=2, context=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(make_text())
    return load_data(path, max_seq=12)


def small(**changes):
    return recipe(**SIZES | dict(dim=16, layers=1, heads=2) | changes)


class Notes(Reporter):
    "Notes what it is told."

    def __init__(self):
        self.said, self.figures = [], []

    def begin(self, name, folder, settings, step):
        self.said.append(("begin", name, step, settings.get("dim")))

    def line(self, step, figures, texts):
        self.said.append(("line", step))
        self.figures.append((figures, texts))

    def end(self, table):
        self.said.append(("end", table and (tuple(table[0].shape), len(table[1]))))


def events(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()


def scalars(folder, name):
    return {e.step: e.value for e in events(folder).Scalars(name)}


def test_nobody_told_is_nothing_done(data):
    records = train(data, *small(steps=1))
    assert reported(records) is records and reported(records, []) is records
    records.close()
    with pytest.raises(UsageError, match="choose tensorboard or wandb, or give a Reporter"):
        reported(records, "abacus")


def test_both_loops_tell_their_lines(data, tmp_path):
    latent, decoder = Notes(), Notes()
    fit(data, *small(), tmp_path / "latent", quiet=True, report_to=latent)
    texts = lab.load_texts("builtin:60")
    config = lab.TextConfig(**SIZES | dict(seconds=None, sample=5, eval_tokens=200))
    lab.fit(texts, SMALL, config, tmp_path / "decoder", quiet=True, report_to=[decoder])
    lines = [("line", step) for step in (0, 5, 10, 15, 20)]
    assert latent.said == [("begin", "latent", 0, 16), *lines, ("end", ((len(data.vocab), 16), len(data.vocab)))]
    size = len(texts.tokenizer)
    assert decoder.said == [("begin", "decoder", 0, 16), *lines, ("end", ((size, 16), size))]
    assert "sample" in decoder.figures[2][1] and not decoder.figures[1][1]
    assert all(math.isfinite(value) for figures, _ in latent.figures + decoder.figures for value in figures.values())
    assert latent.figures[2][0]["valid_mrr"] == pytest.approx(read_log(tmp_path / "latent")[2].valid_mrr, rel=1e-5)


def test_who_is_told_changes_nothing(data, tmp_path):
    for name, told in (("alone", ()), ("told", Notes())):
        fit(data, *small(), tmp_path / name, quiet=True, report_to=told)
    one, other = (load_model(tmp_path / name)[0].state_dict() for name in ("alone", "told"))
    assert all(torch.equal(t, other[name]) for name, t in one.items())


def test_the_end_is_told_whatever_ended_it(data, tmp_path):
    class Full(Notes):
        def line(self, step, figures, texts):
            super().line(step, figures, texts)
            if step == 10:
                raise OSError("the disk of the reporter is full")

    full = Full()
    with pytest.raises(OSError, match="of the reporter"):
        fit(data, *small(), tmp_path / "run", quiet=True, report_to=full)
    assert full.said[-1][0] == "end" and store.read_experiments(tmp_path)[-1]["step"] == 10
    stopped = Notes()
    records = reported(train(data, *small(), tmp_path / "stopped"), stopped, tmp_path / "stopped")
    while next(records).step < 5:
        pass
    records.close()
    assert stopped.said[-1][0] == "end" and store.read_experiments(tmp_path)[-1]["outcome"] == "stopped"
    assert not (tmp_path / "stopped" / ".lock").exists()


def test_tensorboard_reads_what_we_wrote(data, tmp_path):
    folder = tmp_path / "run"
    fit(data, *small(), folder, quiet=True, report_to="tensorboard")
    log = read_log(folder)
    for name, column in {"train/loss": "loss", "valid/mrr": "valid_mrr", "run/lr": "lr", "run/epoch": "epoch"}.items():
        expected = {r.step: getattr(r, column) for r in store.measured(log, column)}
        found = scalars(folder, name)
        assert found.keys() == expected.keys()
        assert all(found[step] == pytest.approx(value, rel=1e-4, abs=1e-7) for step, value in expected.items())
    words, = (folder / "tensorboard").rglob("metadata.tsv")
    rows, = (folder / "tensorboard").rglob("tensors.tsv")
    model, vocab, _ = load_model(folder)
    assert words.read_text(encoding="utf-8").splitlines() == [label(word) for word in vocab.words]
    first = [float(x) for x in rows.read_text().splitlines()[3].split("\t")]
    assert first == pytest.approx(model.table[3].tolist(), abs=1e-5)
    assert (folder / "tensorboard" / "projector_config.pbtxt").is_file()


def test_tensorboard_of_a_run_that_goes_on_and_of_one_that_begins_again(data, tmp_path):
    folder = tmp_path / "run"
    fit(data, *small(), folder, quiet=True, report_to="tensorboard")
    fit(data, *small(steps=30), folder, resume=True, quiet=True, report_to="tensorboard")
    assert list(scalars(folder, "train/loss")) == [0, 5, 10, 15, 20, 25, 30]
    fit(data, *small(steps=10), folder, overwrite=True, quiet=True, report_to="tensorboard")
    assert list(scalars(folder, "train/loss")) == [0, 5, 10]
    assert len(list((folder / "tensorboard").rglob("metadata.tsv"))) == 1


def test_tensorboard_shows_what_a_decoder_writes(tmp_path):
    config = lab.TextConfig(**SIZES | dict(seconds=None, sample=5, eval_tokens=200))
    lab.fit(lab.load_texts("builtin:60"), SMALL, config, tmp_path / "run", quiet=True, report_to="tensorboard")
    found = events(tmp_path / "run")
    log = store.read_records(tmp_path / "run", lab.TextRecord)
    assert {e.step: e.value for e in found.Scalars("valid/loss")}[20] == pytest.approx(log[-1].valid_loss, rel=1e-4)
    samples = found.Tensors("sample/text_summary")
    assert [e.step for e in samples] == [0, 10, 20]
    written = [json.loads(line)["text"] for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    said = samples[-1].tensor_proto.string_val[0].decode()
    assert "".join(said.split()) == "".join(written[-1].split())
    assert any("dim" in e.tensor_proto.string_val[0].decode() for e in found.Tensors("settings/text_summary"))


def test_the_words_of_a_decoders_table(tmp_path):
    config = lab.TextConfig(**SIZES | dict(seconds=None, sample=0, steps=1))
    lab.fit(lab.load_texts("builtin:60", "bpe", vocab_size=300), SMALL, config, tmp_path / "run", quiet=True)
    writer, (rows, words) = load_decoder(tmp_path / "run"), table_in(tmp_path / "run")
    assert tuple(words) == tuple(writer.tokenizer.words)
    assert torch.equal(rows, writer.model.embedding.weight)


def test_labels_are_single_lines():
    words = ["cat", " a", "\n", "\t", "", "\r", "\x1b[1m"]
    assert all(word and not set(word) & set("\n\r\t\x1b") for word in map(label, words)) and len(set(map(label, words))) == 7


def test_without_the_package_a_sentence(monkeypatch):
    import sys
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard" or name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match=r'tensorboard is not installed; it comes with: pip install "tofy\[tensorboard\]"'):
        find("tensorboard")


def test_from_the_command_line(tofy, tmp_path, text):
    pytest.importorskip("tensorboard")
    options = ["--dim", 16, "--layers", 1, "--heads", 2, "--threads", 1, "--log-every", 5]
    assert tofy("train", "text.txt", *options, "--steps", 10, "--out", "a", "--tensorboard").code == 0
    assert tofy("train", "--resume", "--steps", 15, "--out", "a").code == 0
    assert list(scalars(tmp_path / "a", "train/loss")) == [r.step for r in read_log(tmp_path / "a")]
    lab_options = ["builtin:60", *options, "--context", 16, "--batch", 4, "--steps", 5, "--out", "b"]
    assert tofy("lab", "train", *lab_options, "--tensorboard").code == 0
    assert list(scalars(tmp_path / "b", "valid/perplexity"))[-1] == 5
    tofy("lab", "train", *lab_options, "--overwrite", "--report-to", "abacus").says(2, "no reporter 'abacus'")


def test_weights_and_biases_offline(data, tmp_path, monkeypatch):
    "With the real package, where it is installed; nothing leaves the machine."
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run"
    fit(data, *small(), folder, quiet=True, report_to="wandb")
    kept, = folder.glob("wandb/offline-run-*/*.wandb")
    content = kept.read_bytes()
    assert b"valid/mrr" in content and b"train/loss" in content


def recipe_in_the_chapter(word):
    "The code block of chapter 8e that names the word, as it is printed."
    chapter = json.loads((Path(__file__).parents[1] / "nbs" / "08e_reporting.ipynb").read_text(encoding="utf-8"))
    blocks = [block for cell in chapter["cells"] if cell["cell_type"] == "markdown"
              for block in re.findall(r"```python\n(.*?)```", "".join(cell["source"]), re.S)]
    return next(block for block in blocks if word in block)


@pytest.mark.parametrize("real", [False, True], ids=["stand-in", "mlflow"])
def test_the_recipe_for_mlflow_begins_and_ends_each_run(data, tmp_path, monkeypatch, real):
    told = []
    if real:
        mlflow = pytest.importorskip("mlflow")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    else:
        stand_in = SimpleNamespace(
            start_run=lambda run_name: told.append(run_name), log_params=lambda settings: told.append(settings["dim"]),
            log_metrics=lambda figures, step: told.append((step, "loss" in figures)), end_run=lambda: told.append("end"))
        monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    exec(recipe_in_the_chapter("mlflow"), space := {})
    for name in ("one", "two"):
        fit(data, *small(), tmp_path / name, quiet=True, report_to=space["MLflow"]())
    if not real:
        lines = [(step, True) for step in (0, 5, 10, 15, 20)]
        assert told == ["one", 16, *lines, "end", "two", 16, *lines, "end"]
        return
    client = mlflow.MlflowClient()
    for run in client.search_runs(["0"]):
        assert run.info.run_name in ("one", "two") and run.info.status == "FINISHED" and run.data.params["dim"] == "16"
        logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "loss")}
        assert logged == pytest.approx({r.step: r.loss for r in read_log(tmp_path / run.info.run_name)}, rel=1e-4)


def test_the_recipe_for_trackio_reads_back_what_was_logged(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("trackio")
    exec(recipe_in_the_chapter("trackio"), space := {})
    fit(data, *small(), tmp_path / "run", quiet=True, report_to=space["Trackio"]())
    with closing(sqlite3.connect(tmp_path / "trackio" / "tofy.db")) as database:
        rows = database.execute("select step, metrics from metrics where run_name = 'run' order by step").fetchall()
    logged = {step: json.loads(told)["train/loss"] for step, told in rows}
    assert logged == pytest.approx({r.step: r.loss for r in read_log(tmp_path / "run")}, rel=1e-4)
