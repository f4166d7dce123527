"""What a graphics card does with this project, in eight minutes: a JSON line for every figure and as each part ends.

    bash benchmarks/gpu.sh                              install what is missing from wheels/ (make wheels), run all parts
    python -m benchmarks.gpu --dry-run                  the parts, and the seconds each may take
    python -m benchmarks.gpu --parts speed decoder      some of them
    python -m benchmarks.gpu --toy --device cpu         everything at a toy size, as the tests run it

Each part is a process of its own, so that one which fails or runs out of memory harms no other. It is cut at its
limit; what it found until then is kept, and its last line says so. No network is used. The lines go to
benchmarks/results/gpu-<card>.jsonl, from which chapter 17 draws; --out names another file.
"""

import argparse
import json
import math
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass
class Bench:
    "What a part is told: where to compute, how large, and until when."
    device: str
    toy: bool
    deadline: float   # of time.time()

    def left(self) -> float:
        return self.deadline - time.time()

    def pick(self, full, toy):
        "A size."
        return toy if self.toy else full

    @property
    def is_gpu(self) -> bool:
        return self.device != "cpu"

    def wait(self) -> None:
        "Until the card has done all that it was told."
        import torch
        if self.is_gpu:
            torch.cuda.synchronize()

    def forget_peak(self) -> None:
        import torch
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_mb(self) -> float:
        "The most memory held: on the card since `forget_peak`, on a processor since the process began."
        import torch
        if self.is_gpu:
            return torch.cuda.max_memory_allocated() / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e6

    def matmul_rate(self, dtype) -> float:
        "Operations a second of the best of some products of square matrices."
        import torch
        n, best = self.pick(8192, 256), 0.
        a = torch.randn(n, n, device=self.device).to(dtype)
        for _ in range(10):
            self.wait()
            began = time.perf_counter()
            a @ a
            self.wait()
            best = max(best, 2 * n**3 / (time.perf_counter() - began))
        return best


# 1. Is it right?

def correctness(b: Bench) -> Iterator[dict]:
    "The same numbers as on the processor, padded or not, resumed or not, in 16 bits, with a cache or without."
    yield padding_parity(b)
    yield against_processor(b)
    yield resuming(b)
    yield half_precision(b)
    yield caching(b)


def small_run(b: Bench, folder: Path | None = None, device: str | None = None, resume: bool = False, steps: int = 40, **changes):
    "A short run in float32 without dropout, opened and at its first step (or where it stood)."
    from tofy.data import load_data
    from tofy.training import open_run, recipe
    device = device or b.device
    settings = dict(steps=steps, dim=b.pick(64, 16), layers=2, heads=2, dropout=0., bf16=False, device=device, eval_queries=200)
    data = load_data(b.pick("builtin:3000", "builtin:300"))
    return open_run(data, *recipe(**settings | changes), folder, resume)


def padding_parity(b: Bench) -> dict:
    "The largest change of a hidden vector where its phrase is padded by 1 to 40 tokens."
    import torch

    from tofy.vocab import PAD
    run, worst = small_run(b), 0.
    encoder = run.model.encoder.eval()
    with torch.no_grad():
        for row in range(8):
            ids = run.data.train[row][None].to(b.device)                                             # (1,T)
            alone = encoder(ids)
            for more in (1, 7, 40):
                padded = torch.nn.functional.pad(ids, (0, min(more, 72 - ids.shape[1])), value=PAD)
                worst = max(worst, (encoder(padded)[:, :ids.shape[1]] - alone).abs().max().item())
    return dict(name="padding", largest_difference=worst, ok=worst < 1e-5)


