"Growing decoders: what an operation must leave as it is, what it must remember, and what a schedule throws away."
import hashlib
import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tofy.checkpoint import load_tensors
from tofy.errors import UsageError
from tofy.lab import lineage, surgery
from tofy.lab.decoder import Decoder, DecoderConfig, next_loss
from tofy.lab.lineage import compare, relation
from tofy.lab.schedule import Stage, grow
from tofy.lab.surgery import (
    add_token,
    ancestors,
    branch,
    drawn,
    init_with,
    insert_head,
    insert_layer,
    kin_of,
    reset_optimizer,
    save_writer,
    weights_hash,
)
from tofy.lab.tokenizers import fingerprint, train_tokenizer
from tofy.lab.training import TextConfig, load_texts, train
from tofy.lab.writing import DECODER, Writer, load_decoder

BYTES = train_tokenizer(["abc"], "byte", reserved=2)
IDS = torch.randint(len(BYTES), (2, 12), generator=torch.Generator().manual_seed(0))


def decoder(seed: int = 1, **shape) -> Writer:
    "A small decoder, decided enough for differences to show."
    model = drawn(DecoderConfig(**dict(vocab_size=len(BYTES), dim=16, layers=2, heads=4, context=16) | shape), seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.mul_(3 if "blocks" in name and weights.dim() > 1 else 1)
    return Writer(model.eval(), BYTES)


def scores(writer: Writer) -> torch.Tensor:
    with torch.no_grad():
        return writer.model(IDS)


shapes = st.fixed_dictionaries(dict(
    layers=st.integers(1, 4), kv_heads=st.sampled_from([None, 1, 2, 4]), heads=st.just(4),
    positions=st.sampled_from(["rotary", "learned", "sinusoidal", "none"])))


# ---- outputs stay as they are


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 4), st.integers(0, 9))
def test_a_silent_layer_changes_no_output_at_any_place_and_depth(shape, at, seed):
    parent = decoder(seed, **shape)
    before = weights_hash(parent.model)
    child = insert_layer(parent, min(at, shape["layers"]), seed=seed)
    assert torch.equal(scores(child), scores(parent))
    assert child.model.config.layers == shape["layers"] + 1 and weights_hash(parent.model) == before


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(1, 3), st.integers(0, 9))
def test_silent_heads_change_no_output_with_any_grouping(shape, more, seed):
    parent = decoder(seed, **shape)
    parent.model.double()
    child = parent
    for _ in range(more):
        child = insert_head(child, seed=seed)
        child.model.double()
    least = 1e-5 if shape["positions"] == "rotary" else 1e-12          # turns are computed in single precision
    assert (scores(child) - scores(parent)).abs().max() < least
    c, old = child.model.config, parent.model.config
    group = 4 // (old.kv_heads or 4)
    assert (c.heads, c.head_width, c.dim) == (4 + more * group, 4, 16) and c.heads // (c.kv_heads or c.heads) == group


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["layer", "head", "token"]), min_size=1, max_size=5), st.integers(0, 9))
def test_any_row_of_operations_keeps_what_was_known(row, seed):
    parent = child = decoder(seed)
    for i, what in enumerate(row):
        child = dict(layer=lambda c: insert_layer(c, 0), head=insert_head,
                     token=lambda c, i=i: add_token(c, f"<new_{i}>"))[what](child)
    assert (scores(child)[..., :len(BYTES)] - scores(parent)).abs().max() < 1e-5
    assert [k.operation.split()[1] for k in lineage.line(child)[1:]] == row
    assert child.model.config.layers == 2 + row.count("layer") and len(child.tokenizer) == len(BYTES) + row.count("token")


@pytest.mark.parametrize("operation", [insert_layer, insert_head])
def test_a_random_start_changes_the_outputs(operation):
    parent = decoder()
    assert (scores(operation(parent, start="random")) - scores(parent)).abs().max() > 1e-2


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_silent_layer_learns(at):
    model = insert_layer(decoder(), at).model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=.1)
    for step in range(2):
        optimizer.zero_grad()
        next_loss(model(IDS[:, :-1]), IDS[:, 1:]).backward()
        block = model.blocks[at]
        for part in (block.attention.out, block.down):
            assert part.weight.grad.norm() > 0
        for part in (block.attention.qkv, block.up):
            assert (part.weight.grad.norm() > 0) == (step > 0)
        optimizer.step()


