"""The competitors. Each trains on the same phrases for the same time and reports a scorer some twenty times on the way.

An arm is a function (data, seconds, seed, report, **settings); it calls report(seconds, examples, scorer) while its
clock stands still, the last time at the end.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers import hybrid, plain_loop
from tofy import loop, training
from tofy.data import Data
from tofy.encoder import LatentModel
from tofy.masking import Masked, mask_batch
from tofy.memory import Memory
from tofy.training import new_run, open_run, recipe
from tofy.vocab import PAD, SPECIALS

Report = Callable[[float, int, Callable[[Masked], Tensor]], None]
LOOKS = 8   # reports a run
# The recipe before the search of benchmarks.block; the rows of benchmarks.jepa, collapse and replies were made with it.
BEFORE = dict(feed_forward="gelu", init="uniform", rotary_base=100., dropout=.1, dropout_after=0., optimizer="adamw", lr=2e-3)


def ours(data: Data, seconds: float, seed: int, report: Report, name: str = "tofy", share: float = 1.,
         tokens: int | None = None, **changes) -> None:
    "A recipe in our own loop, for a share of the time. Its own validations count against its time."
    if tokens:
        changes |= dict(batch=training.suited_batch(data.train, tokens))
    model, config = recipe(name, seconds=share * seconds, seed=seed, threads=torch.get_num_threads(), **changes)
    watch(open_run(data, model, config), seconds, report)


def watch(run: training.Run, seconds: float, report: Report) -> None:
    "Follow a run and report; the run's clock stands still between two of its records."
    due = 0.
    for record in loop.run(run):
        now = run.clock.seconds                        # a record may be older than the validation that came with it
        if now >= due or run.progress >= 1 and not run.pending:
            due = now + seconds / LOOKS
            report(now, record.examples, scorer(run.model))


def scorer(model: LatentModel) -> Callable[[Masked], Tensor]:
    "The model's scores at a blank, asked in eval mode."
    @torch.no_grad()
    def score(questions: Masked) -> Tensor:
        was = model.training
        model.eval()
        device = model.table.device
        scores = model.cosines(model(questions.inputs.to(device), questions.mask.to(device))[0]).cpu()
        model.train(was)
        return scores
    return score


def memory(data: Data, seconds: float, seed: int, report: Report, share: float = .1, **changes) -> None:
    """Our recipe, then a memory of its training contexts (chapter 10a), both within the time.

    At most this share of the time is kept for building; a memory that would take longer holds fewer contexts. The last
    two reports are those without and with the memory.
    """
    model, config = recipe(seed=seed, threads=torch.get_num_threads(), **changes)
    began = time.perf_counter()
    piece = Memory.build(LatentModel(replace(model, vocab_size=len(data.vocab))), data.train, 256)    # as fast as the trained one
    contexts = min(int(data.train.known().sum()), 50_000)
    kept = min(share * seconds, 1.2 * contexts * piece.seconds / len(piece))
    spent = time.perf_counter() - began
    run = open_run(data, model, replace(config, steps=None, seconds=seconds - spent - kept))
    watch(run, seconds, lambda at, examples, scorer: report(spent + at, examples, scorer))
    spent += run.clock.seconds
    built = Memory.build(run.model, data.train, seconds=seconds - spent)
    report(spent + built.seconds, run.examples, built.scorer(run.model))


class SoftmaxModel(LatentModel):
    "The same encoder with scores as in BERT: logits = table · pred + bias, tied to the input table as our cosines are."
    def __init__(self, config, temperature: float = .1):
        super().__init__(config, temperature)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def cosines(self, pred: Tensor) -> Tensor:
        return pred @ self.table.T + self.bias


def softmax(data: Data, seconds: float, seed: int, report: Report, **changes) -> None:
    "A softmax of dot products, tied, in our own loop: same encoder, masks, batches, schedule and optimizer."
    first, kept = len(SPECIALS), (training.LatentModel, training.latent_loss)

    def loss(pred, hidden, targets, table, *_):
        rows, bias, answers = table[first:], run.model.bias[first:], targets - first
        value = F.cross_entropy(pred @ rows.T + bias, answers)
        above = (pred * (rows[answers] - rows.mean(0))).sum(-1) + bias[answers] - bias.mean()   # as in rank_loss
        value = value + run.config.smoothing * above.mean()
        return value, dict(rank=value)

    training.LatentModel, training.latent_loss = SoftmaxModel, loss
    try:
        threads = torch.get_num_threads()
        run = new_run(data, *recipe(seconds=seconds, seed=seed, threads=threads, learn_temperature=False, **changes), None)
        watch(run, seconds, report)
    finally:
        training.LatentModel, training.latent_loss = kept


def plain(data: Data, seconds: float, seed: int, report: Report, batch: int = 64) -> None:
    "What one writes first: rows as long as the longest phrase, made in a Python loop, all positions scored, .item()."
    config, settings = recipe(seed=seed)
    torch.manual_seed(seed)
    model = LatentModel(training.replace(config, vocab_size=len(data.vocab)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr)
    rows, generator = [data.train[i].tolist() for i in range(len(data.train))], torch.Generator().manual_seed(seed)
    longest, first, spent, examples, losses, due = max(map(len, rows)), len(SPECIALS), 0., 0, [], 0.
    while spent < seconds:
        began = time.perf_counter()
        chosen = torch.randint(len(rows), (batch,), generator=generator).tolist()
        ids = torch.tensor([rows[i] + [PAD] * (longest - len(rows[i])) for i in chosen])
        inputs, mask, targets = mask_batch(ids, len(data.vocab), generator, "rate", settings.mask_rate)
        hidden = model.predictor(model.encoder(inputs))                               # (B,T,D) everywhere
        scores = model.cosines(hidden.flatten(0, 1)).view(*ids.shape, -1) / .1        # (B,T,V) everywhere
        loss = F.cross_entropy(scores[mask][:, first:], targets - first)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate(settings, spent / seconds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        examples, spent = examples + batch, spent + time.perf_counter() - began
        if spent >= due or spent >= seconds:
            due = spent + seconds / LOOKS
            report(spent, examples, scorer(model))


def bert(data: Data, seconds: float, seed: int, report: Report, lr: float = 2e-3, mask_rate: float = .4,
         dropout: float = 0., batch: int = 64) -> None:
    "transformers' BertForMaskedLM of the same size, trained by its Trainer; evaluation is left out of its time."
    import transformers
    from transformers import BertConfig, BertForMaskedLM, Trainer, TrainerCallback, TrainingArguments
    transformers.utils.logging.set_verbosity_error()
    size, V, longest = recipe()[0], len(data.vocab), data.settings["max_seq"]
    rows = [data.train[i].tolist() for i in range(len(data.train))]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = BertForMaskedLM(BertConfig(
        vocab_size=V, hidden_size=size.dim, num_hidden_layers=size.layers, num_attention_heads=size.heads,
        intermediate_size=4 * size.dim, max_position_embeddings=longest, type_vocab_size=1,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, pad_token_id=PAD))

    def collate(chosen: list[list[int]]) -> dict[str, Tensor]:
        longest = max(map(len, chosen))
        ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in chosen])
        inputs, mask, targets = mask_batch(ids, V, generator, "rate", mask_rate)
        labels = torch.full_like(ids, -100).masked_scatter(mask, targets)
        return dict(input_ids=inputs, attention_mask=(ids != PAD).long(), labels=labels)

    @torch.no_grad()
    def score(questions: Masked) -> Tensor:
        model.eval()
        keep = (questions.inputs != PAD).long()
        scores = model(input_ids=questions.inputs, attention_mask=keep).logits[questions.mask]
        model.train()
        return scores

    class Watch(TrainerCallback):
        "Wall time of the steps, collation included."
        spent, due = 0., 0.

        def on_train_begin(self, *_, **__):
            self.since = time.perf_counter()

        def on_step_end(self, args, state, control, **_):
            self.spent += time.perf_counter() - self.since
            control.should_training_stop = self.spent >= seconds
            if self.spent >= self.due or control.should_training_stop:
                self.due = self.spent + seconds / LOOKS
                report(self.spent, state.global_step * batch, score)
            self.since = time.perf_counter()

    watch = Watch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=.01)

    def done():
        return watch.spent / seconds

    def shape(_):
        return min(done() / .05 + 1e-3, max(1 - done(), 0) / .95)  # warm-up 5%, then linear to 0

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), max_steps=10**9, per_device_train_batch_size=batch, report_to=[],
        save_strategy="no", logging_steps=10**9, remove_unused_columns=False, use_cpu=True, disable_tqdm=True,
        seed=seed)
    Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[watch],
            optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape))).train()


ARMS = dict(tofy=ours, third=partial(ours, share=1 / 3), half=partial(ours, share=1 / 2), memory=memory,
            adamw=partial(ours, optimizer="adamw", lr=2e-3, tokens=1024), softmax=softmax, bert=bert, modern=plain_loop,
            **{"modern-muon": partial(plain_loop, muon=3.)}, hybrid=partial(hybrid, causal=.1, muon=3.),
            notes=partial(ours, name="notes", dim=128, layers=2), plain=plain)
