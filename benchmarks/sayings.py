"""Three sayings of an experimenter's log, tried: luck, positions, and small heads.

    python -m benchmarks.sayings                    all runs that are not there yet, three seeds
    python -m benchmarks.sayings --texts words      one text
    python -m benchmarks.sayings --show             the tables, from the rows that are there

"The same settings, other luck": the best of four starts of 500 steps against one run of 2,000 steps, three times.
"Removing positions is always better": four kinds of positions after 500 and after 5,000 steps.
"Many small heads fail": 1, 4, 16 and 32 heads of a decoder 64 wide, after 500 and after 5,000 steps.

Each row is one run on a text made by rule (`tofy.lab.synthetic`), of which the lowest possible loss is known. The loss is
that of the last step on 20,000 held-out characters, in nats. Rows that are there already are not made again, so the
program can be stopped at any time.
"""

import argparse
import json
import statistics
import tempfile
from datetime import date
from pathlib import Path

import torch

from tofy.encoder import count_parameters
from tofy.lab.decoder import Decoder, DecoderConfig
from tofy.lab.synthetic import data_set
from tofy.lab.training import TextConfig, TextData, load_texts, train

RESULTS = Path(__file__).parent / "results" / "sayings.jsonl"
TEXTS, LINES = ("actions", "words"), 20_000
SEEDS, STARTS, SHORT, LONG = (0, 1, 2), 4, 500, 5000
POSITIONS, HEADS = ("rotary", "none", "sinusoidal", "learned"), (4, 1, 16, 32)
KEY = "text", "positions", "heads", "steps", "seed"


def load(path: Path = RESULTS) -> list[dict]:
    "The rows that are there."
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def plan(texts=TEXTS) -> list[tuple]:
    "The runs of all three questions, each once, as the values of `KEY`; those that take long come last."
    runs: dict[tuple, None] = {}
    for steps in (SHORT, LONG):
        for text in texts:
            if steps == SHORT:
                runs |= dict.fromkeys((text, "rotary", 4, SHORT, seed) for seed in range(STARTS * len(SEEDS)))
                runs |= dict.fromkeys((text, "rotary", 4, STARTS * SHORT, seed) for seed in SEEDS)
            runs |= dict.fromkeys((text, positions, 4, steps, seed) for seed in SEEDS for positions in POSITIONS)
            runs |= dict.fromkeys((text, "rotary", heads, steps, seed) for seed in SEEDS for heads in HEADS)
    return list(runs)


def texts_of(name: str, lines: int = LINES) -> TextData:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.txt"
        path.write_text(data_set(name).text(lines))
        return load_texts(path, "character")


def one_run(data: TextData, text: str, positions: str, heads: int, steps: int, seed: int) -> dict:
    "Train once, and tell the held-out loss of the last step."
    shape = DecoderConfig(len(data.tokenizer), dim=64, layers=2, heads=heads, context=48, positions=positions)
    config = TextConfig(steps=steps, seconds=None, batch=8, seed=seed, sample=0, threads=1, eval_every=steps,
                        optimizer="adamw")
    *_, last = train(data, shape, config)
    law = data_set(text).law()
    return dict(zip(KEY, (text, positions, heads, steps, seed))) | dict(
        loss=round(last.valid_loss, 4), floor=round(law.floor, 4), unigram=round(law.unigram, 4),
        parameters=count_parameters(Decoder(shape)), optimizer=config.optimizer, seconds=round(last.seconds, 1), torch=torch.__version__,
        date=date.today().isoformat())


def median_of(rows: list[dict], **asked) -> tuple[float, list[float]] | None:
    "The median loss of the runs with these settings on the three seeds, and all three losses; None if one is missing."
    found = sorted((row["seed"], row["loss"]) for row in rows if row["seed"] in SEEDS
                   and all(row[name] == value for name, value in asked.items()))
    return (statistics.median(loss for _, loss in found), [loss for _, loss in found]) if len(found) == len(SEEDS) else None


def starts(rows: list[dict], text: str) -> list[tuple[float, float, float]]:
    "For each repetition: the worst and the best of four short starts, and one run as long as all four."
    losses = {tuple(row[name] for name in KEY): row["loss"] for row in rows}
    told = []
    for again in SEEDS:
        four = [losses.get((text, "rotary", 4, SHORT, seed)) for seed in range(STARTS * again, STARTS * (again + 1))]
        whole = losses.get((text, "rotary", 4, STARTS * SHORT, again))
        if None not in (*four, whole):
            told.append((max(four), min(four), whole))
    return told


def tables(rows: list[dict]) -> str:
    "The answers as text tables; a run that is missing is told."
    lines = []
    for text in sorted({row["text"] for row in rows}, key=TEXTS.index):
        law = next(row for row in rows if row["text"] == text)
        lines.append(f"{text}: letter frequencies {law['unigram']:.3f}, best possible {law['floor']:.3f}")
        for worst, best, whole in starts(rows, text):
            lines.append(f"  four starts of {SHORT:,} steps {best:.3f} to {worst:.3f}, "
                         f"one run of {STARTS * SHORT:,} steps {whole:.3f}")
        for name, kinds in (("positions", POSITIONS), ("heads", HEADS)):
            for kind in kinds:
                asked = {"text": text, "positions": "rotary", "heads": 4} | {name: kind}
                cells = [(steps, median_of(rows, steps=steps, **asked)) for steps in (SHORT, LONG)]
                lines.append(f"  {name} {kind!s:10} " + "   ".join(
                    f"{steps:,} steps: median {found[0]:.3f} ({', '.join(f'{loss:.3f}' for loss in found[1])})" if found
                    else f"{steps:,} steps: not run on all seeds" for steps, found in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sayings", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", default=TEXTS, choices=TEXTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true")
    o = parser.parse_args()
    if o.show:
        return print(tables(load(o.out)))
    there, data = {tuple(row[name] for name in KEY) for row in load(o.out)}, {}
    for run in plan(o.texts):
        if run not in there:
            data[run[0]] = data.get(run[0]) or texts_of(run[0])
            row = one_run(data[run[0]], *run)
            with o.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(*run, f"{row['loss']:.3f}  {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
