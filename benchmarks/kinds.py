"""Where is the rest lost? A model of the built-in text beside the exact posterior, blank by blank.

    python -m benchmarks.kinds --seconds 360                 builtin:100000, one thread, processor time; appends its rows
    python -m benchmarks.kinds --show                        the table, from the rows that are there

Held-out blanks are told apart by how sure the best possible answer is, and by the kind of the hidden word. `best` and
`model` are the shares that are right, `lost` is what the group takes from the model's top-1, in hundredths of all blanks.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import torch

from benchmarks.arms import ours
from benchmarks.report import load
from tofy.corpus import posterior
from tofy.data import Data, load_data
from tofy.masking import all_blanks
from tofy.metrics import rank_batches
from tofy.panels.models import kinds_of
from tofy.vocab import SPECIALS

RESULTS = Path(__file__).parent / "results" / "builtin_kinds.jsonl"
SURE = {"sure (.95 or more)": .95, "likely (.5 to .95)": .5, "open (.2 to .5)": .2, "wide open (less)": 0.}
SETTINGS = dict(smoothing=0., corrupt=(1., 0., 0.))   # what suits a text of which there is plenty


def asked(data: Data, blanks) -> list[tuple[str, str, float]]:
    "Of every blank the hidden word, the best possible answer, and its probability."
    found = []
    for row, at in zip(blanks.rows.tolist(), blanks.positions.tolist()):
        words = data.heldout[row].split()
        best, p = next(iter(posterior(words, at).items()))
        found.append((words[at], best, p))
    return found


def answers(data: Data, blanks, scorer) -> list[str]:
    "The model's first word at every blank."
    firsts = torch.zeros(len(blanks.rows), dtype=torch.long)
    for chosen, _, scores in rank_batches(scorer, data.valid, blanks):
        firsts[chosen] = scores.argmax(1)
    return [data.vocab.words[i] for i in firsts.tolist()]


def by_group(questions: list[tuple[str, str, float]], said: list[str], words: list[str]) -> dict[str, dict]:
    "Shares that are right, and what is lost, in each group of blanks."
    names, kinds = kinds_of(words)
    kind = {word: names[i] for word, i in zip(words, kinds)}
    groups = {name: [] for name in (*SURE, *names)}
    for (word, best, p), answer in zip(questions, said):
        for name in (next(name for name, least in SURE.items() if p >= least), kind[word]):
            groups[name].append((best == word, answer == word))
    return {name: dict(blanks=len(rights), best=sum(b for b, _ in rights) / len(rights), model=sum(m for _, m in rights) / len(rights),
                       lost=100 * sum(b - m for b, m in rights) / len(said)) for name, rights in groups.items() if rights}


def one_run(text: str, seconds: float, seed: int) -> dict:
    "Train, ask, and compare."
    torch.set_num_threads(1)
    time.perf_counter = time.process_time
    data, last = load_data(text), []
    ours(data, seconds, seed, lambda seconds, examples, scorer: last.append(scorer), **SETTINGS)
    blanks = all_blanks(data.valid, 6000)
    return dict(data=text, seconds=seconds, seed=seed, settings=SETTINGS, date=str(date.today()),
                groups=by_group(asked(data, blanks), answers(data, blanks, last[-1]), data.vocab.words[len(SPECIALS):]))


def table(rows: list[dict]) -> str:
    "A line a group: means over the runs."
    lines = [f"{'blanks whose best answer is …':32}{'blanks':>8}{'best':>8}{'model':>8}{'lost':>8}"]
    for name in rows[0]["groups"]:
        each = [row["groups"][name] for row in rows]
        mean = {key: sum(one[key] for one in each) / len(each) for key in each[0]}
        lines.append(f"{name:32}{mean['blanks']:8,.0f}{mean['best']:8.3f}{mean['model']:8.3f}{mean['lost']:8.2f}")
        if name == [*SURE][-1]:
            lines.append("blanks whose hidden word is of …")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default="builtin:100000", help="builtin[:N]")
    parser.add_argument("--seconds", type=float, default=360.)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true")
    o = parser.parse_args()
    there = load(o.out) if o.out.exists() else []
    for seed in () if o.show else o.seeds:
        if (o.text, o.seconds, seed) not in {(row["data"], row["seconds"], row["seed"]) for row in there}:
            there.append(one_run(o.text, o.seconds, seed))
            with o.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(there[-1]) + "\n")
    print(table(there))


if __name__ == "__main__":
    main()
