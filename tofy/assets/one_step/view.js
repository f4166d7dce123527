// The page: one opened stage, the way forwards and back, and where a number comes from.
import {readSteps, trace, indexOf, placeOf} from "./ops.js";

const PARTS = {weights: "Weights", forward: "Read", loss: "Compare", backward: "Gradient", step: "Step", next: "Next"};
const SAYS = [
  [/^ids$/, "Each word is a number: the place of its row in the table. The hidden word is replaced by <mask>."],
  [/^rows$/, "The row of each word, looked up in the table. This table is also what the answer is read from."],
  [/^stream 0$/, "Where the stream of vectors begins, one for each word. Every block adds to it."],
  [/^(turned )?queries/, "What each word asks for, a question for each head."],
  [/^(turned )?keys/, "What each word offers to be found by."],
  [/^values/, "What a word hands over to those who attend to it."],
  [/^scores \d/, "How well each question fits each key, head by head."],
  [/^attention/, "How much of each word (columns) a reader (rows) takes in. Each line sums to 1."],
  [/^read/, "The mixture of values that each head brings back."],
  [/^mixed/, "The heads together, back in the width of the stream."],
  [/^stream .* halfway/, "The stream after attention: now the blank knows of its neighbours."],
  [/^(gate|value|up|inner|added) \d/, "The second half of the block: each place computes by itself."],
  [/^stream/, "The stream after this block."],
  [/^norm/, "Each vector shifted to mean 0 and scaled to variance 1 before it is read."],
  [/^state at the blank/, "Of all the vectors, only that of the blank is used from here on."],
  [/^hidden$/, "What the encoder knows at the blank."],
  [/^prediction$/, "The predicted row of the hidden word: a direction, not yet a word."],
  [/^candidate rows/, "The rows that the prediction is compared with."],
  [/^cosines$/, "How well the prediction points at each candidate."],
  [/^scores$/, "Cosines divided by the temperature: the smaller it is, the sharper the contest."],
  [/^softmax$/, "The share that each candidate gets of the answer."],
  [/^rank$/, "The ranking term: small if the answer's share is large."],
  [/^direction$/, "The squared distance of prediction and target, both of length 1."],
  [/^auxiliary$/, "The same on the hidden state, before the predictor."],
  [/^loss$/, "What this step makes smaller."],
  [/^gradient of scores$/, "The share minus what it should be: negative for the answer (pulled up), positive for its rivals (pushed down)."],
  [/^gradient of table$/, "Which way the loss rises for each row: as a candidate, and as a word of the phrase."],
  [/^gradient/, "How much the loss would rise if this number rose."],
  [/^length of all/, "All gradients of weights as one long vector."],
  [/^clipping/, "If that vector is too long, it is shortened to this share."],
  [/^move of the table/, "How far each row is moved. A matrix is moved by the run's own optimizer, too."],
  [/^how far/, "The answer's row and its rivals: how far they moved."],
  [/^cosines with the old/, "The old prediction and the moved rows: the answer should come nearer."],
  [/^next prediction/, "The same phrase again, with all weights moved."],
  [/^next softmax/, "The share of each candidate after the step. Compare it with softmax."],
];

