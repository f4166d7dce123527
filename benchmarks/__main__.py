"""Train the competitors on the same phrases for the same time, several seeds each, and print what they reach.

    python -m benchmarks builtin --seconds 100 --seeds 3 --out results/builtin.jsonl
    python -m benchmarks casual.txt --valid 350 --arms tofy bert
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

from .arms import ARMS

def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a file, or builtin[:N]")
    parser.add_argument("--arms", nargs="+", default=["tofy", "softmax", "bert", "notes"], choices=ARMS)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--valid", type=float, default=.05, help="share or number of phrases held out")
    parser.add_argument("--out", type=Path, help="append a JSON line a run here")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the arm")
    parser.add_argument("--one", type=int, metavar="SEED", help=argparse.SUPPRESS)
    return parser.parse_args()


def one_run(o: argparse.Namespace) -> dict:
    "Train one arm in this process."
    import torch

    from tofy.data import load_data
    from tofy.masking import all_blanks
    from tofy.metrics import judge
    torch.set_num_threads(o.threads)
    data = load_data(o.data, valid=o.valid)
    blanks, curve = all_blanks(data.valid, 6000), []
    settings = {k: json.loads(v) for k, v in (s.split("=") for s in o.set)}
    for seconds, examples, scorer in ARMS[o.arms[0]](data, seconds=o.seconds, seed=o.one, **settings):
        figures = judge(scorer, data.valid, blanks, len(data.vocab))
        curve.append((round(seconds, 2), examples, round(figures["mrr"], 4)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(arm=o.arms[0], seed=o.one, data=o.data, settings=settings, threads=o.threads, phrases=len(data.train),
                vocab=len(data.vocab), **figures, seconds=seconds, examples_per_second=examples / seconds,
                peak_mb=round(memory), curve=curve)


def main() -> None:
    o = options()
    if o.one is not None:
        return print(json.dumps(one_run(o)))
    runs = []
    for seed in range(o.seeds):                                  # interleaved: a slow minute strikes all alike
        for arm in o.arms:
            command = [sys.executable, "-m", "benchmarks", o.data, "--arms", arm, "--seconds", str(o.seconds),
                       "--threads", str(o.threads), "--valid", str(o.valid), "--one", str(seed), "--set", *o.set]
            began = time.perf_counter()
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                sys.exit(f"{arm} failed:\n{result.stderr}")
            runs.append(json.loads(result.stdout.splitlines()[-1]))
            if o.out:
                o.out.parent.mkdir(parents=True, exist_ok=True)
                with o.out.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
            print(f"seed {seed} {arm:8} MRR {runs[-1]['mrr']:.4f}  top-1 {runs[-1]['top1']:.4f}  "
                  f"{runs[-1]['examples_per_second']:6.0f} examples/s  {time.perf_counter() - began:.0f} s", flush=True)
    print(table(runs))


def table(runs: list[dict]) -> str:
    "Means and standard deviations over seeds; and the seconds until the peer's last MRR was reached."
    arms = list(dict.fromkeys(r["arm"] for r in runs))
    peer = mean(r["mrr"] for r in runs if r["arm"] == "bert") if "bert" in arms else math.inf
    lines = [f"{'arm':9}{'MRR':>16}{'top-1':>16}{'examples/s':>12}{'peak MB':>9}{'s to peer':>10}"]
    for arm in arms:
        mine = [r for r in runs if r["arm"] == arm]
        reached = [next((s for s, _, mrr in r["curve"] if mrr >= peer), None) for r in mine]
        lines.append(f"{arm:9}{spread(mine, 'mrr'):>16}{spread(mine, 'top1'):>16}"
                     f"{mean(r['examples_per_second'] for r in mine):12.0f}{max(r['peak_mb'] for r in mine):9}"
                     + (f"{mean(reached):10.0f}" if all(reached) else f"{'-':>10}"))
    return "\n".join(lines)


def spread(runs: list[dict], key: str) -> str:
    values = [run[key] for run in runs]
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
