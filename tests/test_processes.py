"""Two processes train one model as one process would, and part in good order whatever happens to one of them.

Most tests fork the tests' own process twice and tell the children what torchrun would; the last ones run torchrun."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import HANG, ROOT, SIZES, ticking

from tofy import loop, training
from tofy.checkpoint import load_tensors, read_experiments
from tofy.data import load_data
from tofy.errors import RunError, UsageError
from tofy.masking import mask_batch
from tofy.processes import (
    all_gather,
    all_reduce,
    any_process,
    group,
    on_first,
    own_device,
    parallel,
    process_rank,
    shard,
    weighed,
    world_size,
)
from tofy.run_folder import LOG_COLUMNS, MODEL, STATE, read_log
from tofy.training import recipe, train

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
SMALL = dict(batch=8, dim=16, layers=1, heads=2, dropout=0.0, log_every=1, eval_every=5, eval_queries=50)


def places(port: int, n: int = 2) -> list[dict]:
    "What torchrun, which keeps a store at this port, tells each of n processes."
    common = dict(WORLD_SIZE=n, LOCAL_WORLD_SIZE=n, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    common |= dict(TORCHELASTIC_USE_AGENT_STORE=True, TORCHELASTIC_RESTART_COUNT=0)
    return [{k: str(v) for k, v in dict(common, RANK=r, LOCAL_RANK=r).items()} for r in range(n)]


def together(function, folder: Path, n: int = 2, minutes: float = HANG / 60) -> list:
    "What `function` returns, or the sentence it fails with, in each of n forked processes that are one group."
    children, store = [], torch.distributed.TCPStore("127.0.0.1", 0, n, True, wait_for_workers=False)
    for r, place in enumerate(places(store.port, n)):
        if not (pid := os.fork()):
            os.environ.update(place)
            try:
                with group(minutes):
                    answer = function()
            except (UsageError, RunError) as error:
                answer = f"{type(error).__name__}: {error}"
            except SystemExit as end:
                answer = f"silent, code {end.code}"
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            (folder / f"answer{r}").write_text(json.dumps(answer))
            os._exit(0)
        children.append(pid)
    limit = time.monotonic() + HANG
    while children and time.monotonic() < limit:
        children = [pid for pid in children if not os.waitpid(pid, os.WNOHANG)[0]]
        time.sleep(0.005)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not children, "still at work"
    answers = [folder / f"answer{r}" for r in range(n)]
    return [json.loads(path.read_text()) if path.is_file() else None for path in answers]


@pytest.fixture
def data(text, loaded):
    return load_data(text)


# ---- the pieces


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("w", [2, 3, 5])
def test_shares_hold_every_row_once_and_their_weighed_means_average_to_the_mean(data, rows, w):
    ids = data.train.batch(torch.arange(rows))
    whole = mask_batch(ids, len(data.vocab), torch.Generator().manual_seed(rows))
    losses = torch.rand(len(whole.targets), dtype=torch.double)
    shares = [shard(whole, r, w) for r in range(w)]
    real = [s for s in shares if s.weight]
    assert len(real) == min(rows, w)
    assert sorted(row for s in real for row in s.masked.inputs.tolist()) == sorted(whole.inputs.tolist())
    for s in shares:
        assert torch.equal(s.masked.targets, whole.targets[s.blanks]) and len(s.masked.targets)
    mean = sum(s.weight * losses[s.blanks].mean() for s in shares) / w
    assert math.isclose(mean, losses.mean(), rel_tol=1e-12)
    assert math.isclose(sum(s.weight for s in shares) / w, 1, rel_tol=1e-12)


def test_the_ways_to_agree(tmp_path):
    def talk():
        me = process_rank()
        answers = [world_size(), me, all_reduce(torch.tensor([1.0, me])).tolist(), all_gather(f"I am {me}")]
        answers += [any_process(me == 1), any_process(False), on_first(lambda: f"{me} did it")]
        marks = []
        on_first(lambda: marks.append("done"))
        return answers + [own_device("cpu"), marks]

    first, second = together(talk, tmp_path)
    assert first == [2, 0, [2, 1], ["I am 0", "I am 1"], True, False, "0 did it", "cpu", ["done"]]
    assert second == [2, 1, *first[2:-1], []]


def test_an_error_of_the_first_is_an_error_of_all_and_is_said_once(tmp_path):
    def refuse():
        raise UsageError("No.")

    answers = together(lambda: on_first(refuse), tmp_path)
    assert sorted(answers) == ["UsageError: No.", "silent, code 2"]


def test_a_process_that_hangs_is_given_up(tmp_path):
    "Only when the first has given it up does the second go on."
    given_up = tmp_path / "given up"

    def wait_for_the_other():
        while process_rank() == 1 and not given_up.exists():
            time.sleep(0.01)
        try:
            return all_reduce(torch.ones(1)).item()
        finally:
            given_up.touch()

    first, _ = together(wait_for_the_other, tmp_path, minutes=5 / 60)  # in which they must meet as well
    assert first.startswith("RunError: Another process of this run has stopped or does not answer"), first


def test_the_world_size_is_checked(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="WORLD_SIZE is 2, but the processes have not met"), group():
        pass
    store = torch.distributed.TCPStore("127.0.0.1", 0, 2, True, wait_for_workers=False)
    for name, value in places(store.port)[0].items():                   # told that there are two, and alone
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match="WORLD_SIZE is 2, but the processes have not met"), group(minutes=1 / 60):
        pass


def test_every_parameter_has_a_gradient(tmp_path):
    "The engine would wait for ever for one that has none; the gradients are those of the mean over all."

    def gradients():
        torch.manual_seed(0)
        model = torch.nn.ModuleDict(dict(used=torch.nn.Linear(2, 1), unused=torch.nn.Linear(2, 2)))
        model.forward = lambda x: model["used"](x)
        wrapped, found = parallel(model), []
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])
        mine = x[process_rank()::2]
        for _ in range(2):
            model.zero_grad()
            weighed(wrapped(mine).mean(), 2 * len(mine) / 3, model).backward()
            found.append([p.grad.tolist() for p in model.parameters()])
        return found

    first, second = together(gradients, tmp_path)
    assert first == second and first[0] == first[1]
    assert torch.allclose(torch.tensor(first[0][0]), torch.tensor([[3.0, 5.0]]))       # the mean of x
    assert not torch.tensor(first[0][2]).any()


# ---- training

CHANGES = {
    "tofy": {},
    "fixed temperature": dict(learn_temperature=False),
    "no blocks": dict(layers=0),
    "no ranking": dict(rank_weight=0.0, mse_weight=1.0),
    "few rivals": dict(negatives=4, aux_weight=0.5),
    "teacher and vicreg": dict(target="ema", spread="vicreg"),
    "sigreg, learned positions": dict(spread="sigreg", positions="learned", predictor="mlp"),
    "a batch of one": dict(batch=1),
    "spelling": dict(ngrams=64),
    "targets in context": dict(name="jepa"),
    "blocks as targets, a batch of one": dict(name="jepa", target_loss="smooth_l1", target_states="blocks", batch=1),
    "queries, three rows for two": dict(name="jepa", predictor="queries", batch=3, dim=32, ema_decay=0.9, ema_end=1.0),
    "notes": dict(name="notes", dim=16, layers=1, heads=2, batch=8, log_every=1, eval_every=5),
}


def figures(data, changes: dict, **more) -> dict:
    "The log of a run of 20 steps, and its last weights."
    kept = {}
    real = loop.close_run
    loop.close_run = lambda run, *args: kept.update(run=run) or real(run, *args)
    name = changes.get("name", "tofy")
    settings = ({} if name == "notes" else SMALL) | {k: v for k, v in changes.items() if k != "name"} | more
    try:
        lines = [r for r in train(data, *recipe(name, steps=20, **settings)) if r.is_line]
    finally:
        loop.close_run = real
    columns = [c for c in LOG_COLUMNS if c not in ("seconds", "saved")]
    rows = [[getattr(r, c) for c in columns] for r in lines]
    weights = [p.tolist() for p in kept["run"].model.parameters()]
    return dict(rows=[[None if v != v else v for v in row] for row in rows], weights=weights)


def test_two_processes_log_what_one_does(data, tmp_path):
    "Losses, dials and held-out figures of 20 steps, whatever the settings leave out; the weights of both are the same."
    both = together(lambda: {name: figures(data, changes) for name, changes in CHANGES.items()}, tmp_path)
    for name, changes in CHANGES.items():
        first, second = (answer[name] for answer in both)
        assert first == second, name
        alone = figures(data, changes)["rows"]
        assert len(alone) == len(first["rows"]) == 21
        for one, two in zip(alone, first["rows"], strict=True):
            for a, b in zip(one, two, strict=True):
                assert (a is None) == (b is None) and (a is None or math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-5)), (
                    name,
                    one,
                    two,
                )


def test_rivals_and_statistics_are_those_of_each_process(data, tmp_path):
    "The losses that compare a batch's targets with each other: both processes agree, and fewer rivals are easier."
    kinds = ("infonce", "sigreg", "vicreg")
    changes = {kind: dict(name="jepa", target_loss=kind, eval_every=100) for kind in kinds}
    both = together(lambda: {kind: figures(data, changes[kind]) for kind in kinds}, tmp_path)
    loss, spread = (LOG_COLUMNS.index(c) - (c != "step") - (LOG_COLUMNS.index(c) > LOG_COLUMNS.index("saved")) for c in ("loss", "spread"))
    for kind in kinds:
        assert both[0][kind] == both[1][kind]
        first, alone = both[0][kind]["rows"][0], figures(data, changes[kind])["rows"][0]
        assert first[spread] == pytest.approx(alone[spread], rel=1e-5)         # gauges are the whole batch's
    assert both[0]["infonce"]["rows"][0][loss] < figures(data, changes["infonce"])["rows"][0][loss] - 0.3    # log 2 = .69


def test_with_dropout_they_agree_within_its_noise(data, tmp_path):
    first, _ = together(lambda: figures(data, dict(dropout=0.3, dropout_after=0.0))["rows"], tmp_path)
    seeds = [figures(data, dict(dropout=0.3, dropout_after=0.0, seed=s))["rows"] for s in (0, 1, 2)]
    loss = LOG_COLUMNS.index("loss") - 1
    ends = [sum(row[loss] for row in rows[-5:]) / 5 for rows in (first, *seeds)]
    assert abs(ends[0] - ends[1]) < 0.05 + max(ends[1:]) - min(ends[1:])


def test_each_process_has_dropout_of_its_own(data, tmp_path):
    "The second has no row of its own in a batch of one, so both look at the same one."

    def losses():
        found, real = [], training.latent_loss
        training.latent_loss = lambda *args: found.append(real(*args)) or found[-1]
        for _ in train(data, *recipe(steps=4, **SMALL | dict(batch=1, dropout=0.5, dropout_after=0.0))):
            pass
        return [loss.item() for loss, _ in found]

    first, second = together(losses, tmp_path)
    assert len(first) == len(second) == 5 and not set(first) & set(second)


# ---- the command line, and accidents


@pytest.fixture
def pair(tofy):
    "Starts `tofy …` as two processes; `before(r)` runs in process r first. One may be given words of its own."
    stores = []

    def start(*args, before=lambda r: None, last=()):
        stores.append(torch.distributed.TCPStore("127.0.0.1", 0, 2, True, wait_for_workers=False))

        def prepare(r, place):
            os.environ.update(place, TORCH_CPP_LOG_LEVEL="ERROR")
            before(r)

        return [
            tofy.start(*(last if r and last else args), before=lambda r=r, place=place: prepare(r, place))
            for r, place in enumerate(places(stores[-1].port))
        ]

    return start


def hold(step: int, until=lambda: False):
    "From this step on the second process waits, and with it the first: until something holds, or for a kill."

    def patch(r):
        def optimizer_step(run, *args):
            while r and run.step >= step and not until():
                time.sleep(0.005)
            real(run, *args)

        real, loop.optimizer_step = loop.optimizer_step, optimizer_step

    return patch


def at_step(step: int, who: int, do):
    "In process `who`, the loss of this step goes through `do`."

    def patch(r):
        real = training.batch_loss

        def batch_loss(run, *args):
            loss, metrics = real(run, *args)
            return (do(loss) if r == who and run.step == step else loss), metrics

        training.batch_loss = batch_loss

    return patch


def ends(children) -> list:
    return [child.wait() for child in children]


def test_only_the_first_speaks_and_writes(pair, text):
    first, second = ends(pair("train", text, 10, *SIZES, "--out", "run", "--json"))
    assert first.code == second.code == 0, first.err + second.err
    assert first.json["step"] == 10 and "2 processes train one model, 8 phrases a step in all" in first.err
    assert second.out == second.err == ""
    header = load_tensors(text.parent / "run" / MODEL)[1]
    assert json.loads(header["processes"]) == 2 and read_experiments(text.parent)[-1]["processes"] == 2
    assert len(read_experiments(text.parent)) == 1


def test_a_mistake_is_said_once(pair, text, trained):
    for args, words in (
        (["train", text, 10, *SIZES, "--out", "run"], "already holds a run"),
        (["train", "nowhere.txt", "--out", "new"], "no file nowhere.txt"),
    ):
        results = ends(pair(*args))
        assert [r.code for r in results] == [2, 2]
        said = [r.err for r in results if r.err]
        assert len(said) == 1 and words in said[0], said


def test_other_data_are_refused(pair, text):
    other = text.with_name("other.txt")
    other.write_text(text.read_text().replace("cat", "cow"))
    options = [10, *SIZES, "--out", "run"]
    results = ends(pair("train", text, *options, last=("train", other, *options)))
    assert [r.code for r in results] == [1, 1] and sum("have not read the same data" in r.err for r in results) == 1


def test_numbers_that_are_none_in_one_process_end_both(pair, text):
    broken = at_step(5, 1, lambda loss: loss * math.nan)
    results = ends(pair("train", text, 20, *SIZES, "--out", "run", before=broken))
    assert [r.code for r in results] == [1, 1] and sum("became NaN or infinite at step 6" in r.err for r in results) == 1
    assert not any("Another process" in r.err for r in results)


def test_a_check_up_that_fails_in_one_process_ends_both(pair, text):
    def broken(r):
        real = training.LatentModel.cosines
        if r:
            training.LatentModel.cosines = lambda model, pred: real(model, pred) * math.nan

    results = ends(pair("train", text, 20, *SIZES, "--out", "run", before=broken))
    assert [r.code for r in results] == [1, 1] and sum("became NaN or infinite" in r.err for r in results) == 1
    assert not any("Another process" in r.err for r in results)


def test_an_error_in_one_process_ends_the_other(pair, text):
    def full(loss):
        raise MemoryError

    first, second = ends(pair("train", text, 20, *SIZES, "--out", "run", before=at_step(5, 1, full)))
    second.says(1, "not enough memory")
    first.says(1, "Another process of this run has stopped", "--resume")


def test_a_process_that_is_killed_ends_the_other_and_the_run_goes_on_with_one(pair, tofy, text):
    from conftest import hurry

    def prepare(r):
        hurry(setattr)
        hold(30)(r)

    folder = text.parent / "run"
    children = pair("train", text, 60, *SIZES, "--log-every", 5, "--out", "run", before=prepare)
    children[0].wait_for("\n10,", folder / "log_latent.csv")
    children[1].kill()
    first = children[0].wait().says(1, "Another process of this run has stopped", "--resume")
    children[1].wait()
    step = int(load_tensors(folder / STATE)[1]["step"])
    assert 9 <= step < 60
    result = tofy("train", "--resume", "--out", "run")
    assert result.code == 0 and f"Going on from step {step}." in result.err, first.err
    assert [r.step for r in read_log(folder) if r.step % 5 == 0] == list(range(0, 61, 5))


def test_ctrl_c_in_one_stops_both_and_they_go_on_as_if_nothing_had_happened(pair, tofy, text):
    "With dropout: the two of them draw the same again."
    from test_resume import same

    command = ["train", text, 60, *SIZES, "--log-every", 5, "--eval-every", 20]
    assert [r.code for r in ends(pair(*command, "--out", "whole"))] == [0, 0]
    told = text.parent / "told"
    children = pair(*command, "--out", "parts", before=hold(30, told.exists))
    children[0].wait_for("\n10,", text.parent / "parts/log_latent.csv")
    children[1].kill(signal.SIGINT)
    told.touch()
    first, second = ends(children)
    assert [first.code, second.code] == [130, 130] and "go on with: tofy train --resume" in first.err
    assert 9 < int(load_tensors(text.parent / "parts" / STATE)[1]["step"]) < 60
    assert [r.code for r in ends(pair("train", "--resume", "--out", "parts"))] == [0, 0]
    same(text.parent / "whole", text.parent / "parts")


def test_seconds_are_those_of_the_first(pair, text):
    "The second one's clock is a day ahead and runs ten times as fast."
    options = ["--seconds", 2, "--batch", 8, "--dim", 16, "--layers", 1, "--heads", 2, "--out", "run"]
    results = ends(pair("train", text, *options, before=lambda r: ticking(setattr, (0.01, 0.1)[r], 86400 * r)))
    assert [r.code for r in results] == [0, 0], results
    last = read_log(text.parent / "run")[-1]
    assert 1.5 < last.seconds < 3 and last.valid_mrr == last.valid_mrr


# ---- torchrun itself


def torchrun(folder: Path, *args, **env) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *map(str, args)]
    env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", no_proxy="127.0.0.1") | env
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


def finish(process: subprocess.Popen, seconds: float = HANG) -> tuple[str, str, int]:
    try:
        return *process.communicate(timeout=seconds), process.returncode
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow   # two processes without torchrun: below
def test_torchrun_trains_as_one_process_does_from_the_hub_too(tofy, tmp_path):
    "The phrase file that two write together, and the log of 20 steps, are those of one."
    from conftest import make_text

    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    from hub_server import hub

    lines = make_text().splitlines()
    for name, rows in (("train", lines[:201]), ("test", [*lines[201:], None])):
        (tmp_path / "repos/teapot/talk").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(dict(text=rows)), tmp_path / f"repos/teapot/talk/{name}.parquet")
    (tmp_path / "two").mkdir()
    options = [20, *SIZES, "--log-every", 1, "--dropout", 0]
    with hub(tmp_path / "repos") as server:
        where = dict(HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "home"))
        command = ["-m", "tofy", "train", "hub:teapot/talk:train+test", *options, "--out", "run"]
        out, err, code = finish(torchrun(tmp_path / "two", *command, **where))
    assert code == 0, err
    files = sorted(p.name for p in (tmp_path / "two/data").iterdir())
    assert files == ["cached_teapot--talk--split=train+test.txt"]
    written = tmp_path / "two/data" / files[0]
    assert written.read_text() == "".join(line + "\n" for line in lines)
    assert err.count("2 processes train one model") == 1 and out.count("step      5") == 1
    assert tofy("train", written, *options, "--out", "one").code == 0
    for one, two in zip(read_log(tmp_path / "one"), read_log(tmp_path / "two/run"), strict=True):
        for name in set(LOG_COLUMNS) - {"seconds", "saved"}:
            a, b = getattr(one, name), getattr(two, name)
            assert (a != a and b != b) or math.isclose(a, b, rel_tol=2e-5, abs_tol=2e-5), (name, a, b)


@pytest.mark.slow
def test_ctrl_c_at_torchrun_saves_the_run(tofy, text):
    process = torchrun(text.parent, "-m", "tofy", "train", text, 100_000, *SIZES, "--log-every", 10, "--out", "run")
    log, limit = text.parent / "run/log_latent.csv", time.monotonic() + HANG
    while not (log.is_file() and "\n20," in log.read_text()) and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err, code = finish(process)
    assert code != 0 and "Stopped; go on with: tofy train --resume --out run" in err, err
    step = int(load_tensors(text.parent / "run" / STATE)[1]["step"])
    assert step >= 20
    result = tofy("train", "--resume", "--steps", step + 10, "--out", "run")
    assert result.code == 0 and f"Going on from step {step}." in result.err


# ---- a long text, shard by shard


def shard_text(folder: Path, files: int = 5, lines: int = 42) -> str:
    "Five files of 42 phrases that all differ, and the pattern that names them."
    (folder / "shards").mkdir()
    words = "the a cat dog bird sat ran flew on in mat park tree old new".split()
    for f in range(files):
        rows = (f"{words[f]} {words[5 + i % 7]} {words[i // 7 % 15]} {'very ' * (i % 4)}{words[(i + f) % 15]}" for i in range(lines))
        (folder / f"shards/part{f}.txt").write_text("".join(f"{row} {i // 15}\n" for i, row in enumerate(rows)))
    (folder / "shards/notes.csv").write_text("this,is\nno,part\n")
    return "shards/*.txt"


def noting(folder: Path, name: str, wait_at: int | None = None):
    "Shards of 40 phrases, and the ids that each step reads in a file; from `wait_at` on the second process waits."
    from tofy import data as module

    def patch(r):
        from conftest import hurry

        if wait_at is not None:
            hurry(setattr)
        module.SHARD, module.RUN, module.SPILL = 40, 8, 50
        real = training.LatentRun.rows

        def rows(run):
            chosen = real(run)
            with (folder / f"{name}{r}.jsonl").open("a") as file:
                file.write(json.dumps([run.step, run.epoch[1].now, run.data.train.batch(chosen).tolist()]) + "\n")
            return chosen

        training.LatentRun.rows = rows
        if wait_at is not None:
            hold(wait_at)(r)

    return patch


def noted_steps(path: Path) -> dict:
    "step → shard and ids."
    return {step: (number, ids) for step, number, ids in map(json.loads, path.read_text().splitlines())}


def test_killed_in_shard_3_of_5_two_processes_go_on_with_the_next_phrase(pair, tmp_path, step=12):
    "SIGKILL for both: the same ids as a run that nobody broke, in the next epoch as well, and the same weights."
    from test_resume import same

    command = ["train", shard_text(tmp_path), 30, *SIZES, "--valid", 10, "--cache", "cache", "--log-every", 20]
    whole = ends(pair(*command, "--out", "whole", before=noting(tmp_path, "whole")))
    assert [r.code for r in whole] == [0, 0], whole
    children = pair(*command, "--out", "parts", before=noting(tmp_path, "parts", wait_at=step))
    children[0].wait_for(f"[{step}, 2", tmp_path / "parts0.jsonl")
    for child in children:
        child.kill(signal.SIGKILL)
    assert [r.code for r in ends(children)] == [-signal.SIGKILL] * 2
    reached = int(load_tensors(tmp_path / "parts" / STATE)[1]["step"])
    assert step - 1 <= reached <= step
    again = ends(pair("train", "--resume", "--out", "parts", before=noting(tmp_path, "again")))
    assert [r.code for r in again] == [0, 0] and f"Going on from step {reached}." in again[0].err, again
    for r in (0, 1):
        unbroken, parts, rest = (noted_steps(tmp_path / f"{name}{r}.jsonl") for name in ("whole", "parts", "again"))
        assert sorted(unbroken) == list(range(30)) and min(rest) == reached and max(rest) == 29
        assert {i: unbroken[i] for i in parts} == parts and {i: unbroken[i] for i in rest} == rest
        assert [number for number, _ in list(unbroken.values())[:25]] == [s for s in range(5) for _ in range(5)]
        read = [tuple(filter(None, row)) for _, ids in list(unbroken.values())[:25] for row in ids]
        assert len(read) == len(set(read)) == 200                                  # every phrase once an epoch
    same(tmp_path / "whole", tmp_path / "parts")
