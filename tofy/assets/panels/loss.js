// Five words on a circle and a prediction to drag: each term of the loss and which way it pulls.
import {LivePanel, alone, linked, dragged, clean} from "./common.js";

const turn = degrees => [Math.cos(degrees * Math.PI / 180), Math.sin(degrees * Math.PI / 180)];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const size = a => Math.hypot(...a);

// Each term's weighted value and its gradient by the prediction; the words' directions in degrees, the answer first.
export function pulls(knobs, words, drawn) {
  const names = Object.keys(words), rows = names.map(name => turn(words[name]));
  const unit = turn(knobs.angle), length = knobs.length;
  const across = row => { const c = dot(unit, row); return [(row[0] - c * unit[0]) / length, (row[1] - c * unit[1]) / length]; };   // how a cosine grows
  const near = dot(unit, rows[0]), up = across(rows[0]), share = knobs.reduction === "notes" ? 1 / knobs.dim : 1;
  const rivals = knobs.negatives ? [rows[0], ...drawn.slice(0, knobs.negatives).map(name => rows[names.indexOf(name)])] : rows;
  const scores = rivals.map(row => dot(unit, row) / knobs.temperature), most = Math.max(...scores);
  const odds = scores.map(score => Math.exp(score - most)), all = odds.reduce((a, b) => a + b);
  const wanted = rivals.map((_, i) => knobs.smoothing / rivals.length + (i ? 0 : 1 - knobs.smoothing));
  let rank = Math.log(all) + most, [gx, gy] = [0, 0];
  rivals.forEach((row, i) => {
    rank -= wanted[i] * scores[i];
    const much = (odds[i] / all - wanted[i]) / knobs.temperature, way = across(row);
    gx += much * way[0];
    gy += much * way[1];
  });
  const term = (weight, value, gradient) => [weight * value, gradient.map(part => weight * part)];
  return {mse: term(knobs.mse, 2 * (1 - near) * share, up.map(part => -2 * part * share)), rank: term(knobs.rank, rank, [gx, gy]),
          aux: term(knobs.aux, 1 - near, up.map(part => -part))};
}