def against_processor(b: Bench) -> dict:
    "Blanks, loss and gradients of one batch here and on the processor, in float32."
    found = {}
    for device in ("cpu", b.device):
        run = small_run(b, device=device)
        loss, metrics = run.batch_loss(run.next_batch(), True)
        loss.backward()
        found[device] = dict(loss=loss.item(), metrics=metrics,
                             gradients={n: p.grad.cpu() for n, p in run.model.named_parameters() if p.grad is not None})
    ours, theirs = found["cpu"], found[b.device]
    gradient = max(((theirs["gradients"][name] - g).norm() / g.norm().clamp(min=1e-12)).item()
                   for name, g in ours["gradients"].items())
    loss = abs(theirs["loss"] - ours["loss"]) / ours["loss"]
    share, wanted = hidden_share(b)
    return dict(name="loss and gradient", loss_difference=loss, gradient_difference=gradient, hidden_share=share,
                ok=loss < 1e-5 and gradient < 1e-3 and abs(share - wanted) < .05)


def hidden_share(b: Bench) -> tuple[float, float]:
    "The share of known words that become targets on this device, and the one that the setting and chance give."
    import torch

    from tofy.masking import mask_batch
    run = small_run(b)
    ids = run.data.train.batch(torch.arange(min(len(run.data.train), 256)))
    masked = mask_batch(ids, len(run.data.vocab), run.generator, "rate", .3)
    known = (ids >= 3).sum(1).float()
    pred, _ = run.model(masked.inputs.to(b.device), masked.mask.to(b.device))
    return len(pred) / known.sum().item(), ((.3 * known + .7**known).sum() / known.sum()).item()     # at least one a phrase


def resuming(b: Bench) -> dict:
    "The largest difference between weights of a run that was interrupted and one that was not; and between two that were not."
    import torch

    from tofy import loop
    from tofy.checkpoint import load_tensors
    from tofy.run_folder import STATE
    with tempfile.TemporaryDirectory() as home:
        folders = [Path(home) / name for name in ("once", "again", "interrupted")]
        for folder in folders[:2]:
            folder.mkdir()
            list(loop.run(small_run(b, folder)))
        folders[2].mkdir()
        run = small_run(b, folders[2], log_every=5)
        steps = loop.run(run)
        while run.step < 20:
            next(steps)
        steps.close()
        list(loop.run(small_run(b, folders[2], resume=True, log_every=5)))
        once, again, interrupted = ({name: t for name, t in load_tensors(folder / STATE)[0].items() if t.is_floating_point()}
                                    for folder in folders)

    def far(other):
        return max((once[name] - other[name]).abs().max().item() for name in once)

    resumed, twins = far(interrupted), far(again)
    why = "" if resumed == 0 else "two uninterrupted runs differ as well: sums are taken in another order each time" \
        if twins > 0 else "two uninterrupted runs do not differ"
    assert all(torch.isfinite(t).all() for t in once.values())
    return dict(name="resume", resumed_difference=resumed, twin_difference=twins, bit_for_bit=resumed == 0, why=why,
                ok=resumed == 0 or resumed < 100 * twins)


def half_precision(b: Bench) -> dict:
    "Loss and held-out MRR after equal steps, in 32 bits and with the encoder in 16-bit brain floats."
    from tofy import loop
    found, steps = dict(name="bf16", steps=b.pick(400, 20)), b.pick(400, 20)
    for name, half in (("float32", False), ("bf16", True)):
        lines = [r for r in loop.run(small_run(b, steps=steps, bf16=half)) if r.is_line]
        found |= {f"{name}_loss": lines[-1].loss, f"{name}_mrr": lines[-1].valid_mrr}
    return found | dict(ok=abs(found["bf16_mrr"] - found["float32_mrr"]) < .1)


