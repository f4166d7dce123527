"""`tofy.sharing`: vectors, word2vec, cards, and the way to a Hub on the loopback interface and back.

`huggingface_hub` reads HF_ENDPOINT and HF_HOME when it is imported, so each conversation is a process of its own.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from hub_server import hub as serve

from tofy.checkpoint import HELDOUT, SETTINGS, load_tensors
from tofy.errors import UsageError
from tofy.inference import READY, Latent, load, nearest_words
from tofy.run_folder import BASELINES, LOG, MODEL, READOUT, STATE, VOCAB, load_settings
from tofy.sharing import CARD, FILES, Tofy, encode, figure_rows, model_card, save_word2vec, without_folders

@pytest.fixture(scope="module")
def healthy() -> Tofy:
    return Tofy.from_pretrained(READY / "healthy")


@pytest.fixture(params=["healthy", "notes"])     # the notes' model looks at its padding
def latent(request) -> Latent:
    return load(READY / request.param)


# ---- phrases as vectors


def test_a_phrase_has_one_vector_in_any_company(latent):
    phrases = ["sam is painting our tiles .", "hello", "did you try the soup at the cafe in the old town , anna ?"]
    together = encode(latent, phrases)
    assert together.shape == (3, latent.model.config.dim) and together.dtype == torch.float32
    for phrase, row in zip(phrases, together):
        torch.testing.assert_close(encode(latent, [phrase])[0], row, atol=1e-5, rtol=1e-4)
        ids = torch.tensor([latent.vocab.encode(phrase)])
        by_hand = latent.model.encoder(ids)[0].detach().double().mean(0)
        torch.testing.assert_close(row.double(), by_hand, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encode(latent, phrases * 3, batch=2), together.repeat(3, 1), atol=1e-5, rtol=1e-4)


def test_a_word_alone_is_its_token(healthy):
    ids = torch.tensor([healthy.vocab.encode("soup")])
    torch.testing.assert_close(healthy.encode("soup", convert_to_tensor=True), healthy.model.encoder(ids)[0, 0].detach())


def test_encode_is_called_as_that_of_sentence_transformers(healthy, capfd):
    "A text gives a vector, several a matrix; NumPy unless a tensor is asked for; lengths, batches and a bar as there."
    phrases = ["how are you ?", "the soup was salty .", "hello"]
    found = healthy.encode(phrases)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32 and found.shape == (3, 96)
    assert healthy.encode(phrases[0]).shape == (96,)
    np.testing.assert_allclose(healthy.encode(tuple(phrases), batch_size=1), found, atol=1e-5)
    tensor = healthy.encode(phrases, convert_to_tensor=True, normalize_embeddings=True)
    assert isinstance(tensor, torch.Tensor) and not tensor.requires_grad
    torch.testing.assert_close(tensor.norm(dim=1), torch.ones(3))
    np.testing.assert_allclose(tensor.numpy(), found / np.linalg.norm(found, axis=1, keepdims=True), atol=1e-5)
    assert capfd.readouterr().err == ""
    healthy.encode(phrases, 2, True)
    assert "Phrases: 100%" in capfd.readouterr().err
    with pytest.raises(UsageError, match="batch is 0"):
        healthy.encode(phrases, batch_size=0)


def test_phrases_without_a_vector(healthy):
    with pytest.raises(UsageError, match=r"Phrase 1 \(counted from 0\) contains no word"):
        healthy.encode(["hello", " \t"])
    with pytest.raises(UsageError, match="73 tokens"):
        healthy.encode(["soup " * 73])
    assert healthy.encode([]).shape == (0, 96)


# ---- words as vectors


def test_gensim_reads_the_table(healthy, tmp_path):
    gensim = pytest.importorskip("gensim.models", reason="gensim has no wheel for this Python")
    save_word2vec(healthy, tmp_path / "words.txt")
    read = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "words.txt"), binary=False)
    assert tuple(read.index_to_key) == healthy.vocab.words[3:]
    assert torch.equal(torch.tensor(read.vectors), healthy.model.table[3:].detach())        # bit for bit
    ours = nearest_words(healthy, "soup", 5)
    theirs = read.most_similar("soup", topn=5)
    assert [w for w, _ in ours] == [w for w, _ in theirs]
    assert [c for _, c in ours] == pytest.approx([c for _, c in theirs], abs=1e-5)


# ---- the card


def test_card_has_the_runs_own_figures(healthy):
    rows = figure_rows(healthy.folder, healthy)
    log = (healthy.folder / LOG).read_text().splitlines()
    lines = [dict(zip(log[0].split(","), line.split(","))) for line in log[1:]]
    columns = next(line for line in lines if int(line["step"]) == healthy.header["step"])
    assert {k: float(columns[f"valid_{k}"]) for k in rows["this model"]} == rows["this model"]
    words = len(healthy.vocab) - 3                                                            # chance, by its formula
    assert rows["chance"]["mrr"] == pytest.approx(sum(1 / r for r in range(1, words + 1)) / words)
    assert rows["chance"]["median_rank"] == (words + 1) / 2


def test_the_hub_reads_the_card(healthy):
    "The head is what huggingface_hub calls valid, figures and all."
    cards = pytest.importorskip("huggingface_hub.repocard")
    card = cards.ModelCard(model_card(healthy, healthy.folder, "anna/small-talk", "apache-2.0"))
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "tofy")
    assert "pipeline_tag" not in card.data.to_dict()                     # no pipeline loads it: see the chapter on bridges
    assert card.data.model_name == "anna/small-talk"
    figures = {result.metric_type: result.metric_value for result in card.data.eval_results}
    own = figure_rows(healthy.folder, healthy)["this model"]
    assert figures == pytest.approx(own, abs=1e-4)
    assert card.text.count("| bigram |") == 1 and "Tofy.from_pretrained(\"anna/small-talk\")" in card.text


def test_card_without_figures(healthy, tmp_path):
    assert "It was not measured" in model_card(healthy, tmp_path, "small-talk")
    assert "model-index" not in model_card(healthy, tmp_path, "small-talk")


@pytest.mark.parametrize("run", ["collapsed", "crowded", "notes"])
def test_card_is_of_the_saved_step(run):
    latent = load(READY / run)
    own = figure_rows(READY / run, latent)["this model"]
    rows = [line.split(",") for line in (READY / run / LOG).read_text().splitlines()]
    row = dict(zip(rows[0], next(r for r in rows[1:] if r[0] == str(latent.header["step"]))))
    assert own["mrr"] == float(row["valid_mrr"])


# ---- folders


def contents(folder: Path) -> dict[str, object]:
    "Every file; of safetensors the tensors' bytes and the header, whose entries have no order."
    def read(file: Path):
        return file.read_bytes() if file.suffix != ".safetensors" else parts(*load_tensors(file))

    def parts(tensors, header):
        return {name: t.numpy().tobytes() for name, t in tensors.items()} | header
    return {file.name: read(file) for file in folder.iterdir()}


def test_saved_and_read_again(healthy, tmp_path):
    copy = Tofy.from_pretrained(healthy.save_pretrained(tmp_path / "copy"))
    assert {f.name for f in copy.folder.iterdir()} == {*FILES} - {READOUT}
    assert all(torch.equal(a, b) for a, b in zip(copy.model.state_dict().values(), healthy.model.state_dict().values()))
    assert copy.header == healthy.header and copy.vocab == healthy.vocab
    assert copy.diff("how are _ ? => you") == healthy.diff("how are _ ? => you")
    assert copy.fill("how are _ ?").top == healthy.fill("how are _ ?").top and repr(copy).startswith("Tofy(1,149 words")
    again = Tofy.from_pretrained(copy.save_pretrained(tmp_path / "again", name="copy"))
    assert contents(again.folder) == contents(copy.folder)


def test_no_folder_of_mine_goes_out(tofy, tmp_path):
    "A run on files in folders with telling names: nothing that is saved tells them, nor the held-out phrases."
    text = tmp_path / "divorce" / "letters.txt"
    text.parent.mkdir()
    text.write_text("".join(f"secret{i} you and me\n" for i in range(40)) + "we met and we ate\n" * 40)
    (tmp_path / "divorce" / "more.txt").write_text("you and we met\n" * 5)
    sizes = ("8", "16", "12", "1", "2")
    done = tofy("train", text, 4, *sizes, "--out", "run", "--valid", text.with_name("more.txt"))
    assert done.code == 0, done.err
    model = Tofy.from_pretrained(tmp_path / "run")
    folder = model.save_pretrained(tmp_path / "out")
    assert not (folder / HELDOUT).exists() and not (folder / STATE).exists()
    assert not [f.name for f in folder.iterdir() if b"divorce" in f.read_bytes() or str(tmp_path).encode() in f.read_bytes()]
    assert load_settings(folder / SETTINGS)["data"]["source"] == "letters.txt"
    assert "letters.txt" in (folder / CARD).read_text()
    assert b"divorce" in (tmp_path / "run" / MODEL).read_bytes()                              # the run itself keeps it


def test_run_folders_are_not_written_over(trained, healthy):
    for model in (healthy, Tofy.from_pretrained(trained)):
        before = {f.name: f.read_bytes() for f in trained.iterdir()}
        with pytest.raises(UsageError, match="must not be overwritten"):
            model.save_pretrained(trained)
        assert before == {f.name: f.read_bytes() for f in trained.iterdir()}


def test_paths_of_every_system():
    given = dict(source="~/a b/x.txt", valid="D:\\x\\y.txt", cache="z", lr=.1, recipe="a/b")
    assert without_folders(given) == dict(source="x.txt", valid="y.txt", cache="z", lr=.1, recipe="a/b")


# ---- the Hub


def talk(server, home: Path, code: str, **more: str) -> subprocess.CompletedProcess:
    "Run some lines in a process that takes the loopback server for the Hub, signed in nowhere."
    before = ("from tofy import READY, Tofy\nimport tofy.sharing\n"
              "model = Tofy.from_pretrained(READY / 'healthy')\n")
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= dict(PYTHONPATH=str(ROOT), HF_ENDPOINT=server.url, HF_HOME=str(home), no_proxy="127.0.0.1", OMP_NUM_THREADS="1")
    return subprocess.run([sys.executable, "-c", before + code], env=env | more, cwd=home.parent, capture_output=True, text=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A Hub with a model on it, and what was said on the way."
    pytest.importorskip("huggingface_hub")
    home = tmp_path_factory.mktemp("hub")
    with serve(home / "repos") as server:
        done = talk(server, home / "cache", "print(model.push_to_hub('anna/talk', private=True, license='mit', token='hf_a'))")
        assert done.returncode == 0, done.stderr
        server.told, server.home = done.stdout, home
        yield server


def test_push_is_one_commit_of_the_run_folders_own_files(place, healthy, tmp_path):
    assert re.fullmatch(rf"{place.url}/anna/talk/commit/[0-9a-f]{{40}}\n", place.told)
    stored = place.root / "anna" / "talk"
    saved = healthy.save_pretrained(tmp_path / "talk", name="anna/talk", license="mit")
    assert contents(stored) == contents(saved)
    posts = [path for method, path in place.asked if method == "POST"]
    assert [p for p in posts if "/commit/" in p] == ["api/models/anna/talk/commit/main"]


def test_push_again_changes_the_card(place):
    done = talk(place, place.home / "cache", "model.push_to_hub('anna/talk', license='apache-2.0', token='hf_a')")
    assert done.returncode == 0, done.stderr
    assert 'license: "apache-2.0"' in (place.root / "anna" / "talk" / CARD).read_text()


def test_from_the_hub_only_our_files(place):
    (place.root / "anna" / "talk" / "huge.bin").write_bytes(b"x" * 1000)
    code = ("found = Tofy.from_pretrained('anna/talk')\nassert (found.encode(['how are you ?']) == model.encode(['how are you ?'])).all()\n"
            "print(sorted(f.name for f in found.folder.iterdir()), found.fill('how are _ ?').top[0][0])")
    place.asked.clear()
    done = talk(place, place.home / "fresh", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(sorted({*FILES} - {READOUT}))) and not [p for _, p in place.asked if "huge" in p]
    (place.root / "anna" / "talk" / "huge.bin").unlink()
    offline = talk(place, place.home / "fresh", code, HF_HUB_OFFLINE="1")
    assert offline.stdout == done.stdout, offline.stderr


@pytest.mark.parametrize("code, kind, words", [
    ("Tofy.from_pretrained('anna/tlak')", "UsageError", "nor a model of that name on the Hub"),
    ("Tofy.from_pretrained('talk')", "UsageError", "a name of two parts"),
    ("Tofy.from_pretrained('anna/ta lk')", "UsageError", "neither a folder nor a name"),
    ("Tofy.from_pretrained('anna/talk', revision='v9')", "UsageError", "no such branch"),
    ("Tofy.from_pretrained('bob/other')", "UsageError", "was not saved by tofy"),
    ("model.push_to_hub('anna/new')", "UsageError", "sign in with `hf auth login`"),
    ("tofy.sharing.upload(READY / 'healthy', '', False, '', 'hf_a')", "UsageError", "neither a folder nor a name"),
])
def test_what_goes_wrong_is_a_sentence(place, code, kind, words):
    (place.root / "bob" / "other").mkdir(parents=True, exist_ok=True)
    (place.root / "bob" / "other" / "weights.bin").write_bytes(b"x")
    done = talk(place, place.home / "errors", code)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith(f"tofy.errors.{kind}: ") and words in last, done.stderr


def test_nobody_answers(place):
    done = talk(place, place.home / "nothing", "Tofy.from_pretrained('anna/talk')", HF_ENDPOINT="http://127.0.0.1:9")
    assert "tofy.errors.RunError: The Hub can't be reached" in done.stderr, done.stderr


def test_vocabulary_and_references_travel(place):
    stored = {f.name for f in (place.root / "anna" / "talk").iterdir()}
    assert {VOCAB, BASELINES, MODEL} <= stored and not {HELDOUT, STATE} & stored