def test_a_layer_all_of_zeros_never_learns():
    model = insert_layer(decoder(), 1).model.train()
    surgery.silence(model.blocks[1].attention.qkv, model.blocks[1].up)
    next_loss(model(IDS[:, :-1]), IDS[:, 1:]).backward()
    block = model.blocks[1]
    for part in (block.attention.out, block.attention.qkv, block.down, block.up):
        assert part.weight.grad.norm() == 0


def test_the_cache_still_changes_nothing_with_a_head_more():
    child = insert_head(decoder(kv_heads=2), "random")
    with torch.no_grad():
        past = child.model.new_past()
        parts = torch.cat([child.model(IDS[:, :5], past), child.model(IDS[:, 5:], past)], 1)
    assert torch.allclose(parts, scores(child), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_a_token_of_the_mean_row_is_never_more_likely_than_its_share(seed):
    child = add_token(decoder(seed), "<new>", noise=0.)
    assert scores(child).softmax(-1)[..., -1].max() <= 1 / (len(BYTES) + 1) + 1e-6


def test_two_new_tokens_differ():
    rows = add_token(add_token(decoder(), "<a>", seed=1), "<b>", seed=2).model.embedding.weight[-2:]
    assert (rows[0] - rows[1]).abs().max() > 1e-4


def test_a_renamed_token_needs_no_row():
    parent = decoder()
    child = add_token(parent, "<ask>", reserved="<reserved_0>")
    assert weights_hash(child.model) == weights_hash(parent.model)
    assert child.tokenizer.encode("a<ask>")[1] == parent.tokenizer.words.index("<reserved_0>")
    assert fingerprint(child.tokenizer) != fingerprint(parent.tokenizer)


@pytest.mark.parametrize("share", [False, True])
def test_an_heir_has_all_but_the_rows(share):
    parent, letters = decoder(positions="learned"), train_tokenizer(["some letters, é"], "character")
    child = init_with(parent, letters, share)
    for name, weights in child.model.state_dict().items():
        if name != "embedding.weight":
            assert torch.equal(weights, parent.model.state_dict()[name]), name
    same = [torch.equal(child.model.embedding.weight[i], parent.model.embedding.weight[BYTES.words.index(word)])
            for i, word in enumerate(letters.words) if word in BYTES.words]
    assert len(same) > 8 and all(same) == share and any(same) == share
    longer = init_with(parent, letters, context=32).model.positions.table
    assert longer.shape == (32, 16) and torch.equal(longer[:16], parent.model.positions.table)


# ---- files and families


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the cat sat on the mat and the dog ran to the cat\n" * 60)
    return load_texts(path)


SHAPE = DecoderConfig(dim=16, layers=1, heads=2, context=16)
BRIEF = TextConfig(steps=12, seconds=None, batch=4, sample=0, eval_every=4, log_every=4, threads=1)


@pytest.fixture
def run(data, tmp_path):
    list(train(data, SHAPE, BRIEF, tmp_path / "run"))
    return tmp_path / "run"


@pytest.mark.parametrize("operation", [insert_layer, insert_head, lambda w: add_token(w, "<new>"), branch])
def test_saved_and_loaded_it_is_the_same(run, tmp_path, operation):
    child = operation(load_decoder(run))
    save_writer(tmp_path / "child", child)
    there = load_decoder(tmp_path / "child")
    ids = there.tokenizer.encode("the cat sat")
    with torch.no_grad():
        assert torch.equal(there.model(torch.tensor([ids])), child.model(torch.tensor([ids])))
    assert kin_of(there) == kin_of(child) and ancestors(there) == ancestors(child)


def test_the_chain_of_hashes_can_be_checked_from_the_files(data, run, tmp_path):
    folders = [run]
    for name, operation in (("a", insert_layer), ("b", insert_head), ("c", branch)):
        folders.append(tmp_path / name)
        list(train(data, operation(load_decoder(folders[-2])), replace(BRIEF, seed=len(folders)), folders[-1]))
    hashes = []
    for folder in folders:                                          # from the file alone, by another way to the bytes
        tensors, header = load_tensors(folder / DECODER)
        digest = hashlib.sha256()
        for name in sorted(tensors):
            t = tensors[name]
            digest.update(f"{name} {tuple(t.shape)} torch.float32\n".encode() + bytes(t.view(torch.uint8).flatten().tolist()))
        known = json.loads(header.get("origin", "{}")).get("ancestors", [])
        assert [k["hash"] for k in known] == hashes
        hashes.append(digest.hexdigest())
    assert len(set(hashes)) == 4
    steps = [json.loads(load_tensors(f / DECODER)[1]["step"]) for f in folders]
    assert kin_of(load_decoder(folders[-1])).steps == sum(steps)


def test_a_resumed_run_remembers_its_parent(data, run, tmp_path):
    child = insert_layer(load_decoder(run))
    records = train(data, child, BRIEF, tmp_path / "child")
    for record in records:
        if record.step == 4:
            break
    records.close()
    list(train(data, child.model.config, replace(BRIEF, steps=20), tmp_path / "child", resume=True))
    assert load_decoder(tmp_path / "child").about["origin"] == child.about["origin"]
    assert load_decoder(tmp_path / "child").about["step"] > 4


def test_one_layer_alone_is_trained(data, run, tmp_path):
    child = insert_layer(load_decoder(run), 0)
    before = {name: t.clone() for name, t in child.model.state_dict().items()}
    list(train(data, child, replace(BRIEF, only_layer=0), tmp_path / "child"))
    after = load_decoder(tmp_path / "child").model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("blocks.0.") for name in changed)
    list(train(data, child, BRIEF, tmp_path / "all"))               # the same decoder, with everything trained again
    assert not torch.equal(load_decoder(tmp_path / "all").model.embedding.weight, before["embedding.weight"])


