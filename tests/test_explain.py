"""One step in slow motion: each of its numbers beside the library's own model, loss and optimizer, and each traced in Node."""
import base64
import copy
import json
import subprocess
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from conftest import NODE, ROOT
from torch import nn

from tofy import loop
from tofy.data import load_data
from tofy.encoder import ModelConfig
from tofy.errors import UsageError
from tofy.inference import READY, Latent, attention, load
from tofy.layers import rotate, turns
from tofy.losses import latent_loss
from tofy.masking import Masked
from tofy.one_step import QUESTIONS, RUNS, explain_step, five_words, page_data, ready_data, script, source_of
from tofy.optimizer import make_optimizer
from tofy.targets import make_teacher
from tofy.training import Batch, LatentRun, TrainConfig, new_run, target_table
from tofy.vocab import MASK, PAD

TOY = "cat drinks _ => milk"


def close(name: str, shown, own, most: float = 1e-5) -> None:
    "Equal to 1e-5, of a number's size where it is larger than 1."
    own = torch.as_tensor(own).detach()
    assert shown.shape == own.shape, (name, shown.shape, own.shape)
    assert torch.allclose(shown.double(), own.double(), rtol=most, atol=most), (name, (shown - own).abs().max())


def run_of(model, vocab, config) -> LatentRun:
    "The library's own run, about to take its first step."
    model.log_temperature.requires_grad_(config.learn_temperature and bool(config.rank_weight))
    data = SimpleNamespace(vocab=vocab, train=[0])
    return LatentRun(data, config, model, make_optimizer(model, config), torch.Generator().manual_seed(0),
                     teacher=make_teacher(model, config))


