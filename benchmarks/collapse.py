"""Why it does not collapse: contextual targets with one safeguard less, with teachers of every speed, and for longer.

    python -m benchmarks.collapse                  all rows that are not there yet
    python -m benchmarks.collapse --long           those of ten times the steps as well
    python -m benchmarks.collapse --show           the table

The rows are those of benchmarks.jepa, and are measured as there; chapter 11d draws from them.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks import jepa
from tofy import targets

RESULTS = Path(__file__).parent / "results" / "collapse.jsonl"
INTO = "into the target"
jepa.ARMS[INTO] = ("state in context, no teacher, no stop-gradient", jepa.CONTEXT, None)
SHORT = ["untrained", "decay 0", "decay .9", "decay .99", "decay .996", "context", "decay .9999", "frozen", "shared", INTO,
         "blocks", "bag"]
LONG = ["context", "frozen"]


@contextmanager
def stop(gradient: bool) -> Iterator[None]:
    "Where not, the model's own encoder makes the targets of every loss, and gets their gradient."
    kept = targets.WITHOUT_TEACHER
    targets.WITHOUT_TEACHER = kept if gradient else (*kept, *targets.TARGET_LOSSES)
    try:
        yield
    finally:
        targets.WITHOUT_TEACHER = kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=SHORT, choices=SHORT)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--long", action="store_true", help="also ten times the steps")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true")
    o = parser.parse_args()
    torch.set_num_threads(1)
    plan = [(arm, o.steps) for arm in o.arms] + [(arm, 10 * o.steps) for arm in LONG if o.long]
    there = {(row["arm"], row["seed"], row["steps"]) for row in jepa.rows(o.out)}
    for arm, seed, steps in () if o.show else [(arm, seed, steps) for seed in o.seeds for arm, steps in plan]:
        if (arm, seed, steps) not in there:
            with stop(arm != INTO):
                row = jepa.one(arm, seed, steps, "builtin", {})
            with o.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    found = jepa.rows(o.out)
    for steps in sorted({row["steps"] for row in found}):
        print(f"{steps} steps\n{jepa.table([row for row in found if row['steps'] == steps])}")


if __name__ == "__main__":
    main()