def caching(b: Bench) -> dict:
    "The same tokens with and without remembered keys and values, and what remembering saves."
    import torch

    from tofy.lab.decoder import Decoder, preset
    from tofy.lab.writing import continue_rows
    torch.manual_seed(0)
    model = Decoder(preset(b.pick("small", "nano"), vocab_size=512)).to(b.device).eval()
    n, found = b.pick(200, 40), {}
    begin = torch.randint(512, (1, 8))
    for name, cache in (("with", True), ("without", False)):
        list(continue_rows(model, begin, 2, cache=cache))
        began = time.perf_counter()
        found[name] = [(t.item(), logits) for t, logits in continue_rows(model, begin, n, cache=cache)]
        found[name + "_rate"] = n / (time.perf_counter() - began)
    same = sum(a[0] == c[0] for a, c in zip(found["with"], found["without"]))
    far = max((a[1] - c[1]).abs().max().item() for a, c in zip(found["with"], found["without"]) if a[0] == c[0])
    return dict(name="cache", tokens=n, same_tokens=same, largest_difference=far, tokens_per_second=found["with_rate"],
                without_cache=found["without_rate"], ok=far < 1e-3)


# 2. How fast is a step?

def speed(b: Bench) -> Iterator[dict]:
    "Examples a second, the share of the card's matrix rate, and memory, by width and vocabulary; compiled at two of them."
    import torch
    rates = dict(float32=b.matmul_rate(torch.float32), bf16=b.matmul_rate(torch.bfloat16))
    yield dict(name="matrix rate") | {f"{name}_tflops": rate / 1e12 for name, rate in rates.items()}
    rate, batches = rates["bf16" if b.is_gpu else "float32"], {}
    with tempfile.TemporaryDirectory() as home:
        texts = {v: made_text(Path(home) / f"{v}.txt", v, b.pick(40_000, 300)) for v in b.pick((4_000, 32_000), (200, 400))}
        shapes = [(d, v) for d in b.pick((128, 256, 768), (16, 32)) for v in texts]
        for dim, vocab in shapes:
            row = fastest_batch(b, texts[vocab], dim, vocab, rate)
            batches[dim, vocab] = row["batch"]
            yield row
        for dim, vocab in [] if b.toy else (shapes[0], shapes[-1]):
            yield one_speed(b, texts[vocab], dim, vocab, batches[dim, vocab], rate, compiled=True)


def made_text(path: Path, vocab: int, phrases: int) -> Path:
    "A text in which every one of so many words occurs, by Zipf's law, in phrases of 6 to 24 of them."
    import numpy as np
    draw = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(vocab - 3)])
    weight = 1 / np.arange(1, len(words) + 1)
    lengths = draw.integers(6, 25, phrases)
    chosen = np.concatenate([np.arange(len(words)), draw.choice(len(words), lengths.sum(), p=weight / weight.sum())])
    ends = np.concatenate([np.arange(16, len(words), 16), len(words) + lengths.cumsum()])
    path.write_text("\n".join(" ".join(words[part]) for part in np.split(chosen, ends) if len(part) > 1))
    return path


def fastest_batch(b: Bench, text: Path, dim: int, vocab: int, rate: float) -> dict:
    "The batch at which a doubling pays by less than a twentieth."
    import torch
    best, tried, batch = {}, [], b.pick(64, 8)
    while b.left() > 2 and batch <= b.pick(2**14, 16):
        try:
            row = one_speed(b, text, dim, vocab, batch, rate)
        except torch.OutOfMemoryError:
            tried.append([batch, None])
            break
        tried.append([batch, round(row["examples_per_second"])])
        pays = not best or row["examples_per_second"] > 1.05 * best["examples_per_second"]
        best = row if not best or row["examples_per_second"] > best["examples_per_second"] else best
        if not pays:
            break
        batch *= 2
    return best | dict(tried=tried)