def watched(run: LatentRun, ids: torch.Tensor, negatives) -> dict[str, torch.Tensor]:
    "What the modules of the library's model read and write in one forward and backward pass, and their gradients."
    model, config, seen = run.model, run.config, {}

    def keep(name, of, pick=lambda t: t):
        def note(module, inputs, output):
            tensor = output if of == "out" else inputs[0]
            if tensor.requires_grad and not tensor.is_leaf:
                tensor.retain_grad()
            seen[name] = tensor, pick
        return note

    one = lambda t: t[0]                                                                       # noqa: E731
    hooks, encoder = [model.encoder.embedding.register_forward_hook(keep("rows", "out", one))], model.encoder
    for i, b in enumerate(encoder.blocks, 1):
        joined = lambda t, h=b.attention.heads: t[0].view(t.shape[1], h, -1).transpose(0, 1)   # noqa: E731
        for module, name, of, pick in [
                (b.norm1, f"stream {i - 1}", "in", one), (b.norm1, f"norm {i}", "out", one),
                (b.attention.qkv, f"qkv {i}", "out", one), (b.attention.out, f"read {i}", "in", joined),
                (b.attention.out, f"mixed {i}", "out", one), (b.norm2, f"stream {i} halfway", "in", one),
                (b.norm2, f"norm {i}b", "out", one), (b.up, f"up {i}", "out", one), (b.down, f"inner {i}", "in", one),
                (b.down, f"added {i}", "out", one), (b, f"stream {i}", "out", one)]:
            hooks.append(module.register_forward_hook(keep(name, of, pick)))
    states = encoder(ids)                                                                      # (1,T,D), or (1,T0,D)
    hidden = states[ids == MASK]
    hidden.retain_grad()
    if isinstance(model.predictor, nn.Sequential):
        hooks += [model.predictor[0].register_forward_hook(keep("predictor, first layer", "out", one)),
                  model.predictor[1].register_forward_hook(keep("predictor, ReLU", "out", one))]
    pred = model.predictor(hidden)
    pred.retain_grad()
    seen |= dict(hidden=(hidden, one), prediction=(pred, one))
    target = torch.tensor([run.answer])
    loss, _ = latent_loss(pred, hidden, target, target_table(run), model.log_temperature.exp(), negatives,
                          (config.mse_weight, config.rank_weight, config.aux_weight), config.reduction, 1 if config.unk_targets else 3,
                          smoothing=config.smoothing)
    loss.backward()
    for hook in hooks:
        hook.remove()
    found = {name: pick(tensor) for name, (tensor, pick) in seen.items()}
    found |= {f"gradient of {name}": pick(tensor.grad) for name, (tensor, pick) in seen.items() if tensor.grad is not None}
    found |= {f"gradient of {name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def expected(step, latent: Latent, config: TrainConfig) -> dict[str, torch.Tensor]:
    "Every stage, from the library's model, loss and training step."
    model, place = latent.model, step.blank
    ids = step["ids"].tensor[None]
    run = run_of(model, latent.vocab, config)
    run.answer = int(step.candidates[step.answer])
    rivals = None
    if config.negatives:
        rivals = step.candidates[1:][None]
        assert step.answer == 0 and len(rivals[0]) == config.negatives and run.answer not in rivals
    short = ids[:, :int((ids != PAD).sum())]                                # the model pads by itself
    own = watched(run, short, rivals)
    want = {k: v for k, v in own.items() if k in step.stages}
    named = {"table": "encoder.embedding.weight", "log τ": "log_temperature", "hidden: scale": "encoder.norm.weight",
             "hidden: shift": "encoder.norm.bias", "prediction: weights": "predictor.weight", "prediction: bias": "predictor.bias"}
    if isinstance(model.predictor, nn.Sequential):
        named |= {"prediction: weights": "predictor.2.weight", "prediction: bias": "predictor.2.bias",
                  "predictor, first layer: weights": "predictor.0.weight", "predictor, first layer: bias": "predictor.0.bias"}
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    for name, full in named.items():
        want[name] = weights[full]
        if f"gradient of {full}" in own:
            want[f"gradient of {name}"] = own[f"gradient of {full}"]
    for i, block in enumerate(model.encoder.blocks, 1):
        want |= block_of(own, weights, block, i)
    want |= comparison(own, run, step)
    want |= stepped(run, step, short, rivals, own)
    if "positions" in step.stages:
        want["positions"] = model.encoder.positions(ids.shape[1])
    last = want[f"stream {len(model.encoder.blocks)}"]
    want |= {"ids": step["ids"].tensor, "candidate ids": step.candidates, "next candidate ids": step.candidates,
             "state at the blank": last[place], "gradient of loss": torch.ones(())}
    upstream = own[f"gradient of stream {len(model.encoder.blocks)}"]
    want["gradient of state at the blank"] = upstream[place]
    assert not upstream[[i for i in range(len(upstream)) if i != place]].any()
    return want


def block_of(own: dict, weights: dict, block, i: int) -> dict[str, torch.Tensor]:
    "The stages of a block: what its modules wrote, cut as the chapter cuts it."
    layer, (T, _), found, at = block.attention, own[f"qkv {i}"].shape, {}, f"encoder.blocks.{i - 1}"
    d = layer.width
    cut = lambda t: [x.reshape(T, layer.heads, d).transpose(0, 1) for x in t.chunk(3, -1)]        # noqa: E731
    for prefix, qkv in (("", own[f"qkv {i}"]), ("gradient of ", own[f"gradient of qkv {i}"])):
        found |= dict(zip([f"{prefix}{name} {i}" for name in ("queries", "keys", "values")], cut(qkv)))
    q, k, v = (found[f"{name} {i}"].detach() for name in ("queries", "keys", "values"))
    if layer.rotary:
        turn = turns(T, d, base=layer.base)
        q, k = (rotate(t, turn) for t in (q, k))
        found |= {f"turned queries {i}": q, f"turned keys {i}": k}
    q, k, v = (t.detach().requires_grad_() for t in (q, k, v))              # the same product of matrices, and its gradient
    scores = q @ k.mT / d**.5
    scores.retain_grad()
    shares = scores.softmax(-1)
    shares.retain_grad()
    (shares @ v).backward(own[f"gradient of read {i}"])
    turned = "turned " * layer.rotary
    found |= {f"scores {i}": scores, f"attention {i}": shares, f"gradient of scores {i}": scores.grad,
              f"gradient of attention {i}": shares.grad, f"gradient of {turned}queries {i}": q.grad, f"gradient of {turned}keys {i}": k.grad}
    parts = [(f"{name} {i}", "attention.qkv", slice(n * len(weights[f"{at}.attention.qkv.bias"]) // 3, (n + 1) * len(weights[f"{at}.attention.qkv.bias"]) // 3))
             for n, name in enumerate(("queries", "keys", "values"))]
    parts += [(f"mixed {i}", "attention.out", slice(None)), (f"added {i}", "down", slice(None))]
    up = len(weights[f"{at}.up.bias"])
    if block.gated:
        halves = dict(gate=slice(0, up // 2), value=slice(up // 2, up))
        parts += [(f"{name} {i}", "up", half) for name, half in halves.items()]
        found |= {f"{prefix}{name} {i}": own[f"{prefix}up {i}"][:, half] for prefix in ("", "gradient of ") for name, half in halves.items()}
    else:
        parts += [(f"up {i}", "up", slice(None))]
    for stage, module, part in parts:
        for told, kind in (("weights", "weight"), ("bias", "bias")):
            found[f"{stage}: {told}"] = weights[f"{at}.{module}.{kind}"][part]
            found[f"gradient of {stage}: {told}"] = own[f"gradient of {at}.{module}.{kind}"][part]
    for name, module in ((f"norm {i}", "norm1"), (f"norm {i}b", "norm2")):
        for told, kind in (("scale", "weight"), ("shift", "bias")):
            found[f"{name}: {told}"] = weights[f"{at}.{module}.{kind}"]
            found[f"gradient of {name}: {told}"] = own[f"gradient of {at}.{module}.{kind}"]
    return found


def comparison(own: dict, run: LatentRun, step) -> dict[str, torch.Tensor]:
    "The stages from the cosines to the loss: the library's figures; their gradients by the derivatives of the formulas."
    model, c, few, a = run.model, run.config, step.candidates, step.answer
    pred, hidden, rows = own["prediction"].detach(), own["hidden"].detach(), target_table(run).detach()
    tau = model.log_temperature.detach().exp()
    cosines = nn.functional.cosine_similarity(pred, rows[few])
    scores, share = cosines / tau, (cosines / tau).softmax(0)
    found = {"target table": rows, "candidate rows": rows[few], "τ": tau, "cosines": cosines, "scores": scores, "softmax": share}
    size = len(pred) if c.reduction == "notes" else 1
    figures = latent_loss(pred[None], hidden[None], torch.tensor([run.answer]), rows, tau, few[1:][None] if c.negatives else None,
                          (c.mse_weight, c.rank_weight, c.aux_weight), c.reduction, 1 if c.unk_targets else 3, smoothing=c.smoothing)
    found |= dict(loss=figures[0], rank=figures[1]["rank"], direction=figures[1]["mse"], auxiliary=figures[1]["aux"])
    pull = share - c.smoothing / len(few)
    pull[a] -= 1 - c.smoothing
    pull, turn = c.rank_weight * pull, torch.zeros_like(share)
    turn[a] = -2 * c.mse_weight / size
    by_cosine, far = pull / tau + turn, rows[few].norm(dim=-1, keepdim=True)
    by_rows = by_cosine[:, None] * (pred / pred.norm() - cosines[:, None] * rows[few] / far) / far
    if c.aux_weight:
        near = nn.functional.cosine_similarity(hidden, rows[few][a], dim=0)
        by_rows[a] -= c.aux_weight * (hidden / hidden.norm() - near * rows[few][a] / far[a]) / far[a]
    more = dict(rank=torch.tensor(c.rank_weight), direction=torch.tensor(c.mse_weight), auxiliary=torch.tensor(c.aux_weight),
                scores=pull, cosines=by_cosine)
    more["candidate rows"] = by_rows
    more["τ"] = -(pull * scores).sum() / tau
    return found | {f"gradient of {name}": value for name, value in more.items()}


def stepped(run: LatentRun, step, ids, rivals, own: dict) -> dict[str, torch.Tensor]:
    "The stages of the step and after it: the library's own training step."
    model, c, few = run.model, run.config, step.candidates
    before, gradient, slow = model.table.detach().clone(), own["gradient of encoder.embedding.weight"], target_table(run).detach().clone()
    batch = Batch(Masked(ids, ids == MASK, torch.tensor([run.answer])), slice(None), 1., rivals, torch.tensor([run.answer]))
    started = {key: value.clone() for key, value in run.optimizer.state.get(model.table, {}).items()}
    run.next_batch = lambda: batch
    model.eval()
    rate = loop.learning_rate(c, run.progress) if started else c.lr
    if model.table.dtype is torch.double:               # training makes single precision of predictions
        loss, figures = latent_loss(*model(ids, ids == MASK), batch.masked.targets, target_table(run), model.log_temperature.exp(), rivals,
                                    (c.mse_weight, c.rank_weight, c.aux_weight), c.reduction, 1 if c.unk_targets else 3, smoothing=c.smoothing)
        figures["loss"] = loss
    else:
        loss, figures = run.batch_loss(batch, True)
    loop.optimizer_step(run, loss, rate)
    for name, told in dict(loss="loss", mse="direction", rank="rank", aux="auxiliary").items():
        close(name, step[told].tensor, figures[name], 1e-5)
    length = torch.stack([own[f"gradient of {n}"].norm() for n, p in model.named_parameters() if f"gradient of {n}" in own]).norm()
    share = (c.clip / (length + 1e-6)).clamp(max=1) if c.clip else torch.ones(())
    state, after, zero = run.optimizer.state[model.table], model.table.detach(), torch.zeros_like(before)
    with torch.no_grad():
        pred, _ = model(ids, ids == MASK)
    now = target_table(run).detach()
    found = {"length of all gradients": length, "clipping": share, "mean before": started.get("exp_avg", zero),
             "squares before": started.get("exp_avg_sq", zero), "clipped gradient": gradient * share,
             "mean of gradients": state["exp_avg"], "mean of squares": state["exp_avg_sq"], "move of the table": after - before,
             "table after": after, "how far each row moved": (after - before)[few].norm(dim=1),
             "cosines with the old prediction": nn.functional.cosine_similarity(own["prediction"], after[few]),
             "next prediction": pred[0], "next τ": model.log_temperature.exp(), "next candidate rows": now[few], "next target table": now}
    cosines = nn.functional.cosine_similarity(pred, now[few])
    found |= {"next cosines": cosines, "next scores": cosines / found["next τ"], "next softmax": (cosines / found["next τ"]).softmax(0)}
    return found | {"target table": slow}


def check(source, question: str, latent: Latent, config: TrainConfig) -> None:
    "Every stage of a step is what the library computes."
    step = explain_step(source, question)
    single, latent.model = copy.deepcopy(latent.model), latent.model.double()
    want = expected(step, latent, config)
    missing = set(step.stages) - set(want)
    assert not missing, f"not compared: {sorted(missing)}"
    for stage in step:
        close(stage.name, stage.tensor, want[stage.name])
    latent.model = single                              # as it is trained; a step of AdamW enlarges the rounding
    want = expected(step, latent, config)
    for stage in step:
        close(stage.name, stage.tensor, want[stage.name], 1e-4 if stage.part == "next" else 1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_every_number_is_torchs_for_three_phrases(run):
    for question in QUESTIONS:
        latent = load(READY / run)
        check(READY / run, question, latent, source_of(latent)[2])


@pytest.mark.parametrize("changes", [
    dict(), dict(optimizer="adamw"), dict(target="stopgrad", mse_weight=1., aux_weight=.3), dict(target="ema", mse_weight=.5),
    dict(negatives=3, smoothing=.2), dict(rank_weight=0., mse_weight=2., reduction="notes", clip=0.), dict(clip=.01)], ids=str)
def test_every_number_is_torchs_for_other_settings(changes):
    latent, config = five_words(), TrainConfig(**changes)
    latent.header["train"] = asdict(config)
    own = five_words()
    check(latent, TOY, own, config)


def test_a_run_under_way_brings_its_moments_and_its_rate():
    data = load_data([f"{who} drinks {what}" for who in ("cat", "dog", "cow") for what in ("milk", "water", "tea", "juice")], valid=0)
    for optimizer in ("muon", "adamw"):
        run = new_run(data, ModelConfig(dim=8, layers=1, heads=2, dropout=0.), TrainConfig(steps=20, seconds=None, batch=4, optimizer=optimizer))
        for _ in range(3):
            loop.training_step(run, False)
            run.progress += 1 / 20
        weights, state = [p.clone() for p in run.model.parameters()], run.generator.get_state()
        step = explain_step(run, TOY)
        assert all(torch.equal(a, b) for a, b in zip(weights, run.model.parameters())) and torch.equal(state, run.generator.get_state())
        ids = step["ids"].tensor[None]
        answer = torch.tensor([data.vocab.ids["milk"]])
        batch = Batch(Masked(ids, ids == MASK, answer), slice(None), 1., None, answer)
        run.model.eval()
        loop.optimizer_step(run, run.batch_loss(batch, False)[0], loop.learning_rate(run.config, run.progress))
        close("table after", step["table after"].tensor, run.model.table)
        close("next prediction", step["next prediction"].tensor, run.model(ids, ids == MASK)[0][0])
        assert float(step["mean before"].tensor.abs().sum()) > 0


def test_attention_is_what_the_chapter_on_asking_draws():
    latent, phrase = load(READY / "healthy"), QUESTIONS[0].split(" => ")[0]
    step = explain_step(latent, QUESTIONS[0])
    own = attention(latent, phrase)                                                            # (layers,H,T)
    for i, looks in enumerate(own, 1):
        close(f"attention {i}", step[f"attention {i}"].tensor[:, step.blank], looks)


def test_what_cannot_be_explained_says_so():
    with pytest.raises(UsageError, match='has no answer to learn; write it as "phrase with _ => answer"'):
        explain_step(five_words(), "cat drinks _")
    latent = five_words()
    latent.header["train"] = asdict(TrainConfig(target="context"))
    with pytest.raises(UsageError, match="this one has a target in context"):
        explain_step(latent, TOY)


# ---- the page

def numbers_of(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32)


def test_the_ready_made_steps_are_small_and_hold_what_python_has():
    page = ready_data()
    assert len(json.dumps(page)) <= 300_000 and len(script()) < 40_000
    assert len(page["steps"]) == len(RUNS) * len(QUESTIONS) == 12
    assert "http" not in script().replace("http://www.w3.org", "")
    for shown in page["steps"][::4]:
        step, picks = explain_step(READY / shown["title"], shown["question"]), shown["picks"]
        assert [shown["few"]["candidate"][0], shown["few"]["word"]] == [shown["question"].split("=> ")[1], ["<mask>"]]
        for stage in shown["stages"]:
            name, axes = page["heads"][stage["head"]][0], page["heads"][stage["head"]][3]
            own = step[name].tensor
            for i, axis in enumerate(axes):
                own = own.index_select(i, torch.tensor(picks[axis])) if axis in picks else own
            assert torch.equal(numbers_of(stage["numbers"]), own.float().flatten()), name


UNTRACED = {"ids", "gradient of loss", "next prediction", "next τ"}


@pytest.mark.skipif(NODE is None, reason="there is no Node here: pip install -e '.[docs]'")
def test_every_number_of_the_toy_is_traced_to_those_it_comes_from(tmp_path):
    step = explain_step(five_words(), TOY)
    (tmp_path / "step.mjs").write_text(script(), encoding="utf-8")
    (tmp_path / "page.json").write_text(json.dumps(page_data([step], 4000)), encoding="utf-8")
    (tmp_path / "ask.mjs").write_text("""
        import {readFileSync} from "node:fs";
        import {readSteps, trace} from "./step.mjs";
        const step = readSteps(JSON.parse(readFileSync(new URL("page.json", import.meta.url))))[0];
        console.log(JSON.stringify(step.list.map(stage => ({name: stage.name, part: stage.part, shown: [...stage.numbers],
          found: [...stage.numbers.keys()].map(place => { const at = trace(step, stage.name, place); return at && [at.value, at.groups.length]; })}))));
        """, encoding="utf-8")
    done = subprocess.run([NODE, str(tmp_path / "ask.mjs")], capture_output=True, text=True, encoding="utf-8", cwd=ROOT)
    assert not done.returncode, done.stderr
    stages = json.loads(done.stdout)
    assert {s["name"] for s in stages} == set(step.stages)
    for stage in stages:
        if stage["part"] == "weights" or stage["name"] in UNTRACED:
            assert stage["found"] == [None] * len(stage["shown"])
            continue
        for shown, found in zip(stage["shown"], stage["found"]):
            assert found is not None and abs(found[0] - shown) < 1e-5 * max(1, abs(shown)), (stage["name"], shown, found)
            assert found[1] > 0 or shown == 0, stage["name"]
