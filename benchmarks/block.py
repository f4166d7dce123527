"""What the block is made of: the old one turned into the new one, a change at a time, on short and on long text.

    python -m benchmarks.block casual.txt --valid 350             every change; rows that are there are not made again
    python -m benchmarks.block casual.txt sentences.txt --seeds 0 1 2
    python -m benchmarks.block --show                             the table, from the rows that are there

The clock counts processor time, one thread, without validations, so that other work on the machine disturbs little.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path
from statistics import mean, stdev

import torch

from benchmarks.arms import BEFORE, scorer
from benchmarks.jepa import rows
from tofy import loop
from tofy.data import load_data
from tofy.masking import all_blanks
from tofy.metrics import judge
from tofy.training import new_run, recipe, suited_batch

RESULTS = Path(__file__).parent / "results" / "block.jsonl"
# Each change is made on top of those above it.
CHANGES: dict[str, dict] = {
    "as before": {},
    "no dropout": dict(dropout=0.),
    "a small start": dict(init="normal"),
    "rotary base 10,000": dict(rotary_base=10_000.),
    "gated": dict(feed_forward="geglu"),
    "dropout by passes": dict(dropout=.2, dropout_after=5.),
    "Muon": dict(optimizer="muon"),
    "larger batches": dict(tokens=2048, lr=3e-3),
}


def settings_until(change: str) -> dict:
    "The settings of the old recipe with all changes up to this one; `tokens` are those of a batch."
    found = BEFORE | dict(tokens=1024)
    for name, settings in CHANGES.items():
        found |= settings
        if name == change:
            break
    return found


def one(text: str, change: str, seed: int, seconds: float, valid: float) -> dict:
    "Train for so many seconds of processor time, and measure."
    data = load_data(text, valid=valid)
    settings = settings_until(change)
    batch = suited_batch(data.train, settings.pop("tokens"))
    run = new_run(data, *recipe(steps=10**9, seed=seed, threads=1, eval_every=10**9, batch=batch, **settings))
    began = time.process_time()
    while run.progress < 1:
        run.progress = min((time.process_time() - began) / seconds, 1.)
        loop.training_step(run, False)
        run.step += 1
    figures = judge(scorer(run.model), data.valid, all_blanks(data.valid, 6000), len(data.vocab))
    return dict(text=Path(text).stem, change=change, seed=seed, seconds=seconds, settings=settings_until(change), steps=run.step,
                passes=round(run.examples / len(data.train), 1), examples_per_second=round(run.examples / seconds),
                mrr=round(figures["mrr"], 4), top1=round(figures["top1"], 4), date=str(date.today()))


def table(found: list[dict]) -> str:
    "A line a change, a column a text: MRR, its spread over the seeds, and examples a second."
    texts = list(dict.fromkeys(row["text"] for row in found))
    lines = ["change".ljust(20) + "".join(text[:24].rjust(26) for text in texts)]
    for change in CHANGES:
        cells = []
        for text in texts:
            mine = [row for row in found if (row["text"], row["change"]) == (text, change)]
            mrr = [row["mrr"] for row in mine]
            spread = f" ± {stdev(mrr):.3f}" if len(mrr) > 1 else ""
            cells.append(f"{mean(mrr):.3f}{spread} {mean(r['examples_per_second'] for r in mine):6,.0f}/s" if mine else "–")
        lines.append(change.ljust(20) + "".join(cell.rjust(26) for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", help="files")
    parser.add_argument("--seconds", type=float, default=100., help="of processor time")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--changes", nargs="*", default=list(CHANGES), choices=list(CHANGES))
    parser.add_argument("--valid", type=float, default=.05, help="share or number of phrases held out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true")
    o = parser.parse_args()
    torch.set_num_threads(1)
    there = {(row["text"], row["change"], row["seed"], row["seconds"]) for row in rows(o.out)}
    plan = [(text, change, seed) for seed in o.seeds for text in o.texts for change in o.changes
            if (Path(text).stem, change, seed, o.seconds) not in there]
    for text, change, seed in plan if not o.show else []:
        row = one(text, change, seed, o.seconds, o.valid)
        o.out.parent.mkdir(parents=True, exist_ok=True)
        with o.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{row['text']}, {change}, seed {seed}: MRR {row['mrr']:.3f}", flush=True)
    print(table([row for row in rows(o.out) if row["seconds"] == o.seconds]))


if __name__ == "__main__":
    main()