def one_speed(b: Bench, text: Path, dim: int, vocab: int, batch: int, rate: float, compiled: bool = False) -> dict:
    "Steps of the project's own loop at one size, after some that do not count."
    from torch.utils.flop_counter import FlopCounterMode

    from tofy.data import load_data
    from tofy.loop import training_step
    from tofy.training import open_run, recipe
    b.forget_peak()
    data = load_data(text, max_vocab=vocab, valid=10)
    heads = max(dim // 64, 2)
    run = open_run(data, *recipe(steps=10_000, dim=dim, layers=2, heads=heads, batch=batch, device=b.device))

    def step() -> None:
        training_step(run, False)
        run.step += 1

    with FlopCounterMode(display=False) as counter:
        step()
    if compiled:
        run.model.encoder.compile(dynamic=True)
    began = time.perf_counter()
    for _ in range(b.pick(5, 1)):
        step()
    b.wait()
    warm, began, steps = time.perf_counter() - began, time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - began < b.pick(.7, .05):
        step()
        steps += 1
    b.wait()
    spent = time.perf_counter() - began
    return dict(name="step", dim=dim, vocab=len(data.vocab), batch=batch, compiled=compiled, warm_seconds=warm,
                ms_per_step=1000 * spent / steps, examples_per_second=batch * steps / spent,
                share_of_matrix_rate=counter.get_total_flops() * steps / spent / rate, peak_mb=b.peak_mb())


# 3. How good, how soon?

class Reached(Exception):
    "A run is as good as it was asked to be."


def quality(b: Bench) -> Iterator[dict]:
    "Top-1 against time on the built-in corpus, beside two library models, until .98 of the best possible is reached."
    import torch

    from tofy import corpus
    from tofy.data import load_data, pack
    from tofy.masking import Blanks
    from tofy.metrics import judge

    from .arms import ours
    from .peers import plain_loop
    count, most = b.pick((4000, 90.), (200, 1.))
    data = load_data(b.pick("builtin:100000", "builtin:400"))
    drawn = list(corpus.draws(count))
    phrases = pack([data.vocab.ids.get(word, 1) for word in context] for context, _ in drawn)
    blanks = Blanks(torch.arange(count), torch.tensor([place for _, place in drawn]))
    known = phrases.flat[phrases.offsets[:-1] + blanks.positions] >= 3
    asked, best = Blanks(blanks.rows[known], blanks.positions[known]), corpus.best(count)["top1"]
    shape = b.pick(dict(dim=256, layers=4, heads=8, batch=256), dict(dim=16, layers=1, heads=2, batch=32))
    arms = dict(tofy=ours, bert=lambda *a, **k: plain_loop(*a, arch="bert", **k), modernbert=plain_loop)
    for i, (name, arm) in enumerate(arms.items()):
        limit, curve = min(most, b.left() / (len(arms) - i) - b.pick(6, 1)), []
        if limit <= 0:
            return

        def report(seconds: float, examples: int, scorer, curve=curve) -> None:
            top1 = judge(scorer, phrases, asked, len(data.vocab))["top1"] * len(asked.rows) / count   # an unknown word is missed
            curve.append([round(seconds, 2), examples, round(top1, 4)])
            if top1 >= .98 * best:
                raise Reached

        try:
            arm(data, limit, 0, report, device=b.device, **shape)
        except Reached:
            pass
        top1 = max(point[2] for point in curve)
        yield dict(name=name, limit=limit, seconds=curve[-1][0], examples=curve[-1][1], top1=top1, best=best,
                   share_of_best=top1 / best, reached=top1 >= .98 * best, curve=curve, **shape)


# 4. The decoder

class NumberedTokens:
    "Stands in for a tokenizer where the text is random numbers."
    json = "{}"

    def __init__(self, size: int):
        self.words = [f"<{i}>" for i in range(size)]

    def __len__(self) -> int: return len(self.words)

    def encode(self, text: str) -> list[int]: return []

    def decode(self, ids) -> str: return " ".join(self.words[i] for i in ids)


# What the source of the preset `small` reports for its card, with a vocabulary of 8,192 and its kernels compiled.
SOURCE = dict(tokens_per_second=185_000, ms_per_step=90)


def decoder(b: Bench) -> Iterator[dict]:
    "Tokens a second of the presets, at 32 windows of their context; small compiled, too, where time is left."
    import torch
    rate = b.matmul_rate(torch.bfloat16 if b.is_gpu else torch.float32)
    for name in b.pick(("small", "medium"), ("nano",)):
        yield decoder_speed(b, name, rate) | (dict(source=SOURCE) if name == "small" else {})
    if not b.toy and b.left() > 15:
        yield decoder_speed(b, "small", rate, compiled=True) | dict(source=SOURCE)


def decoder_speed(b: Bench, name: str, rate: float, compiled: bool = False) -> dict:
    "Steps of the laboratory's own loop."
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tofy.encoder import count_parameters
    from tofy.lab.decoder import preset
    from tofy.lab.training import TextConfig, TextData, new_run
    from tofy.loop import training_step
    b.forget_peak()
    vocab, batch = b.pick((8192, 32), (256, 2))
    shape = preset(name, vocab_size=vocab)
    stream = torch.randint(vocab, (b.pick(2_000_000, 5_000),), dtype=torch.int32)
    data = TextData(NumberedTokens(vocab), stream, stream[:2000], 2000, [], "", dict(source="random"))
    run = new_run(data, shape, TextConfig(steps=1000, seconds=None, batch=batch, device=b.device, compile=compiled))

    def step() -> None:
        training_step(run, False)
        run.step += 1

    if not compiled:
        with FlopCounterMode(display=False) as counter:
            step()
    for _ in range(b.pick(3, 1)):
        step()
    b.wait()
    began, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - began < b.pick(3., .1):
        step()
        steps += 1
    b.wait()
    spent = time.perf_counter() - began
    found = dict(name=name, windows=batch, context=shape.context, vocab=vocab, parameters=count_parameters(run.model),
                 compiled=compiled, ms_per_step=1000 * spent / steps,
                 tokens_per_second=batch * shape.context * steps / spent, peak_mb=b.peak_mb())
    return found if compiled else found | dict(share_of_matrix_rate=counter.get_total_flops() * steps / spent / rate)


# 5. The way several processes go, by one

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]


