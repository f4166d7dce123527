"""How time and memory grow with the text, from ten thousand phrases to a million.

usage: python -m benchmarks.scaling [--sizes 10000,100000,1000000] [--repeat 3] [--steps 200] [--text FILE] [--json]

Each measurement is a process of its own, on one thread; times are processor time, the least of the repetitions.
The text is the built-in corpus's, or the first lines of FILE. Three ways to read it: into memory; with a cache that is
made; with a cache that is there.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("memory", "cache made", "cache opened")
SIZES = (10_000, 100_000, 1_000_000)


def peak_mb() -> float:
    "The most memory this process has held, in MB, mapped files included (ru_maxrss is in KiB on Linux, else bytes)."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1024 if sys.platform == "linux" else 1) / 1e6


class OwnMemory(threading.Thread):
    "Watches the memory that is this process's own: not backed by a file, so the system cannot take it back (Linux)."
    def __init__(self):
        super().__init__(daemon=True)
        self.most = self.first = self.now()
        self.start()

    def now(self) -> float:
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.is_file() else []
        return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon")), float("nan"))

    def run(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            time.sleep(.005)


def measure(text: str, cache: str | None, steps: int, memory: bool) -> dict:
    "Read the text, train for some steps, and say what it took; in this process."
    import torch

    from tofy.data import load_data
    from tofy.training import recipe, train
    torch.set_num_threads(1)
    small = dict(dim=64, layers=1, heads=2, eval_queries=500, threads=1)        # what data cost shows beside it
    list(train(load_data("builtin:300"), *recipe(steps=5, **small)))            # whatever is only imported once
    settings = recipe(steps=20 if memory else steps, eval_every=steps, **small)
    own = OwnMemory() if memory else None
    began = time.process_time()
    data = load_data(text, max_vocab=1000, cache=cache)                         # the same table at every size
    read = time.process_time()
    examples = [record.examples for record in train(data, *settings)][-1]
    trained = time.process_time()
    found = dict(phrases=len(data.train) + len(data.valid), words=len(data.vocab), rows=data.report["rows"],
                 tokens=len(data.train.flat), load=read - began, train=trained - read, examples=examples)
    return found | (dict(peak=peak_mb(), own=own.most - own.first) if own else {})


def in_child(text: Path, cache: Path | None, steps: int, memory: bool) -> dict:
    "`measure` in a fresh process."
    command = [sys.executable, "-m", "benchmarks.scaling", "--measure", json.dumps(
        [str(text), cache and str(cache), steps, memory])]
    env = os.environ | dict(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def first_lines(source: Path | None, n: int, target: Path) -> Path:
    "A file of the first `n` phrases of a file, or of the built-in corpus."
    from tofy.corpus import lines
    with target.open("w", encoding="utf-8") as out:
        if source is None:
            out.writelines(line + "\n" for line in lines(n))
        else:
            with source.open(encoding="utf-8") as file:
                out.writelines(islice(file, n))
    return target


def measurements(source: Path | None, sizes: tuple[int, ...], repeat: int, steps: int) -> Iterator[dict]:
    "A row for every size and way: microseconds a line read, microseconds an example trained on, memory in MB."
    with tempfile.TemporaryDirectory() as folder:
        home, found = Path(folder), {}
        full = first_lines(source, max(sizes), home / "full.txt")
        texts = {n: first_lines(full, n, home / f"{n}.txt") for n in sizes}
        for turn in range(repeat + 1):                                          # the last turn is for memory
            for n in sizes:
                for way in WAYS:
                    cache = None if way == "memory" else home / f"cache-{turn}-{n}"
                    found.setdefault((n, way), []).append(in_child(texts[n], cache, steps, turn == repeat))
        for (_, way), runs in found.items():
            *timed, weighed = runs
            load, train = min(run["load"] for run in timed), min(run["train"] / run["examples"] for run in timed)
            yield dict(lines=weighed["rows"], way=way, phrases=weighed["phrases"], load_us=1e6 * load / weighed["rows"],
                       load_s=load, train_us=1e6 * train, peak_MB=weighed["peak"], own_MB=weighed["own"])


def main() -> None:
    "Print the table."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*json.loads(options.measure))))
        return
    rows = list(measurements(options.text, tuple(map(int, options.sizes.split(","))), options.repeat, options.steps))
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'lines':>10}  {'way':<12}  {'phrases':>9}  {'µs a line':>9}  {'s in all':>8}  {'µs an example':>13}  "
          f"{'peak MB':>7}  {'own MB':>6}")
    for r in rows:
        print(f"{r['lines']:10,}  {r['way']:<12}  {r['phrases']:9,}  {r['load_us']:9.2f}  {r['load_s']:8.2f}  "
              f"{r['train_us']:13.1f}  {r['peak_MB']:7.0f}  {r['own_MB']:6.0f}")


if __name__ == "__main__":
    main()
