"""A page with a slider that works without Python: the maps of two tables while they were trained, one picture a frame.

The maps are those that the ready-made runs keep (chapter 11); they are drawn here, and nothing is trained.
"""
import base64
from io import BytesIO
from pathlib import Path

import ipywidgets as widgets
import nbformat
from ipywidgets.embed import dependency_state
from matplotlib.figure import Figure

from tofy.crowding import load_frames
from tofy.inference import READY, load
from tools.site.chapters import markdown, save

RUNS = {"healthy": "a healthy run", "collapsed": "a collapsing run"}
TEXT = """# Words finding their places

Below are two embedding tables while they are trained, seen from above: a dot is a word, and the darker, the commoner. Left, \
the default recipe. Right, a run that was told only to *agree* with the answer's row and never to prefer it to another word's.

**Before you move it:** what will happen to the dots on the right?

Drag the slider, press its arrow keys, or press play. No Python is at work: every frame was drawn when this page was made."""
AFTER = """On the left the cloud opens: words that answer the same blanks draw together, and the others make room. On the right \
they only fall together, and the loss is delighted: a prediction that is always the same agrees with rows that are all alike. {doc}`crowding` measures both, and {doc}`losses` says which terms keep a table open.

In JupyterLab, `CrowdingPanel` shows the same film for your own runs, with words to search for ({doc}`panel_models`)."""


def write(path: Path) -> None:
    "The page, with the state of its widgets."
    films = {name: load_frames(READY / name) for name in RUNS}
    vocabs = {name: load(READY / name).vocab for name in RUNS}
    count = min(len(film.step) for film in films.values())
    box = panel([frame(films, vocabs, i) for i in range(count)])
    cell = nbformat.v4.new_code_cell("# tools/site/film.py", metadata=dict(tags=["remove-input", "film"]), outputs=[nbformat.v4.new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": dict(version_major=2, version_minor=0,
                                                                          model_id=box.model_id)})])
    state = dict(version_major=2, version_minor=0, state=dependency_state([box], drop_defaults=True))
    save(path, [markdown(TEXT), cell, markdown(AFTER)], widgets={"application/vnd.jupyter.widget-state+json": state})


def panel(frames: list[widgets.Widget]) -> widgets.VBox:
    "A slider and a play button, linked in the page itself to what is shown."
    play = widgets.Play(value=0, max=len(frames) - 1, interval=400)
    slider = widgets.IntSlider(value=0, max=len(frames) - 1, description="frame", layout=widgets.Layout(width="100%"))
    stack = widgets.Stack(frames, selected_index=0)
    box = widgets.VBox([widgets.HBox([play, slider]), stack])
    box.links = [widgets.jslink((play, "value"), (slider, "value")),
                 widgets.jslink((slider, "value"), (stack, "selected_index"))]
    return box


def frame(films: dict, vocabs: dict, i: int) -> widgets.HTML:
    "One frame: both maps, and what they show in words."
    words = [f"{RUNS[name].capitalize()}, step {film.step[i]:,}: effective rank {film.rank[i]:.0f}, held-out MRR {film.mrr[i]:.2f}."
             .replace(", held-out MRR nan", "") for name, film in films.items()]
    picture = base64.b64encode(draw(films, vocabs, i)).decode()
    return widgets.HTML(f'<img alt="{" ".join(words)}" src="data:image/webp;base64,{picture}"><p>{"<br>".join(words)}</p>')


def draw(films: dict, vocabs: dict, i: int) -> bytes:
    "The picture of a frame, on axes that stay the same throughout a film."
    from tofy.crowding import plot_map
    figure, file = Figure((7, 3.4), dpi=100, layout="constrained"), BytesIO()
    for (name, film), ax in zip(films.items(), figure.subplots(1, len(films))):
        plot_map(film.xy[i].float(), vocabs[name], ax=ax)
        low, high = film.xy.float().amin((0, 1)), film.xy.float().amax((0, 1))
        (x, y), half = ((low + high) / 2).tolist(), .52 * (high - low).max().item()
        ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), title=f"{RUNS[name]}, step {film.step[i]:,}")
    figure.savefig(file, format="webp", pil_kwargs=dict(quality=60))
    return file.getvalue()
