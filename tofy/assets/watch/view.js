// The training panel's screen: a moving map, dials and a probe phrase of one run, or of two in step, and a slider over all that was seen.

const TRAIL = 10, NAMED = 14, PACE = 90;                     // looks a trail is long; common words with a name; ms a look, when played

const escapeText = text => String(text).replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`);
const whole = value => Math.round(value).toLocaleString("en-US"), percent = value => `${(100 * value).toFixed(value < .095 ? 1 : 0)}%`;
const endsOf = xy => [0, 1].flatMap(axis => { const all = xy.filter((_, i) => i % 2 === axis); return [Math.min(...all), Math.max(...all)]; });
const lastBefore = (list, step) => list.findLast(one => one.step <= step);

class Screen {
  constructor(place, model) {
    this.model = model;
    this.sides = [];
    this.step = null;                                        // null: the newest look, also when another comes
    place.dataset.lmSuppressShortcuts = "true";                // JupyterLab leaves keys pressed in here alone
    this.root = place.attachShadow({mode: "open"});
    this.root.innerHTML = `<style>${STYLE}</style><section class="tofy-watch" aria-label="What the run looks like"><p class="empty">The map appears with the first looks of a run.</p>
      <div class="sides" hidden></div><div class="time" hidden><canvas class="strip" role="img"></canvas>
      <input type="range" min="0" step="any" aria-label="Time: arrow keys go from look to look"><div class="ends"><span>0</span><span class="end"></span></div>
      <div class="way"><button data-do="play" aria-label="Play what was seen">▶ Play</button><button data-do="back" aria-label="Back by one look">←</button>
      <button data-do="forth" aria-label="Forward by one look">→</button><button data-do="newest" aria-pressed="true">Newest</button><output></output></div>
      <p class="key"><span class="model line"><i></i>held-out MRR</span><span class="ink line"><i></i>effective rank, of D</span><span class="second" hidden>dashed: the run beside</span><span class="broken"><i></i>changed meanwhile</span></p></div>
      <div class="aloud" role="status"></div></section>`;
    this.box = this.root.querySelector("section");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.listen();
  }
  at(selector) { return this.box.querySelector(selector); }
  get there() { return this.sides.filter(side => side?.looks.length); }
  get lead() { return this.there[0]; }
  get look() { return this.step === null ? this.lead.looks.at(-1) : lastBefore(this.lead.looks, this.step) ?? this.lead.looks[0]; }

  // What the kernel tells: all about a run but its looks, and the looks from number `start` on.
  hear({side: number, told, start, looks}) {
    if (!told) { this.sides[number] = undefined; if (number === 0) this.step = null; return this.lay(); }
    const side = this.sides[number] ??= {looks: []}, fresh = side.looks.length === 0 || side.title !== told.title;
    if (start > side.looks.length) return this.model.send({want: "all"});
    Object.assign(side, told);
    side.looks.length = start;
    side.looks.push(...looks);
    side.frame = [0, 1].map(axis => { const all = side.looks.flatMap(look => look.ends ??= endsOf(look.xy)).filter((_, i) => i % 4 >> 1 === axis); return [Math.min(...all), Math.max(...all)]; });
    fresh ? this.lay() : this.draw();
  }

  // ---- one column a run

  lay() {
    this.at(".empty").hidden = this.there.length > 0;
    this.at(".sides").hidden = this.at(".time").hidden = this.there.length === 0;
    this.at(".sides").className = `sides ${this.there.length > 1 ? "two" : "one"}`;
    this.at(".second").hidden = this.there.length < 2;
    this.at(".sides").innerHTML = this.there.map(side => `<section class="side"><header><h3>${escapeText(side.title)}</h3><span class="when"></span><span class="broken"></span></header>
      <div><canvas class="map" role="img"></canvas><p class="key"><span class="model"><i></i>the model's five</span>${Object.keys(side.exact ?? {}).length ? '<span class="best ring"><i></i>the best five</span>' : ""}</p></div>
      <div class="told"><div class="dial rank"></div><div class="dial loss"></div><div class="probe"></div></div></section>`).join("");
    if (this.lead) this.draw();
  }

  draw() {
    if (!this.lead) return;
    const {look} = this, x = this.placeOf(look), {end, by} = this.lead, slider = this.at("input");
    slider.max = Math.max(end, this.placeOf(this.lead.looks.at(-1)));
    slider.value = x;
    slider.setAttribute("aria-valuetext", `step ${look.step}`);
    this.at(".end").textContent = by === "step" ? `${whole(slider.max)} steps` : `${whole(slider.max)} s`;
    this.at("output").textContent = `step ${whole(look.step)}, ${whole(look.seconds)} s`;
    this.at("[data-do=newest]").setAttribute("aria-pressed", this.step === null);
    this.at("[data-do=play]").textContent = this.player ? "❚❚ Stop" : "▶ Play";
    this.there.forEach((side, i) => this.drawSide(side, this.box.querySelectorAll(".side")[i], lastBefore(side.looks, look.step) ?? side.looks[0]));
    this.strip();
    if (!this.asked) this.asked = requestAnimationFrame(() => { this.asked = 0; this.move(); });
  }
  placeOf(look) { return this.lead.by === "step" ? look.step : look.seconds; }

  drawSide(side, place, look) {
    const find = selector => place.querySelector(selector), last = lastBefore(side.figures, look.step), now = lastBefore(side.changes, look.step)?.now ?? [];
    side.look = look;
    find(".when").textContent = `step ${whole(look.step)}`;
    find(".broken").textContent = now.join(", ");
    find(".rank").innerHTML = `<b>effective rank</b><span>${look.rank.toFixed(1)} of ${side.dim}</span><span class="bar"><i style="width:${100 * look.rank / side.dim}%"></i></span><small>directions that ${side.rank_of} use; 1: collapsed</small>`;
    find(".loss").innerHTML = this.gap(last);
    const exact = side.exact?.[look.asked], share = Object.fromEntries(exact ?? []);
    const rows = look.top.map(([word, value]) => `<li><span>${escapeText(word)}</span><span class="bar"><i style="width:${100 * value}%"></i>${exact ? `<u style="left:${100 * (share[word] ?? 0)}%"></u>` : ""}</span><b>${percent(value)}</b></li>`);
    find(".probe").innerHTML = `<p class="asked">${escapeText(look.asked).replace(/_+|\[MASK\]|&#60;mask&#62;/i, match => `<b>${match}</b>`)}</p>${look.why ? `<p class="why">${escapeText(look.why)}</p>` : `<ol>${rows.join("")}</ol>`}
      ${exact ? `<p><small class="exact">best possible: ${exact.slice(0, 5).map(([word, value]) => `${escapeText(word)} ${percent(value)}`).join(", ")}</small></p>` : ""}`;
    find(".map").setAttribute("aria-label", `Map of ${side.words.length} words at step ${look.step}; the model's five: ${look.top.map(([word]) => word).join(", ")}`);
  }

  // What training says of itself (one word among 33), and what a user finds (one among all).
  gap(figure) {
    if (!figure) return "<b>gap</b><span>–</span><small>after the first validation</small>";
    const {top1, said} = figure, bar = (from, to, kind = "") => `<i class="${kind}" style="left:${100 * from}%;width:${100 * Math.max(0, to - from)}%"></i>`;
    if (said === null) return `<b>held-out top-1</b><span>${percent(top1)}</span><span class="bar">${bar(0, top1)}</span><small>read by a quick probe</small>`;
    return `<b>gap</b><span>${(said - top1).toFixed(2)}</span><span class="bar">${bar(0, Math.min(top1, said))}${bar(top1, said, "gap")}</span><small>training: ${percent(said)} right, of 33 words; a user: ${percent(top1)}, of all</small>`;
  }

  // ---- the maps: points glide to where they belong

  move() {
    let busy = false;
    this.there.forEach((side, i) => {
      const {xy} = side.look, ease = this.calm || !side.drawn ? 1 : .25;
      side.drawn ??= xy.slice();
      for (let k = 0; k < xy.length; k++) { const far = xy[k] - side.drawn[k]; busy ||= Math.abs(far) > 1; side.drawn[k] += ease * far; }
      this.map(this.box.querySelectorAll(".map")[i], side);
    });
    if (busy) this.asked = requestAnimationFrame(() => { this.asked = 0; this.move(); });
  }

  pen(canvas) {
    const ratio = globalThis.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight, pen = canvas.getContext("2d");
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) { canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio); }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, wide, high);
    return {pen, wide, high, style: getComputedStyle(this.box)};
  }

  map(canvas, side) {
    const {pen, wide, style} = this.pen(canvas), colour = name => style.getPropertyValue(`--${name}`), [[x0, x1], [y0, y1]] = side.frame;
    const scale = (wide - 32) / Math.max(x1 - x0, y1 - y0, 1), middle = [(x0 + x1) / 2, (y0 + y1) / 2];       // of all looks: the frame only ever grows
    const at = (xy, w) => [.5 * wide + scale * (xy[2 * w] - middle[0]), .5 * wide - scale * (xy[2 * w + 1] - middle[1])], {words, looks, look, drawn} = side;
    const here = looks.indexOf(look), past = looks.slice(Math.max(0, here - TRAIL), here + 1), five = new Set(look.top.map(([word]) => word));
    const best = new Set((side.exact?.[look.asked] ?? []).slice(0, 5).map(([word]) => word)), taken = [];
    pen.strokeStyle = colour("trail"); pen.lineWidth = 1.2;
    for (let i = 1; i < past.length; i++) {
      pen.globalAlpha = .6 * i / past.length; pen.beginPath();
      for (let w = 0; w < words.length; w++) { pen.moveTo(...at(past[i - 1].xy, w)); pen.lineTo(...at(past[i].xy, w)); }
      pen.stroke();
    }
    pen.globalAlpha = 1;
    const order = words.map((_, w) => w).sort((a, b) => five.has(words[a]) - five.has(words[b]) || best.has(words[a]) - best.has(words[b]) || b - a);
    for (const w of order) {
      const [x, y] = at(drawn, w), special = five.has(words[w]);
      pen.fillStyle = colour(special ? "model" : "dot"); pen.beginPath(); pen.arc(x, y, special ? 5 : 2.4, 0, 7); pen.fill();
      if (best.has(words[w])) { pen.strokeStyle = colour("best"); pen.lineWidth = 2; pen.beginPath(); pen.arc(x, y, 8, 0, 7); pen.stroke(); }
    }
    for (const w of order.reverse()) {                         // names, those that matter first; one that would lie on another is left out
      const special = five.has(words[w]) || best.has(words[w]);
      if (!special && w >= NAMED) continue;
      pen.font = `${special ? "600 " : ""}12px system-ui, sans-serif`;
      const [x, y] = at(drawn, w), width = pen.measureText(words[w]).width, left = Math.min(x + 9, wide - width - 2);
      if (taken.some(([l, t, r]) => left < r + 3 && left + width > l - 3 && Math.abs(y - t) < 13)) continue;
      taken.push([left, y, left + width]);
      pen.fillStyle = colour(five.has(words[w]) ? "model" : special ? "best" : "soft"); pen.textBaseline = "middle"; pen.fillText(words[w], left, y);
    }
  }

  // ---- the course of the run, from 0 to its planned end

  strip() {
    const canvas = this.at(".strip"), {pen, wide, high, style} = this.pen(canvas), colour = name => style.getPropertyValue(`--${name}`), {by} = this.lead;
    const x = one => 8 + (wide - 16) * one[by] / (+this.at("input").max || 1), y = value => high - 4 - (high - 18) * value;
    const paint = (points, tone, dashes) => { pen.strokeStyle = colour(tone); pen.lineWidth = 2; pen.setLineDash(dashes); pen.beginPath(); points.forEach(([a, b], i) => i ? pen.lineTo(a, b) : pen.moveTo(a, b)); pen.stroke(); pen.setLineDash([]); };
    pen.strokeStyle = colour("line"); pen.lineWidth = 1;
    for (const value of [0, .5, 1]) { pen.beginPath(); pen.moveTo(8, y(value)); pen.lineTo(wide - 8, y(value)); pen.stroke(); }
    const soft = () => { pen.fillStyle = colour("soft"); pen.font = "11px system-ui, sans-serif"; pen.textBaseline = "bottom"; };
    this.there.forEach((side, i) => {
      for (const {name, began, ended} of side.spans) {
        const from = x(began), to = x(ended ?? side.looks.at(-1));
        pen.fillStyle = colour("broken"); pen.globalAlpha = .16; pen.fillRect(from, i ? high - 10 : 14, Math.max(2, to - from), i ? 10 : high - 18); pen.globalAlpha = 1;
        if (!i) { pen.font = "11px system-ui, sans-serif"; pen.textBaseline = "top"; pen.fillText(name, Math.min(from, wide - 8 - pen.measureText(name).width), 1); }
      }
      const dashes = i ? [5, 4] : [];
      paint(side.looks.map(look => [x(look), y(look.rank / side.dim)]), "ink", dashes);
      paint(side.figures.map(figure => [x(figure), y(figure.mrr)]), "model", dashes);
    });
    soft(); pen.fillText("1", 0, y(1) + 6); pen.fillText("0", 0, y(0) + 4);
    const here = x(this.look);
    pen.strokeStyle = colour("strong"); pen.lineWidth = 1.5; pen.beginPath(); pen.moveTo(here, 12); pen.lineTo(here, high); pen.stroke();
    const figure = lastBefore(this.lead.figures, this.look.step);
    canvas.setAttribute("aria-label", `Held-out MRR ${figure ? figure.mrr.toFixed(2) : "not measured yet"} and effective rank ${this.look.rank.toFixed(1)} at step ${this.look.step}; ${this.lead.spans.map(({name, began, ended}) => `${name} from step ${began.step}${ended ? ` to ${ended.step}` : ""}`).join(", ") || "nothing was changed"}`);
  }

  // ---- listening

  listen() {
    this.model.on("msg:custom", message => this.hear(message));
    this.root.addEventListener("click", ({target}) => { const button = target.closest("[data-do]"); if (button) this[`on_${button.dataset.do}`](); });
    const slider = this.at("input");
    slider.addEventListener("input", () => this.go(this.lead.looks.findLast(look => this.placeOf(look) <= +slider.value + 1e-9) ?? this.lead.looks[0]));
    slider.addEventListener("keydown", event => {
      const by = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9}[event.key];
      if (by) { event.preventDefault(); this.by(by); }
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.followTheme();
    this.model.send({want: "all"});
  }
  on_back() { this.by(-1); }
  on_forth() { this.by(1); }
  on_newest() { this.stop(); this.step = null; this.draw(); }
  on_play() {
    if (this.player) { this.stop(); return this.draw(); }
    if (this.look === this.lead.looks.at(-1)) this.step = this.lead.looks[0].step;
    this.player = setInterval(() => this.by(1, true), PACE);
    this.draw();
  }
  stop() { clearInterval(this.player); this.player = 0; }
  by(many, playing = false) {
    const {looks} = this.lead, next = Math.max(0, Math.min(looks.length - 1, looks.indexOf(this.look) + many));
    if (!playing || next === looks.length - 1) this.stop();
    this.go(looks[next]);
  }
  go(look) {
    this.step = look.step;
    this.draw();
    if (!this.player) this.at(".aloud").textContent = `step ${look.step}, effective rank ${look.rank.toFixed(1)}`;
  }

  // Light and dark, as the page or JupyterLab has it, or else the reader's system.
  followTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)"), apply = () => {
      const {theme} = document.documentElement.dataset, lab = document.body.dataset.jpThemeLight;
      this.box.classList.toggle("dark", theme === "dark" || theme !== "light" && (lab ? lab === "false" : system.matches));
      requestAnimationFrame(() => this.draw());              // JupyterLab hides everything for a moment
    };
    for (const node of [document.documentElement, document.body]) new MutationObserver(apply).observe(node, {attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light"]});
    system.addEventListener("change", apply);
    apply();
  }
}

// For anywidget: JupyterLab, VS Code, Colab.
export default {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  const screen = new Screen(place, model);
  return () => screen.stop();
}};
