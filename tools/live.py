"""Build the live page: three trained models that fill blanks in the reader's browser, from any static host or from file://.

usage: python -m tools.live [build/live] [--home ../index.html]

Needs the extra `docs`. Everything the page runs is in the folder:
index.html, style.css, model.js, live.js (as in site/live), ort.js (onnxruntime-web) and pack.js, which holds the models,
their words and the WebAssembly, each compressed by gzip and written in base64: a page opened from file:// may run scripts
but fetch nothing.
"""
import argparse
import base64
import gzip
import json
import math
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import torch

from tofy import corpus
from tofy.checkpoint import HELDOUT
from tofy.crowding import plane, word_rows
from tofy.data import pack
from tofy.encoder import count_parameters
from tofy.errors import RunError
from tofy.inference import READY, Latent, load
from tofy.masking import Blanks
from tofy.metrics import Scorer, baseline_scorers, rank_blanks, unigram_scorer
from tofy.vocab import MASK, NEWEST, SPECIALS, UNK, Vocab
from tools.everyday import MODEL as EVERYDAY
from tools.graph import onnx_graph
from tools.npm import package

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "site" / "live"
RUNS = dict(tofy="healthy", notes="notes")   # recipe → folder in READY, of the course's small text
PROBED = 1000                                # held-out phrases by which the temperature and the threshold are set
RUNTIME = "ort-wasm-simd-threaded"   # the smallest build: processor only, no WebGPU; it runs single-threaded as well


def law_of(tokens: list[str], place: int) -> list | None:
    "Rank and probability of the word that stands there, perplexity, and the ten likeliest words, each with its probability."
    try:
        law = corpus.posterior(tokens, place)
    except ValueError:                                                # the grammar knows no such phrase
        return None
    word, order = tokens[place], list(law)
    spread = math.exp(-sum(p * math.log(p) for p in law.values()))
    top = [value for likely in order[:10] for value in (likely, round(law[likely], 4))]
    return [order.index(word) + 1, round(law[word], 6), round(spread, 2), *top] if word in law else None


def ready_phrases(folder: Path, vocab: Vocab) -> list[dict]:
    "The held-out phrases that have no unknown word, each with the exact law of every blank in it."
    lines = [vocab.tokenize(line) for line in (folder / HELDOUT).read_text(encoding="utf-8").splitlines()]
    known = [tokens for tokens in lines if UNK not in vocab.encode(" ".join(tokens))]
    found = [dict(tokens=tokens, laws=[law_of(tokens, i) for i in range(len(tokens))]) for tokens in known]
    return [phrase for phrase in found if None not in phrase["laws"]]


def rank_counts(scorers: dict[str, Scorer], vocab: Vocab, asked: list[tuple[list[str], int]]) -> dict[str, list]:
    "How often the answer of a blank (tokens and a place) has which rank, for every scorer: name → [[rank, how often] …]."
    phrases = pack(vocab.encode(" ".join(tokens)) for tokens, _ in asked)
    blanks = Blanks(torch.arange(len(asked)), torch.tensor([i for _, i in asked]))
    found = {name: rank_blanks(scorer, phrases, blanks).tolist() for name, scorer in scorers.items()}
    return {name: counted(ranks) for name, ranks in found.items()}


def counted(ranks: Iterable[int]) -> list[tuple[int, int]]:
    "Each rank and how often it is found."
    return sorted(Counter(ranks).items())


def about(latent: Latent) -> dict:
    "What the page says of a model, and the plane on which its words are drawn."
    middle, axes = plane(word_rows(latent.model))
    train = latent.header["train"]
    return dict(temperature=latent.model.log_temperature.exp().item(), parameters=count_parameters(latent.model),
                steps=train["steps"], batch=train["batch"], middle=rounded(middle), axes=rounded(axes.T))


def rounded(values: torch.Tensor) -> list:
    "Nested lists with five decimals."
    return [rounded(v) for v in values] if values.dim() > 1 else [round(v, 5) for v in values.tolist()]


def words_of(latent: Latent) -> dict:
    "The words of a world, and how long its phrases may be."
    vocab = latent.vocab
    if vocab.rule != NEWEST["unicode"]:
        raise RunError(f"The page cuts a text by {NEWEST['unicode']}, this model by {vocab.rule}; train it again.")
    return dict(words=vocab.words, counts=vocab.counts, specials=len(SPECIALS), max_seq=latent.model.config.max_seq)