def test_a_reset_optimizer_knows_nothing_and_the_run_goes_on(data, run):
    weights = weights_hash(load_decoder(run).model)
    assert reset_optimizer(run) > 0
    tensors, header = load_tensors(run / "state_decoder.safetensors")
    assert not [name for name in tensors if name.startswith("optimizer.")] and header["moments"] == "[]"
    assert weights_hash(load_decoder(run).model) == weights and reset_optimizer(run) == 0
    assert [r.step for r in train(data, SHAPE, replace(BRIEF, steps=16), run, resume=True) if r.is_line][-1] == 16


def test_relations_in_words(data, run, tmp_path):
    parent = load_decoder(run)
    child = insert_layer(parent)
    list(train(data, child, BRIEF, tmp_path / "child"))
    child = load_decoder(tmp_path / "child")
    steps = lineage.number(child.about["step"], "step")
    assert relation(parent, child) == f"A is B's parent, {steps} earlier, one layer fewer."
    assert relation(child, parent, ("x", "y")) == f"y is x's parent, {steps} earlier, one layer fewer."
    grandchild = insert_head(child)
    assert "an ancestor of B, 2 generations back" in relation(parent, grandchild)
    assert relation(child, grandchild) == "A is B's parent, with as many steps, one head fewer."
    assert "both come from " + weights_hash(parent.model)[:8] in relation(child, insert_head(parent))
    assert relation(decoder(3), parent) == "A and B are not related."
    list(train(data, SHAPE, replace(BRIEF, steps=24), tmp_path / "run", resume=True))
    assert relation(parent, load_decoder(run)).startswith("A and B are from the same run, ")


def test_blocks_are_found_again_after_insertions():
    parent = decoder(layers=3)
    child = insert_layer(insert_layer(parent, 1), 0)
    down, up = compare(parent, child), compare(child, parent)
    assert set(down.tensors.values()) == set(up.tensors.values()) == {1.} and not down.others
    assert {name.split(".")[1] for name in up.others} == {"0", "2"}


def test_cosines_by_token_and_head():
    parent = decoder()
    child = branch(parent)
    a = BYTES.words.index("a")
    with torch.no_grad():
        child.model.embedding.weight[a, 4:8] *= -1                  # the second of four heads turns round
    found = compare(parent, child, by_head=True)
    assert found.tokens["a"] == pytest.approx([1, -1, 1, 1]) and found.tokens["b"] == [1.] * 4
    assert found.ordered("tokens", 1) == [("'a' head 1", pytest.approx(-1))]
    row = parent.model.embedding.weight[a].detach()
    wanted = 1 - 2 * (row[4:8] ** 2).sum() / (row ** 2).sum()
    assert compare(parent, child).tokens["a"] == pytest.approx([wanted.item()], abs=1e-5)


# ---- schedules