export function sentence(knobs, words, drawn) {
  const names = Object.keys(words), cosines = names.map(name => dot(turn(knobs.angle), turn(words[name])));
  const nearest = names[cosines.indexOf(Math.max(...cosines))], times = {};
  for (const name of drawn.slice(0, knobs.negatives)) times[name] = (times[name] ?? 0) + 1;
  const rivals = Object.entries(times).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ×${n}`).join(", ") || "every other word";
  return `Cosine with ${names[0]} ${cosines[0].toFixed(2)}; nearest word: ${nearest}; negatives: ${rivals}.`;
}

class LossView extends LivePanel {
  constructor(place, home) {
    super(place, home, "Losses: drag the prediction");
    this.box.innerHTML = `<div class="main half"><div class="card"><svg class="circle grab" viewBox="-152 -152 304 304" tabindex="0" role="slider"
      aria-label="prediction, in degrees" aria-valuemin="0" aria-valuemax="360"></svg>
      <p class="soft">Drag the prediction, or turn it with the arrow keys. <b>Downhill</b>, from its tip: the way in which the loss falls fastest (drawn g/(1+g) long).</p></div>
      <div class="card"><p class="title">The terms</p><div class="bars"></div><p class="said" role="status"></p><div class="knobs"></div></div></div><div class="knobs"></div>`;
    const [weights, others] = this.box.querySelectorAll(".knobs"), all = this.sliders();
    others.append(...all.filter(node => !node.textContent.startsWith("weight")));
    weights.append(...all.filter(node => node.textContent.startsWith("weight")));
    const svg = this.at("svg");
    dragged(svg, (x, y) => this.set({angle: (Math.round(Math.atan2(-y, x) * 180 / Math.PI) + 360) % 360,
                                     length: Math.round(20 * Math.min(1.5, Math.max(.25, Math.hypot(x, y) / 100))) / 20}));
    svg.addEventListener("keydown", event => {
      const by = {ArrowLeft: 1, ArrowUp: 1, ArrowRight: -1, ArrowDown: -1, PageUp: 10, PageDown: -10}[event.key];
      if (!by) return;
      this.set({angle: (this.knobs.angle + by + 360) % 360});
      event.preventDefault();
    });
    this.begin();
  }
  sliders() {
    const digits = n => value => value.toFixed(n), weight = {least: 0, most: 8, step: .1, show: digits(1)};
    return [
      this.slider("angle", "angle of the prediction", {least: 0, most: 360, step: 1, show: v => `${v}°`, wide: true, says: "where the prediction points; the answer is at 20°"}),
      this.slider("length", "its length", {least: .25, most: 1.5, step: .05, show: digits(2), says: "length of the prediction: no cosine depends on it"}),
      this.slider("temperature", "temperature", {least: .02, most: 1, step: .01, show: digits(2), says: "the ranking term divides the cosines by it"}),
      this.slider("smoothing", "label smoothing", {least: 0, most: .5, step: .01, show: digits(2), says: "share of the target that is spread evenly over all words"}),
      this.slider("mse", "weight of mse", weight), this.slider("rank", "weight of rank", weight), this.slider("aux", "weight of aux", weight),
      this.slider("negatives", "negatives", {least: 0, most: 32, step: 1, show: v => v || "every other word", says: "random words to rank against; 0: every other word"}),
      this.choice("dim", "D", [2, 8, 32, 128, 240, 384].map(d => [d, `${d}`]), "numbers in a vector; all but the first two are zero here"),
      this.choice("reduction", "mse over D", [["sum", "sum"], ["notes", "mean (notes)"]], "the sum, or the mean, D times smaller"),
    ];
  }
  look() {
    const {words, drawn} = this.page, found = pulls(this.knobs, words, drawn);
    const whole = Object.values(found).reduce(([x, y], [, [a, b]]) => [x + a, y + b], [0, 0]);
    this.draw(words, whole);
    const most = Math.max(1e-9, ...Object.values(found).map(([, pull]) => size(pull)));
    this.at(".bars").innerHTML = `<span class="head">term</span><span class="head">how strongly it pulls</span><span class="head">value</span>` +
      Object.entries(found).map(([name, [value, pull]]) => `<span>${name}</span><span style="display:grid;grid-template-columns:1fr 3.5em;align-items:center;gap:.4rem"><i style="width:${(100 * size(pull) / most).toFixed(1)}%"></i>
        <span data-pull="${name}">${size(pull).toFixed(3)}</span></span><span>${value.toFixed(3)}</span>`).join("");
    this.say(`${clean(sentence(this.knobs, words, drawn))} Together the terms pull with <b data-pull="all">${size(whole).toFixed(3)}</b>.`);
    const svg = this.at("svg");
    svg.setAttribute("aria-valuenow", this.knobs.angle);
    svg.setAttribute("aria-valuetext", `${this.knobs.angle} degrees`);
  }
  draw(words, whole) {
    const [first] = Object.keys(words), arrow = (kind, from, to, width) => {
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]], long = Math.hypot(dx, dy);
      if (long < 2) return "";
      const [ux, uy] = [dx / long, dy / long], head = Math.min(long, 5 + 2.5 * width), back = [to[0] - head * ux, to[1] - head * uy], half = head * .45;
      return `<line class="${kind}" stroke="currentColor" stroke-width="${width}" x1="${from[0]}" y1="${from[1]}" x2="${back[0]}" y2="${back[1]}"/>
        <path class="${kind}" fill="currentColor" d="M${to[0]} ${to[1]}L${back[0] - half * uy} ${back[1] + half * ux}L${back[0] + half * uy} ${back[1] - half * ux}Z"/>`;
    };
    const spot = ([x, y], far = 100) => [far * x, -far * y];
    const drawn = Object.entries(words).map(([word, degrees]) => {
      const kind = word === first ? "answer" : "dot", [x, y] = spot(turn(degrees), 124);
      return `${arrow(kind, [0, 0], spot(turn(degrees)), word === first ? 2.5 : 1.2)}<text class="${kind}" x="${x}" y="${y}" text-anchor="middle" dominant-baseline="central"${word === first ? ' font-weight="650"' : ""}>${word}</text>`;
    });
    const tip = spot(turn(this.knobs.angle), 100 * this.knobs.length), long = size(whole);
    const end = [tip[0] - 100 * whole[0] / (1 + long), tip[1] + 100 * whole[1] / (1 + long)];
    this.at("svg").innerHTML = `<circle class="line" r="100"/>${drawn.join("")}${arrow("model", [0, 0], tip, 4)}${arrow("down", tip, end, 2.5)}
      <circle cx="${tip[0]}" cy="${tip[1]}" r="13" fill="var(--model)" fill-opacity=".16" stroke="var(--model)" stroke-width="1.5"/><text class="model" x="${.5 * tip[0]}" y="${.5 * tip[1] - 6}" text-anchor="${tip[0] > 0 ? "end" : "start"}" font-size="12">prediction</text>`;
  }
}

export const mount = (place, data) => new LossView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new LossView(place, linked(model));
}};
