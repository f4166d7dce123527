"""The playground's arithmetic, in Node: against torch, against its own exact figures, and what its presets and tasks claim.

What the page and the widget make of it is in test_playground_browser.py.
"""
import json
import math
import random
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import NODE, ROOT

from tofy.playground import MODULES, Toy, ToyModel, script

HERE = Path(__file__).parent


pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node here: pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    "A function: name of an answer in playground_node.mjs, question → what the playground's script says."
    path = tmp_path_factory.mktemp("script") / "playground.mjs"
    path.write_text(script(), encoding="utf-8")

    def ask(name: str, question=None):
        done = subprocess.run([NODE, str(HERE / "playground_node.mjs"), str(path), name], input=json.dumps(question),
                              capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return ask


# ---- the same numbers as torch

ALONE = [dict(words=30), dict(words=60, dim=8), dict(dim=3), dict(dim=8), dict(ambiguity=0.), dict(ambiguity=1.), dict(kind="context"),
         dict(copy="stopped"), dict(copy="ema"), dict(copy="ema", decay=0.), dict(copy="ema", decay=.999), dict(predictor=False),
         dict(softmax=1., cosine=0.), dict(cosine=2.), dict(sampled=1., cosine=0.), dict(direction=1., cosine=0.),
         dict(temperature=.05, rate=.03), dict(temperature=1.), dict(rivals=11, sampled=1.), dict(rate=.001), dict(rate=.3), dict(quick=10.),
         dict(quick=.1), dict(sphere=False), dict(seed=5), dict(kind="context", copy="ema"), dict(kind="context", copy="stopped")]


def combination(seed: int) -> Toy:
    """Every knob anywhere, at a learning rate below too hot.

    A step is as long as the rate times the slope of the loss, and a slope has the weights and 1/τ as factors: so the rate is divided by them.
    Where a step is long, a prediction now and then passes near 0; its direction then turns by any angle, and two runs that
    differed by 1e-14 part. Then torch parts from itself (test_too_hot_nobody_agrees_with_himself), and no comparison means anything.
    """
    draw = random.Random(seed)
    knobs = dict(words=draw.choice((12, 12, 30)), dim=draw.choice((2, 3, 8)), ambiguity=draw.random(), kind=draw.choice(("row", "context")),
                 copy=draw.choice(("shared", "stopped", "ema")), decay=draw.choice((0., .9, .99)), predictor=draw.random() < .7,
                 softmax=draw.choice((0., .5, 1.)), cosine=draw.choice((0., 1.)), sampled=draw.choice((0., 1.)),
                 direction=draw.choice((.1, 1., 2.)), temperature=draw.uniform(.1, .5), rivals=draw.randint(1, 11),
                 quick=10 ** draw.uniform(-.7, .3), sphere=draw.random() < .7, seed=seed)
    steep = knobs["softmax"] + 2 * knobs["direction"] + (knobs["cosine"] + knobs["sampled"]) / knobs["temperature"]
    return Toy(**knobs, rate=10 ** draw.uniform(-1.7, -.7) / steep / max(1, knobs["quick"]))


def parted(toy: Toy, steps: int = 100) -> float:
    "How far torch parts from torch in its losses, where one of the two begins 1e-14 beside the other."
    one, other = ToyModel(toy), ToyModel(toy)
    draw = torch.Generator().manual_seed(1)
    other.own = {name: value + 1e-14 * torch.randn(value.shape, generator=draw, dtype=torch.float64) for name, value in other.own.items()}
    pairs = [(one.step(batch), other.step(batch)) for batch in (one.batch(8) for _ in range(steps))]
    return max(abs(mine[term] - yours[term]) for mine, yours in pairs for term in mine)


def numbers(values: dict) -> dict:
    return {name: value.tolist() for name, value in values.items()}


def compared(ask, toys: list[Toy], steps: int = 100) -> list[tuple[float, float]]:
    "For each: the largest difference of a first gradient, and of a loss in so many steps."
    cases, wanted = [], []
    for toy in toys:
        model = ToyModel(toy)
        own, slow = ({name: value.flatten().tolist() for name, value in half.items()} for half in (model.own, model.slow))
        batches = [model.batch(8) for _ in range(steps)]
        cases.append(dict(toy=asdict(toy), own=own, slow=slow, batches=[numbers(batch) for batch in batches]))
        wanted.append((model.gradients(batches[0])[1], [model.step(batch) for batch in batches]))
    return [(max((torch.tensor(found["grad"][name], dtype=torch.float64) - value.flatten()).abs().max().item() for name, value in gradient.items()),
             max(abs(got[term] - want[term]) for got, want in zip(found["losses"], losses) for term in want))
            for found, (gradient, losses) in zip(ask("parity", cases), wanted)]


def agree(found: list[tuple[float, float]], toys: list) -> None:
    print(f"\ngradients differ by {max(g for g, _ in found):.1e}, losses by {max(loss for _, loss in found):.1e}")
    apart = {str(toy): pair for toy, pair in zip(toys, found) if not (pair[0] < 1e-10 and pair[1] < 1e-5)}
    assert not apart


def test_every_knob_alone_agrees_with_torch(ask):
    assert {name for knobs in ALONE for name in knobs} == asdict(Toy()).keys()
    toys = [Toy(**{"rate": .1} | knobs) for knobs in [{}, *ALONE]]
    agree(compared(ask, toys), toys)


def test_fifty_combinations_agree_with_torch(ask):
    toys = [combination(seed) for seed in range(50)]
    agree(compared(ask, toys), toys)


def test_too_hot_nobody_agrees_with_himself():
    "The bound of the comparison is fair: below too hot torch stays with itself, far beyond it torch parts from itself by more than 1e-5."
    cold = [combination(seed) for seed in range(0, 50, 5)]
    assert max(parted(toy) for toy in cold) < 1e-7
    assert min(parted(Toy(rate=rate)) for rate in (3., 10., 30.)) > 1e-2


def test_python_and_page_have_the_same_knobs(ask):
    assert ask("knobs") == asdict(Toy())


def test_the_script_is_small_and_asks_nobody():
    text = script()
    assert len(text.encode()) < 150_000 and not any(word in text for word in ("http://", "https://", "fetch(", "import("))
    assert {path.stem for path in (ROOT / "tofy" / "assets" / "playground").glob("*.js")} == {*MODULES}


# ---- the language and the dials

@pytest.mark.parametrize("words, ambiguity", [(12, 0.), (12, .1), (30, .3), (12, 1.)])
def test_the_law_of_a_blank_is_that_of_the_draws(ask, words, ambiguity):
    "Bayes' rule, worked out here once more; and what is drawn comes as often as the law says."
    said = ask("laws", dict(words=words, ambiguity=ambiguity))
    often = [1 / (w // 3 + 3) for w in range(words)]
    often = [p / sum(often) for p in often]
    near = {w: (w // 3 * 3 + (w + 2) % 3, w // 3 * 3 + (w + 1) % 3) for w in range(words)}
    total = entropy = best = 0
    for c in said["contexts"]:
        joint = [often[w] * math.prod((1 - ambiguity) * (seen == own) + ambiguity / words for seen, own in zip((c["left"], c["right"]), near[w]))
                 for w in range(words)]
        assert c["chance"] == pytest.approx(sum(joint)) and c["law"] == pytest.approx([p / sum(joint) for p in joint])
        total, best = total + sum(joint), best + max(joint)
        entropy -= sum(p * math.log(p / sum(joint)) for p in joint if p)
    assert total == pytest.approx(1) and said["best"] == pytest.approx(best) and said["entropy"] == pytest.approx(entropy)
    assert said["common"] == pytest.approx(max(often)) and len({*said["names"]}) == words
    batch = ask("draws", dict(words=words, ambiguity=ambiguity, count=20_000))
    assert all(answer not in rivals for answer, rivals in zip(batch["answer"], batch["rivals"]))
    right = sum(left == near[w][0] for left, w in zip(batch["left"], batch["answer"])) / 20_000
    assert right == pytest.approx(1 - ambiguity + ambiguity / words, abs=.015)
    assert batch["answer"].count(0) / 20_000 == pytest.approx(often[0], abs=.01)


@pytest.mark.parametrize("knobs", [{}, dict(dim=8, kind="context", copy="ema"), dict(dim=3, predictor=False)])
def test_the_dials_are_the_mean_of_every_blank(ask, knobs):
    said = ask("exact", knobs)
    assert all(said["dials"][term] == pytest.approx(value, abs=1e-9) for term, value in said["sums"].items())
    cosine, dim = said["dials"]["cosine_"], knobs.get("dim", 2)
    assert said["dials"]["inflated"] == pytest.approx(1 - (1 - cosine) / dim) and (said["dials"]["rank"] is None) == (dim == 2)


def test_no_run_is_better_than_the_best_in_its_dimensions(ask):
    "Even spacing gives a known floor where nothing is ambiguous and all words are equally near; runs stay above what was found."
    found = ask("floors", [dict(seed=0), dict(seed=3, temperature=.1), dict(dim=3, seed=1), dict(ambiguity=0, seed=2), dict(ambiguity=.5)])
    for one in found:
        assert min(one["runs"]) > one["cosine"] - 1e-3 and 0 < one["top1"] < 1 + 1e-9
    even = -math.log(1 / sum(math.exp((math.cos(2 * math.pi * k / 12) - 1) / .2) for k in range(12)))
    assert found[3]["cosine"] == pytest.approx(even, abs=.03) and found[3]["top1"] == pytest.approx(1)


def test_a_film_goes_on_as_it_did_before(ask):
    said = ask("rewound", dict(kind="context", copy="ema", sampled=1))
    assert said["between"] == 20 and said["first"] == said["again"] and said["frames"] == 61


def test_a_link_holds_the_knobs_and_nothing_else(ask):
    good, strange = "dim=3&copy=ema&rate=0.05&predictor=false&seed=7", "#dim=4&rate=1e9&words=&seed=1.5&x=3&predictor=yes&cosine=-1&kind=context"
    first, second, third = ask("links", [good, strange, ""])
    assert first["flat"] == asdict(Toy(dim=3, copy="ema", rate=.05, predictor=False, seed=7))
    assert ask("links", [first["link"]])[0] == first
    assert second["flat"] == asdict(Toy(kind="context")) and second["link"] == "kind=context" and third["link"] == ""


# ---- what the presets are called

STEPS = {"healthy": 1500, "collapse": 900, "saved by stop-gradient": 1500, "predictor off": 600, "crowded": 400, "too hot": 300, "too cold": 300,
         "teacher off": 600}


@pytest.fixture(scope="module")
def runs(ask) -> dict:
    return {found["name"]: found["runs"] for found in ask("presets", dict(seeds=20, steps=STEPS))}


CLAIMS = {
    "healthy": lambda r: r["alike"] < .3 and r["top1"] > 3.5 * r["unigram"] and r["total"] < .75 * r["start"],
    "collapse": lambda r: r["alike"] > .99 and r["total"] < .01 and r["top1"] < .5 * r["best"],
    "saved by stop-gradient": lambda r: r["alike"] < .6 and r["top1"] > 2.5 * r["unigram"],
    "predictor off": lambda r: r["alike"] > .97 and r["top1"] < .5 * r["best"],
    "crowded": lambda r: r["alike"] < .3 and r["top1"] < .66 * r["best"],
    "too hot": lambda r: r["jump"] > .5,
    "too cold": lambda r: r["jump"] < 1e-3 and r["total"] > .9 * r["start"],
    "teacher off": lambda r: r["alike"] > .99 and r["total"] < .01,
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_preset_does_what_it_is_called(runs, name):
    "For twenty seeds."
    failed = {seed: {k: round(v, 3) for k, v in run.items() if v is not None} for seed, run in enumerate(runs[name]) if not CLAIMS[name](run)}
    assert len(runs[name]) == 20 and not failed


def test_what_the_texts_of_the_presets_advise_helps(ask):
    "More dimensions make room; a slow copy saves the JEPA whose teacher is off."
    room = ask("played", dict(settings=[dict(words=30, dim=8, seed=seed) for seed in range(2)], steps=600))
    assert all(run["top1"] > .8 for run in room)
    jepa = dict(dim=3, kind="context", copy="ema", cosine=0, direction=1, rate=1)
    assert all(run["alike"] < .8 for run in ask("played", dict(settings=[jepa | dict(seed=seed) for seed in range(10)], steps=600)))


# ---- the verdict

@pytest.mark.parametrize("settings, end", [(dict(), "It has learnt."), (dict(cosine=0, direction=1, kind="context"), "Collapsed."),
                                           (dict(rate=30), "Too hot."), (dict(rate=3e-5), "Too cold.")])
def test_the_verdict_says_what_the_dials_say(ask, settings, end):
    [said] = ask("verdicts", [[settings, 960]])
    assert sum(one["title"] == end for one in said[-20:]) > 10


def test_mending_a_collapse_is_seen_to_mend(ask):
    "Mended as its story says: on the way no word of running together while they part, none of useless at twice the baseline."
    collapse = dict(cosine=0, direction=1, kind="context")
    for seed in range(3):
        fell, rose = ask("verdicts", [[collapse | dict(seed=seed), 600], [dict(direction=1, seed=seed), 600]])
        assert fell[-1]["title"] == "Collapsed." and "useless" in fell[-1]["words"]
        assert any(one["title"] == "It has learnt." for one in rose)
        for one in fell + rose:
            assert ("useless" not in one["words"]) or one["top1"] < 1.5 * one["common"]
        for earlier, one in zip(rose, rose[4:]):
            assert one["title"] != "Running together." or one["alike"] > earlier["alike"] - .02


# ---- the tasks

DIRECT = dict(cosine=0, direction=1)
SOLUTIONS = {   # a list of settings and steps, in one film where that is possible; then one turn of a knob that undoes it
    "learn": ([[dict(), 900]], dict(copy="stopped", direction=1)),
    "useless": ([[DIRECT | dict(kind="context"), 700]], DIRECT | dict(kind="context", cosine=1)),
    "stop": ([[DIRECT | dict(copy="stopped"), 450]], DIRECT),
    "despite": ([[DIRECT | dict(copy="stopped", predictor=False, ambiguity=.5, rate=1), 700]], dict(rate=1)),
    "jepa": ([[DIRECT | dict(kind="context", copy="ema"), 650]], DIRECT | dict(kind="context")),
    "wake": ([[DIRECT | dict(predictor=False, ambiguity=.5, rate=1), 500], [dict(direction=.5, rate=.3), 600]], DIRECT | dict(predictor=False, ambiguity=.5, rate=1)),
    "crowd": ([[dict(words=60), 450]], dict(words=60, dim=8)),
    "room": ([[dict(words=30, dim=8), 900]], dict(words=30)),
    "hot": ([[dict(rate=30), 300]], dict(rate=.1)),
    "few": ([[dict(dim=3, cosine=0, sampled=1), 1200]], dict(dim=3, cosine=1, sampled=1)),
    "flatter": ([[dict(dim=8, ambiguity=.5), 500]], dict(dim=2)),
    "floor": ([[dict(dim=3, temperature=.6), 1200]], dict(dim=3, temperature=.1)),
}


def test_no_task_is_done_at_the_start(ask):
    assert [*SOLUTIONS] == ask("tasks") and len(SOLUTIONS) == 12
    assert ask("story", [[{}, 0]]) == [[]]


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_task_knows_when_it_is_done_and_when_it_is_undone(ask, name):
    parts, undo = SOLUTIONS[name]
    *_, done, undone = ask("story", [*parts, [undo, 100]])
    assert name in done and name not in undone


@pytest.mark.parametrize("name", SOLUTIONS)
def test_what_is_done_stays_done_on_a_page_of_any_speed(ask, name):
    "A page marks a task 1.5 seconds after the last touch, and those are 300 steps on one machine and 3,000 on another. A dial may dip."
    parts, _ = SOLUTIONS[name]
    assert sum(name in done for done in ask("story", [*parts, *[[parts[-1][0], 300]] * 8])[-8:]) >= 7


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_minute_of_random_turning_solves_nothing(ask, seed):
    assert ask("random", dict(seed=seed, pictures=3600, speed=2, every=30)) == []


def test_random_turning_at_the_highest_speed_solves_nothing(ask):
    "Twenty steps a picture are 600 between two touches: enough steps for a task, so a task wants 1.5 seconds without a touch as well."
    assert ask("random", dict(seed=0, pictures=120, speed=20, every=30, clock=True)) == []
    parts = [[DIRECT | dict(kind="context"), 600]]
    assert "useless" in ask("story", parts)[0]
