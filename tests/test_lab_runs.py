"""The laboratory's runs: decoders that learn texts of which every rule is known, and are marked by those rules."""

import json
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy.errors import UsageError
from tofy.lab.decoder import IGNORED, Decoder, DecoderConfig, next_loss
from tofy.lab.exams import COURSES, Course, continue_texts, sit_exam, take_course
from tofy.lab.prefixes import show_middle
from tofy.lab.stretches import ask_by, documents_of, fill_middle, loss_by_place, middle_marks
from tofy.lab.synthetic import SETS
from tofy.lab.tokenizers import load_tokenizer, train_tokenizer, with_size
from tofy.lab.training import TextConfig, TextData, join, load_texts, new_run, side_by_side, train, window_losses
from tofy.lab.vocabulary import slide
from tofy.lab.writing import Sampling, Writer, load_decoder, write_grid

# ---- exams


def graduate(name: str, folder, **changes):
    "A decoder's marks after the course, and the seconds it took."
    records = list(take_course(name, folder, threads=1, **changes))
    return sit_exam(load_decoder(folder), name, how=COURSES[name].how), records[-1].seconds


@pytest.mark.slow
def test_words_are_learned_in_seconds(tmp_path):
    "A small course, one layer: the pattern holds far more often than without memory (51%, worked in the chapter)."
    shape = DecoderConfig(dim=72, layers=1, heads=12, context=32, rotary_base=30.0)
    marks, _ = graduate("words", tmp_path, course=Course(20_000, shape, 1350, lr=2e-3))
    assert marks.rows["pattern"][1] >= 1000 and marks.share("pattern") > 0.75


def test_sequence_is_learned_whole(tmp_path):
    assert graduate("sequence", tmp_path)[0].passed


@pytest.mark.slow
@pytest.mark.parametrize("name", COURSES)
def test_every_exam_is_passed_from_scratch(name, tmp_path):
    marks, seconds = graduate(name, tmp_path)
    assert marks.passed, f"\n{marks}\nafter {seconds:.0f} s"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "steps"), [(1, 2600), (2, COURSES["words"].steps)])  # seed 1 is late: 91.6% after 1,900
def test_words_do_not_hang_on_the_seed(seed, steps, tmp_path):
    marks, _ = graduate("words", tmp_path, seed=seed, steps=steps)
    assert marks.passes("pattern") and marks.share("first letter") > 0.9, f"\n{marks}"


class Parrot(Decoder):
    "A decoder that is sure that a token comes three places after itself."

    def forward(self, ids, past=None):
        said = torch.cat([past[0][0], ids], 1) if past and past[0] else ids
        if past is not None:
            past[0][:] = [said]
        shifted = torch.nn.functional.pad(said, (2, 0))[:, : said.shape[1]]
        return 50 * torch.nn.functional.one_hot(shifted[:, -ids.shape[1]:], self.config.vocab_size).float()


def test_prompts_are_read_from_their_ends():
    "Cut to the shortest, from the left: what a parrot of the last three letters writes then tells what it has read."
    tokenizer = train_tokenizer(["abcdefgh"], "character")
    parrot = Writer(Parrot(DecoderConfig(len(tokenizer), 8, 1, 1, context=64)), tokenizer)
    assert continue_texts(parrot, ["abc", "habcdef"], 6) == ["abcabc", "defdef"]


# ---- stretches


def text_data(lengths, reserved=0) -> TextData:
    "Documents of so many letters, each different from its neighbours."
    tokenizer, ids = train_tokenizer(["abcdefgh"], "character", reserved=reserved), [0]
    for i, n in enumerate(lengths):
        ids += [2 + reserved + (i + k) % 8 for k in range(n)] + [0]
    stream = torch.tensor(ids, dtype=torch.int32)
    return TextData(tokenizer, stream, stream, sum(lengths), [], "hash", {"source": "by hand"})