const escapeText = text => String(text).replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`);
const digits = value => value === 0 ? "0" : Number.isInteger(value) ? String(value) : Math.abs(value) < 1e-4 || Math.abs(value) >= 1e5 ? value.toExponential(3) : value.toFixed(Math.abs(value) < .1 ? 6 : 5);

class SlowMotion {
  constructor(place, data) {
    this.steps = readSteps(data);
    place.dataset.full = "yes";
    place.dataset.lmSuppressShortcuts = "true";                // JupyterLab leaves keys pressed in here alone
    this.root = place.attachShadow({mode: "open"});
    this.root.innerHTML = `<style>${STYLE}</style><section class="tofy-step" aria-label="One step in slow motion"></section>`;
    this.box = this.root.querySelector("section");
    this.number = 0;
    this.frame();
    this.choose(0);
    this.listen();
    this.followTheme();
  }

  frame() {
    const options = this.steps.map(({title, question}, i) => `<option value="${i}">${escapeText([title, question].filter(Boolean).join(": "))}</option>`);
    this.box.innerHTML = `${this.steps.length > 1 ? `<label class="pick"><span>a run and a phrase</span><select data-do="choose">${options.join("")}</select></label>` : ""}
      <p class="asked"></p>
      <div class="parts" role="group" aria-label="Parts of the step"></div>
      <div class="way"><button data-do="back" aria-label="Back">←<span aria-hidden="true"> Back</span></button>
        <select data-do="open" aria-label="Stage"></select>
        <button data-do="forth" class="first" aria-label="Forward"><span aria-hidden="true">Forward </span>→</button></div>
      <div class="stage"></div><div class="aloud" role="status"></div>`;
  }
  at(selector) { return this.box.querySelector(selector); }
  get step() { return this.steps[this.number]; }
  get stage() { return this.step.list[this.place]; }

  choose(number) {
    const name = this.stage?.name ?? "ids";
    this.number = number;
    const {list, question} = this.step, [phrase, answer] = question.split(" => ");
    this.at(".asked").innerHTML = `${escapeText(phrase).replace(/_+|\[MASK\]/i, match => `<b>${match}</b>`)} <i>answer</i> <b>${escapeText(answer)}</b>`;
    const parts = Object.keys(PARTS).filter(part => list.some(stage => stage.part === part));
    this.order = parts.filter(part => part !== "weights").concat("weights").flatMap(part => list.flatMap((stage, i) => stage.part === part ? [i] : []));
    this.at(".parts").innerHTML = parts.filter(part => part !== "weights").concat(parts.filter(part => part === "weights")).map(part => `<button data-do="part" data-part="${part}">${PARTS[part]}</button>`).join("");
    this.at("[data-do=open]").innerHTML = parts.map(part => `<optgroup label="${PARTS[part]}">${list.flatMap((stage, i) => stage.part === part ? [`<option value="${i}">${escapeText(stage.name)}</option>`] : []).join("")}</optgroup>`).join("");
    this.open(Math.max(0, list.findIndex(stage => stage.name === name)));
  }

  open(place, marked = null) {
    this.place = place;
    this.marked = marked;
    this.slice = marked && this.stage.shape.length === 3 ? indexOf(this.stage.shape, marked)[0] : 0;
    const at = this.order.indexOf(place);
    this.at("[data-do=open]").value = place;
    this.at("[data-do=back]").disabled = at === 0;
    this.at("[data-do=forth]").disabled = at === this.order.length - 1;
    for (const button of this.box.querySelectorAll("[data-part]")) button.setAttribute("aria-pressed", button.dataset.part === this.stage.part);
    this.draw();
    this.say(`${this.stage.name}, ${at + 1} of ${this.order.length}`);
  }

  // ---- drawing

  draw() {
    const {stage} = this, says = SAYS.find(([pattern]) => pattern.test(stage.name))?.[1] ?? "";
    const shown = stage.lines.map(lines => lines.length), cut = stage.cut ? `; shown: ${shown.join(" × ")}` : "";
    const heads = stage.shape.length === 3 ? `<div class="slices" role="group" aria-label="Heads">${stage.lines[0].map((head, i) => `<button data-do="slice" data-slice="${i}" aria-pressed="${i === this.slice}">head ${head + 1}</button>`).join("")}</div>` : "";
    this.at(".stage").innerHTML = `<h3>${escapeText(stage.name)}</h3>
      <p class="shape">${stage.shape.length ? `${stage.shape.join(" × ")} (${stage.axes.join(" × ")})${cut}` : "one number"}</p>
      ${says ? `<p class="says">${escapeText(says)}</p>` : ""}<p class="formula">${escapeText(stage.formula)}</p>
      ${this.links("made from", stage.inputs)}${this.links("used by", this.step.users[stage.name] ?? [])}
      ${heads}${stage.shape.length ? '<canvas class="heat" role="img"></canvas><p class="key"></p>' : ""}
      <div class="numbers" tabindex="0" role="group" aria-label="Numbers of ${escapeText(stage.name)}: arrow keys choose one">${this.table()}</div>
      <div class="trace" aria-live="polite"></div>`;
    this.heat();
    this.explain();
  }

  links(title, names) {
    if (!names.length) return "";
    const most = 12, items = names.slice(0, most).map(name => this.step.by[name] ? `<button data-do="jump" data-name="${escapeText(name)}">${escapeText(name)}</button>` : `<em>${escapeText(name)}</em>`);
    return `<div class="links"><span>${title}</span>${items.join("")}${names.length > most ? `<em>and ${names.length - most} more</em>` : ""}</div>`;
  }

  // The two axes that a table shows, and where its number stands among those of the page.
  plane() {
    const {lines, names, axes} = this.stage, deep = lines.length;
    const rows = deep > 1 ? deep - 2 : 0, columns = deep > 1 ? deep - 1 : null;
    const label = (axis, i) => axis === null || !deep ? "" : names[axis] ? names[axis][i] : `${lines[axis][i] + 1}`;
    const place = (row, column) => placeOf(lines.map(all => all.length), deep === 3 ? [this.slice, row, column] : deep === 2 ? [row, column] : deep ? [row] : []);
    const height = deep ? lines[rows].length : 1, width = columns === null ? 1 : lines[columns].length;
    return {height, width, place, label, rowLabel: i => label(rows, i), columnLabel: i => label(columns, i), isAnswer: i => this.isAnswer(axes[rows], lines[rows]?.[i]), deep};
  }
  isAnswer(axis, line) { return axis === "candidate" && line === this.step.answer; }

  get top() { return Math.max(...this.stage.numbers.map(Math.abs), 1e-30); }
  tone(value) { return [value < 0 ? "down" : "up", Math.abs(value) / this.top]; }

  table() {
    const {height, width, place, rowLabel, columnLabel, isAnswer, deep} = this.plane(), {numbers} = this.stage;
    const head = deep > 1 ? `<thead><tr><td class="corner"></td>${Array.from({length: width}, (_, i) => `<th scope="col">${escapeText(columnLabel(i))}</th>`).join("")}</tr></thead>` : "";
    const body = Array.from({length: height}, (_, row) => {
      const cells = Array.from({length: width}, (_, column) => {
        const at = place(row, column), [tone, much] = this.tone(numbers[at]);
        return `<td data-place="${at}" style="--tone: var(--${tone}); --much: ${(.5 * much).toFixed(2)}">${digits(numbers[at])}</td>`;
      });
      const bar = deep === 1 ? `<td class="bar" aria-hidden="true"><i class="${this.tone(numbers[row])[0]}" style="width:${(100 * this.tone(numbers[row])[1]).toFixed(1)}%"></i></td>` : "";
      return `<tr>${deep ? `<th scope="row" class="${isAnswer(row) ? "answer" : ""}">${escapeText(rowLabel(row))}</th>` : ""}${cells.join("")}${bar}</tr>`;
    });
    return `<table>${head}<tbody>${body.join("")}</tbody></table>`;
  }

  heat() {
    const canvas = this.at("canvas");
    if (!canvas) return;
    const {height, width, place} = this.plane(), {numbers} = this.stage, flat = width === 1;
    [canvas.width, canvas.height] = flat ? [height, 1] : [width, height];
    canvas.style.aspectRatio = `${canvas.width} / ${Math.max(canvas.height, canvas.width / (flat ? 24 : 9))}`;
    const pen = canvas.getContext("2d"), style = getComputedStyle(this.box);
    for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
      const [tone, much] = this.tone(numbers[place(row, column)]);
      pen.fillStyle = `rgba(${style.getPropertyValue(`--${tone}`)}, ${much.toFixed(3)})`;
      pen.fillRect(flat ? row : column, flat ? 0 : row, 1, 1);
    }
    const least = numbers.reduce((a, b) => Math.min(a, b)), most = numbers.reduce((a, b) => Math.max(a, b));
    canvas.setAttribute("aria-label", `Heat map of ${this.stage.name}: from ${digits(least)} to ${digits(most)}`);
    this.at(".key").innerHTML = `<span><i class="down"></i>below 0</span><span><i class="up"></i>above 0</span><span>from ${digits(least)} to ${digits(most)}</span>`;
  }

  // What the line of a number is called: cat, 3
  called(stage, place) {
    const index = indexOf(stage.lines.map(lines => lines.length), place);
    return index.map((i, axis) => stage.names[axis]?.[i] ?? (stage.axes[axis] === "head" ? `head ${stage.lines[axis][i] + 1}` : stage.lines[axis][i] + 1)).join(", ");
  }

  explain() {
    const box = this.at(".trace"), {stage, marked} = this;
    for (const cell of this.box.querySelectorAll("td[aria-current]")) cell.removeAttribute("aria-current");
    if (marked === null) { box.innerHTML = "Choose a number, and see what it comes from."; return; }
    this.at(`td[data-place="${marked}"]`)?.setAttribute("aria-current", "true");
    const where = this.called(stage, marked), found = trace(this.step, stage.name, marked);
    const head = `<b>${escapeText(stage.name)}${where && ` [${escapeText(where)}]`} = ${digits(stage.numbers[marked])}</b>`;
    if (!found) {
      const why = stage.part === "weights" ? "This number is where the step begins." : stage.op ? `It is made from ${stage.inputs.join(", ") || "nothing"}; this page does not hold all of these numbers.` : stage.formula;
      box.innerHTML = `${head}<p>${escapeText(why)}</p>`;
      return;
    }
    const most = 60, lines = found.groups.slice(0, most).map(({reads, slope, value}) => `<li>${reads.map(read => this.reading(read)).join(" × ")}${slope === undefined ? "" : ` × slope ${digits(slope)}`}${reads.length > 1 || slope !== undefined ? ` = ${digits(value)}` : ""}</li>`);
    const rest = found.groups.length > most ? `<li>and ${found.groups.length - most} more</li>` : "";
    box.innerHTML = `${head}<p class="formula">${escapeText(stage.op === "back" ? "the sum of gradient × slope over all that was made from it" : stage.formula)}</p><p>It comes from ${found.groups.length} ${found.groups.length === 1 ? "line" : "lines"}; computed again here: ${digits(found.value)}.</p><ul tabindex="0" aria-label="What it comes from">${lines.join("")}${rest}</ul>`;
  }
  reading({name, place, value}) {
    const where = this.called(this.step.by[name], place);
    return `<button data-do="jump" data-name="${escapeText(name)}" data-mark="${place}">${escapeText(name)}${where && ` [${escapeText(where)}]`}</button> ${digits(value)}`;
  }

  // ---- listening

  listen() {
    this.root.addEventListener("click", ({target}) => {
      const button = target.closest("button[data-do]"), cell = target.closest("td[data-place]");
      if (button) this[`on_${button.dataset.do}`](button.dataset, button);
      else if (cell) { this.marked = +cell.dataset.place; this.explain(); }
    });
    this.root.addEventListener("change", ({target}) => target.dataset.do && this[`on_${target.dataset.do}`]({value: +target.value}));
    this.root.addEventListener("keydown", event => this.key(event));
  }
  on_choose({value}) { this.choose(value); }
  on_open({value}) { this.open(value); }
  on_back() { this.go(-1); }
  on_forth() { this.go(1); }
  on_part({part}) { this.open(this.step.list.findIndex(stage => stage.part === part)); }
  on_slice({slice}) { this.slice = +slice; this.marked = null; this.draw(); this.at(`[data-slice="${slice}"]`).focus(); }
  on_jump({name, mark}) {
    this.open(this.step.list.findIndex(stage => stage.name === name), mark === undefined ? null : +mark);
    this.at(".numbers").focus({preventScroll: true});
    this.at("td[aria-current]")?.scrollIntoView({block: "nearest", inline: "nearest"});
  }
  go(by) {
    const next = this.order[this.order.indexOf(this.place) + by];
    if (next !== undefined) this.open(next);
  }

  key(event) {
    const move = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    if (event.target.closest(".way, .parts") && event.target.tagName === "BUTTON" && move && move[1]) { this.go(move[1]); event.preventDefault(); return; }
    if (!move || !event.target.classList.contains("numbers")) return;
    event.preventDefault();
    const {height, width, place} = this.plane(), all = Array.from({length: height * width}, (_, i) => place(Math.floor(i / width), i % width));
    const now = this.marked === null ? -1 : all.indexOf(this.marked), row = Math.floor(now / width), column = now % width;
    const inside = (value, size) => Math.max(0, Math.min(size - 1, value));
    this.marked = now < 0 ? all[0] : place(inside(row + move[0], height), inside(column + move[1], width));
    this.explain();
    this.at("td[aria-current]").scrollIntoView({block: "nearest", inline: "nearest"});
  }
  say(text) { this.at(".aloud").textContent = text; }

  // Light and dark, as the page or JupyterLab has it, or else the reader's system.
  followTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)"), apply = () => {
      const {theme} = document.documentElement.dataset, lab = document.body.dataset.jpThemeLight;
      this.box.classList.toggle("dark", theme === "dark" || theme !== "light" && (lab ? lab === "false" : system.matches));
      this.heat();
    };
    for (const node of [document.documentElement, document.body]) new MutationObserver(apply).observe(node, {attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light"]});
    system.addEventListener("change", apply);
    apply();
  }
}

export const mountStep = (place, data) => new SlowMotion(place, data);

// For anywidget: JupyterLab, VS Code, Colab.
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  mountStep(place, model.get("page"));
}};
