// The map of an embedding table: its film, its words by kind, their neighbours, and figures beside it.
import {LivePanel, alone, linked, clean} from "./common.js";

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const KINDS = ["a", "b", "c", "d", "e", "f"];                // colours, the commonest kinds first; the last kind is grey

// The film of a run, its numbers unpacked: xy of frame f and word i at 2·(f·words + i), in the units of the table.
export function unpacked(film, words) {
  if (film.numbers) return film;
  const whole = new Uint16Array(bytes(film.xy).buffer), [left, bottom, right, top] = film.box;
  film.numbers = Float32Array.from(whole, (value, i) => i % 2 ? bottom + value / 65535 * (top - bottom) : left + value / 65535 * (right - left));
  film.frames = film.steps.length;
  film.count = words.length;
  film.near = new Uint16Array(bytes(film.neighbours).buffer);
  film.cosines = new Int8Array(bytes(film.closeness).buffer);
  return film;
}
// Where each word stands at a share of the film, between its frames.
export function placed(film, at) {
  const where = at * (film.frames - 1), frame = Math.min(Math.floor(where), Math.max(0, film.frames - 2)), part = film.frames > 1 ? where - frame : 0;
  const size = 2 * film.count, here = film.numbers.subarray(frame * size, (frame + 1) * size);
  if (!part) return here;
  const there = film.numbers.subarray((frame + 1) * size, (frame + 2) * size);
  return here.map((value, i) => value + part * (there[i] - value));
}
export const frameOf = (film, at) => Math.round(at * (film.frames - 1));

// The words nearest to a word: in the saved table at the end of the film, else on the map of this step.
export function nearest(film, word, at, many = 8) {
  const frame = frameOf(film, at), kept = word * 8 + 8 <= film.near.length;
  if (kept && frame === film.frames - 1) {                   // after the last frame comes the saved table
    return {by: film.saved === null || film.steps[frame] === film.saved ? "cosine" : `cosine in the saved table, of step ${film.saved.toLocaleString("en")}`, words: Array.from({length: many}, (_, i) => [film.near[8 * word + i], film.cosines[8 * word + i] / 127]).filter(([i]) => i < film.count && i !== word)};
  }
  const size = 2 * film.count, xy = film.numbers.subarray(frame * size, (frame + 1) * size);
  const far = i => Math.hypot(xy[2 * i] - xy[2 * word], xy[2 * i + 1] - xy[2 * word + 1]);
  const order = Array.from({length: film.count}, (_, i) => i).filter(i => i !== word).sort((a, b) => far(a) - far(b));
  return {by: `distance on the map of step ${film.steps[frame]}`, words: order.slice(0, many).map(i => [i, far(i)])};
}
// Words that contain a text: first the text itself, then what begins with it, then the others, the commonest first.
export function found(words, part) {
  const low = part.trim();
  const place = word => word === low ? 0 : word.startsWith(low) ? 1 : 2;
  return low ? words.map((word, i) => [word, i]).filter(([word]) => word.includes(low)).sort((a, b) => place(a[0]) - place(b[0]) || a[1] - b[1]).map(([, i]) => i) : [];
}
// Labels where they overlap nothing: each is tried on four sides of its dot, and left out where none is free.
export function labelled(wanted, wide, high) {
  const taken = [], put = [];
  for (const {x, y, width, height = 15, ...rest} of wanted) {
    for (const [dx, dy] of [[7, -4], [-7 - width, -4], [-width / 2, -12], [-width / 2, 20]]) {
      const box = [x + dx, y + dy - height + 4, x + dx + width, y + dy + 4];
      if (box[0] < 0 || box[1] < 0 || box[2] > wide || box[3] > high) continue;
      if (taken.some(other => box[0] < other[2] + 3 && other[0] < box[2] + 3 && box[1] < other[3] + 1 && other[1] < box[3] + 1)) continue;
      taken.push(box);
      put.push({x: x + dx, y: y + dy, ...rest});
      break;
    }
  }
  return put;
}

