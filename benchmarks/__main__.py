"""Train the competitors on the same phrases for the same time, several seeds each, and print what they reach.

    python -m benchmarks builtin --seconds 80
    python -m benchmarks casual.txt --valid 350 --arms tofy third bert --out casual.jsonl --plot casual.png
    python -m benchmarks casual.txt --valid 350 --arms bert --seeds 5 --set lr=0.001 dropout=0.1

The arms: tofy, our recipe; third and half, the same for that share of the time; memory, our recipe with a memory
of its training contexts, built within the time; adamw, our recipe without Muon, at the rate and in the batches that
suit AdamW; softmax, our loop with dot products and a bias as scores (tied to the table, as ours); notes, the recipe
notes; plain, a loop as one first writes it. And the strongest opponents that we know: modern, transformers'
ModernBertForMaskedLM in a plain loop; modern-muon, the same with torch's own Muon for its matrices; hybrid, the latter
with GPT-BERT's objective; bert, its BertForMaskedLM with the Trainer. These need: pip install 'tofy[bench]'

With --out, rows that are there already are not made again, and the closing table shows all of that file.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path

from .arms import ARMS
from .report import load, plot, table

def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a file, or builtin[:N]")
    parser.add_argument("--arms", nargs="+", default=["tofy", "third", "softmax", "bert", "notes", "plain"], choices=ARMS)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the seeds themselves")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; their threads should fit the cores")
    parser.add_argument("--valid", type=float, default=.05, help="share or number of phrases held out")
    parser.add_argument("--out", type=Path, help="append a JSON line a run here")
    parser.add_argument("--plot", type=Path, help="draw MRR against seconds here")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the arms")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall",
                        help="what counts as time; processor: of one thread, on a machine that does other work as well")
    parser.add_argument("--one", type=int, metavar="SEED", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    o = options()
    if o.one is not None:
        return print(json.dumps(one_run(o)))
    runs = [row for row in load(o.out) if key(row) == key_of(o)] if o.out and o.out.is_file() else []
    there = {(run["arm"], run["seed"]) for run in runs}
    plan = [(seed, arm) for seed, arm in product(o.seeds, o.arms) if (arm, seed) not in there]
    with ThreadPoolExecutor(o.jobs) as pool:                     # interleaved: a slow minute strikes all alike
        for run in pool.map(lambda pair: in_own_process(o, *pair), plan):
            runs.append(run)
            print(f"seed {run['seed']} {run['arm']:8} MRR {run['mrr']:.4f}  top-1 {run['top1']:.4f}  "
                  f"{run['examples_per_second']:6.0f} examples/s", flush=True)
            if o.out:
                o.out.parent.mkdir(parents=True, exist_ok=True)
                with o.out.open("a") as file:
                    file.write(json.dumps(run) + "\n")
    print(table(runs))
    if o.plot:
        plot(runs).figure.savefig(o.plot, dpi=120, bbox_inches="tight")


def settings_of(o: argparse.Namespace) -> dict:
    "The settings after --set."
    return {name: json.loads(value) for name, value in (s.split("=") for s in o.set)}


def key(row: dict) -> tuple:
    "What runs have in common that belong in one table."
    return row["data"], row["budget"], row["threads"], row["settings"]


def key_of(o: argparse.Namespace) -> tuple:
    return Path(o.data).name, o.seconds, o.threads, settings_of(o)


def in_own_process(o: argparse.Namespace, seed: int, arm: str) -> dict:
    "One run in a process of its own, so that none leaves memory or threads to the next."
    command = [sys.executable, "-m", "benchmarks", o.data, "--arms", arm, "--seconds", str(o.seconds), "--threads",
               str(o.threads), "--valid", str(o.valid), "--clock", o.clock, "--one", str(seed), "--set", *o.set]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": str(o.threads)})
    if result.returncode:
        raise SystemExit(f"{arm} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def one_run(o: argparse.Namespace) -> dict:
    "Train one arm in this process."
    import torch

    from tofy.data import load_data
    from tofy.masking import all_blanks
    from tofy.metrics import Bigram, baseline_scorers, judge, measure_baselines
    torch.set_num_threads(o.threads)
    if o.clock == "processor":
        time.perf_counter = time.process_time
    data, arm = load_data(o.data, valid=o.valid), ARMS[o.arms[0]]
    settings = settings_of(o)
    blanks, few, curve, last = all_blanks(data.valid, 6000), all_blanks(data.valid, 1500), [], []

    def report(seconds: float, examples: int, scorer) -> None:
        last[:] = [scorer]
        curve.append((round(seconds, 2), examples, round(judge(scorer, data.valid, few, len(data.vocab))["mrr"], 4)))

    known = baseline_scorers(data.vocab, Bigram.count(data.train, len(data.vocab)))
    lines = measure_baselines(known, data.valid, blanks, len(data.vocab), str(o.data))
    rate = matmul_rate()
    arm(data, o.seconds, o.one, report, **settings)
    figures = judge(last[0], data.valid, blanks, len(data.vocab))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, examples, _ = curve[-1]
    return dict(arm=o.arms[0], seed=o.one, data=Path(o.data).name, budget=o.seconds, settings=settings, threads=o.threads, clock=o.clock,
                phrases=len(data.train), heldout=len(data.valid), blanks=len(blanks.rows), vocab=len(data.vocab), **figures,
                examples_per_second=examples / seconds, peak_mb=round(memory), matmul_gflops=rate / 1e9,
                flops_per_example=flops(arm, data, o.one, settings), machine=machine(), date=str(date.today()), curve=curve,
                baselines={name: {k: line[k] for k in ("mrr", "top1")} for name, line in lines.items()})


def matmul_rate() -> float:
    "The most floating-point operations a second that a matrix product of 1,024 × 1,024 gets here."
    import torch
    a, best = torch.randn(1024, 1024), 0.
    for _ in range(8):
        began = time.perf_counter()
        a @ a
        best = max(best, 2 * 1024**3 / (time.perf_counter() - began))
    return best


def flops(arm, data, seed: int, settings: dict) -> float:
    "Operations of the matrix products in training, an example: counted over two seconds, with one phrase held out."
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    seen, few = [], replace(data, valid=data.valid.take(torch.arange(1)))
    with FlopCounterMode(display=False) as counter:
        arm(few, 2., seed, lambda seconds, examples, scorer: seen.append(examples), **settings)
    return counter.get_total_flops() / seen[-1]


def machine() -> str:
    "Processor and versions."
    import torch
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.is_file() else []
    return f"{names[0] if names else platform.machine()}, Python {platform.python_version()}, PyTorch {torch.__version__}"


if __name__ == "__main__":
    main()
