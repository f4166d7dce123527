// The parts of the page as HTML: every control is made from its knob, and is found again by `data-knob` or `data-do`.
import {KNOBS, valueOf} from "./settings.js";
import {PRESETS} from "./presets.js";
import {TASKS} from "./tasks.js";

export function skeleton(settings, linked) {
  return `<div class="tofy-play"><h2>A model that learns while you watch</h2><p class="lead">Each dot is a word. One word of the phrase is hidden, and the
    <span class="model">blue arrow</span> is the model's guess where it lies: it should point at the <span class="answer">violet dot</span>. Choose a story:</p>
  <div class="presets" role="group" aria-label="presets">${PRESETS.map(({name}, i) =>
    `<button data-do="preset" data-index="${i}" aria-pressed="false">${name}</button>`).join("")}</div>
  <p class="says" data-at="says"></p>
  <div class="main"><section class="stage" aria-label="the words">
    <div class="row"><button class="first" data-do="play">Play</button><button data-do="step">One step</button>
      <button data-do="rewind" title="to step 0; drag the history to come back">Rewind</button>
      <button data-do="reset" title="start again, with the knobs as they are">Reset</button>
      <label class="speed">speed <select aria-label="steps a picture" data-do="speed">${[1, 2, 5, 20].map(n => `<option${n === 2 ? " selected" : ""}>${n}</option>`).join("")}</select></label></div>
    <div class="phrase"><label>the blank <select data-do="blank"></select></label> <span data-at="phrase"></span></div>
    <p class="verdict" data-at="verdict"></p>
    <canvas class="words" role="img" tabindex="0"></canvas>
    <p class="legend"><span class="model">prediction</span><span class="answer">answer, pulled to</span><span class="context">neighbours</span><span class="rival">pushed away</span></p>
    <input class="time" type="range" data-do="seek" min="0" max="0" value="0" aria-label="history: drag to rewind">
    <canvas class="chart" role="img" aria-label="top-1 and alike over the history; the dials have the figures"></canvas>
    <p class="legend"><span class="model">top-1</span><span class="alike">alike</span><span class="unigram dashed">unigram</span><span class="best dashed">exact best</span><b data-at="step"></b></p>
    ${linked ? `<div class="row end"><button data-do="link">Copy link</button></div>` : ""}
  </section>
  <section class="side"><div class="dials" data-at="dials"></div>
    <details class="terms"><summary>What the dials say</summary>${TERMS_TOLD}</details>
    <h3>Try this <span data-at="count"></span></h3><ol class="tasks">${TASKS.map(task =>
      `<li data-task="${task.name}"><details><summary>${task.says}</summary><p>${task.hint}</p></details></li>`).join("")}</ol></section></div>
  <div class="knobs">${["Language", "Target", "Loss", "Learning"].map(group => fieldset(group, settings)).join("")}</div>
  <details class="formulas" open><summary>The formulas</summary>${FORMULAS}</details>
  <p class="aloud" role="status" aria-live="polite" data-at="aloud"></p></div>`;
}

function fieldset(group, settings) {
  const note = group === "Loss" ? `<p class="total">the weight of each term</p>` : "";
  return `<fieldset><legend>${group}</legend>${note}${KNOBS.filter(knob => knob.group === group).map(knob => control(knob, settings)).join("")}</fieldset>`;
}

function control({name, label, says, options, toggle, whole, range}, settings) {
  const hook = `data-knob="${name}"`, hint = says ? `<small>${says}</small>` : "";
  if (options) return `<label class="knob">${label}<select ${hook}>${options.map(([value, said]) => `<option value="${value}">${said}</option>`).join("")}</select></label>`;
  if (toggle) return `<label class="knob check"><input type="checkbox" ${hook}>${label}${hint}</label>`;
  if (whole) return `<label class="knob">${label}<input type="number" ${hook} min="0" max="9999" step="1"></label>`;
  return `<label class="knob">${label}<output data-value="${name}"></output><input type="range" ${hook} min="${range[0]}" max="${range[1]}" step="${range[2]}">${hint}</label>`;
}

