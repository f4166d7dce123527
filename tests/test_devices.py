"Where a run computes: `auto`, and a Mac's card, by a stand-in (there is none here): what is sent there stays, and is noted."
import logging

import pytest
import torch
from conftest import make_text

from tofy.errors import UsageError
from tofy.lab.training import TextConfig
from tofy.processes import free_memory
from tofy.schedule import LoopConfig
from tofy.training import TrainConfig, recipe

@pytest.fixture
def cards(monkeypatch):
    "A function that says which cards this machine has."
    def have(*names: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)
    return have


@pytest.mark.parametrize("there, best", [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("mps", "cuda"), "cuda")])
@pytest.mark.parametrize("config", [LoopConfig, TrainConfig, TextConfig])
def test_auto_takes_the_best_and_says_so(cards, caplog, config, there, best):
    cards(*there)
    with caplog.at_level(logging.INFO, "tofy"):
        assert config(device="auto").device == best
    assert f"Computing on {best}" in caplog.text


def test_the_default_is_the_processor_and_says_nothing(cards, caplog):
    "The same seed gives the same weights on one kind of device only."
    cards("cuda", "mps")
    assert LoopConfig().device == recipe()[1].device == "cpu" and caplog.text == ""


@pytest.mark.parametrize("there, wrong, use", [
    ((), "mps", "use cpu, or auto"), ((), "cuda:1", "use cpu, or auto"), (("mps",), "cuda", "use cpu or mps, or auto"),
    (("cuda", "mps"), "tpu", "use cpu or mps or cuda, or auto"), (("cuda",), "cudas", "use cpu or cuda, or auto")])
def test_a_device_that_is_not_there(cards, there, wrong, use):
    cards(*there)
    with pytest.raises(UsageError, match=f"There is no device '{wrong}' here; {use}"):
        LoopConfig(device=wrong)


@pytest.fixture
def sent(cards, monkeypatch) -> list[torch.Size]:
    "A machine with a Mac's card, played by the processor; the shapes of what was sent there."
    cards("mps")
    shapes, to = [], torch.Tensor.to

    def stay(tensor, *args, **kwargs):
        args = [*args, *([kwargs.pop("device")] if "device" in kwargs else [])]
        if any(str(a) == "mps" for a in args if isinstance(a, str | torch.device)):
            shapes.append(tensor.shape)
        return to(tensor, *(a if str(a) != "mps" else "cpu" for a in args), **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", stay)
    return shapes


def test_a_run_on_a_mac_s_card(sent, tmp_path):
    from tofy.data import load_data
    from tofy.plan import read_plan
    from tofy.training import train
    (tmp_path / "text.txt").write_text(make_text())
    data = load_data(tmp_path / "text.txt")
    model, config = recipe(dim=16, layers=1, heads=2, steps=2, batch=8, device="auto")
    records = list(train(data, model, config, out=tmp_path / "run"))
    assert records[-1].step == 2 and config.device == "mps"
    assert (len(data.vocab), 16) in sent and len(sent) > 10           # the table and the blocks, then the batches
    assert read_plan(tmp_path / "run").train.device == "mps"          # not auto: what the weights came from
    assert free_memory("mps") == pytest.approx(free_memory(), rel=.5)


def test_half_precision_is_on_by_itself_on_cuda_alone(cards):
    cards("mps", "cuda")
    from types import SimpleNamespace

    from tofy.lab.training import TextRun
    halves = [TextRun.half.fget(SimpleNamespace(config=TextConfig(device=device))) for device in ("cpu", "mps", "cuda")]
    assert halves == [False, False, True]
    assert TextRun.half.fget(SimpleNamespace(config=TextConfig(device="mps", bf16=True)))


def test_the_demo_and_the_panels_take_the_best(cards):
    pytest.importorskip("ipywidgets")
    from conftest import ROOT
    demo = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "tofy train" in line)
    assert "--device auto" in demo
    cards("mps")
    from tofy.panels.training import TrainingPanel
    panel = TrainingPanel()
    assert panel.settings["device"].value == "mps" and "--device mps" in panel.code.value
    panel.close()