class CrowdingView extends LivePanel {
  constructor(place, home) {
    super(place, home, "The map of an embedding table");
    this.box.innerHTML = `<div class="knobs top" style="margin:0 0 .8rem"></div><p class="said fault" role="alert" hidden></p>
      <div class="main beside"><div class="card"><div class="maps"></div><div class="row film" style="margin-top:.6rem"></div><div class="legend" role="group" aria-label="Kinds of words"></div></div>
      <div class="card aside"><div><label class="knob"><span>find a word</span><input type="text" data-do="find" placeholder="a word, or a part of one"></label>
        <div class="legend hits" style="margin:.4rem 0"></div><div class="near"></div></div><div class="figures"></div></div></div><p class="aloud" role="status"></p>`;
    const first = [["", "none"]];
    this.at(".top").append(this.choice("run", "run", this.page.choices.map(name => [name, name])), this.choice("beside", "beside it", [...first, ...this.page.choices.map(name => [name, name])]));
    this.play = this.button("Play", () => this.run(), "the training, from its first frame to its last", "first");
    const film = this.slider("at", "step", {least: 0, most: 1, step: .001, show: at => this.stepOf(at)});
    film.style.flex = "1 1 12rem";
    film.querySelector("input").setAttribute("data-do", "seek");
    this.at(".film").append(this.play, film);
    this.at("[data-do=find]").addEventListener("input", () => this.hits());
    this.at("[data-do=find]").addEventListener("keydown", event => { if (event.key === "Enter") this.at(".hits button")?.click(); });
    this.begin();
  }
  get films() { return [this.knobs.run, this.knobs.beside].filter((name, i, all) => name && all.indexOf(name) === i).map(name => this.page.films[name]).filter(Boolean).map(film => unpacked(film, this.page.vocabs[film.vocab].words)); }
  get vocab() { return this.page.vocabs[this.films[0]?.vocab ?? 0] ?? {words: [], counts: [], kinds: [], kind: []}; }
  stepOf(at) { return this.films.map(film => film.steps[frameOf(film, at)]).filter((step, i, all) => all.indexOf(step) === i).join(" and "); }

