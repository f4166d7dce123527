"Retrieval of responses: ties, the exam's distinctness, and that nothing beats the exact odds."
import math
import random

import pytest
import torch
from torch import Generator

from tofy.causes import Disguise, reply_odds
from tofy.corpus import lines
from tofy.errors import UsageError
from tofy.retrieval import ReplyExam, retrieve

made = Generator().manual_seed(0)


def test_ties_are_what_random_orders_give():
    scores = torch.randint(0, 4, (30, 9), generator=made).float()
    found, dice, tops, inverse = retrieve(scores, right=torch.arange(30) % 9), random.Random(0), [], []
    for _ in range(2000):
        row = dice.randrange(30)
        order = sorted(range(9), key=lambda j: (-scores[row, j].item(), dice.random()))
        rank = 1 + order.index(row % 9)
        tops.append(rank == 1)
        inverse.append(1 / rank)
    assert abs(found["top1"] - sum(tops) / 2000) < .05 and abs(found["mrr"] - sum(inverse) / 2000) < .05


@pytest.mark.parametrize("size", [2, 100])
def test_equal_scores_are_chance(size):
    found = retrieve(torch.full((7, size), .3), right=torch.arange(7) % size)
    assert math.isclose(found["top1"], 1 / size) and math.isclose(found["mrr"], sum(1 / r for r in range(1, size + 1)) / size)


def test_embeddings_are_compared_by_cosine():
    rows = torch.randn(20, 6, generator=made)
    scaled = rows * torch.rand(20, 1, generator=made) + 0
    assert retrieve(scaled, rows)["top1"] == 1 and retrieve(scaled, rows) == retrieve(scaled * 9, rows / 3)
    assert retrieve(rows, rows.flip(0), torch.arange(19, -1, -1))["mrr"] == 1


@pytest.mark.parametrize("wrong", [(torch.zeros(5, 3),), (torch.zeros(0, 3),), (torch.zeros(2, 3), None, torch.tensor([0]))])
def test_what_is_no_exam(wrong):
    with pytest.raises(UsageError, match="a column a candidate"):
        retrieve(*wrong)


@pytest.mark.parametrize("disguise", [None, Disguise(4, 1), Disguise(names=400)], ids=str)
def test_an_exam_has_different_responses(disguise):
    exam, used = ReplyExam.draw(60, 3, disguise), disguise or Disguise()
    assert len({response for _, response in exam.true}) == len(exam.contexts) == len(exam.responses) == 60
    assert exam == ReplyExam.draw(60, 3, disguise) and exam.true != ReplyExam.draw(60, 4, disguise).true
    for (context, response), worn, said in zip(exam.true, exam.contexts, exam.responses, strict=True):
        assert " ".join(used.undo(worn)[0]) == context
        assert [used.truth[w] for w in said.split() if used.truth[w] != used.NOISE] == response.split()
    scores = exam.best()
    assert scores.shape == (60, 60) and (scores.diagonal() > 0).all() and (scores >= 0).all()


def test_the_ratio_is_the_best_choice():
    "Over 6 exams neither the odds alone nor a noisy ratio does better; and its certainty is right: calibration by Bayes."
    mine, alone, noisy, said, true = [], [], [], 0., 0.
    for seed in range(6):
        exam = ReplyExam.draw(50, seed)
        scores = exam.best()
        anywhere = torch.tensor(reply_odds(None, exam.responses), dtype=torch.double)
        mine.append(retrieve(scores)["mrr"])
        alone.append(retrieve(scores * anywhere)["mrr"])
        noisy.append(retrieve(scores * torch.exp(torch.randn(scores.shape, generator=made)))["mrr"])
        law = scores / scores.sum(1, keepdim=True)
        said += law.max(1).values.sum().item()
        true += retrieve(scores)["top1"] * 50
    assert sum(mine) > sum(alone) and sum(mine) > sum(noisy)
    assert abs(said - true) < 4 * math.sqrt(300 * .25)


def test_baselines_lie_between_chance_and_best():
    exam = ReplyExam.draw(100, 5)
    found = exam.baselines(lines(1500))
    assert list(found) == ["chance", "overlap", "ridge", "best"] and math.isclose(found["chance"]["top1"], .01)
    for name in ("overlap", "ridge"):
        assert found["chance"]["mrr"] + .05 < found[name]["mrr"] < found["best"]["mrr"]
    assert found["best"] == retrieve(exam.best())