def processes(b: Bench) -> Iterator[dict]:
    "One process started by torchrun (NCCL on a card, Gloo elsewhere) against one that is alone."
    import torch

    from tofy.checkpoint import load_tensors
    from tofy.run_folder import STATE
    with tempfile.TemporaryDirectory() as home:
        found, program = {}, ["--device", b.device, *["--toy"] * b.toy, "--grouped", home]
        for name, start in (("alone", []), ("grouped", TORCHRUN)):
            done = subprocess.run([sys.executable, *start, "-m", "benchmarks.gpu", *program, name], cwd=ROOT, text=True, capture_output=True,
                                  env=os.environ | dict(PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])))
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            found[name] = json.loads(done.stdout.splitlines()[-1])
            found[name + " weights"] = load_tensors(Path(home) / name / STATE)[0]
    a, c = found["alone weights"], found["grouped weights"]
    far = max((a[name] - c[name]).abs().max().item() for name in a if a[name].is_floating_point())
    assert all(torch.isfinite(t).all() for t in c.values() if t.is_floating_point())
    yield dict(name="group of one", backend=found["grouped"]["backend"], largest_difference=far,
               seconds_alone=found["alone"]["seconds"], seconds_grouped=found["grouped"]["seconds"],
               ok=found["grouped"]["wrapped"] and not found["alone"]["wrapped"] and far < 1e-2)


def grouped_run(folder: str, name: str, device: str, toy: bool) -> None:
    "What `processes` starts: a run by the project's own path, in whatever group there is."
    import torch.distributed as dist

    from tofy import loop
    from tofy.processes import group, grouped
    b = Bench(device, toy, math.inf)
    with group():
        place = Path(folder) / name
        place.mkdir()
        run = small_run(b, place, steps=b.pick(60, 10))
        list(loop.run(run))
        backend = dist.get_backend_config() if grouped() else None
        print(json.dumps(dict(backend=backend and str(backend), wrapped=run.wrapped is not None, seconds=run.clock.seconds)))
        del run


