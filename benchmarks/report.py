"""What a set of runs shows: a table of means and spreads, and MRR against seconds."""

import json
import math
from pathlib import Path
from statistics import mean, stdev

from tofy.metrics import draw_baselines

COLOURS = dict(tofy="#0072B2", third="#56B4E9", half="#56B4E9", softmax="#009E73", bert="#D55E00", modernbert="#E69F00", notes="#CC79A7",
               plain="#999999")


def load(path: str | Path) -> list[dict]:
    "The runs that --out wrote."
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def latest(rows: list[dict]) -> list[dict]:
    "Of several runs of benchmarks.gpu in one file, the newest that each part had."
    newest = {}
    for row in rows:
        newest[row["part"]] = max(newest.get(row["part"], ""), row["began"])
    return [row for row in rows if row["began"] == newest[row["part"]]]


def plot_gpu(rows: list[dict]):
    "What benchmarks.gpu found on one card: examples a second by size, and top-1 against time; returns the `Figure`."
    import matplotlib.pyplot as plt
    rows = latest(rows)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    steps = [r for r in rows if r["part"] == "speed" and r["name"] == "step"]
    names = [f"D {r['dim']}, V {r['vocab']:,}" + ", compiled" * r["compiled"] for r in steps]
    bars = left.barh(names[::-1], [r["examples_per_second"] for r in steps][::-1],
                     color=["#56B4E9" if r["compiled"] else "#0072B2" for r in steps][::-1])
    left.bar_label(bars, [f" {r['share_of_matrix_rate']:.1%} of the matrix rate, batch {r['batch']:,}" for r in steps][::-1])
    left.set(xlabel="examples a second", xlim=(0, 1.7 * max([1., *(r["examples_per_second"] for r in steps)])))
    runs = [r for r in rows if r["part"] == "quality" and r["name"] != "end"]
    for run in runs:
        seconds, _, top1 = zip(*run["curve"])
        right.plot(seconds, top1, color=COLOURS[run["name"]], label=run["name"])
    if runs:
        right.axhline(runs[0]["best"], color="#009E73", ls="--", lw=1, label="best possible")
        right.legend(frameon=False, fontsize=8, loc="lower right")
    right.set(xlabel="seconds of training", ylabel="top-1 on fresh draws", ylim=(0, None))
    figure.suptitle(f"{rows[0]['card']}, torch {rows[0]['torch']}, {rows[0]['began'][:10]}")
    return figure


def gpu_table(rows: list[dict]) -> str:
    "The other figures of benchmarks.gpu, a line each, and how each part ended."
    lines = []
    for row in latest(rows):
        hidden = ("card", "began", "toy", "torch", "python", "part", "name", "curve", "tried", "source")
        says = [f"{key.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
                for key, value in row.items() if key not in hidden and value not in (None, "")]
        lines.append(f"{row['part']:12}{row['name']:18}" + ", ".join(says))
    return "\n".join(lines)


def spread(runs: list[dict], key: str) -> str:
    "Mean ± standard deviation."
    values = [run[key] for run in runs]
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def seconds_to(run: dict, mrr: float) -> float:
    "When a run's curve first passes `mrr`, by a line between two looks; infinite if never."
    for (s0, _, m0), (s1, _, m1) in zip(run["curve"], run["curve"][1:]):
        if m1 >= mrr:
            return s0 + (s1 - s0) * (mrr - m0) / (m1 - m0) if m1 > m0 else s1
    return math.inf


def ratio(runs: list[dict], above: str, below: str) -> tuple[float, float, int]:
    "Mean MRR of one arm over another's, seed by seed; half the 95% interval; seeds."
    mrr = {(r["arm"], r["seed"]): r["mrr"] for r in runs}
    ratios = [mrr[above, seed] / mrr[below, seed] for arm, seed in mrr if arm == above and (below, seed) in mrr]
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57}.get(len(ratios), 2.)     # Student's, 95%, n − 1 degrees
    return mean(ratios), t * stdev(ratios) / len(ratios)**.5 if len(ratios) > 1 else math.inf, len(ratios)


def table(runs: list[dict]) -> str:
    "A line an arm; the last columns are about the peer, and there only when it ran."
    arms = list(dict.fromkeys(r["arm"] for r in runs))

    def of(arm):
        return [r for r in runs if r["arm"] == arm]

    peer = mean(r["mrr"] for r in of("bert")) if "bert" in arms else math.inf
    lines = [f"{'arm':8}{'MRR':>17}{'top-1':>17}{'examples/s':>12}{'of sgemm':>10}{'peak MB':>9}{'MRR/bert':>10}"
             f"{'s to bert':>11}"]
    for arm in arms:
        mine = of(arm)
        share = mean(r["examples_per_second"] * r["flops_per_example"] / r["matmul_gflops"] / 1e9 for r in mine)
        reached = mean(seconds_to(r, peer) for r in mine)
        lines.append(f"{arm:8}{spread(mine, 'mrr'):>17}{spread(mine, 'top1'):>17}"
                     f"{mean(r['examples_per_second'] for r in mine):12,.0f}{share:10.0%}"
                     f"{max(r['peak_mb'] for r in mine):9,}"
                     f"{mean(r['mrr'] for r in mine) / peer if peer < math.inf else math.nan:10.2f}"
                     f"{reached if reached < math.inf else math.nan:11.0f}")
    return "\n".join(lines)


def plot(runs: list[dict], ax=None):
    "MRR against seconds, a line a run, with the baselines; returns the `Axes`."
    import matplotlib.pyplot as plt
    ax, named = ax or plt.subplots(figsize=(6, 3.4))[1], {}
    for run in runs:
        seconds, _, mrr = zip(*run["curve"])
        line, = ax.plot(seconds, mrr, color=COLOURS[run["arm"]], lw=1.2, ls="--" if run["arm"] in ("third", "half") else "-")
        named.setdefault(run["arm"], (line, seconds[-1], mrr[-1]))
    top, below = max(y for *_, y in named.values()), math.inf
    for arm, (_, x, y) in sorted(named.items(), key=lambda item: -item[1][2]):           # names that don't overlap
        below = min(y, below - .06 * top)
        ax.annotate(f" {arm}", (x, below), color=COLOURS[arm], va="center", fontsize=9)
    if peers := [run["mrr"] for run in runs if run["arm"] == "bert"]:
        ax.axhline(mean(peers), color=COLOURS["bert"], lw=.8, ls=":")
    draw_baselines(ax, {name: line for name, line in runs[0]["baselines"].items() if name != "chance"})
    ax.set(xlabel="seconds of training", ylabel="held-out MRR", ylim=(0, None), xlim=(0, 1.18 * runs[0]["budget"]))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax
