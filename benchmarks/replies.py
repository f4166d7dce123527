"""Which answer belongs to it? The right response among 100 different ones, by the embedding that a model predicts of it.

    python -m benchmarks.replies                   every arm; rows that are there already are not made again
    python -m benchmarks.replies --arms response   one arm
    python -m benchmarks.replies --show            the table, from the rows that are there

Every row holds top-1 and MRR over the same exams (`tofy.retrieval.ReplyExam`), whose pairs no arm has read. `baselines`
are chance, shared words, ridge regression from words to words on the same training pairs, and the exact odds.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.arms import BEFORE
from benchmarks.jepa import rows, train
from tofy import training
from tofy.colours import COLOURS, GREY, ORANGE, PINK, SKY
from tofy.data import Data, Phrases, load_data, pack
from tofy.masking import all_blanks
from tofy.probes import features, labelled, probe
from tofy.readout import blank_features, fit_readout, ranks, summary
from tofy.retrieval import ReplyExam, retrieve
from tofy.targets import phrase_states, predict_response

RESULTS = Path(__file__).parent / "results" / "replies.jsonl"
EXAMS = range(99, 104)
RESPONSE = dict(target="response", mask_rate=0.)       # one word a phrase is hidden all the same, so that blanks are known
ARMS: dict[str, tuple[str, dict]] = {
    "baselines": ("chance, words, ridge regression, exact odds", {}),
    "response": ("target: the response, EMA teacher, cosine", RESPONSE),
    "response contrast": ("target: the response, EMA teacher, InfoNCE in the batch", RESPONSE | dict(target_loss="infonce")),
    "response frozen": ("control: the response to a frozen random teacher", RESPONSE | dict(ema_decay=1.)),
    "context": ("target: the state in context; its mean states as they are", {}),
    "untrained": ("control: mean states without training", {}),
}


def exams_of(data: Data) -> list[ReplyExam]:
    "Exams without the pairs that the training text holds."
    seen, found = {tuple(phrase.tolist()) for phrase in map(data.train.__getitem__, range(len(data.train)))}, []
    for seed in EXAMS:
        exam = ReplyExam.draw(130, seed)
        fresh = [i for i, text in enumerate(exam.contexts) if tuple(data.vocab.encode(text)) not in seen][:100]
        parts = ([some[i] for i in fresh] for some in (exam.contexts, exam.responses, exam.true))
        found.append(ReplyExam(*parts, exam.names))
    return found


def mean_of(found: list[dict[str, float]]) -> dict[str, float]:
    "Top-1 and MRR over all exams, and the standard error of the MRR from their spread."
    told = {name: torch.tensor([f[name] for f in found], dtype=torch.double) for name in ("top1", "mrr")}
    return dict({name: round(values.mean().item(), 4) for name, values in told.items()},
                mrr_se=round((told["mrr"].std() / len(found)**.5).item(), 4))


def baselines(data: Data) -> dict[str, dict[str, float]]:
    "The figures of chance, shared words, ridge regression and the exact odds."
    lines = ["\t".join(" ".join(data.vocab.words[i] for i in side[row].tolist()) for side in (data.train, data.responses))
             for row in range(len(data.train))]
    told = [exam.baselines(lines) for exam in exams_of(data)]
    return {name: mean_of([t[name] for t in told]) for name in told[0]}


@torch.no_grad()
def sit(run: training.LatentRun, data: Data) -> dict[str, dict[str, float]]:
    "The exams, by prediction and target, by prediction and the model's own embedding, and by mean states."
    def ids(texts: list[str]) -> Tensor:
        phrases: Phrases = pack([data.vocab.encode(text) for text in texts])
        return phrases.batch(torch.arange(len(texts)))

    found: dict[str, list] = {}
    for exam in exams_of(data):
        asked, said = ids(exam.contexts), ids(exam.responses)
        pred, states = predict_response(run.model, asked)
        own = predict_response(run.model, said)[1]
        ways = {"states": (states, own), "states, centred": (states - states.mean(0), own - own.mean(0))}
        if run.config.target == "response":
            ways |= {"prediction": (pred, phrase_states(run.teacher, said)),
                     "prediction, own": (pred, phrase_states(run.model.encoder, said))}
        for way, (a, b) in ways.items():
            found.setdefault(way, []).append(retrieve(a, b))
    return {way: mean_of(told) for way, told in found.items()}


def knows(run: training.LatentRun, data: Data) -> dict[str, float]:
    "Words through a ridge readout of the state at a blank (MRR); topic and act from the mean state of a phrase (accuracy)."
    blanks = all_blanks(data.valid, 2000)
    readout = fit_readout(run.model, data.train, len(data.vocab), ("ridge",), ("hidden",), 10_000, refit=False)   # as in the rows stored
    asked = blank_features(run.model, data.valid, blanks)
    found = dict(words=summary(ranks(readout.scores(asked["prediction"], asked["hidden"]), asked["words"]))["mrr"])
    sets = [labelled(data.vocab, *how) for how in ((3000, 77), (2000, 78))]
    x, test = (features(run.model, part.phrases)["phrase"] for part in sets)
    found |= {cause: probe(x, sets[0].causes[cause], test, sets[1].causes[cause])["accuracy"] for cause in ("topic", "act")}
    return {name: round(value, 4) for name, value in found.items()}


def one(arm: str, seed: int, steps: int, more: dict) -> dict:
    "Train and measure one arm on the built-in corpus."
    about, settings = ARMS[arm]
    data = load_data("builtin", responses=True)
    row = dict(arm=arm, about=about, seed=seed, steps=steps, data="builtin", settings=more, exams=len(EXAMS), candidates=100)
    if arm == "baselines":
        return row | dict(found=baselines(data), date=str(date.today()))
    run = training.new_run(data, *training.recipe("jepa", **BEFORE | dict(batch=64, steps=steps, seed=seed, eval_every=10**9,
                                                                 threads=torch.get_num_threads()) | settings | more))
    spent, gauges = train(run, 0 if arm == "untrained" else steps)
    run.model.eval()
    return row | dict(step_ms=1000 * spent, gauges=gauges, batch=run.config.batch, found=sit(run, data), knows=knows(run, data),
                      date=str(date.today()))


def table(found: list[dict]) -> str:
    "A line for each arm and way: top-1, MRR and its standard error, spread and R² of the targets."
    lines = ["arm\tway\ttop-1\tMRR\tspread\tR²"]
    for row in found:
        last = row.get("gauges") or [{}]
        gauges = "\t".join(f"{last[-1][name]:.3f}" if name in last[-1] else "–" for name in ("spread", "r2"))
        lines += [f"{row['arm']}\t{way}\t{f['top1']:.3f}\t{f['mrr']:.3f} ± {f['mrr_se']:.3f}\t{gauges}"
                  for way, f in row["found"].items()]
    return "\n".join(lines)


WAYS = {"prediction": "predicted embedding", "states, centred": "mean states, centred"}


def plot(found: list[dict], ax=None):
    "Draw the MRR of each arm, by the prediction where there is one, beside chance, words and the exact odds; returns the Axes."
    import matplotlib.pyplot as plt

    scale = next(row["found"] for row in found if row["arm"] == "baselines")
    bars = [(row["arm"], way, row["found"][way]) for row in found for way in WAYS if way in row["found"]
            and (way == "prediction" or "prediction" not in row["found"])]
    ax = ax or plt.subplots(figsize=(7, .5 + .42 * len(bars)))[1]
    for y, (_, way, told) in enumerate(bars):
        ax.barh(y, told["mrr"], xerr=told["mrr_se"], color=COLOURS["model"] if way == "prediction" else SKY, height=.7)
    ax.set_yticks(range(len(bars)), [f"{arm}: {WAYS[way]}" for arm, way, _ in bars])
    for name, colour in dict(chance=GREY, overlap=ORANGE, ridge=PINK, best=COLOURS["best"]).items():
        ax.axvline(scale[name]["mrr"], color=colour, ls="--", label=name)
    ax.set(xlabel="MRR among 100 different responses", xlim=(0, .7))
    ax.invert_yaxis()
    ax.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(.5, 1.2))
    return ax


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], help="settings for every arm, such as lr=0.001")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="print the table of the rows that are there")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    more = {name: json.loads(value) for name, value in (word.split("=") for word in o.set)}
    there = {(row["arm"], row["seed"], row["steps"], json.dumps(row["settings"], sort_keys=True)) for row in rows(o.out)}
    for seed in () if o.show else o.seeds:
        for arm in o.arms:
            if (arm, seed, o.steps, json.dumps(more, sort_keys=True)) not in there:
                began = time.perf_counter()
                row = one(arm, seed, o.steps, more)
                o.out.parent.mkdir(parents=True, exist_ok=True)
                with o.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{arm}, seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
    print(table([row for row in rows(o.out) if row["steps"] == o.steps and row["settings"] == more]))


if __name__ == "__main__":
    main()
