"""From softmax to JEPA: the same encoder, masks, steps and seeds under every target and loss, measured in the same ways.

    python -m benchmarks.jepa                      every arm, three seeds; rows that are there already are not made again
    python -m benchmarks.jepa --arms context       one arm
    python -m benchmarks.jepa --show               the table, from the rows that are there
    python -m benchmarks.jepa --times              processor time a step, the arms in turn (a minute or two)

A row holds, for one arm and seed: MRR and top-1 natively (where a model knows words), MRR through each readout of the
hidden state and of the prediction, probes of what made each phrase, gauges of the targets, exact latent regret, time.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.arms import SoftmaxModel
from tofy import loop, training
from tofy.causes import Disguise, disguise_of
from tofy.crowding import effective_rank
from tofy.data import Data, load_data
from tofy.encoder import LatentModel
from tofy.masking import all_blanks, ask
from tofy.metrics import Bigram, baseline_scorers, judge, measure_baselines, ranks, summary
from tofy.probes import features, labelled, probe, word_features
from tofy.readout import KINDS, READS, blank_features, choose_readout
from tofy.regret import latent_regret
from tofy.targets import IN_CONTEXT, TargetEncoder
from tofy.vocab import SPECIALS

RESULTS = Path(__file__).parent / "results" / "jepa.jsonl"
TIMES = RESULTS.with_name("jepa_times.jsonl")
CAUSES = "topic", "act", "core", "mood", "slot", "form"
CONTEXT = dict(name="jepa")


class UntiedModel(LatentModel):
    "The same encoder with an output layer of its own: a weight vector and a bias for every word."
    def __init__(self, config, temperature: float = .1):
        super().__init__(config, temperature)
        self.out = nn.Linear(config.dim, config.vocab_size)

    def cosines(self, pred: Tensor) -> Tensor:
        return self.out(pred)


def logits_loss(run: list, pred: Tensor, hidden: Tensor, targets: Tensor, *rest) -> tuple[Tensor, dict[str, Tensor]]:
    "Cross-entropy of a model's own scores over all words, smoothed as ours is."
    first, (job,) = len(SPECIALS), run
    value = F.cross_entropy(job.model.cosines(pred)[:, first:], targets - first, label_smoothing=job.config.smoothing)
    return value, dict(rank=value)


# Name → what it is, settings of the recipe, and the class of a model with another output.
ARMS: dict[str, tuple[str, dict, type | None]] = {
    "untied": ("softmax, output layer of its own", {}, UntiedModel),
    "tied": ("softmax, tied to the table, with bias", {}, SoftmaxModel),
    "cosine": ("cosines with all rows: our default", {}, None),
    "sampled": ("InfoNCE against 32 random rows", dict(negatives=32), None),
    "direction": ("direction to the row, stop-gradient", dict(rank_weight=0., mse_weight=1., target="stopgrad"), None),
    "slow rows": ("direction to a slow row (EMA)", dict(rank_weight=0., mse_weight=1., target="ema"), None),
    "context": ("state in context, EMA teacher, cosine", CONTEXT, None),
    "blocks": ("mean of what the blocks add, EMA teacher, smooth L1", CONTEXT | dict(target_states="blocks",
                                                                                    target_loss="smooth_l1"), None),
    "queries": ("state in context, blanks removed, narrow predictor", CONTEXT | dict(predictor="queries"), None),
    "contrast": ("state in context, InfoNCE in the batch", CONTEXT | dict(target_loss="infonce"), None),
    "sigreg": ("state in context, SIGReg, no teacher", CONTEXT | dict(target_loss="sigreg"), None),
    "vicreg": ("state in context, VICReg, no teacher", CONTEXT | dict(target_loss="vicreg"), None),
    "frozen": ("control: state of a frozen random teacher", CONTEXT | dict(ema_decay=1.), None),
    "untrained": ("control: an encoder without training", CONTEXT, None),
    "bag": ("control: readout of the bag of visible words", {}, None),
}
TEACHERS = {"decay 0": 0., "decay .9": .9, "decay .99": .99, "decay .996": .996, "decay .9999": .9999}
ARMS |= {name: (f"state in context, {name}", CONTEXT | dict(ema_decay=decay), None) for name, decay in TEACHERS.items()}
ARMS["shared"] = ("state in context, decay 0, no predictor", CONTEXT | dict(ema_decay=0., predictor="identity"), None)
# Asked only where words have several spellings: softmax over the true words, and the embedding of the whole response.
ARMS["classes"] = ("softmax over the true words, output layer of its own", {}, UntiedModel)
ARMS["response"] = ("target: the response's embedding, EMA teacher, InfoNCE in the batch",
                    CONTEXT | dict(target="response", mask_rate=0., target_loss="infonce"), None)
MAIN = [name for name in ARMS if not name.startswith(("decay", "shared", "classes", "response"))]


def prepare(data: Data, arm: str, seed: int, steps: int, more: dict) -> training.LatentRun:
    "A run that is ready to train."
    _, settings, kind = ARMS[arm]
    settings = dict(corrupt=(1., 0., 0.), learn_temperature=kind is None) | settings | more
    name = settings.pop("name", "tofy")
    kept, job = (training.LatentModel, training.latent_loss), []
    try:
        if kind:
            training.LatentModel = kind
        run = training.new_run(data, *training.recipe(name, steps=steps, seed=seed, threads=torch.get_num_threads(),
                                                      eval_every=10**9, **settings))
    finally:
        training.LatentModel = kept[0]
    job.append(run)
    if kind:
        run.batch_loss = partial(own_loss, run, partial(logits_loss, job))
    return run


def own_loss(run: training.LatentRun, loss: Callable, batch: training.Batch, measure: bool):
    "The training loss with another function in the place of ours."
    kept, training.latent_loss = training.latent_loss, loss
    try:
        return training.batch_loss(run, batch, measure)
    finally:
        training.latent_loss = kept


def train(run: training.LatentRun, steps: int) -> tuple[float, list[dict]]:
    "Seconds a step, without validations, and the gauges of the targets on the way."
    gauges, began = [], time.perf_counter()
    while run.step < steps:
        measure = run.step % max(steps // 20, 1) == 0 or run.step == steps - 1
        loop.training_step(run, measure)
        run.step, run.progress = run.step + 1, (run.step + 1) / steps
        if measure and "spread" in run.metrics:
            gauges.append({k: round(run.metrics[k], 4) for k in ("loss", "cos_mean", "spread", "between", "r2")} |
                          dict(step=run.step))
    return (time.perf_counter() - began) / max(steps, 1), gauges


def readouts(model: LatentModel, data: Data, blanks, most: int = 20_000) -> dict[str, float]:
    "MRR on the held-out blanks through each readout of the hidden state and of the prediction."
    V, asked = len(data.vocab), all_blanks(data.train, most)
    train_on, test_on = blank_features(model, data.train, asked), blank_features(model, data.valid, blanks)
    return read_all({name: train_on[name] for name in READS}, {name: test_on[name] for name in READS}, train_on["words"],
                    test_on["words"], asked.rows % 10 == 0, V)


def read_all(train_on: dict, test_on: dict, words: Tensor, answers: Tensor, held: Tensor, V: int) -> dict[str, float]:
    "MRR by kind of readout and vectors, and of the one that held-back training blanks choose."
    found, best = {}, None
    for name in train_on:
        for kind in KINDS:
            readout = choose_readout({name: train_on[name]}, words, held, V, (kind,))
            scores = readout.scores(test_on[name], test_on[name])
            found[f"{kind} {name}"] = round(summary(ranks(scores, answers))["mrr"], 4)
            best = readout if best is None or readout.mrr > best.mrr else best
    return found | dict(chosen=f"{best.kind} {best.reads}", mrr=found[f"{best.kind} {best.reads}"])


def probes(model, data: Data, worn: Disguise | None = None) -> dict[str, float]:
    "Accuracy of linear and nearest-neighbour probes of the causes, at the blank and from the mean of a phrase."
    train_on, test_on, found = labelled(data.vocab, 4000, 77, worn), labelled(data.vocab, 2000, 78, worn), {}
    sets = [dict(**features(model, part.phrases, part.blanks), **features(model, part.phrases)) for part in (train_on, test_on)]
    for cause in CAUSES:
        for name in ("hidden", "prediction", "phrase"):
            if name != "phrase" or cause not in ("slot", "form"):
                told = probe(sets[0][name], train_on.causes[cause], sets[1][name], test_on.causes[cause])
                found[f"{cause} {name}"] = round(told["accuracy"], 4)
        near = probe(sets[0]["hidden"], train_on.causes[cause], sets[1]["hidden"], test_on.causes[cause], "knn")
        found[f"{cause} k-nn"] = round(near["accuracy"], 4)
    return found


def word_probes(data: Data, worn: Disguise | None = None) -> dict[str, float]:
    "The same probes of the bag of visible words, of the two neighbours, and of the commonest label."
    train_on, test_on, found = labelled(data.vocab, 4000, 77, worn), labelled(data.vocab, 2000, 78, worn), {}
    sets = [word_features(part.phrases, part.blanks) for part in (train_on, test_on)]
    for cause in CAUSES:
        for name in ("bag", "neighbours"):
            told = probe(sets[0][name], train_on.causes[cause], sets[1][name], test_on.causes[cause])
            found[f"{cause} {name}"] = round(told["accuracy"], 4)
        found[f"{cause} majority"] = round(told["majority"], 4)
    return found


def regret(run: training.LatentRun, data: Data, n: int = 300) -> dict[str, object]:
    "Exact regret on fresh questions, for unit targets and unit predictions: the scale of a cosine."
    asked = labelled(data.vocab, n, 91)
    teacher = run.teacher if isinstance(run.teacher, TargetEncoder) else TargetEncoder(run.model.encoder)

    def target(ids: Tensor, positions: Tensor) -> Tensor:
        mask = torch.arange(ids.shape[1]) == positions[:, None]
        return F.normalize(teacher(ids, mask), dim=-1)

    pred = F.normalize(features(run.model, asked.phrases, asked.blanks)["prediction"], dim=-1)
    found = latent_regret(target, data.vocab, asked.questions, pred)
    return dict(total=found.total, irreducible=found.irreducible, regret=found.regret, predictable=found.predictable,
                r2=found.r2, kept=found.kept, unknown=found.unknown, cut=found.cut)


def neighbour_r2(run: training.LatentRun, data: Data) -> dict[str, float]:
    "R² on centred unit targets of held-out blanks: of the unit prediction, of one scaled, of a mean by place and neighbour."
    teacher = run.teacher if isinstance(run.teacher, TargetEncoder) else TargetEncoder(run.model.encoder)

    @torch.no_grad()
    def told(phrases, most):
        blanks, out = all_blanks(phrases, most), []
        for rows in torch.arange(len(blanks.rows)).split(512):
            some = ask(phrases, type(blanks)(blanks.rows[rows], blanks.positions[rows]))
            whole = some.inputs.masked_scatter(some.mask, some.targets)
            at = some.mask.int().argmax(1)
            left = torch.where(at > 0, whole.gather(1, (at - 1).clamp(min=0)[:, None])[:, 0], 0)
            z = F.normalize(teacher(whole, some.mask), dim=-1)
            out.append((z, F.normalize(run.model(some.inputs, some.mask)[0], dim=-1), at * len(data.vocab) + left, left))
        return [torch.cat(parts) for parts in zip(*out)]

    run.model.eval()
    z, own, key, left = told(data.train, 20_000)
    scale = (own * z).sum(1).mean()                    # the length for which a unit vector is the best guess
    test, pred, test_key, test_left = told(data.valid, 3000)
    guess = z.mean(0).expand(len(test), -1).clone()
    for mine, theirs in ((left, test_left), (key, test_key)):                         # the finer where it was seen
        values, number = mine.unique(return_inverse=True)
        means = torch.zeros(len(values), z.shape[1]).index_add_(0, number, z) / number.bincount()[:, None]
        place = torch.searchsorted(values, theirs).clamp(max=len(values) - 1)
        seen = values[place] == theirs
        guess[seen] = means[place[seen]]
    spread = (test - test.mean(0)).square().sum(1).mean()
    return {name: round((1 - (p - test).square().sum(1).mean() / spread).item(), 4) for name, p in
            dict(model=pred, scaled=scale * pred, neighbours=guess).items()} | dict(rank=effective_rank(test))


def one(arm: str, seed: int, steps: int, source: str, more: dict) -> dict:
    "Train and measure one arm."
    data = load_data(source)
    blanks, V = all_blanks(data.valid, 3000), len(data.vocab)
    row = dict(arm=arm, about=ARMS[arm][0], seed=seed, steps=steps, data=Path(source).name, settings=more)
    if arm == "bag":
        asked, test = all_blanks(data.train, 20_000), all_blanks(data.valid, 3000)
        sets = [word_features(p, b)["bag"] for p, b in ((data.train, asked), (data.valid, test))]
        words = [p.flat[p.offsets[b.rows] + b.positions].long() for p, b in ((data.train, asked), (data.valid, test))]
        known = baseline_scorers(data.vocab, Bigram.count(data.train, V))
        lines = measure_baselines(known, data.valid, blanks, V, source)
        return row | dict(readouts=read_all(dict(bag=sets[0]), dict(bag=sets[1]), *words, asked.rows % 10 == 0, V),
                          baselines={k: v["mrr"] for k, v in lines.items()},
                          probes=word_probes(data) if source.startswith("builtin") else {})
    run = prepare(data, arm, seed, steps, more)
    spent, gauges = train(run, 0 if arm == "untrained" else steps)
    model, contextual = run.model.eval(), run.config.target == "context"
    row |= dict(step_ms=1000 * spent, gauges=gauges, batch=run.config.batch, readouts=readouts(model, data, blanks))
    if not contextual:
        figures = judge(scorer_of(model), data.valid, blanks, V)
        row |= dict(native=dict(mrr=figures["mrr"], top1=figures["top1"]))
    found = blank_features(model, data.valid, blanks)
    row |= dict(ranks=dict(table=effective_rank(model.table.detach()[len(SPECIALS):]), hidden=effective_rank(found["hidden"]),
                           prediction=effective_rank(found["prediction"])))
    if source.startswith("builtin"):
        row |= dict(probes=probes(model, data))
        if contextual:
            row |= dict(regret=regret(run, data))
    if contextual:
        row |= dict(r2=neighbour_r2(run, data))
    return row | dict(date=str(date.today()))


def one_disguised(arm: str, seed: int, steps: int, source: str, more: dict) -> dict:
    "The same on a text with several spellings a word: how well the *true* word is found, and the probes of causes."
    worn, data = disguise_of(source)[1], load_data(source, max_vocab=30_000, responses=arm == "response")
    asked, test = all_blanks(data.train, 20_000), all_blanks(data.valid, 3000)
    classes, row = true_words(data.vocab.words, worn), dict(arm=arm, about=ARMS[arm][0], seed=seed, steps=steps,
                                                           data=Path(source).name, settings=more, vocab=len(data.vocab))
    parts = (data.train, asked), (data.valid, test)
    if arm == "bag":
        sets = [word_features(*part)["bag"] for part in parts]
        words = [p.flat[p.offsets[b.rows] + b.positions].long() for p, b in parts]
        row |= dict(probes=word_probes(data, worn))
    else:
        run = prepare(data, arm, seed, steps, more)
        if arm == "classes":
            run.batch_loss = partial(own_loss, run, partial(class_loss, run.model, classes))
        spent, _ = train(run, 0 if arm == "untrained" else steps)
        model, found = run.model.eval(), [blank_features(run.model, *part) for part in parts]
        sets, words = [part["hidden"] for part in found], [part["words"] for part in found]
        row |= dict(step_ms=1000 * spent, probes=probes(model, data, worn))
        if run.config.target not in IN_CONTEXT:
            with torch.no_grad():
                scores = model.cosines(found[1]["prediction"])
                scores = scores[:, :classes.max() + 1] if arm == "classes" else in_words(scores / model.log_temperature.exp(), classes)
            row |= dict(native=summary(ranks(scores, classes[words[1]])))
    return row | dict(readouts=read_all(dict(hidden=sets[0]), dict(hidden=sets[1]), classes[words[0]], classes[words[1]],
                                        asked.rows % 10 == 0, int(classes.max()) + 1), date=str(date.today()))


def class_loss(model: UntiedModel, classes: Tensor, pred: Tensor, hidden: Tensor, targets: Tensor, *rest):
    "Cross-entropy over the true words `classes[targets]`, smoothed as ours is; the rest of the output layer is not used."
    first, used = len(SPECIALS), int(classes.max()) + 1
    answers = classes.to(targets.device)[targets] - first
    value = F.cross_entropy(model.cosines(pred)[:, first:used], answers, label_smoothing=.1)
    return value, dict(rank=value)


def true_words(spellings: Sequence[str], worn: Disguise) -> Tensor:
    "For each entry of a vocabulary the number of its true word, int64 `(V,)`; specials keep theirs."
    names = [worn.truth.get(spelling, spelling) for spelling in spellings]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])


def in_words(logits: Tensor, classes: Tensor) -> Tensor:
    "From scores of spellings `(M,V)`, the probability of each true word `(M,C)`: the sum over its spellings."
    shares = logits.index_fill(1, torch.arange(len(SPECIALS)), float("-inf")).softmax(-1)
    return shares.new_zeros(len(logits), int(classes.max()) + 1).index_add_(1, classes, shares)


def scorer_of(model: LatentModel) -> Callable:
    "The native scores of a model: cosines, or its own output layer's."
    @torch.no_grad()
    def score(questions):
        return model.cosines(model(questions.inputs, questions.mask)[0])
    return score


def rows(path: Path = RESULTS) -> list[dict]:
    "The rows that are there."
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def key(row: dict) -> tuple:
    return row["arm"], row["seed"], row["steps"], row["data"], json.dumps(row["settings"], sort_keys=True)


def times(arms: list[str], source: str, more: dict, rounds: int = 8, steps: int = 6) -> list[dict]:
    "Milliseconds of processor time a step for each arm: medians over rounds in which all take turns, on one thread."
    torch.set_num_threads(1)
    data = load_data(source)
    runs = {arm: prepare(data, arm, 0, 10**6, more) for arm in arms if arm not in ("bag", "untrained")}
    spent: dict[str, list[float]] = {arm: [] for arm in runs}
    for _ in range(rounds + 1):                                            # the first round warms up
        for arm, run in runs.items():
            began = time.process_time()
            for _ in range(steps):
                loop.training_step(run, False)
                run.step += 1
            spent[arm].append(1000 * (time.process_time() - began) / steps)
    return [dict(arm=arm, data=Path(source).name, cpu_ms=round(median(each[1:]), 2), date=str(date.today())) for arm, each in spent.items()]


def spread_of(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def table(found: list[dict]) -> str:
    "A line an arm: native MRR, chosen readout, probes, spread and R² of the targets, milliseconds a step."
    lines = ["arm | native MRR | readout MRR | topic | act | slot | spread | R² | ms a step | seeds".replace(" | ", "\t")]
    for arm in ARMS:
        if mine := [r for r in found if r["arm"] == arm]:
            lines.append("\t".join([arm, *(told(mine, get) for get in COLUMNS), str(len(mine))]))
    return "\n".join(lines)


COLUMNS: list[Callable[[dict], float]] = [
    lambda r: r["native"]["mrr"], lambda r: r["readouts"]["mrr"], lambda r: r["probes"]["topic hidden"],
    lambda r: r["probes"]["act hidden"], lambda r: r["probes"]["slot hidden"], lambda r: r["gauges"][-1]["spread"],
    lambda r: r["r2"]["model"], lambda r: r["step_ms"]]


def told(mine: list[dict], get: Callable[[dict], float]) -> str:
    "Mean and spread over the seeds; a dash where it was not measured."
    try:
        return spread_of([get(row) for row in mine])
    except (KeyError, IndexError):
        return "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=MAIN, choices=list(ARMS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--data", default="builtin", help="builtin, a file of phrases, or builtin:3700:0:4 for four spellings a word")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], help="settings for every arm, such as lr=0.001")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--times", action="store_true", help="measure the time a step, and write it beside --out")
    parser.add_argument("--show", action="store_true", help="print the table of the rows that are there")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    more = {name: json.loads(value) for name, value in (word.split("=") for word in o.set)}
    if o.times:
        found = times(o.arms, o.data, more)
        return TIMES.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8") and None
    there = {key(row) for row in rows(o.out)}
    for seed in () if o.show else o.seeds:
        for arm in o.arms:
            if (arm, seed, o.steps, Path(o.data).name, json.dumps(more, sort_keys=True)) not in there:
                began = time.perf_counter()
                row = (one_disguised if disguise_of(o.data) else one)(arm, seed, o.steps, o.data, more)
                o.out.parent.mkdir(parents=True, exist_ok=True)
                with o.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{arm}, seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
    print(table([r for r in rows(o.out) if r["steps"] == o.steps and r["data"] == Path(o.data).name]))


if __name__ == "__main__":
    main()
