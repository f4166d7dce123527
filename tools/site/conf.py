"""Sphinx's settings, and the two things that it is taught: names in backticks become links; sources are read, not imported."""
import json
import re
import sys
from configparser import ConfigParser
from functools import cache
from html import escape, unescape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tools.site import formulas  # noqa: E402
from tools.site.columns import narrow  # noqa: E402

PAGES = ROOT / "build" / "site" / "pages"
settings = ConfigParser(delimiters=["="])
settings.read(ROOT / "settings.ini", encoding="utf-8")
settings = settings["DEFAULT"]

project, author, copyright = settings["title"], settings["author"], settings["copyright"]
version = release = settings["version"]
language = "en"
extensions = ["myst_nb", "sphinx.ext.viewcode"]
viewcode_follow_imported_members = False
add_module_names = False
python_maximum_signature_line_length = 70
toc_object_entries_show_parents = "hide"

nb_execution_mode = "off"                          # chapters are committed with their outputs
nb_merge_streams = True
nb_render_markdown_format = "gfm"                  # tables in outputs, too
nb_ipywidgets_js = {}                              # panels are scripts of ours: no page loads the widget manager
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "tools.site.chapters.slug"
html_math_renderer = "drawn"                       # when the site is made, by formulas.py

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "static/favicon.svg"
html_search_scorer = str(ROOT / "build" / "site" / "scorer.js")
templates_path = ["templates"]
html_sidebars = {"**": ["navbar-logo.html", "versions.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_context = dict(tofy_versions=json.loads((ROOT / "tools" / "site" / "versions.json").read_text(encoding="utf-8")))
html_static_path = ["static", str(ROOT / "build" / "site" / "static")]
html_css_files, html_js_files = ["site.css"], ["site.js"]
html_copy_source = html_show_sourcelink = False
html_theme_options = dict(use_download_button=False, use_fullscreen_button=False, home_page_in_toc=True, show_toc_level=2,
                          repository_url=settings["git_url"], use_repository_button=True, show_navbar_depth=1,
                          repository_branch=settings["branch"], path_to_docs=settings["nbs_path"],
                          launch_buttons=dict(binderhub_url="https://mybinder.org", notebook_interface="jupyterlab",
                                              colab_url="https://colab.research.google.com"),
                          navbar_persistent=[])     # the search field stands in the sidebar


class NamesAreLinks(SphinxTransform):
    "`mask_batch` in a text is a link to its reference, where the page exports or imports that name."
    default_priority = 800

    def apply(self, **kwargs):
        docname = self.env.docname
        scope = SCOPES.get(docname, {})
        for literal in list(self.document.findall(nodes.literal)):
            name = re.sub(r"\(.*\)$", "", literal.astext()).strip()
            head, _, member = name.partition(".")
            full = name if name in KNOWN else scope.get(head, EVERYWHERE.get(head, "") if docname == "index" else "")
            full += f".{member}" if member and full != name else ""
            if full in KNOWN and not inside(literal, (nodes.title, nodes.reference, addnodes.pending_xref, addnodes.desc_signature)):
                link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=full, refexplicit=True,
                                             refwarn=True, refdoc=docname)
                literal.replace_self(link)
                link += literal


def inside(node, kinds: tuple) -> bool:
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def find_source(app, modname: str): return source_of(modname)


@cache
def source_of(modname: str) -> tuple[str, dict]:
    "For the pages that show the source: its text, and where each name stands in it."
    path = ROOT.joinpath(*modname.split("."))
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    text = narrow(text)
    analyzer = ModuleAnalyzer.for_string(text, modname)
    analyzer.find_tags()
    return text, analyzer.tags


def about_the_page(app, pagename, templatename, context, doctree):
    "What a link to the page shows elsewhere; and Binder's and Colab's buttons open the notebook that the page was made from."
    home = pagename == "index"
    if home:
        context["title"] = f"{project}: {settings['description'].lower()}"
    said = re.search(r'<meta content="([^"]*)" name="description"', context.get("metatags", ""))
    told = dict(title=context.get("title", project), description=said[1] if said else escape(settings["description"]),
                image=f"{ADDRESS}/_static/preview.png", url=f"{ADDRESS}/{'' if home else pagename + '.html'}",
                type="website" if home else "article", site_name=project)
    told["title"] = escape(re.sub("<[^>]+>", "", unescape(told["title"])))
    tags = [f'<meta property="og:{name}" content="{value}" />' for name, value in told.items()]
    tags += ['<meta name="twitter:card" content="summary_large_image" />']
    tags += [] if said else [f'<meta name="description" content="{told["description"]}" />']
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])
    buttons = context.get("header_buttons", [])
    for group in [button for button in buttons if button.get("label") == "launch-buttons"]:
        buttons.remove(group)
        for button in group["buttons"] if pagename in NOTEBOOKS else []:
            link = button["url"].removesuffix(f"{pagename}.ipynb") + NOTEBOOKS[pagename]
            buttons.insert(0, button | dict(url=link, tooltip=f"Open this chapter on {button['text']} (not tried yet)"))


def setup(app):
    app.add_html_math_renderer("drawn", (formulas.mark(False), None), (formulas.mark(True), None))
    app.add_transform(NamesAreLinks)
    app.connect("html-page-context", about_the_page, priority=600)
    app.connect("viewcode-find-source", find_source)


ADDRESS = settings["doc_host"] + settings["doc_baseurl"]
NOTEBOOKS = json.loads((PAGES / "notebooks.json").read_text())
SCOPES = json.loads((PAGES / "scopes.json").read_text())
KNOWN = {full for scope in SCOPES.values() for full in scope.values()}
EVERYWHERE = {full.rsplit(".", 1)[1]: full for full in KNOWN}
