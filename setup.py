"The package's metadata; every value comes from settings.ini, so that nbdev and pip read the same."
import re
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BOOK = ("nbs/**/*.ipynb", "benchmarks/*.py", "benchmarks/results/*", "tools/*.py", "tests/hub_server.py")   # and what chapters read

cfg = ConfigParser(delimiters=["="])
cfg.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
cfg = cfg["DEFAULT"]


class WithBook(build_py):
    "Puts the book into the wheel, at tofy/book, from where `tofy notebooks` copies it; in the repository it stands once, in nbs/."

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):                   # a clone has its own
            return
        book = Path(self.build_lib) / cfg["lib_path"] / "book"
        shutil.rmtree(book, ignore_errors=True)                     # of an earlier build
        for path in sorted({path for pattern in BOOK for path in ROOT.glob(pattern) if path.is_file()}):
            if not any(part[0] in "._" for part in path.relative_to(ROOT).parts[:-1]):
                (place := book / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
        sys.path.insert(0, str(ROOT))
        from tools.labs import copied, labs

        for path in labs():                                         # learners' copies: without the solutions
            copied(path, book / path.relative_to(ROOT))


def whole_links(text: str) -> str:
    "The README for a page elsewhere: its links and pictures with their whole addresses, headings' names included."
    pages, raw = f"{cfg['git_url']}/blob/{cfg['branch']}/", f"{cfg['git_url']}/raw/{cfg['branch']}/"
    text = re.sub(r'((?:src|srcset)=")(?!https?:)', rf"\1{raw}", text)
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:)", rf"\1{raw}", text)
    text = re.sub(r"\]\(#", f"]({cfg['git_url']}#", text)
    return re.sub(r"\]\((?!https?:)", f"]({pages}", text)


extras = {name.removesuffix("_requirements"): cfg[name].split() for name in cfg if name.endswith("_requirements")}

classifiers = ["Development Status :: 3 - Alpha", "Environment :: Console", "Framework :: Jupyter",
               "Intended Audience :: Developers", "Intended Audience :: Education", "Intended Audience :: Science/Research",
               "Natural Language :: English", "Operating System :: OS Independent", "Programming Language :: Python :: 3",
               *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)), "Topic :: Education",
               "Topic :: Scientific/Engineering :: Artificial Intelligence", "Typing :: Typed"]
site = f"{cfg['doc_host']}{cfg['doc_baseurl']}/"

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], license="Apache-2.0",
    author=cfg["author"], author_email=cfg["author_email"], url=cfg["git_url"], keywords=cfg["keywords"].split(),
    project_urls={"Documentation": site, "Source": cfg["git_url"], "Issues": f"{cfg['git_url']}/issues",
                  "Changelog": f"{cfg['git_url']}/blob/{cfg['branch']}/CHANGELOG.md"},
    long_description=whole_links((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown", classifiers=classifiers, cmdclass={"build_py": WithBook},
    packages=find_packages(include=["tofy", "tofy.*"]), package_data={"tofy": ["py.typed", "*.mplstyle", "runs/*/*", "assets/*/*"]},
    python_requires=">=" + cfg["min_python"], install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split("\n"),
                  "nbdev": [f"{cfg['lib_name']}={cfg['lib_path']}._modidx:d"]},
)
