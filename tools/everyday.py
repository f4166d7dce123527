"""Everyday English by rule: the text from which the third model of the live page learns.

usage: python -m tools.everyday [PHRASES]       print that many phrases (default 20)
       python -m tools.everyday --train         train the model again (about six minutes of one core)
       python -m tools.everyday --known FILE    say which share of the words of 100 phrases of FILE (a fixed sample) it knows

The words and the sentences stand in everyday.txt. A phrase is a free one (`says`), or somebody or something that does
something (a subject, a frame and a verb phrase), put into the frame's tense and person.
"""
import argparse
import contextlib
import math
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import torch

from tofy.data import load_data
from tofy.inference import load
from tofy.lab.tales import _verb, _with_s, an
from tofy.vocab import Vocab, tokenize

GRAMMAR = Path(__file__).with_suffix(".txt")
ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "site" / "live" / "everyday"
PHRASES, STEPS, WORDS = 300_000, 3300, 8000
UNMARKED = .45    # of the phrases come without their last mark, as visitors type them
SHARES = dict(says=.48, do=.31, state=.05, happen=.04, things=.12)
_PIECE = re.compile(r"[(|)]|\{[\w.]+\}|[^(|){}]+")
_OF = dict(i="my", we="our", you="your", he="his", she="her", they="their", me="my", us="our", him="his", them="their",
           everybody="their", nobody="their")   # whose it is
_ADVERBS = set("often always usually sometimes never rarely really even almost still already finally actually completely totally hardly".split())
_NOT_BE = set("DO DON'T DIDN'T did Ving often always usually sometimes never rarely".split())   # with *be*, other words stand here


def parsed(text: str) -> tuple:
    "A pattern as a tree: ('all', parts), ('one', choices), ('word', text) or ('kind', name, form)."
    pieces = iter(_PIECE.findall(text))

    def choices() -> tuple:
        rows: list[list] = [[]]
        for piece in pieces:
            if piece == ")":
                break
            if piece == "|":
                rows.append([])
            elif piece == "(":
                rows[-1].append(choices())
            elif piece[0] == "{":
                rows[-1].append(("kind", *(piece[1:-1] + ".n").split(".")[:2]))
            else:
                rows[-1].append(("word", piece))
        return ("one", [("all", row) for row in rows]) if len(rows) > 1 else ("all", rows[0])

    return choices()


@cache
def sections() -> dict[str, list[str]]:
    "The lines of each section of the grammar."
    found: dict[str, list[str]] = {}
    for line in GRAMMAR.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            rows = found.setdefault(line[3:], [])
        elif line.strip() and not line.startswith("#"):
            rows.append(line.strip())
    return found


@cache
def kinds() -> dict[str, list[tuple[str, str]]]:
    "Each list of words: one of it, several of it. A list that is named again goes on."
    found: dict[str, list[tuple[str, str]]] = {}
    for line in sections()["words"]:
        name, _, words = line.partition(":")
        pairs = [word.replace("_", " ").partition("/") for word in words.split()]
        found.setdefault(name, []).extend((one, many or _with_s(one)) for one, _, many in pairs)
    return {name: list(dict.fromkeys(pairs)) for name, pairs in found.items()}


@cache
def forms(verb: str) -> tuple[str, str, str, str]:
    "Past, participle, -ing and -s of a verb."
    irregular = {row.split()[0]: row.split()[1:] for row in ";".join(sections()["verbs"]).split(";")}
    regular = _verb(verb)
    past, done, *ing = irregular.get(verb, [regular["past"], regular["past"]])
    return past, done, ing[0] if ing else regular["ing"], dict(have="has", be="is", do="does", go="goes").get(verb, regular["does"])


def variants(tree: tuple) -> float:
    "How many texts a tree can make."
    if tree[0] == "word":
        return 1
    if tree[0] == "kind":
        return len(kinds()[tree[1]])
    counts = [variants(part) for part in tree[1]]
    return math.prod(counts) if tree[0] == "all" else sum(counts)


def grown(tree: tuple, rng: Random) -> str:
    "One of the texts of a tree."
    if tree[0] == "word":
        return tree[1]
    if tree[0] == "kind":
        return rng.choice(kinds()[tree[1]])[tree[2] == "s"]
    if tree[0] == "one":
        return grown(rng.choice(tree[1]), rng)
    return "".join(grown(part, rng) for part in tree[1])