  // Sixty pictures a second from the first frame to the last; without motion, at once to the end.
  run() {
    if (this.going) return this.halt();
    if (this.still) return this.set({at: 1});
    let at = this.knobs.at >= 1 ? 0 : this.knobs.at, last = null;
    this.going = true;
    this.play.textContent = "Pause";
    const next = now => {
      if (!this.going) return;
      at = Math.min(1, at + (last === null ? 0 : (now - last) / 9000));
      last = now;
      this.film(at);
      if (at >= 1) return this.halt();
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }
  halt() {
    this.going = false;
    this.play.textContent = "Play";
    this.set({at: this.shown ?? this.knobs.at});
  }
  film(at) {
    this.shown = at;
    this.controls.at(at);
    this.at("[data-do=seek]").value = at;
    this.draw(at);
    this.tell(at);
  }
  set(changes) {
    if ("at" in changes) {                                    // a hand at the slider ends the film
      this.going = false;
      this.play.textContent = "Play";
      this.shown = null;
    }
    super.set(changes);
  }

  hits() {
    const {words} = this.vocab, part = this.at("[data-do=find]").value, list = found(words, this.vocab.lower ? part.toLowerCase() : part);
    this.at(".hits").innerHTML = list.slice(0, 8).map(i => `<button data-word="${i}">${clean(words[i])}</button>`).join("") + (part.trim() && !list.length ? `<span class="soft">No word of this table contains “${clean(part)}”.</span>` : list.length > 8 ? `<span class="soft">and ${list.length - 8} more</span>` : "");
    for (const button of this.box.querySelectorAll(".hits button")) button.addEventListener("click", () => this.set({word: words[Number(button.dataset.word)]}));
  }
  look() {
    const {films, vocab} = this, fault = this.at(".fault");
    fault.hidden = !this.page.fault;
    fault.textContent = this.page.fault;
    const missing = this.knobs.run && !this.page.films[this.knobs.run] && !this.page.fault;
    const layout = missing ? "missing" : films.map(film => film.title).join();
    if (layout !== this.layout) {
      this.layout = layout;
      for (const part of [".maps", ".main"]) this.at(part).classList.toggle("two", films.length > 1);
      this.at(".maps").innerHTML = missing ? "<p>Reading this run …</p>" : films.map((film, i) => `<div><p class="title">${clean(film.title)} <small data-at="step"></small></p><canvas role="img" data-map="${i}"></canvas></div>`).join("");
      this.box.querySelectorAll("canvas").forEach((canvas, i) => canvas.addEventListener("click", event => this.pick(this.films[i], canvas, event)));
    }
    this.at(".film").hidden = !films.some(film => film.frames > 1);
    this.at(".legend:not(.hits)").innerHTML = vocab.kinds.map((name, i) => `<button data-kind="${clean(name)}" aria-pressed="${this.knobs.lit === name}" title="show these words alone"><i style="color:${this.kindColour(i)}"></i>${clean(name)}</button>`).join("");
    for (const button of this.box.querySelectorAll("[data-kind]")) button.addEventListener("click", () => { const {kind} = button.dataset; this.set({lit: this.knobs.lit === kind ? "" : kind}); this.at(`[data-kind="${kind}"]`).focus(); });
    const at = this.shown ?? this.knobs.at;
    this.draw(at);
    this.tell(at);
  }
  recolour() { if (this.controls.run) this.look(); }
  kindColour(i) { return i < Math.min(KINDS.length, this.vocab.kinds.length - 1) ? `var(--${KINDS[i]})` : "var(--dot)"; }

  frame(film, canvas) {                                       // from the table's units to the picture's, the same in every frame
    const [left, bottom, right, top] = film.box, size = canvas.clientWidth, room = 1.1 * Math.max(right - left, top - bottom, 1e-9);
    return (x, y) => [size / 2 + (x - (left + right) / 2) / room * size, size / 2 - (y - (bottom + top) / 2) / room * size];
  }
  draw(at) {
    this.films.forEach((film, number) => {
      const canvas = this.at(`[data-map="${number}"]`), size = canvas?.clientWidth, ratio = devicePixelRatio || 1;
      if (!size) return;
      canvas.width = canvas.height = Math.round(size * ratio);
      const pen = canvas.getContext("2d"), {words, counts, kind, kinds} = this.page.vocabs[film.vocab], xy = placed(film, at), spot = this.frame(film, canvas);
      const colours = kinds.map((_, i) => this.colour(i < Math.min(KINDS.length, kinds.length - 1) ? KINDS[i] : "dot")), ink = this.colour("ink"), card = this.colour("card");
      pen.scale(ratio, ratio);
      pen.clearRect(0, 0, size, size);
      const lit = kinds.indexOf(this.knobs.lit), small = size < 340 ? .8 : 1;
      for (let i = words.length - 1; i >= 0; i--) {
        const [x, y] = spot(xy[2 * i], xy[2 * i + 1]);
        pen.globalAlpha = lit < 0 ? .75 : kind[i] === lit ? .9 : .08;
        pen.fillStyle = colours[kind[i]];
        pen.beginPath();
        pen.arc(x, y, small * (1.6 + 1.1 * Math.log10(Math.max(1, counts[i]))), 0, 7);
        pen.fill();
      }
      pen.globalAlpha = 1;
      const word = words.indexOf(this.knobs.word), near = word < 0 ? [] : nearest(film, word, at).words.map(([i]) => i);
      const rest = words.map((_, i) => i).filter(i => (lit < 0 ? word < 0 : kind[i] === lit) && i !== word && !near.includes(i)).slice(0, 60);
      const wanted = [...(word < 0 ? [] : [word]), ...near, ...rest].map(i => {
        pen.font = `${i === word ? "650 15px" : "13px"} system-ui, "DejaVu Sans", sans-serif`;
        const [x, y] = spot(xy[2 * i], xy[2 * i + 1]);
        return {x, y, width: pen.measureText(words[i]).width, i, font: pen.font};
      });
      for (const i of [...near, ...(word < 0 ? [] : [word])]) {
        const [x, y] = spot(xy[2 * i], xy[2 * i + 1]);
        pen.strokeStyle = ink;
        pen.lineWidth = i === word ? 2.5 : 1.2;
        pen.beginPath();
        pen.arc(x, y, i === word ? 8 : 5, 0, 7);
        pen.stroke();
      }
      for (const {x, y, i, font} of labelled(wanted.slice(0, word < 0 && lit < 0 ? 30 : 60), size, size)) {
        pen.font = font;
        pen.lineWidth = 3;
        pen.strokeStyle = card;
        pen.strokeText(words[i], x, y);
        pen.fillStyle = ink;
        pen.fillText(words[i], x, y);
      }
      canvas.setAttribute("aria-label", `Map of ${words.length} words at step ${film.steps[frameOf(film, at)]}${word < 0 ? "" : `; ${words[word]} is marked, and near it: ${near.map(i => words[i]).join(", ")}`}`);
    });
  }
  tell(at) {
    const said = this.films.map((film, i) => {
      const frame = frameOf(film, at), mrr = film.mrr[frame], rank = film.rank[frame], step = this.box.querySelectorAll("[data-at=step]")[i];
      if (step) step.textContent = film.frames > 1 ? `step ${film.steps[frame].toLocaleString("en")}` : film.about;
      return [film, frame, mrr, rank];
    });
    const number = value => value === null || value === undefined ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(3);
    const heads = said.length > 1 ? `<tr><td></td>${said.map(([film]) => `<th class="number">${clean(film.title.replace("ready-made: ", ""))}</th>`).join("")}</tr>` : "";
    const row = (name, values) => `<tr><th>${clean(name)}</th>${values.map(value => `<td class="number">${value}</td>`).join("")}</tr>`;
    const names = [...new Set(said.flatMap(([film]) => Object.keys(film.figures)))], main = ["effective_rank", "anisotropy", "spread", "nn_cosine_median"];
    const open = this.at(".figures details")?.open ? " open" : "", rows = wanted => `<table>${heads}${wanted.map(name => row(name.replaceAll("_", " "), said.map(([film]) => number(film.figures[name])))).join("")}</table>`;
    this.at(".figures").innerHTML = `<p class="title">At this step</p><table>${heads}${row("effective rank", said.map(([, , , rank]) => rank === null || rank === undefined ? "–" : rank.toFixed(1)))}${row("held-out MRR", said.map(([, , mrr]) => number(mrr)))}</table>
      <p class="title" style="margin-top:.7rem">The saved table</p>${rows(main)}<details${open}><summary class="soft">all its figures</summary>${rows(names.filter(name => !main.includes(name)))}</details>
      ${said.map(([film]) => film.note ? `<p class="soft">${clean(film.note)}</p>` : "").join("")}`;
    const {words} = this.vocab, word = words.indexOf(this.knobs.word), [film] = this.films;
    if (word < 0 || !film) { this.at(".near").innerHTML = '<p class="soft">Choose a dot, or find a word: its neighbours are named.</p>'; return; }
    const near = nearest(film, word, at);
    this.at(".near").innerHTML = `<p class="title">Nearest to ${clean(words[word])}</p><p class="soft">${near.by}</p><table>${near.words.map(([i, value]) => `<tr><td>${clean(words[i])}</td><td class="number">${value.toFixed(3)}</td></tr>`).join("")}</table>`;
    this.at(".aloud").textContent = this.going ? "" : `${words[word]}: nearest ${near.words.slice(0, 3).map(([i]) => words[i]).join(", ")}`;
  }
  pick(film, canvas, event) {
    const box = canvas.getBoundingClientRect(), xy = placed(film, this.shown ?? this.knobs.at), spot = this.frame(film, canvas), {words} = this.page.vocabs[film.vocab];
    let best = -1, least = 22;
    for (let i = 0; i < words.length; i++) {
      const [x, y] = spot(xy[2 * i], xy[2 * i + 1]), far = Math.hypot(x - (event.clientX - box.left), y - (event.clientY - box.top));
      if (far < least) [best, least] = [i, far];
    }
    this.set({word: best < 0 ? "" : words[best]});
  }
}

export const mount = (place, data) => new CrowdingView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new CrowdingView(place, linked(model));
}};
