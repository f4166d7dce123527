"The panel that lets a decoder grow, moved by hand without a browser."
import html

import pytest

from tofy.errors import RunError
from tofy.lab.decoder import DecoderConfig
from tofy.lab.lineage import read_family, tree_text
from tofy.lab.training import TextConfig, load_texts, train
from tofy.lab.writing import Sampling, load_decoder
from tofy.panels.growth import GrowthPanel, Training, free_name

BRIEF = TextConfig(steps=4, seconds=None, batch=4, sample=0, threads=1)


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog ran to the cat\n" * 60)
    list(train(load_texts(path), DecoderConfig(dim=16, layers=1, heads=2, context=16), BRIEF, tmp_path / "runs" / "a"))
    return tmp_path / "runs"


def test_what_it_writes_is_what_the_decoder_writes(home):
    panel = GrowthPanel(home)
    panel.prompt.value, panel.tokens.value, panel.temperature.value, panel.seed.value = "the ", 12, .5, 3
    wanted = load_decoder(home / "a").write("the ", 12, Sampling(.5, seed=3))
    assert html.escape(wanted.words()) in panel.words.value and wanted._repr_html_() in panel.text.value
    panel.generate.click()
    assert wanted._repr_html_() in panel.text.value


def test_buttons_make_children_that_write_the_same(home):
    panel = GrowthPanel(home)
    before = panel.words.value
    panel.layer.click()
    assert panel.run.value == home / "a-layer" and panel.words.value == before and not panel.notice.value
    panel.layer.click()
    panel.run.value = home / "a"
    panel.layer.click()
    panel.head.click()
    assert [name for name, _ in panel.run.options] == ["a", "a-layer", "a-layer-2", "a-layer-2-head", "a-layer-layer"]
    assert panel.tree.tooltip == tree_text(read_family(home))


def test_training_is_a_child_and_is_picked_when_it_is_done(home):
    panel = GrowthPanel(home)
    panel.seconds.value = 1
    panel.train.click()
    assert panel.train.disabled
    panel.watcher.join()
    assert panel.run.value == home / "a-trained" and not panel.train.disabled, panel.notice.value
    assert "Trained a-trained for 1 seconds" in panel.notice.value and "trained on" in panel.tree.tooltip


def test_a_folder_that_is_taken_is_refused_in_one_sentence(home):
    training = Training(home / "a", 1, home / "a", threads=1)
    with pytest.raises(RunError, match="already holds a run") as told:
        training.wait(300)
    assert "\n" not in str(told.value)
    assert free_name(home / "a", "x").name == "a-x"


def test_without_a_decoder_it_says_what_to_do(tmp_path):
    panel = GrowthPanel(tmp_path)
    assert "press the button to train a small one" in panel.notice.value and panel.train.description == "train a first one"
    assert panel.layer.disabled and panel.head.disabled and panel.generate.disabled
    panel.seed.value = 3
    assert "no decoder" in panel.notice.value


def test_every_control_says_what_it_is(home):
    panel = GrowthPanel(home)
    for control in (panel.run, panel.prompt, panel.temperature, panel.top_k, panel.top_p, panel.seed,
                    panel.tokens, panel.generate, panel.layer, panel.head, panel.train, panel.seconds):
        assert control.description and control.tooltip and [c for c in control._dom_classes if c.startswith("tofy-growth-")]
