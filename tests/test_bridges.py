"Many phrases at once, and files for other programs."
import pytest
import torch

from tofy.errors import RunError, UsageError
from tofy.inference import READY, Answers, fill, load, read_blank
from tofy.sharing import Tofy, save_projector

PHRASES = ["how are _ ?", "david has _ to london .", "would you like to _ more bagels later ?", "_ you", "i _"]


@pytest.fixture(scope="module")
def latent():
    return load(READY / "healthy")


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_many_phrases_are_answered_as_one_by_one(latent, batch):
    found = fill(latent, iter(PHRASES), 7, batch=batch)
    assert isinstance(found, Answers) and [a.phrase for a in found] == PHRASES
    for phrase, answer in zip(PHRASES, found, strict=True):
        alone = fill(latent, phrase, 7)
        assert [word for word, _ in answer.top] == [word for word, _ in alone.top]
        assert [c for _, c in answer.top] == pytest.approx([c for _, c in alone.top], abs=1e-5)
        assert (answer.measure, answer.note, answer.vocab_size) == (alone.measure, alone.note, alone.vocab_size)


def test_many_phrases_of_a_model_with_a_readout():
    read = load(READY / "healthy", "prototypes")
    for phrase, answer in zip(PHRASES, fill(read, PHRASES, batch=2), strict=True):
        alone = fill(read, phrase)
        assert (answer.measure, answer.note) == (alone.measure, alone.note) and alone.measure == "share"
        assert [c for _, c in answer.top] == pytest.approx([c for _, c in alone.top], abs=1e-5)


def test_none_and_a_mistake_among_many(latent):
    assert fill(latent, []) == [] and isinstance(fill(latent, []), Answers)
    with pytest.raises(RunError, match="no blank found in 'and none here'"):
        fill(latent, ["how are _ ?", "and none here"])
    with pytest.raises(UsageError, match="batch"):
        fill(latent, PHRASES, batch=0)
    model = Tofy.from_pretrained(READY / "healthy")
    assert [a.top[0][0] for a in model.fill(PHRASES)] == [a.top[0][0] for a in fill(latent, PHRASES)]


@pytest.mark.parametrize("mark", ["<mask>", "<MASK>", "[MASK]", "_", "___"])
def test_ways_to_write_a_blank(latent, mark):
    assert read_blank(latent.vocab, f"how are {mark} ?") == read_blank(latent.vocab, "how are _ ?")
    assert fill(latent, f"how are {mark} ?").top == fill(latent, "how are _ ?").top


def test_two_ways_at_once_are_two_blanks(latent):
    with pytest.raises(RunError, match="2 blanks found"):
        read_blank(latent.vocab, "<mask> are [MASK]")


def test_projector_files(latent, tmp_path):
    "As many lines of numbers as of words, in the vocabulary's order; TensorBoard's file names both."
    save_projector(latent, tmp_path / "a" / "b")
    vectors, words, told = (tmp_path / "a" / "b" / n for n in ("vectors.tsv", "words.tsv", "projector_config.pbtxt"))
    rows = torch.tensor([[float(x) for x in line.split("\t")] for line in vectors.read_text().splitlines()])
    assert torch.equal(rows, latent.model.table[3:].detach())
    assert words.read_text(encoding="utf-8").split("\n") == [*latent.vocab.words[3:], ""]
    assert all(f'"{path.name}"' in told.read_text() for path in (vectors, words))


def test_tensorboard_reads_it(latent, tmp_path):
    pytest.importorskip("tensorboard")
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
    save_projector(latent, tmp_path)
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (table,) = config.embeddings
    assert (tmp_path / table.tensor_path).is_file() and (tmp_path / table.metadata_path).is_file()


def test_export_from_the_command_line(tofy, tmp_path):
    run = READY / "healthy"
    result = tofy("export", run, "--word2vec", "words.txt", "--projector", "map")
    assert result.code == 0 and result.out.count("words in ") == 2, result.err
    assert len((tmp_path / "words.txt").read_text().splitlines()) == 1 + len((tmp_path / "map" / "words.tsv").read_text().splitlines())
    tofy("export", run).says(2, "--word2vec FILE, --projector FOLDER")
    tofy("export", run, "--word2vec", "words.txt").says(2, "words.txt is already there")
    tofy("export", "nowhere", "--word2vec", "new.txt").says(2)
    assert not (tmp_path / "new.txt").exists()