def test_a_spoilt_insertion_is_rolled_back(data, tmp_path):
    plan = [Stage(steps=60), Stage("layer", at=0, start="random", steps=1, lr=1e-6, rival=False), Stage("layer", steps=20)]
    first, second, third = grow(data, plan, tmp_path, SHAPE, BRIEF)
    assert second.losses["01-layer"] > second.losses["00-plain"] == first.losses["00-plain"]
    assert second.rolled_back and second.kept == "00-plain" and "the layer is rolled back, 00-plain is kept" in str(second)
    assert set(third.losses) == {"00-plain", "02-plain", "02-layer"} and third.kept == min(third.losses, key=third.losses.get)
    assert ancestors(load_decoder(tmp_path / "02-layer"))[-1] == kin_of(load_decoder(tmp_path / "00-plain"))
    for name, loss in third.losses.items():
        assert -load_decoder(tmp_path / name).about["best"] == loss and math.isfinite(loss)


def test_a_good_insertion_is_kept(data, tmp_path):
    plan = [Stage(steps=8), Stage("layer", steps=40, rival=False, alone=True), Stage("head", steps=40, rival=False)]
    *_, last = outcomes = list(grow(data, plan, tmp_path, SHAPE, BRIEF))
    assert [o.kept for o in outcomes] == ["00-plain", "01-layer", "02-head"] and not any(o.rolled_back for o in outcomes)
    assert load_decoder(tmp_path / last.kept).model.config == replace(
        SHAPE, vocab_size=len(data.tokenizer), layers=2, heads=3, head_width=8)


def test_a_spoilt_layer_is_rolled_back_to_a_layer_that_was_kept(data, tmp_path):
    plan = [Stage(steps=8), Stage("layer", steps=60, rival=False),
            Stage("layer", at=0, start="random", steps=1, lr=1e-6, rival=False)]
    *_, last = grow(data, plan, tmp_path, SHAPE, BRIEF)
    assert last.kept == "01-layer" and last.rolled_back and "the layer is rolled back, 01-layer is kept" in str(last)


def test_an_interrupted_schedule_goes_on_and_does_nothing_twice(data, tmp_path):
    plan = [Stage(steps=12), Stage("layer", steps=12)]
    whole = list(grow(data, plan, tmp_path / "whole", SHAPE, BRIEF))

    class Enough(Exception):
        pass

    def stop(folder, record):
        if folder == "01-layer" and record.step >= 4:
            raise Enough

    with pytest.raises(Enough):
        list(grow(data, plan, tmp_path / "cut", SHAPE, BRIEF, stop))
    seen = []
    assert list(grow(data, plan, tmp_path / "cut", SHAPE, BRIEF, lambda *told: seen.append(told))) == whole
    assert {folder for folder, _ in seen} == {"01-layer"}


def test_a_decoder_there_is_can_be_grown_and_has_a_rival(data, run, tmp_path):
    outcome, = grow(data, [Stage("head", steps=4, rival=False)], tmp_path / "out", load_decoder(run), BRIEF)
    assert set(outcome.losses) == {"00-plain", "00-head"}           # nothing to roll back to but itself


# ---- faults


@pytest.mark.parametrize("do, words", [
    (lambda: insert_layer(decoder(), 3), "choose 0 (below all) to 2 (on top)"),
    (lambda: insert_layer(decoder(), -1), "cannot be inserted at -1"),
    (lambda: insert_head(decoder(), "zero"), "choose identity or random"),
    (lambda: add_token(decoder(), "a b"), "without spaces"),
    (lambda: add_token(decoder(), "<end>"), "that no token has yet"),
    (lambda: add_token(decoder(), ""), "cannot be a token's name"),
    (lambda: compare(decoder(), decoder(2)).ordered("rows"), "choose tensors or tokens"),
    (lambda: lineage.read_family("nowhere"), "There is no decoder in nowhere"),
    (lambda: reset_optimizer("nowhere"), "There is no state_decoder.safetensors"),
    (lambda: Stage("layer", steps=1, seconds=1.), "either steps or seconds"),
    (lambda: Stage("layer", steps="1"), "steps is '1'"),
])
def test_a_wrong_request_is_one_plain_sentence(do, words):
    with pytest.raises(UsageError) as told:
        do()
    assert words in str(told.value) and "\n" not in str(told.value)


