"""Say whether nbdev 3 can be taken: a new environment with the newest nbdev exports a copy of the notebooks.

usage: python -m tools.nbdev3      Needs the network. The exit code is 0 if the package comes out as it is, else 1.

Today nbdev 3 refuses settings.ini, and its migration drops the tables of ruff, pytest and mypy from pyproject.toml.
"""
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def differs(made: Path, ours: Path) -> list[str]:
    "The modules that the export has not made as they are here."
    names = [str(path.relative_to(ours)) for path in sorted(ours.rglob("*.py")) if path.name != "_modidx.py"]
    same, _, _ = filecmp.cmpfiles(made, ours, names, shallow=False)
    return [name for name in names if name not in same]


def verdict(exit_code: int, said: str, changed: list[str]) -> str:
    "One sentence on what came of the export."
    if exit_code:
        return f"Not yet: nbdev_export ends with {exit_code}. {said.strip().splitlines()[-1] if said.strip() else ''}".strip()
    if changed:
        return f"Not yet: {len(changed)} modules come out otherwise, such as {changed[0]}."
    return "nbdev 3 can be taken: it reads settings.ini and exports the same package. Free nbdev, execnb, fastcore and ghapi in settings.ini."


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        copy, env = Path(home) / "copy", Path(home) / "env"
        for name in ("nbs", "tofy"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        for name in ("settings.ini", "pyproject.toml", "setup.py", "README.md"):
            shutil.copy(ROOT / name, copy)
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
        programs = env / ("Scripts" if sys.platform == "win32" else "bin")
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", "nbdev>=3"], check=True)
        done = subprocess.run([programs / "nbdev_export"], cwd=copy, capture_output=True, text=True)
        answer = verdict(done.returncode, done.stdout + done.stderr, differs(copy / "tofy", ROOT / "tofy"))
    print(answer)
    sys.exit(not answer.startswith("nbdev 3 can"))