class Bag:
    "Patterns from which one is drawn: the more it can make, the more often, as the logarithm; `3* …`: three times as often."

    def __init__(self, lines: list[str]):
        cut = [line.rpartition("* ")[::2] for line in lines]
        self.trees = [parsed(line) for _, line in cut]
        self.weights = [int(times or 1) * (1 + math.log2(variants(tree))) for tree, (times, _) in zip(self.trees, cut)]

    def draw(self, rng: Random) -> str:
        return grown(rng.choices(self.trees, self.weights)[0], rng)


@cache
def bag(section: str) -> Bag:
    return Bag(sections()[section])


@cache
def things() -> list[tuple[tuple, Bag]]:
    "Who, and what they do."
    rows = [line.split(" :: ") for line in sections()["things"]]
    return [(parsed(who), Bag(_alternatives(does))) for who, does in rows]


def _alternatives(text: str) -> list[str]:
    "The parts between bars that stand outside all brackets."
    depth, parts = 0, [""]
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _inflected(frame: str, subject: list[str], verb: str) -> str:
    "The frame with its subject and its verb in the forms that it asks for."
    who, be, have, *_ = subject
    many = have == "have"
    past, done, ing, does = forms(verb)
    short = {"i": "'m", "you": "'re", "we": "'re", "they": "'re", "he": "'s", "she": "'s"}.get(who, f" {be}")
    has = {"i": "'ve", "you": "'ve", "we": "'ve", "they": "'ve", "he": "'s", "she": "'s"}.get(who, f" {have}")
    will = "'ll" if who in ("i", "you", "we", "they", "he", "she") else " will"
    be_verb = dict(am="am", are="are")
    table = {"S'M": who + short, "S'VE": who + has, "S'LL": who + will, "S": who, "BE": be, "HAVE": have,
             "WAS": "was" if be in ("am", "is") else "were", "DO": "do" if many else "does", "DON'T": "don't" if many else "doesn't",
             "DIDN'T": "didn't", "WON'T": "won't", "HAVEN'T": f"{have}n't", "V": verb, "Ving": ing, "Ven": done,
             "Vs": be_verb.get(be, "is") if verb == "be" else verb if many else does,
             "Ved": ("was" if be in ("am", "is") else "were") if verb == "be" else past}
    return " ".join(table.get(word, word) for word in frame.split())


def _owned(text: str, owner: str, rng: Random) -> str:
    "MY, ME and MYSELF as they are said of this owner."
    self = dict(my="myself", our="ourselves", your="yourself", his="himself", her="herself", their="themselves")[owner]
    other = "me" if owner not in ("my", "our") else rng.choice(["him", "her", "them", "you"])
    table = dict(MY=owner, ME=other, MYSELF=self)
    return " ".join(table.get(word, word) for word in text.split())


def _subject(rng: Random) -> list[str]:
    "Who does it: the word, be, have, whose, whom."
    who, _, rest = grown(rng.choice(_subjects()), rng).partition(":")
    return [who.strip(), *rest.split()]


@cache
def _subjects() -> list[tuple]:
    return [parsed(line) for line in sections()["subjects"]]


def _owner(frame: str, rng: Random) -> str:
    "Whose things the verb speaks of, in a frame without a subject of its own."
    before = [word.partition("'")[0] for word in frame.partition(" V")[0].split()]
    found = [word for word in before if word in _OF]
    if found:
        return _OF[found[-1]]
    if "let" in before:
        return "our"
    first = (frame.split()[0], frame.split()[0])
    return "his" if first in kinds()["hisname"] else "her" if first in kinds()["hername"] else "your"


def _deed(kind: str, rng: Random) -> str:
    "Somebody or something that does something."
    if kind == "things":
        who, does = rng.choice(things())
        subject = [grown(who, rng), "is", "has", "its"]
        if re.search(r"\b(stars|police|glasses)$", subject[0]):
            subject[1:3] = ["are", "have"]
        deed = does.draw(rng)
    else:
        subject, deed = _subject(rng), bag(kind).draw(rng)
    verb, _, rest = deed.partition(" ")
    frame = bag(f"frames {kind}").draw(rng)
    while verb == "be" and _NOT_BE & set(frame.split()):
        frame = bag(f"frames {kind}").draw(rng)
    while subject[0] == "who" and not frame.startswith("S"):
        subject = _subject(rng)
    if subject[0] == "who":
        frame = frame.replace(" .", " ?")
    whose = subject[3] if re.search(r"\bS\b", frame) else _owner(frame, rng)
    text = re.sub(r"(?<!\S)(V(?:s|ed|ing|en)?)(?!\S)", lambda v: f"{v[0]} {rest}", frame, count=1)
    return _owned(_inflected(text, subject, verb), whose if whose in _OF.values() else "his", rng)


