"The prefix study: what is foretold of a decoder's step holds, and the page's commands run as they are printed."

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import sayings
from tofy.encoder import count_parameters
from tofy.lab import study
from tofy.lab.decoder import PRESETS, Decoder, DecoderConfig, preset
from tofy.lab.study import forecast_table, foretell, step_memory, step_operations, step_seconds
from tofy.lab.training import TextConfig, TextData, new_run
from tofy.loop import optimizer_step

ROOT = Path(__file__).parents[1]
SHAPES = [dict(), dict(dropout=.1), dict(layers=6, vocab_size=100), dict(kv_heads=1), dict(vocab_size=2000),
          dict(positions="none", head_width=8)]


def peak_beyond_weights(shape, config):
    "Bytes at the peak of a step, without weights and moments, by torch's profiler."
    ids = torch.randint(shape.vocab_size, (8 * shape.context * config.batch,))
    run = new_run(TextData(range(shape.vocab_size), ids, ids[:0], 0, [], "", dict(source="-")), shape, config)

    def step():
        optimizer_step(run, run.batch_loss(run.next_batch(), False)[0], 1e-3)

    step()                                                              # makes the moments
    run.optimizer.zero_grad()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
        step()
    return profiler


def bytes_in(profiler, folder):
    profiler.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text(errors="replace"))["traceEvents"]
    changes = sorted((e["ts"], i, e["args"]["Bytes"]) for i, e in enumerate(events) if e.get("name") == "[memory]")
    return max(itertools.accumulate(size for *_, size in changes))


@pytest.mark.parametrize("changes", SHAPES, ids=str)
@pytest.mark.parametrize("how", [dict(), dict(recompute=True), dict(optimizer="adamw")], ids=str)
def test_memory_is_what_the_profiler_finds(tmp_path, changes, how):
    shape = DecoderConfig(**dict(vocab_size=300, dim=64, layers=2, heads=4, context=64) | changes)
    config = TextConfig(batch=4, **how)
    found = bytes_in(peak_beyond_weights(shape, config), tmp_path)
    told = step_memory(shape, config)
    assert .8 < (told["activations"] + told["workspace"]) / found < 1.2
    assert told["weights"] == 4 * count_parameters(Decoder(shape))
    run = new_run(TextData(range(shape.vocab_size), torch.arange(99), torch.arange(0), 0, [], "", dict(source="-")), shape, config)
    run.batch_loss(run.next_batch(), False)[0].backward()
    run.optimizer.step()
    moments = sum(t.nbytes for state in run.optimizer.state.values() for t in state.values() if t.dim())
    assert told["moments"] == moments


def test_a_trial_is_scaled_by_operations(monkeypatch):
    "By a clock on which each step takes as long as its operations at a thousand million a second."
    clock, real, shape = [0.], study.run_steps, DecoderConfig(vocab_size=60, dim=16, layers=5, heads=2, context=8)
    asked = []

    def steps(run):
        asked.append((run.model.config.layers, run.config.batch))
        for record in real(run):
            clock[0] += step_operations(run.model.config, run.config) / 1e9
            yield record

    monkeypatch.setattr(study, "run_steps", steps)
    monkeypatch.setattr(study.time, "perf_counter", lambda: clock[0])
    config = TextConfig(batch=32, accumulate=2)
    assert step_seconds(shape, config, 0.) == pytest.approx(step_operations(shape, config) / 1e9)
    assert asked == [(2, 1)]


def test_the_presets_of_the_study():
    rows = {row["name"]: row for row in foretell({n: preset(n, vocab_size=8192) for n in PRESETS}, TextConfig(batch=32), 0)}
    assert rows["small"]["parameters"] == 8192 * 384 + 8 * (12 * 384**2 + 13 * 384) + 2 * 384
    assert all(row["step_seconds"] is None for row in rows.values())
    assert rows["large"]["memory"] > rows["medium"]["memory"] > rows["small"]["memory"] > 5e9
    assert "17,342,208" in forecast_table(list(rows.values()))


def test_size_foretells_decoders_at_the_command_line(tofy):
    rows = tofy("size", "--decoder", "--probe", 0, "--dim", 96, "--layers", 3, "--max-seq", 16, "--max-vocab", 50, "--json").json
    assert [row["name"] for row in rows["decoders"]] == [*PRESETS, "yours"]
    yours = rows["decoders"][-1]
    assert (yours["dim"], yours["context"], yours["vocab_size"], yours["batch"]) == (96, 16, 50, 32)
    tofy("size", "my.txt", "--decoder", "--steps", 5).says(2, "so data, steps cannot be given")
    assert "step" in tofy("size", "--decoder", "--help").out


def test_the_sayings_are_counted_right(tmp_path):
    "By hand: rows of one text, the third seed missing for one kind; and each run is planned once."
    row = dict(text="words", positions="rotary", heads=4, steps=500, floor=1., unigram=2.)
    rows = [row | dict(seed=seed, loss=2 - seed / 10) for seed in range(4)] + [row | dict(steps=2000, seed=0, loss=1.5)]
    rows += [row | dict(positions="none", seed=seed, loss=1 + seed) for seed in (0, 1)]
    assert sayings.median_of(rows, positions="rotary", steps=500) == (1.9, [2., 1.9, 1.8])
    assert sayings.median_of(rows, positions="none", steps=500) is None
    (worst, best, whole), = sayings.starts(rows, "words")
    assert (worst, round(best, 9), whole) == (2., 1.7, 1.5)
    told = sayings.tables(rows)
    assert "positions rotary     500 steps: median 1.900" in told and "positions none       500 steps: not run" in told
    assert len(plan := sayings.plan()) == len(set(plan)) and ("words", "none", 4, 5000, 2) in plan


def test_a_saying_is_one_run(monkeypatch):
    data = sayings.texts_of("words", 60)
    found = sayings.one_run(data, "words", "none", 2, 3, 1)
    assert {name: found[name] for name in sayings.KEY} == dict(text="words", positions="none", heads=2, steps=3, seed=1)
    assert found == sayings.one_run(data, "words", "none", 2, 3, 1) | dict(seconds=found["seconds"])
    assert all(set(sayings.KEY) <= row.keys() for row in sayings.load())


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_they_are_printed(tmp_path):
    page = json.loads((ROOT / "nbs" / "lab" / "04b_prefix_study.ipynb").read_text(encoding="utf-8"))
    blocks = [block for cell in page["cells"] if cell["cell_type"] == "markdown"
              for block in re.findall(r"```sh\n(.*?)```", "".join(cell["source"]), re.S)]
    assert len(blocks) == 3
    (tmp_path / "tofy").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tofy "$@"\n')
    (tmp_path / "tofy").chmod(0o755)
    home = os.environ | dict(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}", PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    for block in blocks:
        done = subprocess.run(["bash", "-e", "-c", block], cwd=tmp_path, env=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    told = [json.loads(subprocess.run(["tofy", "lab", "loss", f"runs/{name}", "--limit", "200", "--json"], cwd=tmp_path,
                                      env=home, capture_output=True, text=True).stdout)["loss"] for name in ("windows", "prefixes")]
    assert told[0] < told[1] - .2                                       # what the page says