def course(models: dict[str, Latent], draws: int) -> dict:
    "What the page knows of the course's two recipes, beside the weights."
    vocab = models["tofy"].vocab
    for name, latent in models.items():
        if latent.vocab.words != vocab.words:
            raise RunError(f"The run {RUNS[name]} has other words than {RUNS['tofy']}; the page compares them word by word.")
        if latent.vocab.tokens != vocab.tokens:
            raise RunError(f"The run {RUNS[name]} cuts a text by another rule than {RUNS['tofy']}; the page needs the same.")
    asked = [(tokens, i) for tokens, i in corpus.draws(draws) if tokens[i] in vocab.ids]
    scorers = {name: latent.score for name, latent in models.items()} | dict(unigram=unigram_scorer(vocab))
    return words_of(models["tofy"]) | dict(
        runs={name: about(latent) for name, latent in models.items()}, phrases=ready_phrases(READY / RUNS["tofy"], vocab),
        ranks=rank_counts(scorers, vocab, asked) | dict(best=counted(law_of(tokens, i)[0] for tokens, i in asked)))


def everyday(latent: Latent, draws: int) -> dict:
    "What the page knows of the model of everyday English, beside the weights."
    vocab = latent.vocab
    if latent.bigram is None:
        raise RunError("The run site/live/everyday has no pair counts; make it again: python -m tools.everyday --train.")
    lines = [vocab.tokenize(line) for line in (EVERYDAY / HELDOUT).read_text(encoding="utf-8").splitlines()]
    lines = [tokens for tokens in lines if len(tokens) > 3 and UNK not in vocab.encode(" ".join(tokens))]
    rng = Random(0)
    asked = [(tokens, rng.randrange(len(tokens))) for tokens in lines[:draws]]
    scorers = dict(everyday=latent.score) | baseline_scorers(vocab, latent.bigram)
    temperature = fitted_temperature(latent, asked[:PROBED])
    own = sorted(familiar(latent, tokens, place, temperature) for tokens, place in asked[:PROBED])
    threshold = own[len(own) // 20]                                   # one of its own phrases in twenty is below it
    mixed = [familiar(latent, rng.sample(tokens, len(tokens)), place, temperature) for tokens, place in asked[:PROBED // 4]]
    others = [(tokens, i) for tokens, i in corpus.draws(PROBED) if UNK not in vocab.encode(" ".join(tokens))][:PROBED // 4]
    other = [familiar(latent, tokens, place, temperature) for tokens, place in others]
    return words_of(latent) | dict(
        runs=dict(everyday=about(latent) | dict(temperature=temperature)), phrases=[dict(tokens=tokens) for tokens in lines[:200]],
        ranks=rank_counts(scorers, vocab, asked),
        familiar=dict(threshold=round(threshold, 4), mixed=below(mixed, threshold), other=below(other, threshold)),
        right=rightness(latent, asked, temperature), right_other=rightness(latent, others, temperature, 1)[0][1])


def below(scores: list[float], threshold: float) -> float:
    "Which share of the scores is below the threshold."
    return round(sum(score < threshold for score in scores) / max(len(scores), 1), 3)


def rightness(latent: Latent, asked: list[tuple[list[str], int]], temperature: float, parts: int = 10) -> list[list[float]]:
    """How often the first word is the one that stood there, by its share: the blanks (tokens and a place) from the most doubtful
    to the surest in equal parts, and of each part the least share in it and how often the first word is right."""
    rows = [latent.vocab.encode(" ".join(tokens)) for tokens, _ in asked]
    first = (cosines(latent, [hidden(row, place) for row, (_, place) in zip(rows, asked)]) / temperature).softmax(-1).max(-1)
    right = [row[place] == i + len(SPECIALS) for row, (_, place), i in zip(rows, asked, first.indices.tolist())]
    told = sorted(zip(first.values.tolist(), right))
    cut = [told[len(told) * i // parts:len(told) * (i + 1) // parts] for i in range(parts)]
    return [[round(part[0][0], 4) if i else 0, round(sum(r for _, r in part) / len(part), 3)] for i, part in enumerate(cut) if part]


def cosines(latent: Latent, rows: list[list[int]]) -> torch.Tensor:
    "The cosine of every word (but the specials) with the prediction at the blank of each row of ids."
    with torch.no_grad():
        return latent.model.cosines(latent.at_blank(*rows)[0])[:, len(SPECIALS):]


def fitted_temperature(latent: Latent, asked: list[tuple[list[str], int]]) -> float:
    "The temperature at which the shares fit the words that stood in these blanks best: the least mean cross-entropy."
    rows = [latent.vocab.encode(" ".join(tokens)) for tokens, _ in asked]
    targets = torch.tensor([row[place] for row, (_, place) in zip(rows, asked)]) - len(SPECIALS)
    found = cosines(latent, [hidden(row, place) for row, (_, place) in zip(rows, asked)])
    steps = [.02 * 1.05 ** i for i in range(50)]
    return round(min(steps, key=lambda t: torch.nn.functional.cross_entropy(found / t, targets).item()), 4)


def hidden(row: list[int], place: int) -> list[int]:
    "Ids with the blank at a place."
    return [*row[:place], MASK, *row[place + 1:]]


def familiar(latent: Latent, tokens: list[str], place: int, temperature: float) -> float:
    """How well the model knows this kind of phrase, as in model.js: its answer is put into the blank and every other word is hidden
    in turn; the mean logarithm of the share that each gets, where an unknown word counts as if all words were equally likely."""
    row = latent.vocab.encode(" ".join(tokens))
    answer = cosines(latent, [hidden(row, place)])[0].argmax().item() + len(SPECIALS)
    full = [*row[:place], answer, *row[place + 1:]]
    others = [i for i in range(len(row)) if i != place]
    logs = (cosines(latent, [hidden(full, i) for i in others]) / temperature).log_softmax(-1)
    unknown = -math.log(logs.shape[1])
    return sum(unknown if full[i] == UNK else log[full[i] - len(SPECIALS)].item() for i, log in zip(others, logs)) / len(others)


def packed(parts: Iterable[tuple[str, bytes]]) -> str:
    "A script that sets TOFY_PACK: name → gzip, in base64."

    def squeeze(content):
        return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()

    return "var TOFY_PACK = {\n" + ",\n".join(f'"{name}": "{squeeze(content)}"' for name, content in parts) + "\n};\n"


def build(out: Path, home: str = "", draws: int = 4000) -> dict[str, int]:
    "Write the page; file name → bytes."
    models, wide = {name: load(READY / folder) for name, folder in RUNS.items()}, load(EVERYDAY)
    worlds = dict(everyday=everyday(wide, draws), course=course(models, draws))
    models["everyday"] = wide
    dist = package("onnxruntime-web") / "dist"
    parts = [("data.json", json.dumps(worlds, ensure_ascii=False).encode())]
    parts += [(f"{name}.onnx", onnx_graph(latent.model).SerializeToString()) for name, latent in models.items()]
    parts += [(f"runtime.{end}", (dist / f"{RUNTIME}.{end}").read_bytes()) for end in ("mjs", "wasm")]
    out.mkdir(parents=True, exist_ok=True)
    for name in ("style.css", "model.js", "live.js", "LICENSE-onnxruntime.txt"):
        shutil.copyfile(SOURCE / name, out / name)
    link = f'<p class="home"><a href="{home}">The course</a></p>' if home else ""
    page = (SOURCE / "index.html").read_text(encoding="utf-8").replace("<!-- home -->", link)
    (out / "index.html").write_text(page, encoding="utf-8")
    shutil.copyfile(dist / "ort.wasm.min.js", out / "ort.js")
    (out / "pack.js").write_text(packed(parts), encoding="ascii")
    return {path.name: path.stat().st_size for path in sorted(out.iterdir())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "live")
    parser.add_argument("--home", default="", help="address of the course, for a link at the top")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = build(args.out, args.home)
    wire = sum(len(gzip.compress((args.out / name).read_bytes())) for name in sizes)
    print(f"{args.out}: {sum(sizes.values()) / 1e6:.2f} MB as it lies, {wire / 1e6:.2f} MB over a wire that compresses")


if __name__ == "__main__":
    try:
        main()
    except RunError as error:
        raise SystemExit(f"live: {error}") from None