@cache
def _pairs() -> tuple[dict[str, str], dict[str, str], set[str]]:
    "A verb with *he* by the verb with *they*; the way back; and who is one. Verbs whose past is their base stay as they are."
    bases = {row.split()[0] for row in ";".join(sections()["verbs"]).split(";")}
    bases |= {grown(tree, Random(0)).split()[0] for name in ("do", "state", "happen") for tree in bag(name).trees}
    one = {base: forms(base)[3] for base in bases - {"be"} if forms(base)[0] != base}
    one |= {"are": "is", "were": "was", "have": "has", "do": "does", "don't": "doesn't", "haven't": "hasn't", "aren't": "isn't", "weren't": "wasn't"}
    return one, {value: key for key, value in one.items()}, {name for name, _ in kinds()["name"]} | {"he", "she", "it"}


def agreed(words: list[str]) -> list[str]:
    "The same words, the verb after a pronoun or a name that begins a clause in the form that goes with it."
    (one, many, alone), found = _pairs(), list(words)
    for i, word in enumerate(words[:-1]):
        place = i + 1 + (words[i + 1] in _ADVERBS)
        if (i and words[i - 1] != ",") or word not in alone | {"i", "you", "we", "they"} or place == len(words):
            continue
        verb = words[place]
        if word == "i" and verb in ("am", "is", "are", "was", "were", "wasn't", "weren't"):
            found[place] = verb if verb[0] == "w" and verb.startswith("was") else {"weren't": "wasn't", "were": "was"}.get(verb, "am")
        elif word in alone:
            found[place] = "is" if verb == "am" else one.get(verb, verb)
        else:
            found[place] = "are" if verb == "am" else many.get(verb, verb)
    return found


def phrase(rng: Random) -> str:
    "An everyday phrase."
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    said = bag("says").draw(rng) if kind == "says" else _deed(kind, rng)
    words = tokenize(re.sub(r"\s+(?='(?:ll|d|s|m|re|ve)\b)", "", said))
    words = agreed(words)
    for i, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            words[i] = "an" if an(words[i + 1]) else "a"
    return " ".join(words[:-1] if words[-1] in (".", "!", "?") and len(words) > 2 and rng.random() < UNMARKED else words)


def phrases(seed: int = 0) -> Iterator[str]:
    "Phrases without end."
    rng = Random(seed)
    while True:
        yield phrase(rng)


def train(steps: int, place: Path) -> None:
    "Train the model on phrases of seed 0, in one thread, and keep it in half precision."
    from tofy.inference import run_baselines
    from tofy.training import fit, recipe
    from tools.ready_runs import keep
    torch.set_num_threads(1)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as after:
        after.callback(os.chdir, before)
        os.chdir(name)                                         # a relative path: the run names no machine's folder
        Path("everyday.txt").write_text("\n".join(islice(phrases(), PHRASES)) + "\n", encoding="utf-8")
        data = load_data("everyday.txt", max_vocab=WORDS, valid=2000, max_seq=32)
        fit(data, *recipe(steps=steps, dim=96, layers=2, threads=1, log_every=200, max_seq=32), out="run")
        run_baselines("run", data)
        print(f"{keep(Path('run'), place) / 1e6:.2f} MB in {place}")


def known(lines: list[str], vocab: Vocab, n: int = 100, seed: int = 0) -> tuple[int, int, list[str]]:
    "Of the words in `n` of these phrases (a sample by seed): how many are known, how many there are, and the unknown ones."
    chosen = Random(seed).sample(sorted(set(lines)), min(n, len(set(lines))))
    words = [word for line in chosen for word in vocab.tokenize(line) if word[0].isalnum()]
    unknown = [word for word in words if word not in vocab.ids]
    return len(words) - len(unknown), len(words), unknown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phrases", nargs="?", type=int, default=20)
    parser.add_argument("--known", type=Path, metavar="FILE", help="a text with a phrase on each line (up to the first tab)")
    parser.add_argument("--train", action="store_true", help=f"train the model again, into {MODEL.relative_to(ROOT)}")
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    if args.train:
        train(args.steps, MODEL)
    elif args.known:
        lines = [line.split("\t")[0].strip() for line in args.known.read_text(encoding="utf-8").splitlines() if line.strip()]
        found, of, unknown = known(lines, load(MODEL).vocab)
        print(f"{found} of {of} words are known ({found / of:.1%}); unknown: {', '.join(sorted(set(unknown)))}")
    else:
        print(*islice(phrases(), args.phrases), sep="\n")


if __name__ == "__main__":
    main()
