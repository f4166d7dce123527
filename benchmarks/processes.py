"""What several processes cost, and what a text of any length takes in memory: the figures behind chapter 8a's calculator.

    python -m benchmarks.processes                     1, 2 and 4 processes of this machine, over gloo
    python -m benchmarks.processes --memory 1000000 4000000
    python -m benchmarks.processes --show

Rows are appended to results/processes.jsonl; those that are there are not made again. A time is the least of many
repetitions, so that other work on the machine disturbs little.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from benchmarks.jepa import rows
from benchmarks.scaling import ROOT, OwnMemory

RESULTS = Path(__file__).parent / "results" / "processes.jsonl"
NUMBERS = tuple(4**k for k in range(5, 13))   # in a message: 1,024 to 16.8 million


def reductions(world: int) -> Iterator[dict]:
    "Seconds to sum tensors of several sizes over all processes."
    import torch

    from tofy.processes import all_reduce
    for n in NUMBERS:
        values, best = torch.ones(n), float("inf")
        for _ in range(30 if n < 10**6 else 8):
            all_reduce(torch.ones(1))                      # all begin together
            began = time.perf_counter()
            all_reduce(values)
            best = min(best, time.perf_counter() - began)
        yield dict(kind="reduce", processes=world, bytes=4 * n, seconds=round(best, 7))


def steps(world: int) -> Iterator[dict]:
    "Seconds of a training step with 1,024 tokens a process, with and without the gradients' average."
    from contextlib import nullcontext

    import torch

    from tofy.data import load_data
    from tofy.processes import all_reduce
    from tofy.training import new_run, recipe, suited_batch
    torch.set_num_threads(1)
    data = load_data("builtin")
    from tofy import loop
    for share in (True, False):
        settings = recipe(steps=10**6, batch=world * suited_batch(data.train, 1024), threads=1)
        run, best = new_run(data, *settings), float("inf")
        loop.join_processes(run)
        for _ in range(60):
            all_reduce(torch.ones(1))
            began = time.perf_counter()
            with nullcontext() if share or world == 1 else run.wrapped.no_sync():
                loop.training_step(run, False)
            best = min(best, time.perf_counter() - began)
            run.step += 1
        yield dict(kind="step" if share else "step alone", processes=world, seconds=round(best, 6),
                   parameters=sum(p.numel() for p in run.model.parameters() if p.requires_grad), batch=run.config.batch)


def measure() -> None:
    "In each process that torchrun started: print a row each."
    from tofy.processes import group, process_rank, world_size
    with group():
        for row in (*reductions(world_size()), *steps(world_size())):
            if process_rank() == 0:
                print(json.dumps(row), flush=True)


def in_processes(world: int) -> list[dict]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(world), "-m",
               "benchmarks.processes", "--measure"]
    env = os.environ | dict(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def write_phrases(path: Path, n: int, seed: int = 0) -> None:
    "n phrases of three words, drawn from a thousand."
    draw, words = random.Random(seed), [f"w{i}" for i in range(1000)]
    with path.open("w") as file:
        for _ in range(n):
            file.write(" ".join(draw.choices(words, k=3)) + "\n")


def memory_once(text: str, cache: str) -> dict:
    "Read or open a text and train for some steps, in this process: its own memory above the start, in MB."
    import torch

    from tofy.data import load_data
    from tofy.training import recipe, train
    torch.set_num_threads(1)
    small = dict(dim=64, layers=1, heads=2, eval_queries=500, threads=1)
    list(train(load_data("builtin:300"), *recipe(steps=5, **small)))
    own, began = OwnMemory(), time.process_time()
    data = load_data(text, max_vocab=1100, cache=cache, valid=10_000)
    read = time.process_time() - began
    list(train(data, *recipe(steps=50, eval_every=50, **small)))
    return dict(phrases=len(data.train), read_seconds=round(read, 1), own_MB=round(own.most - own.first, 1))


def memory(n: int) -> Iterator[dict]:
    "Two starts in processes of their own: one makes the cache, one opens it."
    with tempfile.TemporaryDirectory() as folder:
        write_phrases(text := Path(folder) / "text.txt", n)
        for way in ("made", "opened"):
            command = [sys.executable, "-m", "benchmarks.processes", "--once", str(text), str(Path(folder) / "cache")]
            env = os.environ | dict(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
            size = sum(path.stat().st_size for path in (Path(folder) / "cache").glob("*/*"))
            yield dict(kind="memory", lines=n, way=way, cache_bytes=size, **json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--memory", type=int, nargs="*", default=[], metavar="LINES")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--once", nargs=2, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.measure:
        return measure()
    if o.once:
        print(json.dumps(memory_once(*o.once)))
        return
    there = rows(o.out)
    known = {(row["kind"], row.get("processes", row.get("lines"))) for row in there}
    plans = [] if o.show else [lambda n=n: memory(n) for n in o.memory if ("memory", n) not in known]
    plans += [] if o.show or o.memory else [lambda w=w: in_processes(w) for w in o.processes if ("reduce", w) not in known]
    for plan in plans:
        with o.out.open("a", encoding="utf-8") as file:
            for row in plan():
                file.write(json.dumps(row | dict(date=str(date.today()))) + "\n")
                file.flush()
    for row in rows(o.out):
        print(row)


if __name__ == "__main__":
    main()
