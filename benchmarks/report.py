"""What a set of runs shows: a table of means and spreads, and MRR against seconds."""

import json
import math
from pathlib import Path
from statistics import mean, stdev

from tofy.colours import BLACK, BLUE, GREEN, GREY, NAMES, ORANGE, PINK, RED
from tofy.colours import COLOURS as BASELINES
from tofy.metrics import draw_baselines

PEERS = "bert", "modern", "modern-muon", "hybrid"   # what an engineer would take in our place
COLOURS = dict(tofy="#0072B2", adamw="#56B4E9", third="#56B4E9", half="#56B4E9", memory="#000000", softmax="#000000",
               bert="#D55E00", modern="#E69F00", modernbert="#E69F00", hybrid="#CC79A7", notes="#CC79A7", plain="#999999",
               **{"modern-muon": "#D55E00"})


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


def best_peer(runs: list[dict]) -> tuple[str, float]:
    "The peer with the highest mean MRR, and that MRR; infinite if none ran."
    found = {arm: mean(r["mrr"] for r in runs if r["arm"] == arm) for arm in PEERS if any(r["arm"] == arm for r in runs)}
    return max(found.items(), key=lambda item: item[1], default=("peer", math.inf))


def table(runs: list[dict]) -> str:
    "A line an arm; the last columns are about the best peer, and there only when one ran."
    arms = list(dict.fromkeys(r["arm"] for r in runs))

    def of(arm):
        return [r for r in runs if r["arm"] == arm]

    name, peer = best_peer(runs)
    lines = [f"{'arm':12}{'MRR':>17}{'top-1':>17}{'examples/s':>12}{'of sgemm':>10}{'peak MB':>9}  {'MRR/' + name:>15}"
             f"  {'s to ' + name:>16}"]
    for arm in arms:
        mine = of(arm)
        share = mean(r["examples_per_second"] * r["flops_per_example"] / r["matmul_gflops"] / 1e9 for r in mine)
        reached = mean(seconds_to(r, peer) for r in mine)
        lines.append(f"{arm:12}{spread(mine, 'mrr'):>17}{spread(mine, 'top1'):>17}"
                     f"{mean(r['examples_per_second'] for r in mine):12,.0f}{share:10.0%}"
                     f"{max(r['peak_mb'] for r in mine):9,}"
                     f"{mean(r['mrr'] for r in mine) / peer if peer < math.inf else math.nan:17.3f}"
                     f"{reached if reached < math.inf else math.nan:18.0f}")
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
    peer, mrr = best_peer(runs)
    if mrr < math.inf:
        ax.axhline(mrr, color=COLOURS[peer], lw=.8, ls=":")
    draw_baselines(ax, {name: line for name, line in runs[0]["baselines"].items() if name != "chance"})
    ax.set(xlabel="seconds of training", ylabel="held-out MRR", ylim=(0, None), xlim=(0, 1.18 * runs[0]["budget"]))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


# ---- from softmax to JEPA: rows of benchmarks.jepa. A path leads to a figure in a row, such as "readouts/mrr".

SPOTS = "topic", "act", "core", "mood", "slot", "form"       # what is probed, in the order of the figure
OWN, READ = "native/mrr", "readouts/mrr"


def by_seed(rows: list[dict], arm: str, path: str) -> dict[int, float]:
    "An arm's figure for each seed that has it; nothing where it was not measured."
    found = {}
    for row in (r for r in rows if r["arm"] == arm):
        at = row
        for name in path.split("/"):
            at = at[-1] if name == "last" and isinstance(at, list) and at else at.get(name) if isinstance(at, dict) else None
        if at is not None:
            found[row.get("seed", 0)] = at
    return found


def middle(rows: list[dict], arm: str, path: str) -> float:
    "The mean over seeds; NaN where there is none."
    found = by_seed(rows, arm, path).values()
    return mean(found) if found else math.nan


def error(rows: list[dict], arm: str, path: str) -> float:
    "The standard deviation over seeds; 0 for a single one."
    found = by_seed(rows, arm, path).values()
    return stdev(found) if len(found) > 1 else 0.


def short(number: float, digits: int = 3) -> str:
    "A number as the prose writes it: .683, a dash for NaN."
    if math.isnan(number):
        return "–"
    text = f"{round(number, digits) + 0.:.{digits}f}"
    return text.replace("0.", ".", 1).replace("-", "−") if abs(number) < 1 else text


