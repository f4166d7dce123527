"""The competitors: each trains on the same phrases for the same time and hands back a scorer.

An arm is a generator: it yields (seconds, examples, scorer) at every tenth of its time, the last at the end.
"""

import tempfile
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tofy import training
from tofy.data import Data
from tofy.encoder import LatentModel
from tofy.masking import Masked, mask_batch
from tofy.training import follow, open_run, recipe
from tofy.vocab import PAD, SPECIALS

Point = tuple[float, int, object]   # seconds, examples, scorer


def ours(data: Data, seconds: float, seed: int, name: str = "tofy", **changes) -> Iterator[Point]:
    "A recipe in our own loop. Its check-ups count against its time."
    model, config = recipe(name, seconds=seconds, seed=seed, **changes)
    run = open_run(data, model, config)
    for record in follow(run):
        if record.is_line and record.valid_mrr == record.valid_mrr:
            yield record.seconds, record.examples, scorer(run.model)


def scorer(model: LatentModel):
    "The model's scores at a blank, asked in eval mode."
    @torch.no_grad()
    def score(questions: Masked) -> Tensor:
        was = model.training
        model.eval()
        scores = model.cosines(model(questions.inputs, questions.mask)[0])
        model.train(was)
        return scores
    return score


class SoftmaxModel(LatentModel):
    "The same encoder with a vocabulary-sized output: logits = table · pred + bias, the table shared with the input."
    def __init__(self, config, temperature: float = .1):
        super().__init__(config, temperature)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def cosines(self, pred: Tensor) -> Tensor:
        return pred @ self.table.T + self.bias


def softmax(data: Data, seconds: float, seed: int, **changes) -> Iterator[Point]:
    "A softmax masked model in our own loop: same encoder, masks, batches, schedule and optimizer."
    first = len(SPECIALS)
    keep = training.LatentModel, training.latent_loss

    def loss(pred, hidden, targets, table, *_):
        value = F.cross_entropy(pred @ table[first:].T + run.model.bias[first:], targets - first)
        return value, dict(rank=value)

    training.LatentModel, training.latent_loss = SoftmaxModel, loss
    try:
        model, config = recipe("tofy", seconds=seconds, seed=seed, learn_temperature=False, **changes)
        run = training.new_run(data, model, config, None)
        run.pending = run.record(is_line=True), True
        for record in follow(run):
            if record.is_line and record.valid_mrr == record.valid_mrr:
                yield record.seconds, record.examples, scorer(run.model)
    finally:
        training.LatentModel, training.latent_loss = keep


def plain(data: Data, seconds: float, seed: int, **_) -> Iterator[Point]:
    "What one writes first: rows of max_seq from lists, a Python loop a batch, every position scored, an .item() a step."
    model_config, config = recipe("tofy", seed=seed)
    torch.manual_seed(seed)
    model = LatentModel(training.replace(model_config, vocab_size=len(data.vocab)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    rows, generator = [data.train[i].tolist() for i in range(len(data.train))], torch.Generator().manual_seed(seed)
    began, examples, losses, due = time.perf_counter(), 0, [], .1
    while (spent := time.perf_counter() - began) < seconds:
        chosen = torch.randint(len(rows), (config.batch,), generator=generator).tolist()
        ids = torch.tensor([rows[i] + [PAD] * (model_config.max_seq - len(rows[i])) for i in chosen])
        inputs, mask, targets = mask_batch(ids, len(data.vocab), generator, "rate", config.mask_rate)
        hidden = model.predictor(model.encoder(inputs))                               # (B,T,D) everywhere
        scores = model.cosines(hidden.flatten(0, 1)).view(*ids.shape, -1) / .1        # (B,T,V) everywhere
        loss = F.cross_entropy(scores[mask][:, 3:], targets - 3)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate(config, spent / seconds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        examples += len(ids)
        if spent / seconds >= due:
            due += .1
            paused = time.perf_counter()
            yield spent, examples, scorer(model)
            began += time.perf_counter() - paused
    yield time.perf_counter() - began, examples, scorer(model)


def bert(data: Data, seconds: float, seed: int, lr: float = 2e-3, mask_rate: float = .3, dropout: float = 0.,
         batch: int = 64) -> Iterator[Point]:
    "transformers' BertForMaskedLM of the same size, trained by its Trainer; evaluation is left out of its time."
    import threading

    import transformers
    from transformers import BertConfig, BertForMaskedLM, Trainer, TrainerCallback, TrainingArguments
    transformers.utils.logging.set_verbosity_error()
    ours_, V = recipe("tofy")[0], len(data.vocab)
    rows = [data.train[i].tolist() for i in range(len(data.train))]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = BertForMaskedLM(BertConfig(
        vocab_size=V, hidden_size=ours_.dim, num_hidden_layers=ours_.layers, num_attention_heads=ours_.heads,
        intermediate_size=4 * ours_.dim, max_position_embeddings=data.settings["max_seq"], type_vocab_size=1,
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

    spent, turn, ready = [0.], threading.Event(), threading.Event()
    points: list[Point | None] = []

    class Watch(TrainerCallback):
        "Wall time of the steps, collation included; hands a point over at every tenth and waits meanwhile."
        def on_train_begin(self, *_, **__):
            self.since, self.due = time.perf_counter(), .1

        def on_step_end(self, args, state, control, **_):
            now = time.perf_counter()
            spent[0] += now - self.since
            if spent[0] >= self.due * seconds:
                self.due += .1
                control.should_training_stop = spent[0] >= seconds
                points.append((spent[0], state.global_step * batch, score))
                ready.set()
                turn.wait()
                turn.clear()
            self.since = time.perf_counter()

    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=.01)
    shape = lambda _: min(spent[0] / seconds / .05 + 1e-3, max(1 - spent[0] / seconds, 0) / .95)  # noqa: E731
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), max_steps=10**9, per_device_train_batch_size=batch, report_to=[],
        save_strategy="no", logging_steps=10**9, remove_unused_columns=False, use_cpu=True, disable_tqdm=True,
        seed=seed)
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Watch()],
                      optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape)))
    thread = threading.Thread(target=lambda: (trainer.train(), points.append(None), ready.set()), daemon=True)
    thread.start()
    while True:
        ready.wait()
        ready.clear()
        if points[-1] is None:
            return
        yield points[-1]
        turn.set()


ARMS = dict(tofy=ours, notes=lambda *a, **k: ours(*a, name="notes", dim=128, layers=2, batch=16, **k), softmax=softmax,
            plain=plain, bert=bert)
