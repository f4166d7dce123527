"A setting is told once: what is made from it follows, in every place, and each way of writing a run down reads back."

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tofy.data import DataConfig
from tofy.encoder import ModelConfig
from tofy.errors import UsageError
from tofy.lab.decoder import DecoderConfig
from tofy.lab.training import TextConfig, TextDataConfig, read_configs
from tofy.lab.writing import Sampling
from tofy.plan import Plan, as_cell, as_command, from_cell, from_command, plan, plan_settings, read_plan, write_plan
from tofy.settings import bounds, from_text, settings_of, to_text
from tofy.training import RECIPES, TrainConfig, recipe

ROOT = Path(__file__).resolve().parents[1]
KINDS = (DataConfig, ModelConfig, TrainConfig, TextDataConfig, DecoderConfig, TextConfig, Sampling)

NEW = '    patience: int | None = setting(None, "Stop after so many validations without a better one.", unit="validations",\n' \
      '                                   least=1, none="never", group="Run")\n'

FOUND = """
from tofy.panels.training import SettingsForm
from tofy.plan import as_cell, as_command, from_cell, from_command, plan, read_plan, write_plan
from tofy.settings import settings_rows
from tofy.training import TrainConfig
from typer.testing import CliRunner
from tofy.cli import app

mine = plan(patience=3)
assert from_cell(as_cell(mine, "x")) == mine and "patience=3" in as_cell(mine, "x")
assert from_command(as_command(mine, "x")) == mine and "--patience 3" in as_command(mine, "x")
write_plan(mine, "x.toml")
assert read_plan("x.toml") == mine and "patience = 3" in open("x.toml").read()
form = SettingsForm()
assert "never" in form["patience"].tooltip
form.show(mine)
assert form["patience"].value == 3 and form.read("tofy", "builtin") == mine
assert any(row["setting"] == "patience" and row["option"] == "--patience" for row in settings_rows(TrainConfig))
assert "--patience" in CliRunner().invoke(app, ["train", "--help"]).output
told = CliRunner().invoke(app, ["train", "--patience", "0"])
assert "patience is 0; it must be at least 1" in str(told.exception)
print("found everywhere")
"""


def test_a_new_setting_is_one_line(tmp_path):
    "It is added to the notebook of the config, and is in the command line, the panel, the cell, the file and the reference."
    for name in ("nbs", "tofy"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("runs", "__pycache__", "*.ipynb_checkpoints"))
    for name in ("settings.ini", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    notebook = tmp_path / "nbs" / "09_training.ipynb"
    chapter = json.loads(notebook.read_text())
    cell, = (c for c in chapter["cells"] if "class TrainConfig(" in "".join(c["source"]))
    place = next(i for i, line in enumerate(cell["source"]) if "recipe: str" in line)
    cell["source"][place:place] = NEW.splitlines(keepends=True)
    notebook.write_text(json.dumps(chapter))
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([Path(sys.executable).parent / "nbdev_export"], cwd=tmp_path, env=env, check=True)
    done = subprocess.run([sys.executable, "-c", FOUND], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == "found everywhere\n", done.stderr


def strings_with(path: Path, *names: str) -> list[str]:
    "The texts of a module, docstrings aside, that hold one of these names."
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {id(node.body[0].value) for node in ast.walk(tree)
                 if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)}
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and id(node) not in documents and any(name in node.value for name in names)]


