"The panels of four ideas, moved by hand without a browser."
import base64
import itertools
import math
import re
import threading
import time
from collections import Counter

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from tofy.curves import plot_schedule
from tofy.data import load_data, pack
from tofy.errors import UsageError
from tofy.losses import EXAMPLE, latent_loss, term_pulls, worked_example
from tofy.masking import FATES, fates, mask_batch, show_masked
from tofy.panels.ideas import LossPanel, MaskingPanel, SchedulePanel, SizingPanel
from tofy.schedule import learning_rate, phases
from tofy.sizing import advise
from tofy.training import TrainConfig
from tofy.vocab import make_vocab

LIVE = [MaskingPanel, SchedulePanel, LossPanel]
PNG = b"\x89PNG\r\n\x1a\n"


# ---- the functions beneath

@settings(max_examples=60, deadline=None)
@given(rate=st.floats(0, 1), cut=st.tuples(st.floats(0, 1), st.floats(0, 1)), seed=st.integers(0, 99))
def test_every_blank_is_told_and_nothing_else(rate, cut, seed):
    low, high = sorted(cut)
    vocab = make_vocab(Counter(dict.fromkeys("a b c d < & e f".split(), 2)))
    ids = pack([torch.randint(3, len(vocab), (n,), generator=Generator().manual_seed(seed)) for n in (1, 4, 7)]).batch(torch.arange(3))
    masked = mask_batch(ids, len(vocab), Generator().manual_seed(seed), rate=rate, corrupt=(low, high - low, 1 - high))
    page = show_masked(masked, vocab)
    assert page.count("<small>") == len(fates(masked)) == len(masked.targets)
    above = re.findall("<small>(.*?)</small>", page)
    assert Counter(text.split(":")[0] for text in above) == Counter(fates(masked))
    words = re.sub("<[^>]*>", "", re.sub("<small>.*?</small>", "", page.replace("</div>", " "))).split()
    escaped = {"<": "&lt;", "&": "&amp;", "<mask>": "&lt;mask&gt;"}
    assert words == [escaped.get(vocab.words[i], vocab.words[i]) for i in masked.inputs.flatten().tolist() if i]


def test_a_fate_says_what_happened():
    ids = torch.full((200, 10), 5)
    for corrupt, fate in zip(((1, 0, 0), (0, 1, 0), (0, 0, 1)), FATES):
        seen = Counter(fates(mask_batch(ids, 10_000, Generator().manual_seed(0), corrupt=corrupt)))
        assert seen[fate] >= .99 * seen.total()                      # a random word may be the right one


@settings(max_examples=60, deadline=None)
@given(warmup=st.floats(0, 1), flat=st.floats(0, 1), steps=st.integers(1, 10**6), at=st.floats(0, 1))
def test_phases_are_where_the_rate_turns(warmup, flat, steps, at):
    config = TrainConfig(steps, None, lr=1., min_lr=0., warmup=warmup, flat=flat)
    up, down = phases(config)
    assert 0 <= up <= down <= 1 + 1e-12 and up * steps <= 2000 + 1e-6
    rate = learning_rate(config, at)
    if at < up:
        assert rate == pytest.approx(max(at / up, .01))
    elif at <= down:
        assert rate == 1
    else:
        assert flat < 1 and rate == pytest.approx(math.cos(math.pi / 2 * (at - down) / (1 - down))**2, abs=1e-9)


def test_the_names_of_phases_that_are_not_there_are_left_out():
    def names(**c):
        return [t.get_text() for t in plot_schedule(TrainConfig(**c)).texts]

    assert names(warmup=0.) == ["flat", "cosine"]
    assert names(flat=1.) == ["warm-up", "flat"]
    assert names(flat=0.) == ["warm-up", "cosine"]
    plt.close("all")


@settings(max_examples=40, deadline=None)
@given(angle=st.floats(0, 360), length=st.floats(.2, 2), tau=st.floats(.05, 1), smoothing=st.floats(0, .5),
       dim=st.integers(2, 40), reduction=st.sampled_from(["sum", "notes"]))
def test_pulls_are_the_slopes_of_the_loss(angle, length, tau, smoothing, dim, reduction):
    "Turning the prediction by a little changes the loss by its gradient, and stretching it by nothing."
    more, weights = dict(temperature=tau, smoothing=smoothing, reduction=reduction), (2., 1., .5)

    def at(angle):
        "The example with its prediction in double precision, for in single the slope over so little would be off by percents."
        single, table, targets = worked_example(angle, length, dim)
        pred = torch.zeros(1, dim, dtype=torch.double)
        pred[0, :2] = length * torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))], dtype=torch.double)
        assert torch.allclose(single.double(), pred, atol=1e-5)
        return pred, targets, table.double()

    pred, targets, table = at(angle)
    pulls = term_pulls(pred, targets, table, weights, **more)
    loss = [latent_loss(p, p, t, rows, weights=weights, **more)[0].item() for p, t, rows in (at(angle - .01), at(angle), at(angle + .01))]
    assert sum(value for value, _ in pulls.values()) == pytest.approx(loss[1], abs=1e-5)
    gradient = sum(gradient for _, gradient in pulls.values())[0]
    across = torch.zeros(dim, dtype=torch.double)
    across[:2] = torch.stack([-pred[0, 1], pred[0, 0]])              # d pred / d angle
    assert (gradient @ across).item() == pytest.approx((loss[2] - loss[0]) / math.radians(.02), abs=1e-3)
    assert (gradient @ pred[0]).item() == pytest.approx(0, abs=1e-5)


