"Panels over a trained model, moved without a browser; and what they draw on: attention, films, standings."
import math
import shutil
from threading import Event

import ipywidgets as widgets
import pytest
import torch
import torch.nn.functional as F
from conftest import HANG

from tofy import crowding, gap, inference, run_folder
from tofy.checkpoint import HELDOUT, save_tensors
from tofy.data import load_data
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.inference import Latent, attention, hide_word, phrase_words
from tofy.panels import models
from tofy.panels.models import CrowdingPanel, FillPanel, GapPanel
from tofy.panels.parts import Picture
from tofy.run_folder import MODEL
from tofy.training import recipe, train
from tofy.vocab import make_vocab

TEXT = "\n".join(f"the {a} {v} the {b} , {w} ?" for a in ("cat", "dog", "bird", "fish") for v in ("saw", "met", "fed")
                 for b in ("cow", "hen", "pig", "fox") for w in ("yes", "no", "lately")) + "\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "Two small runs: on animals, and on animals without the cow."
    home = tmp_path_factory.mktemp("panels")
    for name, text in dict(all=TEXT, cowless=TEXT.replace("cow", "ape")).items():
        (home / f"{name}.txt").write_text(text)
        for _ in train(load_data(home / f"{name}.txt", valid=20),
                       *recipe(steps=20, dim=16, heads=2, layers=2, log_every=5, threads=1), out=home / name):
            pass
        inference.run_baselines(home / name)
    return home


@pytest.fixture
def copy(runs, tmp_path):
    shutil.copytree(runs / "all", tmp_path / "run")
    return tmp_path / "run"


def measured(panel: GapPanel) -> GapPanel:
    panel.work.join()
    return panel


# attention

def untrained(**config) -> Latent:
    torch.manual_seed(0)
    vocab = make_vocab({c: 9 for c in "abcdefg"})
    return Latent(LatentModel(ModelConfig(len(vocab), 16, 3, 4, max_seq=9, **config)).eval(), vocab, {})


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "learned", "none"])
@pytest.mark.parametrize("padding", [False, True])
def test_attention_is_what_pytorch_is_asked_to_mix(monkeypatch, positions, padding):
    latent, given, real = untrained(positions=positions, attend_padding=padding), [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention",
                        lambda q, k, v, **kw: given.append((q, k)) or real(q, k, v, **kw))
    looks = attention(latent, "a b _ c d")
    wanted = torch.stack([(q[0, :, 2, None] @ k[0].mT / 2).softmax(-1)[:, 0] for q, k in given])       # √d = 2
    assert looks.shape == (3, 4, 5)
    assert torch.allclose(looks, wanted[..., :5], atol=1e-6)
    assert torch.allclose(looks.sum(-1), torch.ones(3, 4), atol=1e-5) != padding


def test_attention_leaves_nothing_behind_when_it_fails():
    latent = untrained()
    with pytest.raises(UsageError, match="10 tokens"):
        attention(latent, "a b _ c d e f g a b")
    with pytest.raises(RunError, match="no blank"):
        attention(latent, "a b")
    assert not any(block.attention._forward_pre_hooks for block in latent.model.encoder.blocks)


def test_a_model_without_layers_looks_nowhere():
    latent = untrained()
    latent.model.encoder.blocks = torch.nn.ModuleList()
    assert attention(latent, "a _").shape == (0, 4, 2)


def test_padding_has_a_column_of_its_own_in_the_picture():
    from matplotlib.figure import Figure
    for padding in (False, True):
        latent = untrained(attend_padding=padding)
        ax = inference.plot_attention(attention(latent, "a _ b"), ["a", "_", "b"], Figure().subplots())
        assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "_", "b"] + ["(padding)"] * padding
        assert len(ax.get_yticklabels()) == 12