HOW = st.one_of(st.fixed_dictionaries(dict(stride=st.integers(1, 5))), st.just(dict(examples="prefixes")))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), HOW, st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_asks_for_every_token_once(lengths, how, count, epoch):
    "Whatever the stride, the batch and the epoch; batches that straddle two epochs are cut by the number of examples."
    data = ask_by(text_data(lengths), 5, **how)
    size = len(data.index)
    asked, number = Counter(), 0
    while number < (epoch + 1) * size:                     # of a batch, each row is an example
        for row in data.draw(count, 5, 0, number // count)[1]:
            if epoch * size <= number < (epoch + 1) * size:
                asked.update(row[row != IGNORED].tolist())
            number += 1
    assert asked == Counter(data.train[1:].tolist())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_documents_share_their_ends(lengths):
    data = text_data(lengths)
    documents, found = documents_of(data.train)
    assert found.tolist() == [n + 2 for n in lengths]
    for begin, n in zip(documents.offsets.tolist(), found.tolist()):
        assert data.train[begin] == data.train[begin + n - 1] == 0


def test_windows_ask_what_windows_side_by_side_ask():
    "The two numberings of the laboratory agree where both apply: one document, no overlap, whole windows."
    data = text_data([31])                                 # 33 tokens: eight windows of four
    stretches = ask_by(data, 4)
    rows = {tuple(t.tolist()) for t in torch.cat([stretches.draw(1, 4, 0, step)[1] for step in range(8)])}
    assert rows == {tuple(w[1:].tolist()) for w in side_by_side(data.train, 4)}


def test_hidden_middles_lose_nothing_and_fit_the_model():
    data = ask_by(text_data([30, 12, 7], reserved=4), 16, geometric_p=0.2)
    for step in range(30):
        inputs, targets = data.draw(4, 16, 1, step)
        assert inputs.shape == targets.shape and inputs.shape[1] <= 16
        run = new_run(data, DecoderConfig(dim=8, layers=1, heads=1, context=16), TextConfig(batch=4))
        run.step = step
        assert math.isfinite(run.batch_loss(run.next_batch(), False)[0].item())
    assert middle_marks(data.tokenizer) == (2, 3, 4, 5)


@pytest.mark.parametrize("how", [dict(), dict(stride=3), dict(examples="prefixes")], ids=str)
@pytest.mark.parametrize("geometric_p", [0.2, 0.7])
def test_with_hidden_middles_an_epoch_still_asks_for_every_token(how, geometric_p):
    "And what comes on top is what was hidden, and the mark at its end."
    data = ask_by(text_data([30, 12, 7, 1], reserved=4), 9, geometric_p=geometric_p, **how)
    asked, on_top = Counter(), Counter()
    for step in range(len(data.index)):
        inputs, targets = data.draw(1, 9, 0, step)
        assert inputs.shape == targets.shape and inputs.shape[1] <= 9
        read, wanted = inputs[0].tolist(), targets[0].tolist()
        asked.update(token for token in wanted if token != IGNORED)
        if data.marks.middle in read:                                  # all behind ⟨mid⟩ is asked for
            at = read.index(data.marks.middle)
            assert IGNORED not in wanted[at:] and wanted[-1] == data.marks.end
            if IGNORED in wanted:
                on_top.update(wanted[at:])
            else:                                                      # all is asked for, the first token as well
                row = show_middle(torch.tensor([*read[:1], *wanted]), data.marks)
                on_top.update([*data.marks[1:], int(row[0])])
    text = Counter(data.train[1:].tolist())
    assert not text - asked and on_top and not asked - text - on_top


def test_the_loss_by_length_is_the_loss(tofy, tmp_path):
    assert tofy("lab", "train", "builtin:60", "--preset", "nano", "--context", 16, "--batch", 4, "--sample", 0, "--steps", 4,
                "--threads", 1, "--out", "run").code == 0
    told = tofy("lab", "loss", "run", "--by-length", "--json").json
    bins = told["by_length"]
    assert sum(b["n"] for b in bins) == told["tokens"] and [b["shortest"] for b in bins[:4]] == [1, 2, 3, 4]
    assert sum(b["n"] * b["mean"] for b in bins) / told["tokens"] == pytest.approx(told["loss"], rel=1e-5)
    assert "by_length" not in tofy("lab", "loss", "run", "--json").json
    (tmp_path / "short.txt").write_text("we like tea .")                # one window: no spread, and no error
    short = tofy("lab", "loss", "run", "short.txt", "--by-length", "--limit", 1)
    assert short.code == 0 and "nan" not in short.out and "tokens before" in short.out


@pytest.mark.parametrize("wrong", [dict(examples="both"), dict(examples="prefixes", stride=2), dict(geometric_p=0.0),
                                   dict(geometric_p=0.5), dict(stride=6)], ids=str)
def test_what_cannot_be_asked_is_refused(wrong):
    with pytest.raises(UsageError):
        ask_by(text_data([9]), 5, **wrong)


def test_only_what_is_asked_counts():
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, IGNORED, 2], [IGNORED, IGNORED, 4]])
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    assert next_loss(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_accumulated_batches_of_unequal_weight_make_the_same_step():
    "Prefixes ask one token a row, the last windows of documents few: each token counts alike, however they are cut."
    gradients = []
    for batch, accumulate in ((6, 1), (2, 3), (1, 6)):
        data = ask_by(text_data([30, 3, 9]), 8)
        config = TextConfig(batch=batch, accumulate=accumulate)
        run = new_run(data, DecoderConfig(dim=16, layers=1, heads=2, context=8), config)
        loss, _ = run.batch_loss(run.next_batch(), False)
        loss.backward()
        gradients.append(torch.cat([loss.detach()[None]] + [p.grad.flatten() for p in run.model.parameters()
                                                            if p.grad is not None]))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6) and torch.allclose(gradients[0], gradients[2], atol=1e-6)


