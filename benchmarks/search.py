"""The search for the recipe: one change at a time, equal steps, the change of held-out MRR.

    python -m benchmarks.search casual.txt --valid 350 --try relu ema --seeds 0 1 --out search.jsonl
    python -m benchmarks.search casual.txt --valid 350 --try smoothing=0 positions=sinusoidal

A change is a name of the list below, or a setting of the recipe as name=value.
"""

import argparse
import copy
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tofy import encoder, layers, loop, training
from tofy.data import load_data
from tofy.encoder import LatentModel
from tofy.masking import all_blanks
from tofy.metrics import judge
from tofy.training import new_run, recipe
from tofy.vocab import SPECIALS

from .arms import scorer

CHANGES: dict[str, Callable] = {}   # name → a function that patches what it changes and may return a last step


def change(function: Callable) -> Callable:
    CHANGES[function.__name__] = function
    return function


def replaced_loss(scores: Callable) -> patch:
    "The training loss as a cross-entropy of scores(pred, table rows of words, temperature)."
    def loss(pred, hidden, targets, table, temperature, negatives, weights, reduction, first, measure, smoothing):
        value = F.cross_entropy(scores(pred, table[first:], temperature), targets - first, label_smoothing=smoothing)
        return value, dict(rank=value.detach())
    return patch.object(training, "latent_loss", loss)


def cosine(pred: Tensor, rows: Tensor, temperature: Tensor) -> Tensor:
    return F.normalize(pred, dim=-1) / temperature @ F.normalize(rows, dim=-1).T


def replaced_masks(edit: Callable) -> patch:
    "Masks made by edit(mask_batch, ids, V, generator, mode, rate, *rest)."
    real = training.mask_batch
    return patch.object(training, "mask_batch", lambda *given: edit(real, *given))


@change
def free_length(stack, run):
    "The prediction keeps its length, so that it can be more or less sure; the answer is the same direction."
    stack.enter_context(replaced_loss(lambda p, rows, t: p @ F.normalize(rows, dim=-1).T / (5 * t)))


@change
def prior(stack, run):
    "A fixed log-frequency is added to the scores, in training and in use."
    counts = torch.tensor(run.data.vocab.counts, dtype=torch.float)
    log = ((counts + .5) / counts.sum()).log()
    log[:len(SPECIALS)] = 0
    stack.enter_context(replaced_loss(lambda p, rows, t: cosine(p, rows, t) + log[len(SPECIALS):]))
    plain = LatentModel.cosines
    stack.enter_context(patch.object(
        LatentModel, "cosines", lambda self, p: plain(self, p) + log * self.log_temperature.exp()))


@change
def unit_input(stack, run):
    "What is read is the unit row, as what is predicted."
    stack.enter_context(patch.object(encoder.nn.Embedding, "forward", lambda self, ids: F.embedding(
        ids, F.normalize(self.weight, dim=-1))))


@change
def falling_rate(stack, run):
    "The mask rate falls from .45 to .15 over the run."
    stack.enter_context(replaced_masks(lambda real, ids, V, g, mode, rate, *rest: real(
        ids, V, g, mode, .45 - .3 * run.progress, *rest)))


@change
def mixed_rate(stack, run):
    "A mask rate for each batch, between .15 and .45."
    stack.enter_context(replaced_masks(lambda real, ids, V, g, mode, rate, *rest: real(
        ids, V, g, mode, .15 + .3 * torch.rand((), generator=g).item(), *rest)))


@change
def some_single(stack, run):
    "Three batches of ten have one blank a phrase, as in use."
    stack.enter_context(replaced_masks(lambda real, ids, V, g, mode, rate, *rest: real(
        ids, V, g, "one" if torch.rand((), generator=g) < .3 else mode, rate, *rest)))


@change
def word_dropout(stack, run):
    "A tenth of the words that are not asked for is read as <unk>."
    def edit(real, ids, V, g, *rest):
        masked = real(ids, V, g, *rest)
        hide = (torch.rand(ids.shape, generator=g) < .1) & (ids >= len(SPECIALS)) & ~masked.mask
        return masked._replace(inputs=masked.inputs.masked_fill(hide, 1))
    stack.enter_context(replaced_masks(edit))