def gain(rows: list[dict], arm: str, before: str, path: str) -> tuple[float, float, int]:
    "Mean and standard deviation of the difference to another arm, seed by seed, and how many seeds both have."
    a, b = by_seed(rows, arm, path), by_seed(rows, before, path)
    each = [a[seed] - b[seed] for seed in a.keys() & b.keys()]
    return (mean(each) if each else math.nan), (stdev(each) if len(each) > 1 else 0.), len(each)


def verdict(rows: list[dict], arm: str, other: str, path: str = READ) -> str:
    "Ahead, behind or level, by how much and over how many seeds; level is a difference within its spread or .01."
    more, spread, n = gain(rows, arm, other, path)
    if not n:
        return f"{arm} and {other}: not measured yet"
    word = "level with" if abs(more) <= max(spread, .01) else "ahead of" if more > 0 else "behind"
    return f"{arm} is {word} {other}: {'+' if more >= 0 else '−'}{short(abs(more))}" + f" ± {short(spread)}" * (n > 1) + f" ({n} seed{'s' * (n > 1)})"


def costs(rows: list[dict], arm: str, before: str = "") -> str:
    "What an arm gives and costs, and how it stands to the arm before it: a line or two."
    if not by_seed(rows, arm, READ):
        return f"{arm}: not measured yet"
    said = [f"own MRR {short(middle(rows, arm, OWN))}"] * bool(by_seed(rows, arm, OWN))
    said += [f"through the readout {short(middle(rows, arm, READ))}"]
    ms = step_ms(rows, arm)
    said += [] if math.isnan(ms) else [f"{ms:.0f} ms a step"]
    path = next((p for p in (OWN, READ) if by_seed(rows, arm, p) and by_seed(rows, before, p)), READ)
    return f"{arm}: " + ", ".join(said) + ("\n" + verdict(rows, arm, before, path) + (", both read" if path == READ else "")) * bool(before)


def step_ms(rows: list[dict], arm: str) -> float:
    "Milliseconds of processor time that a training step takes; those of the clock where it was not measured."
    mine = middle(rows, arm, "cpu_ms")
    return math.nan if arm == "untrained" else middle(rows, arm, "step_ms") if math.isnan(mine) else mine


def seeds_there(rows: list[dict], arms: list[str]) -> str:
    "How many seeds each arm has, in a sentence."
    counts = {arm: len(by_seed(rows, arm, READ)) for arm in arms}
    groups = {n: [arm for arm in arms if counts[arm] == n] for n in sorted(set(counts.values()), reverse=True)}
    return "Seeds: " + "; ".join(f"{n} for " + ("every arm" if len(groups) == 1 else ", ".join(some)) for n, some in groups.items()) + "."


def arms_table(rows: list[dict], arms: list[str]) -> str:
    "A line an arm, in Markdown, narrow enough for a telephone."
    def with_spread(arm, path):
        return short(middle(rows, arm, path)) + (f"<br>±{short(error(rows, arm, path))}" if len(by_seed(rows, arm, path)) > 1 else "")

    lines = ["| arm | own MRR, top-1 | read MRR | s | ranks | ms |", "|---|---|---|---|---|---|"]
    for arm in (arm for arm in arms if by_seed(rows, arm, READ)):
        ranks = [middle(rows, arm, path) for path in ("ranks/table", "ranks/prediction", "r2/rank")]
        own = with_spread(arm, OWN) + (f"<br>{short(middle(rows, arm, 'native/top1'))}" if by_seed(rows, arm, OWN) else "")
        time = step_ms(rows, arm)
        lines.append(f"| {arm} | {own} | {with_spread(arm, READ)} | {short(middle(rows, arm, 'gauges/last/spread'), 2)} | "
                     + "<br>".join("–" if math.isnan(r) else f"{r:.0f}" for r in ranks)
                     + f" | {'–' if math.isnan(time) else f'{time:.0f}'} |")
    return "\n".join(lines)


