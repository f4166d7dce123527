// What a model costs before it is trained: parameters and memory by part, steps and passes, for the recipe `tofy`.
import {LivePanel, alone, linked, clean, percent} from "./common.js";

export const PARTS = ["weights", "gradients", "moments", "activations", "ranking", "workspace"];
const FACTORS = [.25, .5, 1, 2, 4], BATCHES = [0, 8, 16, 32, 64, 128, 256, 512, 1024];
const VOCABS = [100, 300, 1000, 2000, 4000, 8000, 16000, 24000, 32000], LENGTHS = [8, 16, 32, 48, 72, 128, 256];
const GROWS = {   // what makes a part larger
  weights: "They grow with dim, layers and words; a smaller batch does not help.",
  gradients: "They are as many as the parameters; a smaller batch does not help.",
  moments: "The optimizer keeps them for every parameter; a smaller batch does not help.",
  activations: "They grow with the batch, the length of the phrases, dim and layers.",
  ranking: "It compares every blank with every word: it grows with the batch and with the words.",
  workspace: "A step needs it for a moment; it grows with the batch, the length of the phrases and dim."};

// As Python rounds and writes: of two numbers equally near, the even one.
export function fixed(value, digits = 0) {
  const power = 10 ** digits, low = Math.floor(value * power);
  const tidy = value * power - low === .5 ? (low + low % 2) / power : value;
  return tidy.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
}
const whole = value => fixed(value), megabytes = bytes => bytes < 1e9 ? `${fixed(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB` : `${fixed(bytes / 1e9, bytes < 1e10 ? 2 : 0)} GB`;
const share = value => `${fixed(100 * value)}%`, sum = parts => Object.values(parts).reduce((a, b) => a + b, 0);

// ---- the formulas of the chapter, with the recipe's settings

const inside = dim => Math.max(Math.floor(Math.floor(dim * 8 / 3) / 8), 1) * 8;      // how wide a gated feed-forward network is
const matrices = dim => 4 * dim * dim + 3 * dim * inside(dim);                      // of a block, without biases

export function parameters({dim, layers}, rows) {
  return {table: rows * dim, blocks: layers * (matrices(dim) + 5 * dim + 2 * inside(dim)), norms: (2 * layers + 1) * 2 * dim,
          predictor: dim * dim + dim, temperature: 1};
}
export const expected = (n, rate) => n > 0 ? n * rate + (1 - rate) ** n : 0;         // blanks in a phrase of n words

export function activations({dim, layers, heads}, batch, length, blanks) {
  const tokens = batch * length, inner = 4 * inside(dim);
  const block = tokens * (12 * dim + inner + heads + 4);
  const last = tokens * (7 * dim + heads + 2) + blanks * (7 * dim + inner + 2);      // … at the blanks alone
  return tokens * dim + ((layers - 1) * block + last) + blanks * dim * 4;
}
// Numbers kept for backward, more in forward, more in backward.
export function ranking(dim, rows, blanks, {whole_table, shared}) {
  const unit = blanks * dim;
  if (rows <= whole_table) return [unit + rows * dim + blanks * dim + blanks * rows, 0, Math.max(blanks * rows + rows * dim, 3 * rows * dim - blanks * rows)];
  return [unit + 2 * (blanks + shared) * dim + 6 / 4 * blanks * shared, 4.25 * blanks * shared, Math.max(2 * blanks * shared, rows * dim)];
}
// Bytes by part at the peak of a step, for a batch of phrases of this length.
export function memory(knobs, rows, batch, length, recipe) {
  const {dim, layers, max_seq} = knobs, learnt = sum(parameters(knobs, rows)), blanks = batch * expected(length, recipe.mask_rate);
  const [kept, there, back] = ranking(dim, rows, blanks, recipe);
  const beside = Math.max(66 * blanks * dim, there, back, 4 * inside(dim) * batch * length) - learnt;
  const sizes = {weights: learnt + max_seq * dim, gradients: learnt, moments: 2 * learnt - (layers * matrices(dim) + dim * dim),
                 activations: activations(knobs, batch, length, blanks), ranking: kept, workspace: Math.max(0, beside)};
  return Object.fromEntries(Object.entries(sizes).map(([part, n]) => [part, Math.trunc(4 * n)]));
}