def test_the_notes_reduction_pulls_with_two_over_d():
    for dim, weight in itertools.product((2, 128, 384), (1., 8.)):
        pred, table, targets = worked_example(EXAMPLE["cat"] + 90, dim=dim)
        _, gradient = term_pulls(pred, targets, table, (weight, 0, 0), reduction="notes")["mse"]
        assert gradient.norm().item() == pytest.approx(2 * weight / dim, rel=1e-4)


# ---- the panels

@pytest.mark.parametrize("kind", LIVE)
def test_two_live_panels_share_nothing(kind):
    one, two = kind(), kind()
    before, name = dict(two.knobs), next(name for name, value in two.knobs.items() if isinstance(value, (int, float)))
    one.turn(**{name: one.knobs[name] / 2})
    assert one.knobs != before == two.knobs and one.page == two.page


def report(panel: SizingPanel) -> dict[str, str]:
    return dict(panel.page["report"]["rows"])


def test_two_panels_share_nothing():
    one, two = SizingPanel("builtin:200"), SizingPanel("builtin:200")
    before = report(two)
    one.turn(dim=512)
    assert report(one) != before == report(two) and one.knobs["dim"] != two.knobs["dim"]


def test_who_only_reads_sees_how_the_panel_looked():
    "A notebook's output holds, beside the widget, a picture, said in words, and what is known of the sizes."
    panel = SizingPanel("builtin:200")
    panel.turn(dim=64)
    shown, about = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown and "SizingPanel: run this cell" in shown["text/plain"]
    picture = re.search(r'<img alt="(.*?)" src="data:image/png;base64,(.*?)">', shown["text/html"])
    assert base64.b64decode(picture[2]).startswith(PNG) and len(picture[1]) > 20 and "dim 64, 2 layers, 4 heads" in shown["text/html"]
    assert not plt.get_fignums()
    assert "text/html" not in SizingPanel("no_such_file.txt")._repr_mimebundle_()[0]


def test_the_masking_panel_takes_other_data():
    data = load_data("builtin:120")
    page = MaskingPanel(data, phrases=2).page
    assert page["shown"] == 2 and len(page["phrases"]) == min(50, len(data.train))
    assert page["phrases"][0] == [data.vocab.words[i] for i in data.train.batch(torch.arange(1))[0].tolist() if i]


def test_what_the_knobs_say_is_a_schedule():
    panel = SchedulePanel()
    for warmup, flat in itertools.product((0., .5, 1.), (0., .5, 1.)):
        panel.turn(warmup=warmup, flat=flat)
        assert (panel.config().warmup, panel.config().flat) == (warmup, flat)
    with pytest.raises(UsageError, match="There is no knob 'warm'; SchedulePanel has lr, "):
        panel.turn(warm=1)


def test_an_error_is_told_in_the_panel(monkeypatch):
    panel = SizingPanel("builtin:200")
    monkeypatch.setattr("tofy.panels.ideas.advise", lambda *a: 1 / 0)
    panel.turn(dim=256)
    assert "ZeroDivisionError" in panel.page["fault"] and "Traceback" in panel.page["trace"] and panel.page["report"] is None
    panel.turn(trial=1)
    assert panel.page["tried"] == 1                                  # the button can be pressed again
    monkeypatch.undo()
    panel.turn(dim=128)
    assert not panel.page["fault"] and not panel.page["trace"]


def test_every_size_that_can_be_set_is_a_model():
    panel = SizingPanel("builtin:200")
    for dim, heads in itertools.product((16, 48, 240, 512), (1, 2, 4, 8)):
        panel.turn(dim=dim, heads=heads)
        assert not panel.page["fault"] and f"dim {dim}, 2 layers, {heads} heads" in report(panel)["model"]


def test_moves_that_come_at_once_are_done_one_after_the_other(monkeypatch):
    "JupyterLab may deliver a slider's message and a button's to two threads of the kernel."
    panel, inside, most = SizingPanel("builtin:200"), [], []

    def slow(*a):
        inside.append(1)
        most.append(len(inside))
        time.sleep(.05)
        inside.pop()
        return advise(*a)

    monkeypatch.setattr("tofy.panels.ideas.advise", slow)
    moves = [panel.knobs | move for move in (dict(dim=64), dict(layers=3))]
    hands = [threading.Thread(target=setattr, args=(panel, "knobs", knobs)) for knobs in moves]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert len(most) >= 2 and {*most} == {1}
    knobs = panel.knobs
    assert panel.page["report"]["of"] == knobs                       # what is seen is what the sliders say
    assert f"dim {knobs['dim']}, {knobs['layers']} layers" in report(panel)["model"]


def test_python_is_not_asked_about_a_text_that_is_not_there(monkeypatch):
    "Of a text whose size alone is known the page says everything itself."
    panel = SizingPanel("builtin:200")
    monkeypatch.setattr("tofy.panels.ideas.advise", lambda *a: 1 / 0)
    panel.turn(text="size", dim=256, trial=1)
    assert not panel.page["fault"] and panel.page["tried"] == 1