def test_a_text_in_another_tokenizer_is_refused(data):
    with pytest.raises(UsageError, match="not encoded with the model's tokenizer"):
        next(train(data, decoder(), BRIEF))


def test_a_decoder_keeps_its_head_width_in_its_file(run, tmp_path):
    save_writer(tmp_path / "wide", insert_head(load_decoder(run)))
    assert load_decoder(tmp_path / "wide").model.config.head_width == 8
    with pytest.raises(UsageError, match="head_width is 0"):
        DecoderConfig(head_width=0)
    attention = Decoder(replace(SHAPE, heads=3, head_width=8)).blocks[0].attention
    assert sum(p.numel() for p in attention.parameters()) == (16 + 1) * 3 * 24 + (24 + 1) * 16     # by hand


# ---- the command line


def test_growing_from_the_command_line(tofy, tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog ran to the cat\n" * 60)
    small = ("--dim", 16, "--layers", 1, "--heads", 2, "--context", 16, "--sample", 0, "--threads", 1)
    assert tofy("lab", "train", "text.txt", "--steps", 8, *small, "--out", "runs/a").code == 0
    made = tofy("lab", "insert-layer", "runs/a", "--json").json
    assert made["layers"] == 2 and made["out"] == "runs/a-layer"
    assert made["parent"] == weights_hash(load_decoder(tmp_path / "runs/a").model)
    assert tofy("lab", "insert-head", "runs/a").code == tofy("lab", "add-token", "runs/a", "<x>").code == 0
    assert tofy("lab", "tokenizer", "train", "text.txt", "--kind", "byte", "--out", "bytes.json").code == 0
    assert tofy("lab", "init-with", "runs/a", "--tokenizer", "bytes.json", "--share-rows", "--json").json["tokens"] == 257
    went_on = tofy("lab", "train", "--from", "runs/a-layer", "--only-layer", 1, "--steps", 4, "--sample", 0, "--out", "runs/b")
    assert went_on.code == 0, went_on.err
    assert "an ancestor of runs/b, 2 generations back" in tofy("lab", "compare", "runs/a", "runs/b", "--json").json["relation"]
    assert len(tofy("lab", "compare", "runs/a", "runs/b", "--by", "tokens", "--limit", 3, "--json").json["cosines"]) == 3
    assert {m["name"] for m in tofy("lab", "lineage", "--json").json["members"]} == {
        "a", "a-layer", "a-head", "a-token", "a-heir", "b"}
    assert tofy("lab", "reset-optimizer", "runs/b", "--json").json["forgotten"] > 0
    tofy("lab", "insert-layer", "runs/a").says(2, "already holds a run")
    tofy("lab", "train", "--from", "runs/a", "--dim", 8, "--out", "x").says(2, "dim cannot be given")
    tofy("lab", "insert-layer", "nowhere").says(2, "There is no decoder in nowhere")


def test_a_schedule_from_the_command_line(tofy, tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog ran to the cat\n" * 60)
    plan = tmp_path / "plan.toml"
    plan.write_text('[data]\nsource = "text.txt"\n[model]\ndim = 16\nlayers = 1\nheads = 2\ncontext = 16\n'
                    '[train]\nsample = 0\nthreads = 1\n[[stage]]\nsteps = 20\n'
                    '[[stage]]\ninsert = "layer"\nat = 0\nstart = "random"\nsteps = 1\nlr = 0.000001\nrival = false\n')
    done = tofy("lab", "grow", "plan.toml", "--out", "grown", "--json").json
    assert done["stages"][1]["rolled_back"] and done["out"] == "grown/00-plain"
    assert tofy("lab", "grow", "plan.toml", "--out", "grown", "--json").json == done
    plan.write_text("[[stage]]\nstep = 1\n")
    tofy("lab", "grow", "plan.toml").says(2, "has stage.step, and there is no such setting")
    plan.write_text("[train]\nspeed = 1\n[[stage]]\nsteps = 1\n")
    tofy("lab", "grow", "plan.toml").says(2, "has train.speed, and there is no such setting")


@pytest.mark.parametrize("command", ["insert-layer", "insert-head", "add-token", "init-with", "compare", "reset-optimizer",
                                     "grow", "lineage"])
def test_help_has_an_example(tofy, command):
    told = tofy("lab", command, "--help")
    assert told.code == 0 and f"tofy lab {command}" in told.out and "Example" in told.out