// ---- what is said of a text and a model

// What is known of the text: counted beforehand or by Python (the entry for the largest limits that these knobs reach, else the smallest), or a size alone.
export function textOf(knobs, {texts, recipe}) {
  if (knobs.text === "size") {
    const mean = Math.min(knobs.mean, knobs.max_seq);
    return {rows: knobs.max_vocab, phrases: knobs.phrases, positions: Math.round(knobs.phrases * mean), mean, blanks: expected(mean, recipe.mask_rate),
            unknown_share: 0, under_five_share: 0, cut_share: 0, longest: knobs.max_seq, warnings: []};
  }
  const reached = name => { const limits = texts.map(text => text[name]); return Math.max(Math.min(...limits), ...limits.filter(limit => limit <= knobs[name])); };
  const [max_vocab, max_seq] = [reached("max_vocab"), reached("max_seq")];
  return texts.find(text => text.max_vocab === max_vocab && text.max_seq === max_seq);
}
export function sizes(knobs, page) {
  const text = textOf(knobs, page), {recipe} = page, suited = Math.min(Math.max(Number(fixed(2048 / Math.max(text.mean, 1)).replace(",", "")), 8), 256);
  const wanted = knobs.batch || suited, batch = Math.min(wanted, text.phrases), counts = parameters(knobs, text.rows);
  const bytes = memory(knobs, text.rows, Math.max(batch, 1), text.longest, recipe), a_step = batch * text.blanks, words = Math.max(text.positions, 1);
  const steps = n => a_step ? Math.ceil(n / (a_step / words) - 1e-9) : 0, total = sum(counts);
  return {text, wanted, batch, counts, bytes, a_step, steps: [steps(5), steps(10)], parameters: total, per_example: total / words, memory: sum(bytes),
          passes: knobs.unit === "steps" ? knobs.long * a_step / words : Infinity,
          largest: PARTS.reduce((a, b) => bytes[b] > bytes[a] ? b : a)};
}
export function warnings(knobs, page) {
  const found = sizes(knobs, page), {text, wanted} = found, {far, card} = page.recipe;
  return [...text.warnings, ...[
    [found.per_example > far, `The model has ${whole(found.parameters)} parameters, ${whole(found.per_example)} for each of ${whole(text.positions)} effective examples, more than we ever tried; compare it with a smaller --dim.`],
    [wanted > text.phrases, `A batch of ${whole(wanted)} is larger than the text, which has ${whole(text.phrases)} phrases; a smaller --batch makes more steps of each pass.`],
    [text.cut_share > .5, `${share(text.cut_share)} of the phrases are cut; a larger --max-seq reads more.`],
    [text.unknown_share > .1, `${share(text.unknown_share)} of the tokens are unknown; a larger --max-vocab knows more words.`],
    [text.under_five_share > .5, `${share(text.under_five_share)} of the words are seen fewer than five times and will hardly be learnt; more text is worth more than a larger model.`],
    [found.passes < 1, `The run ends after ${fixed(found.passes, 2)} passes (--steps ${knobs.long}), before it has hidden each word once on average; give it more steps.`],
    [found.memory > card, `A step needs about ${fixed(found.memory / 1e9, 1)} GB; if that is too much, make --batch smaller first, then --max-seq.`],
  ].filter(([wrong]) => wrong).map(([, sentence]) => sentence)];
}
export function sentence(knobs, page) {
  const {bytes, largest, memory: all, batch} = sizes(knobs, page);
  return `A step needs ${megabytes(all)} with ${whole(batch)} phrases in a batch. The largest part, ${share(bytes[largest] / all)}: ${largest}. ${GROWS[largest]}`;
}