// Bring every control to what the settings say; those that count for nothing now are greyed.
export function showSettings(root, settings) {
  for (const knob of KNOBS) {
    const input = root.querySelector(`[data-knob=${knob.name}]`), value = valueOf(settings, knob.name), off = knob.needs && !knob.needs(settings);
    if (knob.toggle) input.checked = value; else if (root.activeElement !== input || knob.options) input.value = knob.log ? Math.log10(value).toFixed(2) : value;
    input.disabled = Boolean(off);
    input.closest(".knob").classList.toggle("off", Boolean(off));
    const shown = root.querySelector(`[data-value=${knob.name}]`);
    if (shown) shown.textContent = brief(value);
    if (knob.range) input.setAttribute("aria-valuetext", brief(value));
  }
}
export const brief = value => value === 0 ? "0" : Math.abs(value) >= .01 ? String(+value.toPrecision(3)) : value.toPrecision(2).replace(/\.?0+(e|$)/, "$1");

// The value that a control stands at; undefined where it says nothing that the knob could be.
export function readControl(input) {
  const {toggle, options, whole, log, range} = KNOBS.find(({name}) => name === input.dataset.knob);
  if (toggle) return input.checked;
  if (options) return options.find(([value]) => String(value) === input.value)?.[0];
  if (whole) return /^\d{1,4}$/.test(input.value) ? Number(input.value) : undefined;
  const value = Math.min(range[1], Math.max(range[0], Number(input.value)));
  return log ? +(10 ** value).toPrecision(6) : value;
}

// ---- what is going on, in a sentence

const often = share => { const n = Math.round(100 * share); return n === 1 ? "once" : `${n} times`; };

export function verdictOf(g, grammar, settings, {now, jump, frames, at}) {
  const right = `The nearest word is right ${often(g.top1)} in 100`, best = `the best anybody could do is ${often(grammar.best)}`;
  const blind = `whoever always says the commonest word is right ${often(grammar.common)}`;
  if (g.alike > .97) return ["dead", "Collapsed.", g.top1 > 1.5 * grammar.common
    ? `All words point nearly the same way; a last trace of them still tells them apart. ${right}; ${blind}.`
    : `All words point the same way, so the arrow points at every one of them. ${g.total < .05
      ? `The loss is ${g.total.toFixed(3)}: it could hardly be better, and the model is useless.` : `The loss is ${g.total.toFixed(2)}.`} ${right}; ${blind}.`];
  if (jump > .5) return ["dead", "Too hot.", `The words jump about and find nothing. ${right}; ${blind}.`];
  if (!now.step) return ["", "Before the first step.", `The words lie anywhere. ${right}; ${blind}.`];
  if (now.step > 100 && jump < STILL && g.top1 < .75 * grammar.best) return ["dead", "Too cold.", `The words hardly move. ${right}; ${blind}.`];
  if (g.top1 >= .75 * grammar.best) return ["good", "It has learnt.", `The arrow finds its own word. ${right}; ${best}.`];
  if (g.alike > .6) {
    const parting = before(frames, at) - g.alike > .005;
    return parting ? ["", "Coming apart.", `The words point less and less the same way. ${right}; ${best}.`]
      : ["dead", "Running together.", `Many words point much the same way. ${right}; ${best}.`];
  }
  return ["", "Learning.", `${right}; ${blind}, and ${best}.`];
}
const STILL = 2e-4;                                          // of a word's way in one step: in 1,000 steps a fifth of the circle's radius

// How alike the words were when last looked at, ten frames ago or more.
const before = (frames, at) => frames.slice(0, Math.max(0, at - 10)).findLast(({alike}) => alike !== undefined)?.alike ?? 0;

// ---- dials

const dial = (name, value, share, marks, note = "") => `<div class="dial"><span>${name}</span><b>${value}</b>
  <div class="bar"><i style="width:${(100 * Math.max(0, Math.min(1, share))).toFixed(1)}%"></i>${marks.filter(([, at]) => at >= 0 && at <= 1)
    .map(([what, at]) => `<u class="${what}" style="left:${(100 * at).toFixed(1)}%"></u>`).join("")}</div>${note ? `<small>${note}</small>` : ""}</div>`;