@pytest.mark.parametrize("question, place, result", [
    ("a b c", 0, "_ b c => a"), ("_ b c => a", 2, "a b _ => c"), ("_ b c => a", 0, "a b c"),
    ("a [MASK] c", 0, "_ X c => a"), ("a ___ c =>", 2, "a X _ => c"), ("A b", 0, "_ b => a")])
def test_hiding_another_word_brings_the_first_one_back(question, place, result):
    assert hide_word(untrained().vocab, question, place, "X") == result


def test_words_of_a_phrase():
    vocab = untrained().vocab
    assert phrase_words(vocab, "") == [] and phrase_words(vocab, "_") == ["_"]
    assert phrase_words(vocab, "a_b [mask]") == ["a", "_", "b", "[MASK]"]


# a blank

def test_a_word_that_one_run_does_not_know_is_said_on_its_side_only(runs):
    panel = FillPanel(runs / "all", runs / "cowless")
    panel.question.value = "the cat saw the _ , yes ? => cow"
    assert panel.first.answer.word == "cow" and "rank" in panel.first.text.value
    assert "not in vocab" in panel.second.text.value and panel.phrase.page["sides"][1]["looks"] == []
    panel.question.value = "the cat saw the _ , yes ? => hen"
    assert "rank" in panel.first.text.value and "rank" in panel.second.text.value
    assert panel.notice.value == ""


def test_what_is_shown_is_what_a_script_gets(runs):
    panel, latent = FillPanel(runs / "all"), inference.load(runs / "all")
    panel.top.value = 3
    for question in ("the cat _ the hen , yes ?", "the cat _ the hen , yes ? => met"):
        panel.question.value = question
        ask = inference.diff if "=>" in question else inference.fill
        assert panel.first.text.value == ask(latent, question, 3)._repr_html_()


def test_a_blank_without_an_answer_is_filled_by_the_model(runs):
    panel = FillPanel(runs / "all")
    panel.question.value = "the _ saw the hen , yes ?"
    best = panel.first.answer.top[0][0]
    panel.phrase.turn(hide=[4, 1])
    assert panel.question.value == f"the {best} saw the _ , yes ? => hen"


def test_typed_text_is_shown_as_text(runs):
    panel = FillPanel(runs / "all")
    panel.question.value = "the <b> _ & cow ? => cow"
    assert "<b> _" not in panel.first.text.value and "&lt;b&gt; _ &amp; cow" in panel.first.text.value
    panel.question.value = "<i>no blank</i>"
    assert "<i>" not in panel.first.text.value and panel.notice.value == ""


def test_the_next_phrase_is_a_held_out_one_and_asks_for_its_middle_word(runs):
    panel, texts = FillPanel(runs / "all"), (runs / "all" / HELDOUT).read_text().splitlines()
    for text in texts[:2]:
        assert panel.question.value == hide_word(inference.load(runs / "all").vocab, text, 4)   # of 8 words
        panel.another.click()


def test_a_damaged_run_is_told_and_another_one_can_be_picked(copy, runs):
    panel = FillPanel(runs / "all")
    (copy / MODEL).write_bytes(b"nothing")
    panel.first.run.options = [*panel.first.run.options, ("damaged", copy)]
    panel.first.run.value = copy
    assert "damaged or cut short" in panel.notice.value and "damaged or cut short" in panel.first.text.value
    panel.first.run.value = runs / "all"
    assert panel.notice.value == "" and panel.first.latent.source.endswith("all.txt")


@pytest.mark.parametrize("kind", [FillPanel, CrowdingPanel, GapPanel])
def test_without_any_run_a_panel_says_what_to_do(monkeypatch, kind):
    monkeypatch.setattr(models, "pick_run", lambda *a, **kw: widgets.Dropdown(options=[]))
    panel = kind()
    if kind is CrowdingPanel:
        assert "no trained run" in panel.page["fault"] and panel.page["films"] == {}
        return
    assert "no trained run" in panel.notice.value and "traceback" not in panel.notice.value
    for control in ("question", "figure"):            # and stays quiet when something is moved
        if hasattr(panel, control):
            getattr(panel, control).value = "mrr"
    assert "traceback" not in panel.notice.value
    assert repr(panel).startswith(f"{kind.__name__}: ")


