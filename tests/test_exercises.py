"Exercises where a reader writes something: what is usually wrong is refused with a sentence that names the fault."
import re

import pytest

from tools.key import NBS, read

# chapter, a usual mistake, and a part of what its check says
MISTAKES = [
    ("01a_sources", "lambda cell: cell.strip('\"')", "only the outer marks go"),
    ("01a_sources", "lambda cell: cell", "one stays"),
    ("01a_sources", "lambda cell: cell[1:-1].replace('\"\"', '\"')", "should become plain"),
    ("02a_hub", "\"hub:anna/talks:small\"", "only train would be read"),
    ("02a_hub", "\"hub:anna/talks:train+test\"", "it is the second part"),
    ("02a_hub", "\"hub:anna:small:train+test\"", "read as 'anna'"),
    ("09_training", "lambda p, t, w, tau: 1 - F.cosine_similarity(p, w[t]).mean()", "direction alone"),
    ("09_training",
     "lambda p, t, w, tau: 1 - F.cosine_similarity(p, w[t]).mean() + F.cross_entropy(F.normalize(p, dim=1) @ F.normalize(w, dim=1).T / tau, t)",
     "specials are among the rivals"),
    ("09_training",
     "lambda p, t, w, tau: 1 - F.cosine_similarity(p, w[t]).mean() + F.cross_entropy(F.normalize(p, dim=1) @ F.normalize(w[3:], dim=1).T, t - 3)",
     "tau is missing"),
    ("12_gap", "lambda r, V, K: ((V - r) / (V - 1)) ** (K - 1)", "cannot be drawn once more"),
    ("12_gap", "lambda r, V, K: 1 / r", "loses to everybody"),
    ("13_doctor", "lambda train, held_out: held_out[-1] > train[-1]", "is sound"),
    ("13_doctor", "lambda train, held_out: held_out[-1] > min(held_out)", "less than 5%"),
    ("13_doctor", "lambda train, held_out: held_out[-1] > 1.05 * min(held_out)", "another disease"),
    ("13_doctor", "lambda a, b: False", "rises from 2.0 to 2.6"),
    ("14a_background", "lambda told: told", "of no use"),
    ("14a_background", "lambda told: [r for r in told if r[0] == 'line']", "progress is missing"),
    ("14a_background", "lambda told: [r for r in told if r[0] == 'line'] + [r for r in told if r[0] == 'step'][-1:]", "progress before it is old"),
    ("15a_panel_ideas", "lambda c, t: torch.softmax(torch.tensor(c) * t, 0)", "divide by it"),
    ("15a_panel_ideas", "lambda c, t: torch.exp(torch.tensor(c) / t)", "add up to 1"),
    ("15a_panel_ideas", "lambda c, t: torch.exp(torch.tensor(c) / t) / torch.exp(torch.tensor(c) / t).sum()", "exp(800)"),
    ("15c_panel_training", "dict(mask_rate=.5, seed=8)", "luck may be"),
    ("15c_panel_training", "dict(mask_rate=.3)", "hides 30%"),
    ("15c_panel_training", "dict(mask_rate=.5, steps=600)", "equally long"),
    ("15c_panel_training", "dict(mask_rate=.5, dim=64)", "due to dim"),
    ("17_benchmark", "lambda log, mrr: max((s for s, m in log if m < mrr), default=0)", "the *first* time"),
    ("17_benchmark", "lambda log, mrr: next((s for s, m in log if m >= mrr), 0)", "never gets there"),
    ("17_benchmark", "lambda log, mrr: [s for s, m in log if m >= mrr][0] if mrr < .5 else log[-1][0]", "never gets there"),
    ("00_colours", "(\"BLUE\", \"RED\")", "in grey they differ by"),
    ("00_colours", "(\"BLUE\", \"ORANGE\")", "belongs to"),
    ("00_colours", "(\"BLUE\", \"BLUE\")", "two of"),
    ("lab/00_tokenizers",
     "lambda tokens, pair: list(''.join(tokens).replace(''.join(pair), '#').replace('#', ''.join(pair)))",
     "from left to right"),
    ("lab/00_tokenizers", "lambda t, p: t", "from left to right"),
    ("lab/01_decoder", "lambda loss, tokens, text: loss", "in nats"),
    ("lab/01_decoder", "lambda loss, tokens, text: loss / math.log(2)", "two tokens of two bits"),
    ("lab/01_decoder", "lambda loss, tokens, text: loss / math.log(2) * tokens / len(text)", "two bytes"),
    ("lab/02_training", "lambda stream, w: [stream[i:i + w + 1] for i in range(0, len(stream) - w, w + 1)]", "never ask for"),
    ("lab/02_training", "lambda stream, w: [stream[i:i + w] for i in range(0, len(stream), w)]", "has 4 tokens"),
    ("lab/02_training", "lambda stream, w: [stream[i:i + w + 1] for i in range(len(stream) - w)]", "not abc|de|f|"),
    ("lab/03_synthetic", "lambda law: sum(-p * math.log(p) for p in law.values())", "for a line"),
    ("lab/03_synthetic", "lambda law: sum(-p * math.log(p) / len(l) for l, p in law.items())", "divide at the end"),
    ("lab/03_synthetic", "lambda law: sum(-p * math.log(p) for p in law.values()) / (sum(map(len, law)) / len(law))", "by their probability"),
    ("lab/03a_exams", "lambda words: sum(len(w) in (4, 6) for w in words) / max(len(words), 1)", "a consonant comes first"),
    ("lab/03a_exams",
     "lambda words: sum(len(w) in (4, 6) and all((c in 'aeiou') == i % 2 for i, c in enumerate(w)) for w in words) / max(len(words), 1)",
     "come twice"),
    ("lab/03a_exams",
     "lambda words: sum(len(set(w)) == len(w) and all((c in 'aeiou') == i % 2 for i, c in enumerate(w)) for w in words) / max(len(words), 1)",
     "four or six"),
    ("lab/03b_tales", "lambda word: 'an' if word[0] in 'aeiou' else 'a'", "an Angry"),
    ("lab/03b_tales", "lambda word: 'an' if word[0].lower() in 'aeiou' else 'a'", "silent"),
    ("lab/03b_tales", "lambda word: 'an' if word[0].lower() in 'aeiouh' else 'a'", "sound of you"),
    ("lab/04_prefixes", "lambda n, c, s: [(k, min(c, n - k), min(c, n - k)) for k in range(0, n, s)]", "nothing can be asked"),
    ("lab/04_prefixes", "lambda n, c, s: [(k, min(c, n - 1 - k), min(c, n - 1 - k)) for k in range(0, n - 1, s)]", "twice"),
    ("lab/04_prefixes", "lambda n, c, s: [(0, min(c, n - 1), min(c, n - 1))]", "leave some"),
    ("lab/04a_stretches", "lambda k: 0", "0.00 by you"),
    ("lab/04a_stretches", "lambda k: 1 / 2**k", "by you"),
    ("lab/04a_stretches", "lambda k: .37 / k", "by you"),
    ("lab/04b_prefix_study", "lambda D, layers, V, tokens: 2 * tokens * (layers * 12 * D**2 + V * D)", "forwards only"),
    ("lab/04b_prefix_study", "lambda D, layers, V, tokens: 3 * tokens * (layers * 12 * D**2 + V * D)", "multiplies *and* adds"),
    ("lab/04b_prefix_study", "lambda D, layers, V, tokens: 6 * tokens * layers * 12 * D**2", "times what is counted"),
    ("lab/06_surgery", "lambda block: [torch.nn.init.zeros_(p.weight) for p in (block.attention.out, block.down)]", "biases"),
    ("lab/06_surgery", "lambda block: [torch.nn.init.zeros_(p) for p in block.parameters()]", "no gradient arrives"),
    ("lab/06_surgery", "lambda block: [torch.nn.init.zeros_(p) for p in block.down.parameters()]", "at both places"),
    ("lab/06a_lineage", "lambda a, b: (a * b).sum().item()", "points where it points"),
    ("lab/06a_lineage", "lambda a, b: ((a * b).sum() / a.norm() ** 2).item()", "length must not matter"),
    ("lab/06a_lineage", "lambda a, b: abs((a * b).sum() / (a.norm() * b.norm())).item()", "opposite"),
    ("lab/06b_schedule", "lambda before, rival, layer: 'layer' if layer < before else 'before'", "training on without it"),
    ("lab/06b_schedule", "lambda before, rival, layer: 'layer' if rival is None or layer < rival else 'rival'", "must beat what was"),
    ("lab/06b_schedule", "lambda b, r, l: 'layer' if l <= min(b, r or 9) else 'rival' if (r or 9) < b else 'before'", "earned nothing"),
    ("lab/09_lab_cli", "\"data words\"", "an option says how many"),
    ("lab/09_lab_cli", "\"data word --lines 20\"", "lists what there is"),
    ("lab/09_lab_cli", "\"tofy lab data words --lines 20\"", "begin behind"),
    ("18_sharing", "lambda h, ids: h.amax(1)", "padding has won"),
    ("18_sharing", "lambda h, ids: (h * (ids != 0).unsqueeze(-1)).amax(1)", "a zero in the place"),
    ("18_sharing", "lambda h, ids: h.amax(2)", "one vector a phrase"),
]


@pytest.mark.parametrize("name, answer, hint", MISTAKES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(MISTAKES)])
def test_a_usual_mistake_is_named(name, answer, hint):
    check = next(e.check for e in read(NBS / f"{name}.ipynb").exercises if e.check and "rite it" in e.question)
    with pytest.raises(AssertionError, match=re.escape(hint)):
        exec(re.sub(r"(?m)^answer = \.\.\..*$", lambda _: f"answer = {answer}", check), {})


def test_each_of_these_chapters_has_two_such_mistakes():
    found = [name for name, *_ in MISTAKES]
    assert len({*found}) >= 24 and min(map(found.count, found)) >= 2
