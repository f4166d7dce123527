"""The scripts that pages need, beside the pages, so that none asks another host for anything."""
import shutil
from pathlib import Path

from tools.npm import package
from tools.site.chapters import BUILD

SCRIPTS = {                                             # package → the files we need from it
    "mathjax": ["es5/tex-svg.js"],                      # formulas, drawn without fonts
}


def fetch(vendor: Path = BUILD / "static" / "vendor") -> None:
    "Put these files, with their licences, into a folder of their package's name."
    for name, files in SCRIPTS.items():
        home, source = vendor / name.split("/")[-1], package(name)
        home.mkdir(parents=True, exist_ok=True)
        for file in [*files, "LICENSE"]:
            if (source / file).is_file():
                shutil.copy(source / file, home)
