"What GitHub and editors read: nobody can run it here, but what it names must be there."
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.version import Version

from tools.nbdev3 import differs, verdict

yaml = pytest.importorskip("yaml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_is_there(path):
    "The commands of the project, with no more rights than they need, in a time that is bounded or short."
    flow = read(path)
    assert flow["permissions"]["contents"] == "read" and "concurrency" in flow
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    for step in steps:
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))
        for word in step.get("run", "").split():
            assert not word.startswith(".ci/") or (ROOT / word).stat().st_mode & 0o111, word
    made = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert all(command[1] in made for step in steps if (command := step.get("run", "").split())[:1] == ["make"])


def test_tests_run_on_every_python_and_system():
    flow, setup = read(".github/workflows/tests.yml"), (ROOT / "settings.ini").read_text()
    matrix = flow["jobs"]["core"]["strategy"]["matrix"]
    assert [system.split("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(10, 15)]                    # text: 3.10 is not 3.1
    least = re.search(r"min_python = (\S+)", setup)[1]
    assert min(map(Version, matrix["python"])) == Version(least)
    assert ".ci/run" in [step.get("run") for step in flow["jobs"]["all"]["steps"]]
    assert {"pull_request", "push"} <= set(flow[True])                                      # YAML 1.1 reads `on` as true


def test_the_core_s_tests_need_no_fork():
    "Nor anything else that Windows lacks: they use no fixture that forks, and import nothing of Unix alone."
    script = (ROOT / ".ci" / "core").read_text()
    names = re.findall(r"tests/test_\w+\.py", script)
    assert len(names) >= 6
    for name in names:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        used = {a.arg for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for a in f.args.args}
        assert not used & {"tofy", "trained", "trained_once", "notebook_runs", "browser", "loaded"}, name
        modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not modules & {"resource", "fcntl", "pwd"}, name
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "core")]).returncode == 0


def test_forms_and_settings_are_readable():
    forms = [read(f".github/ISSUE_TEMPLATE/{name}.yml") for name in ("bug", "chapter", "idea")]
    for form in forms:
        assert form["name"] and form["description"] and len({f["id"] for f in form["body"]}) == len(form["body"])
        assert all(f["type"] in ("textarea", "input") and f["attributes"]["label"] for f in form["body"])
    assert read(".github/ISSUE_TEMPLATE/config.yml")["contact_links"]
    update = read(".github/dependabot.yml")
    assert update["version"] == 2 and {u["package-ecosystem"] for u in update["updates"]} == {"pip", "github-actions"}
    bound = re.search(r"dev_requirements = (.*)", (ROOT / "settings.ini").read_text())[1]
    held = {i["dependency-name"] for u in update["updates"] for i in u.get("ignore", ())}
    assert held == {n for n in ("nbdev", "execnb", "fastcore", "ghapi") if re.search(rf"\b{n}(<|==)", bound)}
    (hook,) = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert (ROOT / hook["entry"]).stat().st_mode & 0o111
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))
    targets = container["postCreateCommand"].split()[1:]
    assert all(re.search(rf"^{re.escape(t)}:", (ROOT / "Makefile").read_text(), re.M) for t in targets)


def test_security_names_tests_that_are_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert all((ROOT / name).is_file() for name in re.findall(r"`(tests/\w+\.py)`", text))
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tofy").rglob("*.py"))
    assert not re.search(r"import pickle|pickle\.load|torch\.load\(", code)                         # "no file of a run is unpickled"


def test_contributing_says_that_workflows_were_not_run():
    assert "**not run**" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "written, not run" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_uv_is_named_where_pip_is():
    for name in ("README.md", "CONTRIBUTING.md"):
        assert 'uv pip install -c constraints.txt -e ".[dev]"' in (ROOT / name).read_text(encoding="utf-8")


def test_the_day_nbdev_3_can_be_taken(tmp_path):
    "The check tells an error, another package, and the same one apart."
    ours, made = tmp_path / "ours", tmp_path / "made"
    for folder in (ours, made):
        (folder / "lab").mkdir(parents=True)
        for name in ("a.py", "lab/b.py", "_modidx.py"):
            (folder / name).write_text(name)
    assert differs(made, ours) == [] and verdict(0, "", []).startswith("nbdev 3 can be taken")
    (made / "lab" / "b.py").write_text("other")
    (made / "a.py").unlink()
    (made / "_modidx.py").write_text("an index of its own")
    assert differs(made, ours) == ["a.py", str(Path("lab", "b.py"))]
    assert verdict(0, "", ["a.py"]) == "Not yet: 1 modules come out otherwise, such as a.py."
    assert verdict(1, "x\nno settings.ini here\n", ["a.py"]) == "Not yet: nbdev_export ends with 1. no settings.ini here"


@pytest.mark.parametrize("typed, at, expected", [
    ("tofy tr", 1, {"train"}), ("tofy train --se", 2, {"--seed", "--seconds"}), ("tofy lab t", 2, {"train", "tokenizer"}),
    ("tofy notebooks --no", 2, {"--no-open"})])
def test_the_tab_key_completes(typed, at, expected):
    import os
    asked = dict(_TOFY_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(at), PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", "from tofy.cli import main; main()"], capture_output=True, text=True,
                          env=os.environ | asked)
    assert done.returncode == 0 and expected <= {*done.stdout.split()}, done
    assert all(word.startswith(typed.split()[-1]) for word in done.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_script_for_every_shell(shell):
    "What --install-completion would write, as Typer makes it for this program."
    from typer.completion import get_completion_script
    script = get_completion_script(prog_name="tofy", complete_var="_TOFY_COMPLETE", shell=shell)
    assert "_TOFY_COMPLETE" in script and "tofy" in script