def test_a_picture_sends_the_description_that_its_view_asks_for_before_it_shows_a_tooltip():
    assert Picture().get_state()["description"] == ""


# the table

def test_a_film_is_kept_on_the_plane_of_its_last_frame(tmp_path):
    "In two dimensions nothing is lost but the middle: all distances between unit rows stay, in every frame."
    g = torch.Generator().manual_seed(0)
    shots = [crowding.Frame(i, torch.randn(7, 2, generator=g), dict(effective_rank=float(i)), 0., math.nan)
             for i in range(3)]
    crowding.save_frames(tmp_path, shots)
    film = crowding.load_frames(tmp_path)
    assert film.xy.dtype == torch.half and film.mrr.isnan().all()
    assert film.step.tolist() == film.rank.tolist() == [0, 1, 2]
    for xy, shot in zip(film.xy, shots):
        assert torch.allclose(F.pdist(xy.float()), F.pdist(F.normalize(shot.rows, dim=-1)), atol=5e-3)
    assert film.xy[-1].float().mean(0).abs().max() < 1e-3


@pytest.mark.parametrize("shapes", [dict(xy=(2, 5, 2)), dict(xy=(2, 5, 2), step=()),
                                    dict(xy=(5,), step=(1,), mrr=(1,), rank=(1,)),
                                    dict(xy=(0, 5, 2), step=(0,), mrr=(0,), rank=(0,))])
def test_a_file_that_is_no_film_is_refused(tmp_path, shapes):
    save_tensors(tmp_path / crowding.FRAMES, {name: torch.zeros(shape) for name, shape in shapes.items()}, {})
    with pytest.raises(RunError, match="does not hold maps"):
        crowding.load_frames(tmp_path)


def test_a_film_of_another_table_is_told_in_the_panel(copy):
    shot = crowding.Frame(0, torch.randn(4, 2), dict(effective_rank=1.), 0., 0.)
    crowding.save_frames(copy, [shot])
    panel = CrowdingPanel(copy)
    assert "does not hold maps of 17 words" in panel.page["fault"]
    panel.turn(word="cat")                                      # and nothing falls over
    (copy / crowding.FRAMES).unlink()
    panel.turn(word="dog")
    assert panel.page["fault"] == "" and len(panel.page["films"]) == 1


def test_another_run_and_two_at_once(runs):
    "Of two texts each has its own words; of one text the words are told once."
    panel = CrowdingPanel(runs / "all")
    panel.folders |= dict(cowless=runs / "cowless", again=runs / "all")
    panel.turn(run="cowless", word="cow")                              # a word that only the other run has is no fault
    (film,), (vocab,) = panel.page["films"].values(), panel.page["vocabs"]
    assert panel.page["fault"] == "" and "ape" in vocab["words"] and "cow" not in vocab["words"] and film["vocab"] == 0
    panel.turn(beside="again")
    assert len(panel.page["vocabs"]) == 2
    panel.turn(run=next(iter(panel.folders)))
    assert len(panel.page["vocabs"]) == 1 and {film["vocab"] for film in panel.page["films"].values()} == {0}


# the gap

def test_two_panels_share_nothing(runs):
    one, two = measured(GapPanel(runs / "all")), measured(GapPanel(runs / "all"))
    two.figure.value = "mrr"
    one.ways.children[0].value = True
    assert one.said.value != two.said.value and one.bars.tooltip.count(",") == 1 and "," not in two.bars.tooltip


