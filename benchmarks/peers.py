"""The strongest opponents that are easy to have: masked language models of the transformers library in a plain loop.

Its batches are bucketed by length, only masked positions get a score for every word, and it is scored without its
clock running. The settings were tuned on casual questions and on longer sentences (see chapter 17).
"""

import itertools
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tofy.data import Data, epoch_batches
from tofy.masking import Masked, mask_batch
from tofy.training import recipe
from tofy.vocab import PAD, SPECIALS

LOOKS = 8   # reports a run


def make_model(arch: str, vocab_size: int, longest: int, dim: int, layers: int, heads: int, dropout: float) -> nn.Module:
    "BertForMaskedLM or ModernBertForMaskedLM (rotary positions, gated feed-forward) of the size asked for."
    import transformers
    transformers.utils.logging.set_verbosity_error()
    if arch == "bert":
        return transformers.BertForMaskedLM(transformers.BertConfig(
            vocab_size=vocab_size, hidden_size=dim, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=4 * dim, max_position_embeddings=longest, type_vocab_size=1,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, pad_token_id=PAD))
    return transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(
        vocab_size=vocab_size, hidden_size=dim, intermediate_size=dim * 8 // 3, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=longest + 8, pad_token_id=PAD, bos_token_id=None,
        eos_token_id=None, cls_token_id=None, sep_token_id=None, global_attn_every_n_layers=1,
        attention_dropout=dropout, mlp_dropout=dropout, embedding_dropout=dropout, attn_implementation="sdpa"))


def logits_at(model: nn.Module, inputs: Tensor, mask: Tensor) -> Tensor:
    "inputs int64 `(B,T)`, mask bool `(B,T)` → a score for every word at the blanks alone, `(M,V)`."
    hidden = model.base_model(input_ids=inputs, attention_mask=(inputs != PAD).long()).last_hidden_state[mask]   # (M,D)
    return model.decoder(model.head(hidden)) if hasattr(model, "head") else model.cls(hidden)


def plain_loop(data: Data, seconds: float, seed: int, report: Callable, arch: str = "modern", lr: float = 2e-3, mask_rate: float = .3,
               smoothing: float = .1, weight_decay: float = .1, dropout: float = 0., tokens: int = 1024,
               batch: int | None = None, device: str = "cpu", muon: float = 0., **size) -> None:
    "A library model that predicts hidden words at their own places; see `train_model`."
    shape, V, longest = recipe(**size)[0], len(data.vocab), data.settings["max_seq"]
    torch.manual_seed(seed)
    generator, half = torch.Generator().manual_seed(seed), device != "cpu"
    model = make_model(arch, V, longest, shape.dim, shape.layers, shape.heads, dropout).to(device)

    def loss_of(ids: Tensor) -> Tensor:
        inputs, mask, targets = (t.to(device) for t in mask_batch(ids, V, generator, "rate", mask_rate))
        with torch.autocast(inputs.device.type, torch.bfloat16, half):
            logits = logits_at(model, inputs, mask)
        return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)

    @torch.no_grad()
    def score(questions: Masked) -> Tensor:
        return logits_at(model, questions.inputs.to(device), questions.mask.to(device)).float().cpu()

    train_model(data, seconds, seed, report, model, loss_of, score, lr, weight_decay, tokens, batch, muon)