// While a slider is moved the page computes alone; Python hears of it when the hand has come to rest.
function patient(home) {
  let ahead = {}, timer;
  return {linked: true, get knobs() { return {...home.knobs, ...ahead}; }, get page() { return home.page; }, heard: look => home.heard(look),
    tell(changes) {
      ahead = {...ahead, ...changes};
      clearTimeout(timer);
      timer = setTimeout(() => { const all = ahead; ahead = {}; home.tell(all); }, 250);
    }};
}

class SizingView extends LivePanel {
  constructor(place, home) {
    super(place, home, "What a model costs");
    const bars = many => Array.from({length: many}, (_, row) => PARTS.map(part => `<rect class="part ${part}" data-bar="${row}" data-part="${part}"/>`).join("")).join("");
    this.box.innerHTML = `<div class="card sizes"><svg role="img"><g>${bars(FACTORS.length + 1)}</g><g class="labels"></g></svg><div class="legend" aria-hidden="true"></div></div>
      <p class="said fault" role="alert" hidden></p><div class="knobs"></div><div class="said telling" role="status"></div>
      <div class="main half" style="margin-top:.9rem"><div class="card"><p class="title">Parameters</p><div class="bars"></div></div><div class="card"><p class="title">A run</p><table class="run"></table></div></div>
      <div class="row" style="margin-top:.9rem" hidden></div><details hidden><summary>The whole report</summary><div class="scroll"><table></table></div></details>`;
    [this.fault, this.report, this.tools] = [".fault", "details", ".row"].map(name => this.at(name));
    this.at(".knobs").append(...this.sliders());
    this.trial = this.button("try two seconds", () => this.set({trial: this.knobs.trial + 1}), "train for two seconds to estimate the time");
    this.tools.append(this.trial);
    this.tools.hidden = !home.linked;
    this.begin();
  }
  sliders() {
    const {slider, choice} = {slider: this.slider.bind(this), choice: this.choice.bind(this)};
    return [
      slider("dim", "dim", {least: 16, most: 512, step: 16, says: "D, numbers in a vector; a multiple of 16, so that heads divide it"}),
      slider("layers", "layers", {least: 1, most: 8, step: 1, says: "transformer blocks"}),
      this.stops("batch", "batch", BATCHES, n => n ? whole(n) : this.known ? `auto: ${whole(sizes(this.knobs, this.page).batch)}` : "auto", "phrases in a batch; auto: as many as hold about 2,048 tokens"),
      this.stops("max_seq", "longest phrase", LENGTHS, n => this.met(n, "longest"), "max_seq: how many tokens of a phrase are read"),
      this.stops("max_vocab", "most words", VOCABS, n => this.met(n, "rows"), "max_vocab: most rows of the table, three specials included"),
      slider("long", "length of the run", {least: 0, most: 6, step: .1, log: true, show: whole, says: "how many steps or seconds"}),
      choice("unit", "counted in", [["steps", "steps"], ["seconds", "seconds"]]),
      choice("heads", "heads", [1, 2, 4, 8].map(n => [n, `${n}`]), "attention heads; every choice divides every dim here"),
      choice("text", "text", [["read", this.page.source === "builtin" ? "the built-in text" : this.page.source], ["size", "another: I know its size"]], "what the model reads"),
      slider("phrases", "phrases", {least: 2, most: 7, step: .1, log: true, show: whole, says: "how many phrases there are to train on"}),
      slider("mean", "words a phrase", {least: 2, most: 64, step: 1, says: "how many on average"}),
    ];
  }
  // A limit, and what the text has of it, if that is less.
  met(limit, name) {
    const there = this.known ? textOf(this.knobs, this.page)[name] : limit;
    return there < limit ? `${whole(limit)} (text: ${whole(there)})` : whole(limit);
  }
  get known() { return this.knobs.text === "size" || this.page.texts.length > 0; }
  // A slider over a few values; one that Python set between them is shown beside its nearest.
  stops(name, label, values, show, says) {
    const node = this.slider(name, label, {least: 0, most: values.length - 1, step: 1, says}), input = node.querySelector("input");
    const fresh = input.cloneNode();                                            // without the listener that tells a place in the list
    input.replaceWith(fresh);
    fresh.addEventListener("input", () => this.set({[name]: values[Number(fresh.value)]}));
    this.controls[name] = value => {
      const far = values.map(other => Math.abs(Math.log((other + 1) / (value + 1))));
      fresh.value = far.indexOf(Math.min(...far));
      node.querySelector("output").textContent = show(value);
      fresh.setAttribute("aria-valuetext", `${show(value)}`);
    };
    return node;
  }
  set(changes) {
    for (const name of ["long", "phrases"]) if (name in changes) changes[name] = Math.max(1, Math.round(changes[name]));
    super.set(changes);
  }
  look() {
    const {knobs, page} = this, bySize = knobs.text === "size";
    for (const name of ["phrases", "mean"]) this.at(`[data-knob=${name}]`).closest(".knob").hidden = !bySize;
    this.fault.hidden = !page.fault || bySize;
    this.fault.innerHTML = `⚠ ${clean(page.fault)}${page.trace ? `<details><summary>traceback</summary><pre class="scroll">${clean(page.trace)}</pre></details>` : ""}`;
    const told = page.report && Object.entries(page.report.of).every(([name, value]) => name === "trial" || knobs[name] === value) && !bySize ? page.report : null;
    const trying = knobs.trial !== page.tried;
    [this.trial.disabled, this.trial.textContent] = [trying || bySize, trying ? "trying …" : "try two seconds"];
    this.report.hidden = !this.home.linked || !told;
    this.report.querySelector("table").innerHTML = (told?.rows ?? []).map(([name, value]) => `<tr><th>${clean(name)}</th><td>${clean(value)}</td></tr>`).join("");
    this.box.classList.toggle("empty", !this.known);
    if (!this.known) return;
    const found = sizes(knobs, page), wrong = told ? told.warnings : warnings(knobs, page);
    this.draw(found, wrong.length);
    this.tell(found, told, wrong);
  }
  tell({text, batch, counts, bytes, a_step, steps, parameters: all, per_example, memory: total, largest, passes}, told, wrong) {
    const {knobs, page} = this, most = Math.max(...Object.values(counts)), row = (name, value) => `<tr data-row="${name}"><th>${name}</th><td class="number">${value}</td></tr>`;
    this.at(".bars").innerHTML = Object.entries(counts).map(([name, n]) => `<span>${name}</span><i class="of-model" style="width:${(100 * n / most).toFixed(1)}%"></i><span data-count="${name}" style="text-align:right">${whole(n)}</span>`).join("")
      + `<b>in all</b><span></span><b data-count="all" style="text-align:right">${whole(all)}</b>`;
    this.at("table").innerHTML = [["phrases to train on", whole(text.phrases)], ["effective examples", whole(text.positions)], ["rows of the table", whole(text.rows)], ["tokens in the longest phrase", whole(text.longest)], ["parameters an example", fixed(per_example, 1)],
      ["phrases in a batch", whole(batch)], ["blanks a step", fixed(a_step, 1)], ["steps for 5 to 10 passes", `${whole(steps[0])} to ${whole(steps[1])}`],
      ["this run", knobs.unit === "steps" ? `${fixed(passes, passes < 10 ? 1 : 0)} passes` : `${whole(knobs.long)} s`], ["memory in all", megabytes(total)],
      ...(told?.time ?? [])].map(([name, value]) => row(clean(name), clean(value))).join("");
    const key = part => `<span class="part ${part}${part === largest ? " largest" : ""}"><i></i><span>${part} ${megabytes(bytes[part])}</span></span>`;
    this.at(".legend").innerHTML = `<div><small>of the model, whatever the batch</small>${PARTS.slice(0, 3).map(key).join("")}</div><div><small>of the batch</small>${PARTS.slice(3).map(key).join("")}</div>`;
    this.at(".telling").innerHTML = `${clean(sentence(knobs, page)).replace(`: ${largest}.`, `: <b>${largest}</b>.`)}${wrong.map(words => `<p class="warning">⚠ ${clean(words)}</p>`).join("")}`;
  }
  // A wide bar for this batch, cut by its parts, and thin ones for smaller and larger batches, all on one scale of bytes.
  draw({text, batch, bytes, memory: total, largest}, wrong) {
    const {knobs, page: {recipe}} = this, svg = this.at("svg"), wide = Math.max(260, svg.clientWidth || 700), left = 52, right = 74, span = wide - left - right;
    const rows = FACTORS.map(factor => { const n = Math.max(Math.floor(Math.max(batch, 1) * factor), 1); return [n, memory(knobs, text.rows, n, text.longest, recipe), factor]; })
      .filter(([n], i, all) => all.findIndex(([other]) => other === n) === i);
    const most = Math.max(...rows.map(([, parts]) => sum(parts))), near = most > recipe.card / 4, end = near ? Math.max(most, 1.04 * recipe.card) : most;
    const lay = (bar, parts, scale, x, y, height) => {
      for (const part of PARTS) {
        const rect = svg.querySelector(`[data-bar="${bar}"][data-part="${part}"]`), width = parts ? parts[part] * scale : 0;
        for (const [name, value] of Object.entries({x, y, height, width: Math.max(0, width - (width > 3 ? 1.5 : 0))})) rect.setAttribute(name, value.toFixed(1));
        rect.classList.toggle("largest", part === largest);
        x += width;
      }
    };
    lay(0, bytes, wide / total, 0, 34, 54);
    const begin = PARTS.slice(0, PARTS.indexOf(largest)).reduce((x, part) => x + bytes[part], 0) * wide / total, long = bytes[largest] * wide / total, middle = begin + long / 2;
    const words = `${largest} ${share(bytes[largest] / total)} of ${megabytes(total)}`;
    const y = i => 118 + 26 * i;
    FACTORS.forEach((_, i) => lay(i + 1, rows[i]?.[1], span / end, left, y(i), 17));
    const limit = left + span * recipe.card / end, foot = y(FACTORS.length) + 16;
    svg.querySelector(".labels").innerHTML = `<path class="ink" stroke-width="1.5" d="M${begin + 1} 31V26H${begin + long - 1}V31"/>
      <text y="18" class="headline">${words}</text>
      <text class="soft" x="0" y="108">batch</text>${wrong ? `<text x="${wide}" y="108" text-anchor="end">⚠ ${wrong === 1 ? "a warning" : `${wrong} warnings`}, see below</text>` : ""}
      ${rows.map(([n, parts, factor], i) => `<text x="${left - 8}" y="${y(i) + 14}" text-anchor="end"${factor === 1 ? ' class="now"' : ""}>${whole(n)}</text>
        <text x="${(left + span * sum(parts) / end + 6).toFixed(1)}" y="${y(i) + 14}"${factor === 1 ? ' class="now"' : ""}>${megabytes(sum(parts))}</text>`).join("")}
      ${near ? `<path class="ink" stroke-dasharray="5 4" d="M${limit} ${y(0) - 6}V${y(rows.length)}"/><text class="soft" x="${Math.min(limit, wide - 2)}" y="${y(rows.length) + 12}" text-anchor="${limit > wide / 2 ? "end" : "middle"}">8 GB: a laptop’s card</text>` : ""}`;
    const name = svg.querySelector(".headline"), needs = name.getComputedTextLength();
    name.setAttribute("x", Math.max(0, Math.min(wide - needs, middle - needs / 2)).toFixed(1));
    svg.setAttribute("viewBox", `0 0 ${wide} ${foot}`);
    svg.setAttribute("aria-label", `Memory by part; ${PARTS.map(part => `${part} ${megabytes(bytes[part])}`).join(", ")}. With other batches: ${rows.map(([n, parts]) => `${whole(n)} phrases ${megabytes(sum(parts))}`).join(", ")}.`);
  }
}

export const mount = (place, data) => new SizingView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new SizingView(place, patient(linked(model)));
}};