def test_the_slider_ends_at_all_words_even_when_there_are_fewer_than_33(runs):
    panel = measured(GapPanel(runs / "all"))
    assert panel.notice.value == "" and "among 17 candidates" in panel.said.value
    latent = inference.load(runs / "all")
    whole = gap.standings(latent, inference.heldout_phrases(runs / "all", latent), None)["heldout"]
    assert f"model, held out {(whole.ranks == 1).double().mean():.2f}" in panel.said.value
    panel.candidates.value = 2
    assert "among 2 candidates" in panel.said.value and "chance 0.50" in panel.said.value


def test_without_the_text_the_training_side_is_missing_and_the_panel_says_why(copy, runs, monkeypatch):
    monkeypatch.setattr(run_folder, "is_text_of", lambda path, told: False)              # it was changed or deleted
    panel = measured(GapPanel(copy))
    assert "cannot be read again" in panel.notice.value and panel.body.layout.visibility == "visible"
    assert "model, training" not in panel.said.value and "model, held out" in panel.said.value


def test_what_fails_in_the_thread_is_told_in_the_panel(copy):
    (copy / HELDOUT).unlink()
    panel = measured(GapPanel(copy))
    assert "holds no held-out phrases" in panel.notice.value and panel.body.layout.visibility == "hidden"


def test_a_run_that_was_left_while_it_was_measured_does_not_take_the_place_of_the_next(runs, monkeypatch):
    first, go, real = runs / "all", Event(), models.measure
    monkeypatch.setattr(models, "measure", lambda folder: (folder == first and go.wait(HANG), real(folder))[1])
    panel = GapPanel(first)
    slow = panel.work
    panel.run.options = [*panel.run.options, ("cowless", runs / "cowless")]
    panel.run.value = runs / "cowless"
    shown = measured(panel).curve.value
    go.set()
    slow.join()
    assert panel.curve.value == shown and set(panel.measured) == {first, runs / "cowless"}
    panel.run.value = first                                     # measured by now: no second thread
    assert panel.body.layout.visibility == "visible"


# ---- targets in context

@pytest.fixture(scope="module")
def in_context(runs):
    for name, more in dict(context={}, asking=dict(predictor="queries", dim=32)).items():
        for _ in train(load_data(runs / "all.txt", valid=20),
                       *recipe("jepa", **(dict(steps=20, dim=16, heads=2, layers=2, log_every=5, threads=1) | more)), out=runs / name):
            pass
        inference.run_baselines(runs / name)
    return runs


@pytest.mark.parametrize("name", ["context", "asking"])
def test_two_answers_side_by_side_say_what_their_numbers_are(in_context, name):
    "Shares by the stored readout beside cosines; no L2 and no neighbours in a table that holds no targets."
    panel = FillPanel(in_context / "all", in_context / name)
    panel.question.value = "the cat _ the cow , yes ? => met"
    left, right = panel.first.text.value, panel.second.text.value
    assert not panel.notice.value
    assert "<th>cosine</th>" in left and "readout" not in left
    assert "<th>share</th>" in right and "words are read by a " in right and "L2" not in right and "None" not in right
    assert len(panel.phrase.page["sides"][1]["looks"]) > 0
    panel = FillPanel(in_context / name)                            # hide a word: filled with what the readout says
    panel.question.value = "the cat _ the cow , yes ?"
    panel.hide(1)
    assert panel.question.value.startswith("the _ ") and not panel.notice.value


def test_the_map_of_a_run_in_context_is_of_its_input_table(in_context):
    panel = CrowdingPanel(in_context / "context")
    (film,), (other,) = panel.page["films"].values(), CrowdingPanel(in_context / "all").page["films"].values()
    assert not panel.page["fault"] and "Rows of the input table" in film["note"] and not other["note"]


@pytest.mark.parametrize("name", ["context", "asking"])
def test_the_gap_of_a_run_in_context(in_context, name):
    panel = measured(GapPanel(in_context / name))
    assert "words are read by a " in panel.notice.value and "alert" not in panel.notice.value
    assert panel.curve.value[:4] == panel.bars.value[:4] == b"\x89PNG"