def plot_arms(rows: list[dict], arms: list[str], ax=None):
    "MRR of each arm, natively and through its readouts, between the baselines; returns the `Axes`."
    import matplotlib.pyplot as plt
    arms = [arm for arm in arms if by_seed(rows, arm, READ)]
    ax = ax or plt.subplots(figsize=(6.4, .5 + .36 * len(arms)), layout="constrained")[1]
    for y, arm in enumerate(arms):
        others = [middle(rows, arm, f"readouts/{kind} {reads}") for kind in ("linear", "ridge", "prototypes")
                  for reads in ("hidden", "prediction", "bag")]
        ax.plot(others, [y] * len(others), "|", color=GREY, ms=8, label="other readouts" if y == 0 else None)
        for path, mark, colour, label in ((READ, "s", BLUE, "readout chosen on training blanks"), (OWN, "o", RED, "its own scores")):
            ax.errorbar(middle(rows, arm, path), y + (.14 if path == OWN else -.14), xerr=error(rows, arm, path), fmt=mark, ms=5,
                        color=colour, capsize=3, label=label if y == 0 else None)
    lines = next((r["baselines"] for r in rows if "baselines" in r), {})
    known = {name: mrr for name, mrr in lines.items() if name != "chance"}
    controls = {name: middle(rows, name, READ) for name in ("untrained", "frozen") if by_seed(rows, name, READ)}
    for (name, x), style in zip((known | controls).items(), ["--"] * len(known) + [":"] * len(controls)):
        ax.axvline(x, ls=style, lw=1, color=BASELINES.get(name, BLACK), zorder=0)
        ax.annotate(NAMES.get(name, name), (x, 1), xycoords=("data", "axes fraction"), rotation=90, fontsize=7.5, ha="center",
                    va="bottom", xytext=(0, 2), textcoords="offset points", color=BASELINES.get(name, BLACK))
    ax.set(yticks=range(len(arms)), yticklabels=arms, ylim=(len(arms) - .5, -.5), xlabel="held-out MRR (bar: standard deviation over seeds)")
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(.45, -.45 / (.36 * len(arms))), ncols=3)
    return ax