def test_no_module_writes_the_name_of_mask_rate_again():
    "One definition; everybody else has it from there, or as an attribute."
    told = {str(path.relative_to(ROOT)): found for path in sorted((ROOT / "tofy").rglob("*.py")) if path.name != "_modidx.py"
            if (found := strings_with(path, "mask_rate", "mask-rate"))}
    assert not told
    defined = [path.name for path in (ROOT / "tofy").rglob("*.py") if "    mask_rate: float = setting(" in path.read_text()]
    assert defined == ["training.py"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_setting_is_told_whole(kind):
    "With a sentence, a default that its own check allows, and bounds that can be told."
    plain = {f.name for f in fields(kind)} - settings_of(kind).keys()
    assert plain <= {"recipe"}
    for name, told in settings_of(kind).items():
        assert told.help.endswith(".") and told.help[0].isupper() or told.help.startswith(("tofy", "cpu", "character")), name
        assert not told.optional or told.none or told.default is not None, name
        assert told.default is None or from_text(told, to_text(told, told.default)) == told.default, name
        limits = [limit for limit in (told.least, told.most, told.above, told.below) if limit is not None]
        assert bool(bounds(told)) == bool(limits), name


def values(told):
    "Values that a setting allows."
    if told.choices:
        return st.sampled_from(told.choices)
    kind = told.type
    if kind is bool:
        return st.booleans()
    low = told.least if told.above is None else told.above
    high = told.most if told.below is None else told.below
    if kind is int:
        return st.integers(int(low or 0) + (told.above is not None), int((high or 2**20) - (told.below is not None)))
    if kind is float:
        return st.floats(low or 0, high or 1e6, exclude_min=told.above is not None, exclude_max=told.below is not None)
    return None                                                              # texts and tuples: below, by hand


FREE = ("heads", "dim", "steps", "seconds")                                  # they depend on one another
DRAWN = {name: drawn for name, told in plan_settings().items() if name not in FREE and (drawn := values(told)) is not None}


@st.composite
def plans(draw):
    names = draw(st.lists(st.sampled_from(sorted(DRAWN)), unique=True, max_size=12))
    changes = {name: draw(DRAWN[name]) for name in names}
    changes |= draw(st.sampled_from([{}, dict(steps=7), dict(seconds=1e-3), dict(dim=96, heads=6)]))
    changes |= draw(st.sampled_from([{}, dict(source="my text.txt"), dict(valid="held out.txt"), dict(corrupt=(.5, .25, .25)),
                                     dict(tokens="it's.json", cache="a folder", column="text", init_from="runs/a b")]))
    try:
        return plan(draw(st.sampled_from(sorted(RECIPES))), **changes)
    except UsageError as error:                                              # settings that contradict each other
        assert any(words in str(error) for words in ("there is no loss", "use valid_mrr", "leave one of the two out"))
        reject()


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_way_to_write_a_plan_down_reads_back(tmp_path_factory, one):
    folder = tmp_path_factory.mktemp("plan")
    write_plan(one, folder / "run.toml")
    assert read_plan(folder / "run.toml") == read_plan(folder) == one
    assert from_cell(as_cell(one, "runs/x")) == one
    assert from_command(as_command(one, "runs/x")) == one


@settings(max_examples=30, deadline=None)
@given(plans())
def test_the_command_line_reads_what_was_written_for_it(one):
    "Typer and click make the same plan of the command line as it was written from."
    from unittest.mock import patch

    from tofy import cli
    seen = []

    def run_training(recipe, config, given, *rest):
        seen.append(cli.plan_for(recipe, config, given))

    with patch.object(cli, "run_training", run_training):
        cli.app(shlex.split(as_command(one, "runs/x"))[1:], standalone_mode=False)
    assert seen == [one]


def test_a_plan_takes_each_setting_once():
    one = plan(seed=7, max_seq=9, max_vocab=50)
    assert (one.data.seed, one.train.seed, one.model.max_seq, one.model.vocab_size) == (7, 7, 9, 50)
    with pytest.raises(UsageError, match="There is no setting masks"):
        plan(masks=1)
    assert Plan(one.data, *recipe("notes")).non_defaults()["max_seq"] == 9


def test_the_laboratory_reads_a_file_of_settings(tmp_path):
    (tmp_path / "run.toml").write_text("[data]\nsource = 'a.txt'\nexamples = 'prefixes'\n[model]\ndim = 64\n[train]\nsteps = 5\n")
    data, model, train = read_configs(tmp_path / "run.toml")
    assert (data.source, data.examples, model.dim, train.steps, train.seconds) == ("a.txt", "prefixes", 64, 5, None)
    (tmp_path / "run.toml").write_text("[model]\nwidth = 64\n")
    with pytest.raises(UsageError, match="model.width, and there is no such setting"):
        read_configs(tmp_path / "run.toml")