const SAYS_FLOOR = {softmax: ": the language's own uncertainty", cosine: ": the best found in this D", sampled: ": every rival opposite", direction: ": a dead table has it"};

export function dialsOf(g, grammar, limit, floors, {weights}, dim) {
  const best = limit ? limit.top1.toFixed(2) : "…", top = dial("top-1", g.top1.toFixed(2), g.top1,
    [["unigram", grammar.common], ["here", limit?.top1 ?? -1], ["best", grammar.best]],
    `<span class="unigram">unigram ${grammar.common.toFixed(2)}</span> <span class="here" title="top-1 where the cosine loss is the best found in this D">where the cosine loss is least ${best}</span> <span class="best">exact best ${grammar.best.toFixed(2)}</span>`);
  const terms = Object.entries(weights).filter(([, weight]) => weight > 0).map(([term]) => {
    const floor = floors[term], scale = term === "direction" ? 2 : Math.log(grammar.words) * 1.3;
    return dial(`loss: ${term}`, g[term].toFixed(3), g[term] / scale, [["floor", floor === undefined ? -1 : floor / scale]],
      `<span class="floor">floor ${floor === undefined ? "…" : floor.toFixed(3)}${SAYS_FLOOR[term]}</span>`);
  });
  return top + terms.join("") + dial("cosine with the answer", g.cosine_.toFixed(3).replace("-", "−"), g.cosine_, [["mistake", g.inflated]],
    `<span class="mistake">${g.inflated.toFixed(3)} by a common mistake: the squared error averaged over the D = ${dim} numbers</span>`)
    + dial("alike", g.alike.toFixed(2), g.alike, [], `1: all words point the same way (collapse); 0: every way`)
    + (g.rank === null ? "" : dial("effective rank", g.rank.toFixed(1), g.rank / dim, [], g.alike > .9 ? "of noise: look at “alike” first" : `of ${dim}`));
}

const TERMS_TOLD = `<dl><dt>top-1</dt><dd>how often the nearest word is the right one; “unigram” has whoever always says the commonest word,
    and nobody passes “exact best”, since the language leaves some blanks open</dd>
  <dt>loss</dt><dd>what training makes small; its floor is the least that it can be</dd>
  <dt>cosine</dt><dd>1 where the arrow points straight at the answer, 0 at a right angle to it, −1 the other way</dd>
  <dt>alike</dt><dd>how much all words point the same way; where that is 1, every word is as near to the arrow as any other</dd>
  <dt>D</dt><dd>how many numbers a word is: 2 on a circle, 3 on a globe</dd></dl>`;

const FORMULAS = `<dl><dt>context</dt><dd>c = A·e<sub>left</sub> + B·e<sub>right</sub></dd>
  <dt>prediction</dt><dd>p = W·c; with the predictor off, (e<sub>left</sub> + e<sub>right</sub>) / 2</dd>
  <dt>candidates</dt><dd>t<sub>w</sub> = e<sub>w</sub>, or contextual: t<sub>w</sub> = C·e<sub>w</sub> + E·c; from the model or from its slow copy</dd>
  <dt>softmax</dt><dd>−p·t<sub>a</sub> + log Σ<sub>w</sub> exp(p·t<sub>w</sub>)</dd>
  <dt>cosine</dt><dd>the same with cos(p, t<sub>w</sub>)/τ</dd><dt>sampled</dt><dd>the same over the answer and some random words</dd>
  <dt>direction</dt><dd>‖p̂ − t̂<sub>a</sub>‖² = 2 (1 − cos(p, t<sub>a</sub>))</dd>
  <dt>step</dt><dd>x ← x − rate · gradient (matrices: · “matrices learn” as well); rows back to length 1; copy ← decay · copy + (1 − decay) · x</dd>
  <dt>top-1</dt><dd>how often the t<sub>w</sub> with the highest cosine is right; cosines that differ by less than .001 are a tie, drawn by lot</dd>
  <dt>alike</dt><dd>‖mean of all t̂<sub>w</sub>‖: 0 where they point everywhere, 1 where all are one</dd></dl>`;
