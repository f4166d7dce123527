"""Make the ready-made runs under tofy/runs again: small models in half precision, to be opened without training.

usage: python tools/ready_runs.py [healthy notes crowded collapsed]        (default: all four; some five minutes)

The third model of the live page is made by `python -m tools.everyday --train`.
"""
import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from tofy.checkpoint import load_tensors, save_tensors
from tofy.crowding import frames, save_frames
from tofy.hub import load_source
from tofy.inference import READY, run_baselines
from tofy.run_folder import MODEL, STATE, save_model
from tofy.training import open_run, recipe

RUNS = {   # name → source, recipe, settings, steps between two frames
    "healthy": ("builtin", "tofy", dict(steps=2400, dim=96), 100),
    "notes": ("builtin", "notes", dict(steps=2500, dim=96, layers=2, heads=4, eval_every=250), 100),
    "crowded": ("builtin:3700:2000", "tofy", dict(steps=1200, dim=12, heads=2), 50),
    "collapsed": ("builtin", "tofy", dict(steps=600, dim=64, heads=2, mse_weight=1., rank_weight=0., lr=1e-2, dropout=0.), 25)}


def make(name: str) -> None:
    "Train one run, keep maps of its table on the way, and store its weights in half precision."
    source, which, settings, every = RUNS[name]
    data, folder = load_source(source), Path(tempfile.mkdtemp()) / name
    run = open_run(data, *recipe(which, threads=1, log_every=every, **settings), folder)
    save_frames(folder, list(frames(run, every)))
    if name == "collapsed":                                      # not the best model, which is an early one, but the last
        save_model(folder, run.model, data.vocab, run.about | dict(step=run.step))
    run_baselines(folder, data)
    print(f"{name}: held-out MRR {run.best:.3f}, {keep(folder, READY / name) / 1e6:.2f} MB")


def keep(folder: Path, place: Path) -> int:
    "Copy a run to the place where it is kept, its weights in half precision and without what only resuming needs; its bytes."
    tensors, texts = load_tensors(folder / MODEL)
    header = {name: text for name, text in texts.items() if name not in ("text", "heldout_sha256")}   # everybody has the text
    half = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    save_tensors(folder / MODEL, half, header)
    (folder / STATE).unlink()
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns(".lock*"))
    return sum(file.stat().st_size for file in place.iterdir())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(RUNS), metavar="NAME")
    torch.set_num_threads(1)
    for name in parser.parse_args().names:
        make(name)