def test_a_run_on_stretches_resumes_where_it_stood(tmp_path, monkeypatch):
    monkeypatch.setattr("tofy.loop.Clock.quiet_for", lambda *_: True)
    data = ask_by(text_data([30, 12, 7] * 5, reserved=4), 16, geometric_p=0.3)
    shape = DecoderConfig(dim=16, layers=1, heads=2, context=16)
    config = TextConfig(steps=14, seconds=None, batch=4, sample=0, log_every=5, threads=1)
    list(train(data, shape, config, tmp_path / "whole"))
    loop = train(data, shape, config, tmp_path / "parts")
    next(r for r in loop if r.step >= 6)
    loop.close()
    list(train(data, shape, config, tmp_path / "parts", resume=True))
    one, two = (load_decoder(tmp_path / run).model.state_dict() for run in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_loss_by_place_is_the_loss(tmp_path):
    data = text_data([50, 60])
    model = Decoder(DecoderConfig(len(data.tokenizer), 16, 1, 2, context=16))
    bins = loss_by_place(model, data.valid)
    every = torch.cat(list(window_losses(model, side_by_side(data.valid, 16))))
    assert sum(b.n * b.mean for b in bins) / sum(b.n for b in bins) == pytest.approx(every.mean().item(), rel=1e-5)
    assert bins[0].n == len(every) and bins[0].mean == pytest.approx(every[:, 0].mean().item(), rel=1e-5)


# ---- hidden middles


SURE = Sampling(temperature=0)


def pupil(data: TextData, geometric_p: float, context: int, **settings) -> Writer:
    "A decoder trained on these documents, with or without hidden middles."
    shape = DecoderConfig(dim=settings.pop("dim", 32), layers=settings.pop("layers", 1), heads=4, context=context,
                          rotary_base=30.0)
    steps = settings.pop("steps")
    config = TextConfig(steps=steps, seconds=None, sample=0, threads=1, eval_every=steps, **settings)
    run = new_run(ask_by(data, context, geometric_p=geometric_p), shape, config)
    list(train(run.data, run.model, config))
    return Writer(run.model.eval(), data.tokenizer)


def test_a_beginning_is_read_off_the_end():
    "Documents such as A=a: only the end tells the beginning, and from the left one greedy answer serves for all four."
    tokenizer = train_tokenizer(["abcdABCD="], "character", reserved=4)
    stream = join([torch.tensor(tokenizer.encode(f"{c.upper()}={c}"), dtype=torch.int32) for c in "abcd"])
    data = TextData(tokenizer, stream, stream, 12, [], "hash", {"source": "by hand"})
    both, left = (pupil(data, p, 12, steps=300, batch=8, lr=3e-3, dim=64) for p in (0.4, 1.0))
    found, guessed = ([fill_middle(w, "", f"={c}", how=SURE, whole=True).text for c in "abcd"] for w in (both, left))
    assert found == list("ABCD") and sum(map(str.__eq__, guessed, "ABCD")) <= 1


@pytest.mark.slow
def test_middles_of_unseen_lines_are_filled(tmp_path):
    "The text of the chapter: what is sent to whom stands on both sides. Half as good must not pass."
    parts = ("tim mia ben zoe max ida leo ann kim sam eve joe", "kites balls drums cakes hats maps bells lamps books cups",
             "rome oslo bonn paris delhi cairo kyiv lima tokyo accra seoul quito")
    lines = [f"{a} sent {b} to {c} ; {c} got {b} from {a}" for a in parts[0].split() for b in parts[1].split()
             for c in parts[2].split()]
    (tmp_path / "home.txt").write_text("\n".join(lines))
    data = load_texts(tmp_path / "home.txt", train_tokenizer(lines, "bpe", 400, reserved=4), delimiter="\n")
    writer = pupil(data, 0.4, 18, steps=1500, batch=32, lr=4e-3, dim=64, layers=2, seed=3)
    asked = right = 0
    for name in data.heldout[:100]:
        a, sent, b, to, c, *rest = lines[int(name.split()[1])].split()
        for before, middle, after in (("", a, [sent, b, to, c]), (f"{a} {sent}", f" {b}", [to, c]),
                                      (f"{a}", f" {sent} {b} {to} {c}", [])):
            found = fill_middle(writer, before, " " + " ".join(after + rest), how=SURE, whole=True).text
            asked, right = asked + 1, right + (found == middle)
    assert right / asked > 0.8


@pytest.mark.parametrize("before, after", [("abcdefghabcdefgh", "a"), ("", "abcdefghabcdefgh")])
def test_two_texts_too_long_for_the_decoder_are_refused(before, after):
    tokenizer = train_tokenizer(["abcdefgh"], "character", reserved=4)
    writer = Writer(Decoder(DecoderConfig(len(tokenizer), 16, 1, 2, context=16)), tokenizer)
    with pytest.raises(UsageError, match="shorten them"):
        fill_middle(writer, before, after)
    assert len(fill_middle(writer, "abcdefg", "abcde", n=50).steps) <= 2       # 15 tokens read: two can be written


# ---- several decoders, several prompts


def test_a_grid_holds_what_each_decoder_writes():
    tokenizer = train_tokenizer(["abcdefgh"], "character")
    writers = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        writers[f"run {seed}"] = Writer(Decoder(DecoderConfig(len(tokenizer), 16, 1, 2, context=16)), tokenizer)
    grid = write_grid(writers, ["a", "bc"], 12, Sampling(seed=5))
    assert grid.names == ["run 0", "run 1"] and [row[0].prompt for row in grid.rows] == ["a", "bc"]
    assert grid.rows[1][0].text == writers["run 0"].write("bc", 12, Sampling(seed=5)).text
    assert repr(grid).splitlines()[3] == "'bc'" and repr(grid).count("run 1") == 2
    assert grid._repr_html_().count("<tr>") == 3


def test_a_compiled_run_asks_the_compiler_and_stays_the_same(monkeypatch):
    "The kernels' compiler is given the model, and what it returns is what a step calls."
    seen = []

    def compiler(model):
        seen.append(model)
        return lambda ids: seen.append(ids.shape) or model(ids)

    monkeypatch.setattr(torch, "compile", compiler)
    weights = []
    for compiled in (False, True):
        config = TextConfig(steps=3, seconds=None, batch=2, sample=0, threads=1, compile=compiled)
        run = new_run(text_data([30, 20]), DecoderConfig(dim=16, layers=1, heads=2, context=8), config)
        list(train(run.data, run.model, config))
        weights.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    assert torch.equal(*weights) and len(seen) > 3 and isinstance(seen[0], Decoder) and set(seen[1:]) == {(2, 8)}


# ---- vocabulary


TEXT = ["the cat sat on a mat, the end of an inn. naïve café\n"] * 30 + ["def f(x):\n    return the_cat\n"] * 30


@settings(max_examples=30, deadline=None)
@given(st.integers(257, 330))
def test_a_smaller_tokenizer_is_the_beginning_of_a_larger_one(size):
    large = train_tokenizer(TEXT, vocab_size=330)
    learned = train_tokenizer(TEXT, vocab_size=size)
    smaller = with_size(large, min(size, len(large)))
    assert [smaller.encode(t) for t in TEXT] == [learned.encode(t) for t in TEXT] and len(smaller) == len(learned)


def test_the_slider_counts_bytes_exactly():
    large = train_tokenizer(TEXT, vocab_size=330)
    found = slide(large, TEXT, (257, 280, len(large)), 16)
    for (size, _), wanted in zip(found, (257, 280, len(large))):
        assert size.vocab_size == wanted and size.parameters == wanted * 16
        assert size.tokens * size.bytes_per_token == pytest.approx(sum(len(t.encode()) for t in TEXT))
    assert found[-1].share.by_occurrence == pytest.approx(4 * 30 / size.tokens)     # " a", " the", " an", and " the_cat"


# ---- the command line


def test_a_text_with_a_known_answer_from_the_command_line(tofy, tmp_path):
    made = tofy("lab", "data", "words", "--lines", 400, "--output", "words.txt", "--json").json
    assert made["characters"] == len((tmp_path / "words.txt").read_text()) and made["floor"] < made["unigram"]
    assert (tmp_path / "words.txt").read_text() == SETS["words"].text(400)
    tofy("lab", "data", "sums").says(2, "no data set")
    options = ["words.txt", "--preset", "nano", "--context", 16, "--batch", 4, "--sample", 0, "--steps", 6, "--threads", 1]
    assert tofy("lab", "train", *options, "--out", "run").code == 0
    marks = tofy("lab", "score", "words", "run", "--lines", 100, "--json")
    assert marks.code == 1 and not json.loads(marks.out)["passed"]
    assert tofy("lab", "train", *options, "--out", "p", "--examples", "prefixes").code == 0
    assert tofy("lab", "train", "--resume", "--out", "p", "--steps", 8).code == 0
    told = tofy("lab", "train", *options, "--out", "w", "--stride", 4).err
    assert "on the last    on bigram" in told and "of the bigram baseline" in told
    for how in ([], ["--examples", "prefixes"], ["--stride", 4]):          # nobody has to know of reserved tokens
        made = tofy("lab", "train", *options, "--out", "f", "--geometric-p", 0.5, "--overwrite", *how)
        assert made.code == 0 and "bytes number)" in made.err
    assert tofy("lab", "train", "--resume", "--out", "f", "--steps", 8).code == 0
    assert tofy("lab", "tokenizer", "train", "words.txt", "--kind", "character").code == 0          # without marks
    given = [*options, "--tokenizer", "tokenizer.json", "--geometric-p", 0.5, "--out", "g"]
    assert tofy("lab", "train", *given).code == 0
    assert len(load_decoder(tmp_path / "g").tokenizer) == len(load_tokenizer(tmp_path / "tokenizer.json")) + 4
    assert tofy("lab", "train", "--resume", "--out", "g", "--tokenizer", "tokenizer.json", "--steps", 8).code == 0
    assert tofy("lab", "generate", "g", "b", "--suffix", ";", "--tokens", 3).code == 0
    tofy("lab", "train", "--from", "run", "--geometric-p", 0.5, "--out", "h").says(2, "--reserved 4")
    assert tofy("lab", "exam", "words", "--steps", 3, "--out", "e").code == 1


def test_middles_and_grids_from_the_command_line(tofy, tmp_path):
    (tmp_path / "lines.txt").write_text("\n".join(f"{c.upper()}={c}" for c in "abcdefghijklmnop"))
    assert tofy("lab", "tokenizer", "train", "lines.txt", "--kind", "character", "--reserved", 4).code == 0
    options = ["lines.txt", "--delimiter", "\n", "--tokenizer", "tokenizer.json", "--preset", "nano", "--context", 12,
               "--batch", 4, "--sample", 0, "--steps", 6, "--threads", 1]
    assert tofy("lab", "train", *options, "--geometric-p", 0.5, "--out", "both").code == 0
    assert tofy("lab", "train", *options, "--out", "left").code == 0
    made = tofy("lab", "generate", "both", "A", "--suffix", "a", "--whole", "--tokens", 3, "--json")
    assert made.json["suffix"] == "a" and len(made.json["steps"]) <= 3 and "hid no middles" not in made.err
    assert "hid no middles" in tofy("lab", "generate", "left", "A", "--suffix", "a").err
    tofy("lab", "generate", "both", "A", "--whole").says(2, "--suffix")
    rows = tofy("lab", "grid", "both", "left", "--prompt", "A", "--prompt", "B", "--tokens", 2, "--json").json["rows"]
    assert [row["prompt"] for row in rows] == ["A", "B"] and all({"both", "left"} <= row.keys() for row in rows)
    tofy("lab", "grid", "both", "nowhere").says(2, "no decoder in nowhere")
