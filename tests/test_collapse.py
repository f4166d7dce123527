"The runs behind the chapter on collapse; the toys are tested in the chapter."
import json

import pytest
import torch

from benchmarks import collapse, jepa
from tofy import targets
from tofy.data import load_data
from tofy.targets import TargetEncoder

SMALL = dict(dim=16, layers=1, heads=2, batch=8)


@pytest.mark.parametrize("arm, stopped", [(collapse.INTO, False), ("context", True)])
def test_without_the_stop_the_gradient_reaches_the_encoder_through_the_targets(arm, stopped):
    kept = targets.WITHOUT_TEACHER
    with collapse.stop(stopped):
        run = jepa.prepare(load_data("builtin:60"), arm, 0, 3, SMALL)
    assert targets.WITHOUT_TEACHER == kept and isinstance(run.teacher, TargetEncoder) == stopped
    ids = torch.tensor([[4, 5, 6]])
    hidden = targets.Masked(ids.masked_fill(ids == 5, 2), ids == 5, ids[ids == 5])
    target = targets.targets_in_context(run.teacher, run.model.encoder, hidden)
    assert target.requires_grad != stopped
    assert jepa.train(run, 3)[1][-1]["step"] == 3


def test_every_row_of_the_chapter_is_there_and_is_not_made_again(monkeypatch, capsys):
    rows = jepa.rows(collapse.RESULTS)
    assert {row["arm"] for row in rows if row["steps"] == 800} == set(collapse.SHORT)
    assert all(len(row["gauges"]) > 15 for row in rows if row["arm"] not in ("untrained", "bag"))
    monkeypatch.setattr("sys.argv", ["collapse"])
    monkeypatch.setattr(jepa, "one", lambda *given: pytest.fail(json.dumps(given)))
    collapse.main()
    assert capsys.readouterr().out.startswith("800 steps\narm\t")