def plot_causes(rows: list[dict], arms: list[str], tops: dict[str, float], axes=None):
    "Probes of each cause by arm, between the majority, the bag of visible words and the best possible; returns the axes."
    import matplotlib.pyplot as plt
    arms = [arm for arm in arms if by_seed(rows, arm, "probes/topic hidden")]
    if axes is None:
        axes = plt.subplots(3, 2, figsize=(6.6, 1.5 + .54 * len(arms)), sharey=True, layout="constrained")[1]
    for ax, cause in zip(axes.flat, SPOTS):
        for name, mark, colour, label in (("hidden", "o", BLUE, "state at the blank"), ("phrase", "D", ORANGE, "mean of the unhidden phrase")):
            path = f"probes/{cause} {name}"
            ax.errorbar([middle(rows, arm, path) for arm in arms], range(len(arms)), xerr=[error(rows, arm, path) for arm in arms],
                        fmt=mark, ms=4, color=colour, capsize=2, label=label if cause == "topic" else None)
        for name, x, colour, style in (("commonest", middle(rows, "bag", f"probes/{cause} majority"), BLACK, ":"),
                                       ("bag of visible words", middle(rows, "bag", f"probes/{cause} bag"), PINK, "--"),
                                       ("best possible", tops.get(cause, math.nan), GREEN, "-")):
            ax.axvline(x, color=colour, ls=style, lw=1.2, label=name if cause == "topic" else None, zorder=0)
        ax.set(title=cause, yticks=range(len(arms)), yticklabels=arms, ylim=(len(arms) - .5, -.5), xlim=(0, 1.04))
        ax.tick_params(labelsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("accuracy of a linear probe", fontsize=9)
    axes.flat[0].figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return axes


def plot_errors(rows: list[dict], arms: list[str], axes=None):
    "Exact regret and irreducible part of each arm's targets, and what the targets keep of each cause; returns the axes."
    import matplotlib.pyplot as plt
    arms = [arm for arm in arms if by_seed(rows, arm, "regret/total")]
    if axes is None:
        axes = plt.subplots(2, 1, figsize=(6.2, 1.4 + .64 * len(arms)), layout="constrained")[1]
    fixed, missed, total = ([middle(rows, arm, f"regret/{part}") for arm in arms] for part in ("irreducible", "regret", "total"))
    above, below = axes
    above.barh(arms, fixed, color=GREY, label="irreducible")
    above.barh(arms, missed, left=fixed, color=ORANGE, label="regret", xerr=[error(rows, arm, "regret/regret") for arm in arms])
    above.plot(total, arms, "|", color=BLACK, ms=14, mew=2, label="error of always naming the mean")
    for y, (part, whole) in enumerate(zip(fixed, total)):
        share = 1 - part / whole
        above.text(1.01, y, f"{share:.{0 if share < .99 else 1}%} predictable", va="center", fontsize=8, transform=above.get_yaxis_transform())
    above.invert_yaxis()
    above.set(xlabel="squared distance of unit vectors", xlim=(0, None))
    above.figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    causes = [cause for cause in SPOTS if any(by_seed(rows, arm, f"regret/kept/{cause}") for arm in arms)]
    grid = [[middle(rows, arm, f"regret/kept/{cause}") for cause in causes] for arm in arms]
    below.imshow(grid, aspect="auto", cmap="Blues", vmin=0, vmax=.6)
    for i, line in enumerate(grid):
        for j, number in enumerate(line):
            below.text(j, i, short(number, 2), ha="center", va="center", fontsize=9, color="white" if number > .35 else "black")
    below.set(xticks=range(len(causes)), xticklabels=causes, yticks=range(len(arms)), yticklabels=arms)
    below.set_title("kept: share of the targets' variance that lies between the values of a cause", fontsize=9)
    return axes


def errors_told(rows: list[dict], arms: list[str]) -> str:
    "The figures behind `plot_errors`, a line an arm."
    lines = []
    for arm in (arm for arm in arms if by_seed(rows, arm, "regret/total")):
        total, fixed, r2 = (middle(rows, arm, f"regret/{part}") for part in ("total", "irreducible", "r2"))
        removed = max(middle(rows, arm, f"regret/unknown/{cause}") for cause in ("topic", "act", "mood", "slot"))
        lines.append(f"{arm:10} spread {total:.3f}, predictable {1 - fixed / total:.3f}, predicted {r2:5.2f}; MRR read "
                     f"{short(middle(rows, arm, READ))}; knowing a cause would remove at most {removed:.1%} of the rest")
    return "\n".join(lines)


def by_spellings(rows: list[dict]) -> dict[int, list[dict]]:
    "Rows of the built-in corpus by the number of spellings a word: those of `builtin` have one."
    found: dict[int, list[dict]] = {}
    for row in rows:
        if "steps" in row and row["data"].split(":")[0] == "builtin":
            spellings = row["data"].split(":")[3:4] or ["1"]
            found.setdefault(int(spellings[0]), []).append(row)
    return dict(sorted(found.items()))


def plot_spellings(rows: list[dict], arms: list[str], axes=None):
    "The true word's MRR and probes of two causes against interchangeable spellings a word; returns the axes."
    import matplotlib.pyplot as plt
    axes = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")[1] if axes is None else axes
    sets = by_spellings(rows)
    for ax, paths, title in zip(axes, ((OWN, READ), ("probes/act hidden",), ("probes/slot hidden",)), ("MRR of the true word", "act", "slot")):
        for arm, colour in zip(arms, (BLUE, ORANGE, GREY, PINK, RED)):
            for path in (p.replace("hidden", "bag") if arm == "bag" else p for p in paths):
                points = [(s, middle(some, arm, path)) for s, some in sets.items() if by_seed(some, arm, path)]
                if points:
                    ax.plot(*zip(*points), "o--" if path == OWN else "o-", color=colour, label=arm + ", own scores" * (path == OWN))
        ax.set_xscale("log", base=2)
        ax.set(title=title, xlabel="spellings a word", xticks=list(sets), xticklabels=list(sets), ylim=(0, 1))
    best = next((r["baselines"]["best"] for r in sets.get(1, []) if "baselines" in r), None)
    if best:
        axes[0].axhline(best, color=GREEN, label="best possible")
    if 1 in sets and not math.isnan(true := middle(sets[1], "cosine", OWN)):
        axes[0].axhline(true, color=BLUE, ls=":", lw=1, label="softmax over the true words")
    axes[0].set_ylabel("held-out MRR")
    axes[1].set_ylabel("accuracy of a linear probe")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return axes


def spellings_table(rows: list[dict], arms: list[str]) -> str:
    "For each arm and number of spellings: the true word's MRR by its own scores and read, the act from a phrase, the seeds."
    lines = [f"{'arm':11}{'spellings':>10}{'own MRR':>9}{'read':>7}{'act, phrase':>13}{'seeds':>7}"]
    for arm in arms:
        for spellings, some in by_spellings(rows).items():
            if seeds := by_seed(some, arm, READ):
                act = middle(some, arm, "probes/act bag" if arm == "bag" else "probes/act phrase")
                cells = [f"{value:.3f}".replace("0.", ".", 1) if value == value else "–"
                         for value in (middle(some, arm, OWN), middle(some, arm, READ), act)]
                lines.append(f"{arm:11}{spellings:10}{cells[0]:>9}{cells[1]:>7}{cells[2]:>13}{len(seeds):7}")
    return "\n".join(lines)
