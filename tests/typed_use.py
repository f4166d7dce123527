"""What a program that uses tofy may rely on, for a type checker: `mypy` reads this strictly, and nothing runs it."""
from pathlib import Path
from typing import assert_type

import numpy as np
from torch import Tensor

import tofy
from tofy import READY, Tofy, diff, fill, load, load_data, recipe, train
from tofy.background import Background
from tofy.corpus import posterior
from tofy.crowding import map2d
from tofy.data import Data, Phrases, source_lines
from tofy.doctor import diagnose
from tofy.encoder import LatentModel, ModelConfig
from tofy.hub import load_source
from tofy.inference import Answer, Latent, evaluate, evaluate_run, plot_answer
from tofy.masking import all_blanks
from tofy.metrics import Bigram, ranks
from tofy.plan import read_plan
from tofy.run_folder import LogRecord, load_model, read_log
from tofy.sharing import encode, pool, save_word2vec
from tofy.sizing import preset
from tofy.training import TrainConfig
from tofy.vocab import Vocab, tokenize

def readme() -> None:
    "The lines of the README."
    data = load_data("builtin")
    model, config = recipe(seconds=30)
    for log in train(data, model, config, out="runs/first"):
        assert_type(log, LogRecord)
    plot_answer(fill(load("runs/first"), "how are _ ?"))
    assert_type(tofy.__version__, str)
    assert_type(data, Data)
    assert_type((model, config), tuple[ModelConfig, TrainConfig])


def stop_early() -> None:
    "A training is a generator, and can be closed."
    loop = train(load_source("hub:fancyzhx/ag_news", max_vocab=2000))
    assert_type(next(loop), LogRecord)
    loop.close()


def ask(latent: Latent) -> None:
    answer = diff(latent, "how are _ ? => you")
    assert_type(answer, Answer)
    assert_type(answer.top, list[tuple[str, float]])
    assert_type(answer.rank, int | None)
    assert_type(latent.vocab, Vocab)
    assert_type(latent.row("you"), Tensor | None)
    assert_type(latent.predict([3, 2, 4]), Tensor)
    assert_type(tokenize("how are you?"), list[str])
    assert_type(evaluate_run("runs/first"), dict)
    assert_type(Bigram.count(load_data().train, 100), Bigram)


def share(latent: Latent) -> None:
    model = Tofy.from_pretrained(READY / "healthy")
    assert_type(model, Tofy)
    assert_type(model.fill("how are _ ?"), Answer)
    assert_type(model.encode(["how are you ?"]), np.ndarray)
    assert_type(model.encode("how are you ?", convert_to_tensor=True), Tensor)
    assert_type(encode(model, ["a tofy is a latent"]), Tensor)
    assert_type(model.save_pretrained("out", license="mit"), Path)
    assert_type(model.push_to_hub("anna/small-talk", private=True), str)
    save_word2vec(latent, "words.txt")


def batch_metrics(latent: Latent, phrases: Phrases, scores: Tensor, targets: Tensor) -> None:
    assert_type(load_model("runs/first")[0], LatentModel)
    assert_type(read_log("runs/first"), list[LogRecord])
    assert_type(evaluate(latent, phrases, max_queries=100), dict)
    assert_type(all_blanks(phrases).rows, Tensor)
    assert_type(ranks(scores, targets), Tensor)
    assert_type(pool(scores, targets), Tensor)
    assert_type(map2d(latent.model.table), Tensor)
    assert_type(preset("~3k"), tuple[ModelConfig, ModelConfig])
    assert len(diagnose("runs/first")) and list(source_lines("builtin"))
    law: dict[str, float] = posterior("how are you ?".split(), 2)
    assert law


def beside() -> None:
    run = Background(read_plan("runs/first"), out="runs/again")
    run.pause()
    assert_type(run.lines, list[LogRecord])


def wrong(latent: Latent) -> None:
    "What a checker must refuse; an ignore that is not needed is an error."
    fill(latent, 3)  # type: ignore[call-overload]
    fill("runs/latent", "how are _ ?")  # type: ignore[call-overload]
    load_data(max_vocab="many")  # type: ignore[arg-type]
    ModelConfig(width=3)  # type: ignore[call-arg]
    tofy.trian  # type: ignore[attr-defined]  # noqa: B018
