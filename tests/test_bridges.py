"Many phrases at once, and files for other programs."
import json
import sys
import unicodedata

import pytest
import torch

from tofy.bridges import check_fits, own_tokenizer, save_onnx, save_transformers
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.inference import READY, Answers, Latent, fill, load, read_blank
from tofy.lab.tokenizers import save_tokenizer, train_tokenizer
from tofy.readout import Readout
from tofy.run_folder import NoReadout
from tofy.sharing import Tofy, save_projector
from tofy.vocab import MASK, PAD, SPECIALS, Vocab, make_vocab, read_rule

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
    tofy("export", run).says(2, "--word2vec FILE, --projector FOLDER, --onnx FILE or --transformers FOLDER")
    tofy("export", run, "--word2vec", "words.txt").says(2, "words.txt is already there")
    tofy("export", "nowhere", "--word2vec", "new.txt").says(2)
    assert not (tmp_path / "new.txt").exists()


# ---- transformers: the same answers by an architecture that it has


@pytest.fixture(scope="module")
def masked_lm():
    "The library's own classes, asked for as a user would."
    return pytest.importorskip("transformers", reason="needs the extra bench")


@pytest.fixture(scope="module")
def exported(latent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transformers") / "small-talk"
    save_transformers(latent, folder, READY / "healthy")
    return folder


def held_out(latent: Latent, many: int) -> list[str]:
    "Held-out phrases, each with a word hidden; after the last the first again, with another."
    lines = (READY / "healthy" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    rows = [latent.vocab.tokenize(lines[n % len(lines)]) for n in range(many)]
    return [" ".join("_" if i == n % len(row) else word for i, word in enumerate(row)) for n, row in enumerate(rows)]


def test_the_pipeline_gives_the_same_five_words(latent, exported, masked_lm):
    "At 200 held-out blanks; its scores are the softmax of the cosines over the temperature, among the words."
    asked = held_out(latent, 200)
    assert len(set(asked)) == 200
    pipe = masked_lm.pipeline("fill-mask", model=str(exported), device="cpu")
    heat = latent.model.log_temperature.exp()
    found = pipe([phrase.replace("_", "<mask>") for phrase in asked], top_k=5, batch_size=50)
    for answers, wanted, phrase in zip(found, fill(latent, asked), asked, strict=True):
        assert [answer["token_str"] for answer in answers] == [word for word, _ in wanted.top], phrase
        pred = latent.predict(read_blank(latent.vocab, phrase))
        shares = (latent.model.cosines(pred[None])[0, len(SPECIALS):] / heat).softmax(0)
        assert [a["score"] for a in answers] == pytest.approx(shares.topk(5).values.tolist(), abs=1e-4)


def test_its_logits_are_our_cosines(latent, exported, masked_lm):
    "To 1e-5 once they are multiplied by the temperature; in a padded batch as well."
    theirs = masked_lm.AutoModelForMaskedLM.from_pretrained(exported)
    cutter = masked_lm.AutoTokenizer.from_pretrained(exported)
    assert type(theirs).__name__ == "ModernBertForMaskedLM" and "auto_map" not in theirs.config.to_dict()
    asked = held_out(latent, 64)
    batch = cutter([phrase.replace("_", "<mask>") for phrase in asked], padding=True, return_tensors="pt")
    ids = batch["input_ids"]
    assert [row[row != PAD].tolist() for row in ids] == [read_blank(latent.vocab, phrase) for phrase in asked]
    with torch.no_grad():
        logits = theirs(**batch).logits[ids == MASK] * theirs.config.tofy_temperature
        cosines = latent.model.cosines(latent.model(ids, ids == MASK)[0])
    assert (logits - cosines)[:, len(SPECIALS):].abs().max() < 1e-5
    assert (logits[:, :len(SPECIALS)] < -100).all()                       # what is no word is no answer


def test_its_card_promises_what_holds(latent, exported):
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert 'pipeline_tag: "fill-mask"' in card and 'library_name: "transformers"' in card
    assert 'pipeline("fill-mask", model="small-talk")' in card and "| this model | 0.738 |" in card


WORDS = SPECIALS + tuple(f"w{i}" for i in range(47))


def made(shape: dict, readout: tuple[str, str] | None = None) -> Latent:
    "A small untrained model, its weights large enough that every part of it matters."
    torch.manual_seed(1)
    model = LatentModel(ModelConfig(**dict(vocab_size=50, dim=16, layers=2, heads=2, max_seq=40) | shape)).eval()
    model.spell(WORDS)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(.3 * torch.randn_like(weight))
        model.log_temperature.fill_(-2.)
    D = model.config.dim
    if readout:
        model.readout = Readout(*readout, torch.randn(D), torch.rand(D) + .5, torch.randn(D, 50), torch.randn(50), 1., .5)
    return Latent(model, Vocab(WORDS, (1,) * 50), {})


SHAPES = {"as it comes": {}, "no positions": dict(positions="none"), "odd heads": dict(positions="none", dim=18),
          "identity": dict(predictor="identity"), "plain": dict(feed_forward="gelu"), "no layers": dict(layers=0),
          "one head": dict(heads=1), "slow turns": dict(rotary_base=100.), "ngrams": dict(ngrams=64)}
READS = [("linear", "hidden"), ("ridge", "prediction"), ("prototypes", "hidden"), ("prototypes", "prediction")]


@pytest.mark.parametrize("shape, readout", [*((shape, None) for shape in SHAPES.values()), *(({}, kind) for kind in READS)],
                         ids=[*SHAPES, *map(" of ".join, READS)])
def test_every_kind_of_model_fits(shape, readout, masked_lm, tmp_path):
    "Scores of a readout are as large as 30, so they agree to a millionth of that."
    latent = made(shape, readout)
    save_transformers(latent, tmp_path / "out", tmp_path)
    theirs = masked_lm.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    ids = torch.randint(len(SPECIALS), 50, (6, 40))
    ids[:, 7], ids[2:4, 30:] = MASK, PAD
    with torch.no_grad():
        wanted = latent.model.scores(*latent.model(ids, ids == MASK))[:, len(SPECIALS):]
        logits = theirs(ids, attention_mask=(ids != PAD).long()).logits[:, 7, len(SPECIALS):] * theirs.config.tofy_temperature
    assert (logits - wanted).abs().max() < (3e-5 if readout else 1e-5)


@pytest.mark.parametrize("shape, why", [
    (dict(positions="sinusoidal"), "its sinusoidal positions are added"), (dict(positions="learned"), "its learned positions are added"),
    (dict(attend_padding=True), "it attends to its padding"), (dict(predictor="mlp"), "its predictor is mlp"),
    (dict(predictor="queries"), "its predictor is queries")])
def test_what_does_not_fit_is_refused(shape, why, tmp_path):
    with pytest.raises(UsageError, match=f"because {why}.*--onnx FILE"):
        save_transformers(made(shape), tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_model_that_names_no_words_is_refused():
    latent = made({})
    latent.model.readout = NoReadout("runs/x", "")
    with pytest.raises(RunError, match="has no readout yet"):
        check_fits(latent.model)


LETTERS = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) not in ("Cn", "Cs", "Co")]
TEXTS = ["don't  stop--now!", "’tis ΟΔΥΣΣΕΥΣ İstanbul I\u0307stanbul ΑΣ. Σ ΑΣ’Α", "e\u0301 ﬁ 2½ x_y\u0085z\x1cw\ufeffv",
         "‘Twas the night’s end,’ “a” «b» o'clock", "می\u200cخواهم co\u00adop ❤\ufe0f👍🏽🇩🇪#\ufe0f\u20e3 a\u200bb", "_ 你好 , naïve ½ tom's cat",
         *(" ".join(f"a{c}b{c}" for c in LETTERS[i:i + 4000]) for i in range(0, len(LETTERS), 4000))]


@pytest.mark.parametrize("rule", ["unicode-2", "unicode-1", "notes"])
@pytest.mark.parametrize("lower", [True, False])
def test_its_tokenizer_cuts_as_we_do(rule, lower):
    "Every character that Unicode has, beside letters."
    vocab = Vocab(WORDS, (1,) * 50, rule, lower)
    inner = own_tokenizer(vocab)[0]
    for text in TEXTS:
        cut = inner.pre_tokenizer.pre_tokenize_str(inner.normalizer.normalize_str(text))
        assert [word for word, _ in cut] == vocab.tokenize(text)


@pytest.mark.parametrize("size, most", [(300, 1000), (500, 200)], ids=["every piece", "too few rows"])
def test_a_model_that_reads_pieces(masked_lm, tmp_path, size, most):
    "The tokenizer keeps its own numbers; a piece without a row is read as unknown, and never an answer."
    texts = [line for line in (READY / "healthy" / "heldout.txt").read_text(encoding="utf-8").splitlines()][:300]
    save_tokenizer(train_tokenizer(texts, vocab_size=size, lower=True), tmp_path / "bpe.json")
    rule = read_rule(tmp_path / "bpe.json")
    vocab = make_vocab({piece: 1 + n for n, piece in enumerate(sorted({p for t in texts for p in rule.cut(t)}))}, most, rule, rule.lower)
    model = made(dict(vocab_size=len(vocab), max_seq=72)).model
    latent = Latent(model, vocab, {})
    save_transformers(latent, tmp_path / "out", tmp_path)
    theirs, cutter = (kind.from_pretrained(tmp_path / "out") for kind in (masked_lm.AutoModelForMaskedLM, masked_lm.AutoTokenizer))
    order, pipe = own_tokenizer(vocab)[1], masked_lm.pipeline("fill-mask", model=theirs, tokenizer=cutter)
    for phrase in ["how are _ ?", "_ you like bagels", "david has moved to _", "zebras quickly _ xylophones ."]:
        ids = cutter(phrase.replace("_", "<mask>"))["input_ids"]
        assert order[ids].tolist() == read_blank(vocab, phrase)
        found = [vocab.words[order[answer["token"]]] for answer in pipe(phrase.replace("_", "<mask>"))]
        assert found == [piece for piece, _ in fill(latent, phrase).top]


# ---- ONNX


def by_onnx(path, ids: list[int], result: str) -> torch.Tensor:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra docs")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([result], {"ids": torch.tensor(ids).numpy()})[0])


def test_a_graph_gives_the_same_cosines(latent, tmp_path):
    "To 1e-5, at blanks anywhere in phrases of any length; the file holds what one needs to ask it."
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    save_onnx(latent, tmp_path / "model.onnx")
    for phrase in [*PHRASES, *held_out(latent, 40)]:
        ids = read_blank(latent.vocab, phrase)
        wanted = latent.model.cosines(latent.predict(ids)[None])[0].detach()
        assert (by_onnx(tmp_path / "model.onnx", ids, "cosines") - wanted).abs().max() < 1e-5
    told = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert told["words"] == list(latent.vocab.words) and told["tokens"] == "unicode-2" and told["max_seq"] == 72
    assert told["temperature"] == pytest.approx(latent.model.log_temperature.exp().item())


@pytest.mark.parametrize("shape, readout", [*(({}, kind) for kind in READS), (dict(ngrams=64), None),
                                            (dict(positions="sinusoidal", attend_padding=True, predictor="mlp"), None)])
def test_a_graph_of_every_kind(shape, readout, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    latent = made(shape, readout)
    save_onnx(latent, tmp_path / "model.onnx")
    for ids in ([MASK], [5, 6, MASK, 9], [MASK, *range(3, 42)]):
        wanted = latent.model.scores(*latent.at_blank(ids))[0].detach()
        got = by_onnx(tmp_path / "model.onnx", ids, "scores" if readout else "cosines")
        assert (got - wanted).abs().max() < (3e-5 if readout else 1e-5)


def test_without_onnx_a_sentence(latent, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r'onnx is not installed; it comes with: pip install "tofy\[onnx\]"'):
        save_onnx(latent, tmp_path / "model.onnx")


def test_models_are_exported_from_the_command_line(tofy, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    result = tofy("export", READY / "healthy", "--onnx", "model.onnx", "--transformers", "out")
    assert result.code == 0 and (tmp_path / "model.onnx").stat().st_size > 1e6, result.err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    tofy("export", READY / "notes", "--transformers", "notes").says(2, "sinusoidal positions are added", "--onnx FILE")
    assert not (tmp_path / "notes").exists()