@dataclass
class Part:
    "A part, and the seconds it may take."
    run: Callable[[Bench], Iterator[dict]]
    seconds: int


# The quick ones first.
PARTS = dict(correctness=Part(correctness, 45), processes=Part(processes, 35), decoder=Part(decoder, 45),
             speed=Part(speed, 85), quality=Part(quality, 265))                                      # 475 s in all
TOY_LIMIT = 120   # of each part at the toy size, on a machine however busy; on a quiet one all take half a minute


def options(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for the toy size")
    parser.add_argument("--toy", action="store_true", help="a size that a processor does in half a minute")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--out", type=Path, help="append the lines to this file")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)                             # one part, in this process
    parser.add_argument("--deadline", type=float, default=math.inf, help=argparse.SUPPRESS)
    parser.add_argument("--grouped", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def plan(o: argparse.Namespace) -> list[dict]:
    "The parts that are asked for, with their limits."
    return [dict(part=name, limit=TOY_LIMIT if o.toy else PARTS[name].seconds,
                 what=PARTS[name].run.__doc__) for name in PARTS if name in o.parts]


def card(device: str) -> str:
    "The name of the card, or of the processor's kind."
    import torch
    return torch.cuda.get_device_name() if device != "cpu" else f"cpu-{platform.machine()}"


def results_file(card: str) -> Path:
    "Where the lines of a card go."
    return RESULTS / f"gpu-{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}.jsonl"


def main(argv: list[str] | None = None) -> int:
    o = options(argv)
    if o.grouped:
        return grouped_run(*o.grouped, o.device, o.toy) or 0
    if o.part:
        return do_part(o)
    steps = plan(o)
    if o.dry_run:
        for step in steps:
            print(json.dumps(step))
        print(json.dumps(dict(part="all", limit=sum(step["limit"] for step in steps))))
        return 0
    import torch
    if o.device != "cpu" and not torch.cuda.is_available():
        print("There is no graphics card here; --toy --device cpu runs all parts at a toy size.", file=sys.stderr)
        return 2
    name = card(o.device)
    where = dict(card=name, began=datetime.now(timezone.utc).isoformat(timespec="seconds"), toy=o.toy,
                 torch=torch.__version__, python=platform.python_version())
    file = o.out or results_file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    for step in steps:
        with file.open("a") as lines:
            for row in run_part(o, step["part"], step["limit"]):
                line = json.dumps(where | dict(part=step["part"]) | row)
                lines.write(line + "\n")
                lines.flush()
                print(line, flush=True)
                failed += bool(row.get("error")) or row.get("ok") is False
    return int(failed > 0)


def run_part(o: argparse.Namespace, name: str, limit: float) -> Iterator[dict]:
    "The figures of a part as they come from its process; the last row says how it ended."
    began = time.time()
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", name, "--device", o.device,
               "--deadline", str(began + limit), *["--toy"] * o.toy]
    env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True) as child:
        cut = threading.Event()

        def stop() -> None:
            cut.set()
            os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(limit, stop)
        timer.start()
        rows = 0
        for line in child.stdout:
            if line.startswith("{"):
                rows += 1
                yield json.loads(line)
        code = child.wait()
        timer.cancel()
        said.seek(0)
        error = said.read().strip()[-1500:] if code and not cut.is_set() else None
        yield dict(name="end", rows=rows, seconds=round(time.time() - began, 1), limit=limit, cut=cut.is_set(), error=error)


def do_part(o: argparse.Namespace) -> int:
    "One part in this process: a JSON line for each of its rows."
    for row in PARTS[o.part].run(Bench(o.device, o.toy, o.deadline)):
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