def train_model(data: Data, seconds: float, seed: int, report: Callable, model: nn.Module, loss_of: Callable[[Tensor], Tensor],
                score: Callable[[Masked], Tensor], lr: float, weight_decay: float, tokens: int, batch: int | None = None,
                muon: float = 0.) -> None:
    """Train for so long; warm-up of a tenth, flat for a quarter of the rest, then a cosine, as ours.

    `loss_of`: of a batch of ids; `muon`: the rate of torch's own Muon for the matrices, as a multiple of `lr`, 0: AdamW for all.
    """
    optimizers = make_optimizers(model, lr, weight_decay, muon)
    batch = batch or max(round(tokens / data.train.lengths.float().mean().item()), 1)
    epochs = (epoch_batches(data.train.lengths, batch, seed, epoch) for epoch in itertools.count())
    spent, examples, due = 0., 0, 0.
    for chosen in itertools.chain.from_iterable(epochs):
        began = time.perf_counter()
        for optimizer, times in optimizers:
            optimizer.param_groups[0]["lr"] = times * rate(lr, spent / seconds)
            optimizer.zero_grad()
        loss_of(data.train.batch(chosen)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.)
        for optimizer, _ in optimizers:
            optimizer.step()
        examples, spent = examples + len(chosen), spent + time.perf_counter() - began
        if spent >= due or spent >= seconds:
            waited = time.perf_counter()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            spent += time.perf_counter() - waited
            due = spent + seconds / LOOKS
            model.eval()
            report(spent, examples, score)
            if spent >= seconds:
                return                                # as it is asked: what was reported last may be asked again
            model.train()


def hybrid(data: Data, seconds: float, seed: int, report: Callable, lr: float = 2e-3, mask_rate: float = .3,
           smoothing: float = .1, weight_decay: float = .1, tokens: int = 1024, muon: float = 0.,
           causal: float = .25, **size) -> None:
    """GPT-BERT (Charpentier and Samuel 2024) on ModernBERT's block: every word is predicted from the place before it.

    A share of the batches is read from left to right and predicts all words, the others predict hidden words from both
    sides. One more token begins each phrase.
    """
    shape, V = recipe(**size)[0], len(data.vocab)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = make_model("modern", V + 1, data.settings["max_seq"] + 1, shape.dim, shape.layers, shape.heads, 0.)

    def logits(inputs: Tensor, asked: Tensor, left: bool = False) -> Tensor:
        "inputs `(B,T)`, asked bool `(B,T)` → scores of the asked words `(M,V)`, from the places before them."
        inputs = F.pad(inputs, (1, 0), value=V)                                      # (B,T+1)
        keep = (inputs != PAD)[:, None, None].expand(-1, 1, inputs.shape[1], -1)     # (B,1,T+1,T+1)
        keep = keep.tril() if left else keep
        masks = dict(full_attention=keep, sliding_attention=keep)
        hidden = model.model(input_ids=inputs, attention_mask=masks).last_hidden_state[:, :-1][asked]
        return model.decoder(model.head(hidden))[:, :V]

    def loss_of(ids: Tensor) -> Tensor:
        inputs, mask, targets = mask_batch(ids, V, generator, "rate", mask_rate)
        if left := torch.rand((), generator=generator).item() < causal:
            inputs, mask = ids, ids >= len(SPECIALS)
            targets = ids[mask]
        return F.cross_entropy(logits(inputs, mask, left), targets, label_smoothing=smoothing)

    @torch.no_grad()
    def score(questions: Masked) -> Tensor:
        return logits(questions.inputs, questions.mask)

    train_model(data, seconds, seed, report, model, loss_of, score, lr, weight_decay, tokens, muon=muon)


def make_optimizers(model: nn.Module, lr: float, weight_decay: float, muon: float) -> list[tuple[torch.optim.Optimizer, float]]:
    "AdamW, or torch's Muon for the matrices that turn vectors into vectors and AdamW for the rest; each with its share of the rate."
    matrices = [m.weight for m in model.modules()
                if isinstance(m, nn.Linear) and m is not model.get_output_embeddings()] if muon else []
    known = set(map(id, matrices))
    others = [p for p in model.parameters() if id(p) not in known]
    adamw = torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay, fused=True)
    if not muon:
        return [(adamw, 1.)]
    return [(adamw, 1.), (torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"), muon)]


def rate(highest: float, progress: float, warmup: float = .1, flat: float = .25) -> float:
    "Linear warm-up, flat, cosine to 1e-5."
    start = warmup + flat * (1 - warmup)
    if progress < warmup:
        return highest * max(progress / warmup, .01)
    fallen = 1. if progress < start else (1 + math.cos(math.pi * min((progress - start) / (1 - start), 1.))) / 2
    return max(highest * fallen, 1e-5)
