// A metric against the number of candidates, and what broken ways to ask cost: curves that were counted before.
import {LivePanel, alone, linked, dragged, clean} from "./common.js";

const NAMES = {heldout: "model, held out", train: "model, training", bigram: "bigram", unigram: "unigram", chance: "chance", best: "best possible"};
const FIGURES = {top1: "The share of blanks where the right word comes first", mrr: "The mean of 1/rank"};

// The value of each curve at the k-th of its numbers of candidates.
export const valuesAt = ({kind, figure, k}, {curves}) => Object.fromEntries(Object.entries(curves).map(([name, curve]) => [name, curve[kind][figure][k]]));
export function sentence(knobs, page) {
  const drawn = knobs.kind === "uniform" ? "uniformly" : "by their count";
  const said = Object.entries(valuesAt(knobs, page)).map(([name, value]) => `${NAMES[name] ?? name} ${value.toFixed(2)}`).join("; ");
  return `${FIGURES[knobs.figure]} among ${page.candidates[knobs.k].toLocaleString("en")} candidates, the others drawn ${drawn}: ${said}.`;
}

class GapView extends LivePanel {
  constructor(place, home) {
    super(place, home, "The number of candidates, and broken ways to ask");
    const {candidates, ways} = this.page;
    this.box.innerHTML = `<div class="card"><svg class="curves grab" height="260" role="img"></svg><div class="legend" aria-hidden="true"></div></div><div class="knobs"></div><p class="said" role="status"></p>
      <div class="card" style="margin-top:.9rem"><p class="title">The same blanks, asked in broken ways</p><div class="legend ways" role="group" aria-label="Broken ways to ask"></div><div class="bars" style="margin-top:.6rem"></div></div>`;
    this.at(".knobs").append(
      this.slider("k", "candidates", {least: 0, most: candidates.length - 1, step: 1, show: k => candidates[k].toLocaleString("en"), says: "among how many words, the right one included, it must win", wide: true}),
      this.choice("kind", "the others drawn", [["uniform", "uniformly"], ["weighted", "by their count"]]), this.choice("figure", "figure", [["top1", "top-1"], ["mrr", "MRR"]]));
    this.at(".ways").innerHTML = Object.keys(ways).filter(name => name !== "asked right").map(name => `<button data-way="${clean(name)}" aria-pressed="false">${clean(name)}</button>`).join("");
    for (const button of this.box.querySelectorAll("[data-way]")) button.addEventListener("click", () => {
      const {way} = button.dataset, {broken} = this.knobs;
      this.set({broken: broken.includes(way) ? broken.filter(name => name !== way) : [...broken, way]});
    });
    dragged(this.at(".curves"), x => {
      const place = Math.min(1, Math.max(0, (x - 44) / this.inner)), far = candidates.map(k => Math.abs(Math.log2(k / candidates[0]) / Math.log2(candidates.at(-1) / candidates[0]) - place));
      this.set({k: far.indexOf(Math.min(...far))});
    });
    this.begin();
  }
  get inner() { return Math.max(200, (this.at(".curves").clientWidth || 600) - 60); }
  look() {
    const {knobs, page} = this, {candidates} = page, first = candidates[0], last = candidates.at(-1), now = valuesAt(knobs, page);
    const x = k => 44 + this.inner * Math.log2(k / first) / Math.log2(last / first), y = value => 220 - 200 * value;
    const ticks = [2, 5, 33, 129, last].filter(k => k >= first && k <= last);
    const lines = Object.entries(page.curves).map(([name, curve]) => `<polyline class="curve ${name}" fill="none" stroke="currentColor" stroke-width="${name === "heldout" ? 3 : 2}" ${name === "heldout" || name === "train" ? "" : 'stroke-dasharray="6 4"'}
      points="${curve[knobs.kind][knobs.figure].map((value, i) => `${x(candidates[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ")}"/><circle class="curve ${name}" fill="currentColor" r="5" cx="${x(candidates[knobs.k])}" cy="${y(now[name])}"/>`);
    this.at(".curves").setAttribute("viewBox", `0 0 ${this.inner + 60} 260`);
    this.at(".curves").innerHTML = `${[0, .5, 1].map(v => `<path class="line" d="M44 ${y(v)}H${x(last)}"/><text class="soft" x="36" y="${y(v) + 5}" text-anchor="end">${v}</text>`).join("")}
      ${ticks.map(k => `<text class="soft" x="${x(k)}" y="240" text-anchor="${k === last ? "end" : "middle"}">${k === last ? `${k.toLocaleString("en")} (all)` : k}</text>`).join("")}
      <path class="ink" d="M${x(candidates[knobs.k])} 20V220"/>${lines.join("")}`;
    this.at(".curves").setAttribute("aria-label", sentence(knobs, page));
    this.at(".legend").innerHTML = Object.keys(page.curves).map(name => `<span class="curve ${name}"><i></i>${NAMES[name] ?? name} <b>${now[name].toFixed(2)}</b></span>`).join(" ");
    this.say(clean(sentence(knobs, page)));
    for (const button of this.box.querySelectorAll("[data-way]")) button.setAttribute("aria-pressed", knobs.broken.includes(button.dataset.way));
    const right = page.ways["asked right"][knobs.figure], bar = (name, value, kind, said) => `<span class="${kind}">${clean(name)}</span><i style="background:currentColor;width:${(100 * value).toFixed(1)}%" class="${kind}"></i><span>${value.toFixed(2)}${said}</span>`;
    this.at(".bars").innerHTML = Object.entries(page.ways).filter(([name]) => name === "asked right" || knobs.broken.includes(name)).map(([name, way]) => bar(name, way[knobs.figure], name === "asked right" ? "curve heldout" : "rival", name === "asked right" ? "" : ` (${way[knobs.figure] >= right ? "+" : "−"}${Math.abs(way[knobs.figure] - right).toFixed(2)})`)).join("")
      + Object.entries(page.lines).map(([name, line]) => bar(NAMES[name] ?? name, line[knobs.figure], `curve ${name}`, "")).join("");
  }
}

export const mount = (place, data) => new GapView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new GapView(place, linked(model));
}};
