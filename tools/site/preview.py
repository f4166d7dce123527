"The picture that a link to the site shows elsewhere (OpenGraph): 1200 × 630, what it is in a few words, and vectors on a circle."
import math
from pathlib import Path

from matplotlib.figure import Figure

from tofy.colours import BLUE, ORANGE

PHRASE, WORDS = "the cat drinks  ____", ["milk", "tea", "water", "nap", "snow", "two", "green"]


def write(path: Path) -> None:
    "Draw it."
    fig = Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    ax = fig.add_axes((.56, .04, .42, .92), aspect="equal")
    ax.axis("off")
    ax.set(xlim=(-1.55, 1.55), ylim=(-1.3, 1.3))
    turn = [2 * math.pi * i / 200 for i in range(201)]
    ax.plot([math.cos(a) for a in turn], [math.sin(a) for a in turn], color="#bbbbbb", lw=2)
    for i, word in enumerate(WORDS):
        x, y = math.cos(.5 + .87 * i), math.sin(.5 + .87 * i)
        ax.plot([x], [y], "o", ms=20 if i == 0 else 13, color=ORANGE if i == 0 else "#999999")
        side = "center" if abs(x) < .4 else "left" if x > 0 else "right"
        ax.text(1.12 * x, 1.16 * y, word, ha=side, va="center", fontsize=22, color="black" if i == 0 else "#555555")
    ax.annotate("", (.94 * math.cos(.62), .94 * math.sin(.62)), (0, 0), arrowprops=dict(arrowstyle="-|>", color=BLUE, lw=5, mutation_scale=30))
    fig.text(.06, .72, "tofy", fontsize=84, fontweight="bold", color=BLUE)
    fig.text(.06, .50, "Learn how a machine learns\nby predicting in embedding space", fontsize=24, va="center", linespacing=1.4)
    fig.text(.06, .26, PHRASE, fontsize=27, family="monospace", color="#333333")
    fig.text(.06, .13, "A course of notebooks, a package, a playground", fontsize=19, color="#555555")
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Software": None})
