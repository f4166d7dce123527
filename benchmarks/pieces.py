"""Words against the pieces of tokenizers: the same phrases, the same time, and the blanks that both can ask.

usage: python -m benchmarks.pieces [DATA] [--sizes 300 600 1000] [--seconds 60] [--seed 0]

DATA is a file or builtin[:N[:NAMES]]. Each tokenizer is a bpe learned from the text itself. The clock counts the time
of one processor core, so that other work on the machine does not matter. A JSON object a run:

rows, tokens       of the table; of a held-out phrase, on average
phrases            that the time was enough for, each as often as it was read
unknown            share of the held-out tokens without a row
top1, mrr, bigram  on the run's own held-out blanks, and the MRR of its bigram line: other questions in every run
shared             the hidden words that are one piece: how many, and top-1 on them, of the words and of the pieces
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch

from tofy import training
from tofy.data import Data, context, load_data, source_lines
from tofy.inference import Latent, load
from tofy.lab.tokenizers import save_tokenizer, train_tokenizer
from tofy.masking import Blanks, all_blanks
from tofy.metrics import Bigram, rank_blanks, summary
from tofy.vocab import UNK

MAX_SEQ = 128  # no phrase is cut, however small its pieces


@dataclass
class Arm:
    "A trained run, and its figures."

    data: Data
    latent: Latent
    figures: dict


def run(data: Data, seconds: float, seed: int, out: Path) -> Arm:
    "Train on these data for so many seconds of one core."
    training.time = SimpleNamespace(perf_counter=time.process_time)
    *_, last = training.train(data, *training.recipe(seconds=seconds, seed=seed, threads=1, max_seq=MAX_SEQ), out=out)
    latent, blanks = load(out), all_blanks(data.valid)
    bigram = rank_blanks(Bigram.count(data.train, len(data.vocab)), data.valid, blanks)
    own = summary(rank_blanks(latent.score, data.valid, blanks))
    figures = dict(rows=len(data.vocab), tokens=data.valid.lengths.double().mean().item(), phrases=last.examples,
                   unknown=(data.valid.flat == UNK).double().mean().item(), top1=own["top1"], mrr=own["mrr"],
                   bigram=summary(bigram)["mrr"])
    return Arm(data, latent, {k: round(v, 4) for k, v in figures.items()})


def shared(words: Data, pieces: Data) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    "(row, place) of every held-out word that is one piece, in either's phrases."
    assert words.heldout == pieces.heldout
    found: tuple[list, list] = ([], [])
    for row, text in enumerate(words.heldout):
        cut, at = pieces.vocab.tokenize(text), 0
        for place, word in enumerate(words.vocab.tokenize(text)):
            begin, spelt = at, ""
            while spelt != word:
                spelt += cut[at].replace("·", "")
                at += 1
            if at == begin + 1 and word in words.vocab.ids and cut[begin] in pieces.vocab.ids:
                found[0].append((row, place))
                found[1].append((row, begin))
    return found


def top1(arm: Arm, places: list[tuple[int, int]]) -> float:
    "The share of these blanks that are filled with the right token."
    rows, positions = torch.tensor(places).T
    return (rank_blanks(arm.latent.score, arm.data.valid, Blanks(rows, positions)) == 1).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="builtin")
    parser.add_argument("--sizes", type=int, nargs="*", default=[300, 600, 1000])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts = [context(line) for line in source_lines(args.data)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        words = run(load_data(args.data, max_seq=MAX_SEQ), args.seconds, args.seed, home / "words")
        print(json.dumps(dict(run="words") | words.figures), flush=True)
        for size in args.sizes:
            save_tokenizer(train_tokenizer(texts, vocab_size=size, lower=True), home / f"{size}.json")
            data = load_data(args.data, max_seq=MAX_SEQ, tokens=home / f"{size}.json")
            arm = run(data, args.seconds, args.seed, home / f"run-{size}")
            here, there = shared(words.data, arm.data)
            both = dict(blanks=len(here), words=round(top1(words, here), 4), pieces=round(top1(arm, there), 4))
            print(json.dumps(dict(run=f"bpe {size}") | arm.figures | dict(shared=both)), flush=True)


if __name__ == "__main__":
    main()