@change
def attention_dropout(stack, run):
    "A tenth of the attention weights is dropped."
    def attend(q, k, v, attn_mask=None, is_causal=False):
        scores = q @ k.transpose(-1, -2) / q.shape[-1]**.5
        scores = scores if attn_mask is None else scores.masked_fill(~attn_mask, -1e9)
        return F.dropout(scores.softmax(-1), .1, run.model.training) @ v
    stack.enter_context(patch.object(layers.F, "scaled_dot_product_attention", attend))


@change
def relu(stack, run):
    "ReLU in place of GELU."
    stack.enter_context(patch.object(layers.F, "gelu", F.relu))


@change
def small_start(stack, run):
    "The blocks' last layers start with a standard deviation of .02: at first a block adds little."
    for block in run.model.encoder.blocks:
        nn.init.normal_(block.attention.out.weight, std=.02)
        nn.init.normal_(block.down.weight, std=.02)


@change
def ema(stack, run):
    "The answer is given by a running average of the weights (0.998 a step)."
    average = {n: t.clone() for n, t in run.model.state_dict().items()}

    def add_to_average():
        for name, t in run.model.state_dict().items():
            average[name].lerp_(t, 1 - min(.998, (run.step + 1) / (run.step + 10)))

    stack.enter_context(patch.object(run, "after_step", add_to_average))
    return lambda: run.model.load_state_dict(average)


@change
def context_target(stack, run):
    "A second prediction: what a slow copy of the encoder, which sees the whole phrase, holds at the blank."
    teacher, second = copy.deepcopy(run.model.encoder).eval(), nn.Linear(run.model.config.dim, run.model.config.dim)
    run.optimizer.add_param_group(dict(params=list(second.parameters()), weight_decay=0.))
    mask_batch, latent_loss, seen = training.mask_batch, training.latent_loss, []

    def masks(ids, *rest):
        masked = mask_batch(ids, *rest)
        seen[:] = ids, masked.mask
        return masked

    def loss(pred, hidden, *rest):
        value, terms = latent_loss(pred, hidden, *rest)
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), run.model.encoder.parameters()):
                slow.lerp_(fast, .004)
            there = F.layer_norm(teacher(*seen), (hidden.shape[1],))
        return value + .5 * F.smooth_l1_loss(second(hidden), there), terms

    stack.enter_context(patch.object(training, "mask_batch", masks))
    stack.enter_context(patch.object(training, "latent_loss", loss))


def attempt(data, what: str, seed: int, steps: int, **settings) -> dict:
    "Train with these changes, joined by commas, and judge on the held-out blanks."
    names = [part for part in what.split(",") if part and "=" not in part]
    if unknown := [name for name in names if name not in CHANGES and name != "recipe"]:
        raise SystemExit(f"There is no change {unknown[0]!r}; choose from recipe, {', '.join(CHANGES)}, or name=value.")
    settings |= {k: value(v) for k, v in (part.split("=") for part in what.split(",") if "=" in part)}
    run = new_run(data, *recipe(steps=steps, seed=seed, threads=1, eval_every=steps, **settings), None)
    with ExitStack() as stack:
        last = [CHANGES[name](stack, run) for name in names if name != "recipe"]
        for _ in loop.run(run):
            pass
        for step in filter(None, last):
            step()
        figures = judge(scorer(run.model.eval()), data.valid, all_blanks(data.valid, 6000), len(data.vocab))
    return dict(change=what, seed=seed, steps=steps, mrr=figures["mrr"], top1=figures["top1"],
                temperature=run.model.log_temperature.exp().item())


def value(text: str):
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"{name:18} {f.__doc__}" for name, f in CHANGES.items()))
    parser.add_argument("data", help="a file, or builtin[:N]")
    parser.add_argument("--try", nargs="+", default=["recipe", *CHANGES], dest="changes", metavar="CHANGE")
    parser.add_argument("--valid", type=float, default=.05)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path)
    o = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(o.data, valid=o.valid)
    for seed in o.seeds:
        for what in o.changes:
            result = attempt(data, what, seed, o.steps) | dict(data=Path(o.data).name)
            print(f"{what:40} seed {seed}  MRR {result['mrr']:.4f}  top-1 {result['top1']:.4f}", flush=True)
            if o.out:
                with o.out.open("a") as file:
                    file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
