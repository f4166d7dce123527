// The page itself: what was asked, and how the answers, the chart and the map are drawn.
"use strict";

const FIRST = "the dog _ at the postman .";                // the first question
const UNSURE = 1 / 3;                                       // an answer that is right less often than this is called a guess
const SHOWN = 8;                                            // rows of answers
const NAMES = {best: "best possible", everyday: "everyday English", tofy: "this course's recipe", notes: "the recipe of the notes",
               bigram: "pairs of words", unigram: "counting words only"};
const at = id => document.getElementById(id);
const percent = p => p >= .0995 ? `${Math.round(100 * p)}%` : p >= .00095 ? `${(100 * p).toFixed(1)}%` : "< 0.1%";
const number = n => n.toLocaleString("en-GB");

// What is asked now: tokens with null at the blank, the word that stood there (null: not known), the ready phrase it is of.
const asked = {tokens: [], place: 0, word: null, ready: null};
// `data`: the world of the recipe, with its words: the recipes of the course share one, everyday English has its own.
const state = {worlds: {}, data: null, models: {}, recipe: "everyday", found: {}, temperature: null, rivals: 32, stops: [], chosen: null, turn: 0};

// An element: make("td", {class: "rank"}, "1", otherElement, …).
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "circle"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A bar of a share of its width, with its number in words beside it.
function bar(share, label) {
  const fill = make("i");
  fill.style.setProperty("--bar", Math.min(Math.max(share, 0), 1));
  return make("div", {class: "bar"}, make("span", {"aria-hidden": "true"}, fill), make("span", {}, label));
}

const wordCell = (word, mark) => make("td", {class: "word"}, word, ...mark ? [make("small", {}, mark)] : []);

// ---------------------------------------------------------------- asking

// Ask for a blank: every loaded model of this world answers, and the page is drawn once.
async function ask(tokens, word = null, ready = null) {
  const turn = ++state.turn, data = state.data;
  Object.assign(asked, {tokens, place: tokens.indexOf(null), word, ready});
  drawPhrase();
  if (!state.models[state.recipe]) return;                  // still loading; start() asks again
  const ids = tofy.encode(data, tokens), found = {};
  for (const [name, model] of Object.entries(state.models).filter(([name]) => name in data.runs)) {
    const answer = await model.ask(ids);
    answer.order = tofy.order(data, answer.cosines);
    answer.point = tofy.onPlane(data.runs[name], unit(answer.pred));
    found[name] = answer;
  }
  if (turn !== state.turn) return;                          // something else was asked meanwhile
  state.found = found;
  draw();
  await drawSure(turn, ids);
}

// Nothing is asked: the answer to what was asked before goes.
function forget(why) {
  state.turn++;
  Object.assign(asked, {tokens: [], place: 0, word: null, ready: null});
  state.found = {};
  drawPhrase();
  for (const table of ["said", "exact"]) at(table).tBodies[0].replaceChildren();
  for (const id of ["exact-says", "temperature-says", "sure-says", "rivals-says"]) at(id).textContent = "";
  at("exact").hidden = true;
  at("sure-bar").replaceChildren();
  at("warning").hidden = true;
  at("verdict").textContent = why;
  if (state.models[state.recipe]) drawMap();
}

const unit = vector => { const length = Math.hypot(...vector); return Array.from(vector, v => v / length); };

// The question in the text field; what is wrong with it is said below it.
function askTyped() {
  try {
    const tokens = tofy.readBlank(at("typed").value), most = state.data.max_seq;
    if (tokens.length > most) throw new Error(`The phrase has ${tokens.length} tokens and this model reads ${most}; shorten it.`);
    drawUnknown(tokens);
    return ask(tokens);
  } catch (error) {
    at("trouble").textContent = error.message;
    forget("Nothing is asked yet.");
  }
}

// What is said of unknown words: the known ones nearest to each, to be pressed, and whether everyday English knows them.
function drawUnknown(tokens) {
  const unknown = [...new Set(tokens.filter(token => token !== null && !state.data.ids.has(token)))];
  if (!unknown.length) { at("trouble").textContent = ""; return; }
  const parts = [`Not in the vocabulary, read as unknown: ${unknown.join(", ")}.`];
  const press = (label, does) => {
    const button = make("button", {type: "button"}, label);
    button.addEventListener("click", does);
    return button;
  };
  for (const word of unknown) {
    const near = tofy.similar(state.data, word);
    if (near.length) parts.push(make("span", {class: "near"}, ` Nearest to “${word}”: `, ...near.map(other => press(other, () => exchange(word, other)))));
  }
  const wide = state.worlds.everyday, better = unknown.filter(word => wide.ids.has(word));
  if (state.data !== wide && better.length)
    parts.push(make("span", {class: "near"}, ` Everyday English knows ${better.length === unknown.length ? "them all" : better.join(", ")}: `,
                    press("ask it", () => { at("recipes").querySelector("[value=everyday]").click(); askTyped(); })));
  at("trouble").replaceChildren(...parts);
}

// Put a known word where an unknown one stands, and ask again.
function exchange(word, other) {
  const tokens = asked.tokens.map(token => token === word ? other : token);
  at("typed").value = spelt(tokens);
  at("typed").focus();
  return askTyped();
}

// Tokens as they are typed; the blank is an underscore, or [MASK] where an underscore is text.
function spelt(tokens) {
  const mark = tokens.some(token => token?.includes("_")) ? "[MASK]" : "_";
  return tokens.map(token => token ?? mark).join(" ");
}

// Hide the word at `place` of the phrase shown; the word hidden so far (or, unknown, the model's own answer) is put back.
function hide(place) {
  if (!answered()) return;
  const back = asked.word ?? state.data.words[answered().order[0]];
  const tokens = asked.tokens.map(token => token ?? back), word = tokens[place];
  show(tokens, place, asked.ready, word);
  at("phrase").querySelector(".blank").focus();
}

function show(tokens, place, ready, word = tokens[place]) {
  const blanked = tokens.with(place, null);
  at("typed").value = spelt(blanked);
  drawUnknown(blanked);
  return ask(blanked, word, ready);
}

// One of the ready phrases, with a random word of it hidden.
function another() {
  const phrases = state.data.phrases, ready = phrases[Math.floor(Math.random() * phrases.length)];
  const places = ready.tokens.flatMap((token, i) => /^\p{L}/u.test(token) ? [i] : []);
  return show(ready.tokens, places[Math.floor(Math.random() * places.length)], ready);
}

const answered = () => state.found[state.recipe];
const rankOf = (answer, word) => answer.order.indexOf(state.data.ids.get(word)) + 1;      // 0: not a known word
// Of a ready phrase: the exact law of the blank, {rank, p, spread, top: [[word, p] …]}; null where it is not known.
function law() {
  if (!asked.ready?.laws) return null;
  const [rank, p, spread, ...flat] = asked.ready.laws[asked.place];
  return {rank, p, spread, top: flat.flatMap((word, i) => i % 2 ? [] : [[word, flat[i + 1]]])};
}

// ---------------------------------------------------------------- drawing the answers

function draw() {
  drawPhrase();
  drawAnswers();
  drawExact();
  drawVerdict();
  drawWarning();
  drawRivals();
  drawMap();
}

function drawPhrase() {
  const top = answered()?.order[0];
  const parts = asked.tokens.map((token, i) => {
    if (token === null) {
      const guess = top === undefined ? "…" : state.data.words[top];
      return make("span", {class: "blank", tabindex: -1}, make("span", {class: "hidden"}, "blank, filled with: "), guess);
    }
    const known = state.data.ids.has(token), button = make("button", {type: "button", ...known ? {} : {class: "unknown"}}, token);
    if (!known) button.title = "not among the words it was trained on";
    button.addEventListener("click", () => hide(i));
    return button;
  });
  const focused = document.activeElement?.classList.contains("blank");
  at("phrase").replaceChildren(...parts);
  if (focused) at("phrase").querySelector(".blank")?.focus();
}

function drawAnswers() {
  const {data} = state, answer = answered(), found = tofy.shares(data, answer.cosines, state.temperature), rows = [];
  const row = (id, rank, far) => {
    const word = data.words[id], own = word === asked.word;
    return make("tr", {class: (own ? "answer" : "") + (far ? " far" : "")}, make("td", {class: "rank"}, number(rank)),
      wordCell(word, own && "stood here"), make("td", {}, bar(answer.cosines[id], answer.cosines[id].toFixed(3))),
      make("td", {class: "number"}, percent(found[id])));
  };
  answer.order.slice(0, SHOWN).forEach((id, i) => rows.push(row(id, i + 1, false)));
  const rank = asked.word === null ? 0 : rankOf(answer, asked.word);
  if (rank > SHOWN) rows.push(row(data.ids.get(asked.word), rank, true));
  at("said").tBodies[0].replaceChildren(...rows);
  at("temperature-value").textContent = `τ = ${state.temperature.toFixed(state.temperature < .1 ? 3 : 2)}`;
  at("temperature").setAttribute("aria-valuetext", `${state.temperature.toFixed(3)}: the nearest word has ${percent(found[answer.order[0]])}`);
  const exact = law(), spread = tofy.spread(found), learned = data.runs[state.recipe].temperature;
  at("temperature-says").textContent = `Shares are exp(cosine / τ), scaled to sum to 1 over all ${number(data.count)} words: here as if ` +
    `spread evenly over ${spread.toFixed(1)} words${exact ? `, the exact answer over ${exact.spread.toFixed(1)}` : ""}. ` +
    (state.recipe === "everyday" ? `At ${learned.toFixed(3)} they fit held-out phrases best.` :
     `This model was trained ${state.recipe === "tofy" ? "to a temperature of" : "at"} ${learned.toFixed(3)}.`);
}

// How sure the answer is: how much the first five share, and whether the model knows this kind of phrase (it asks itself).
async function drawSure(turn, ids) {
  const {data, recipe} = state, answer = answered();
  if (recipe !== "everyday" || !answer) return;
  const found = tofy.shares(data, answer.cosines, data.runs.everyday.temperature), top = answer.order.slice(0, 5);
  const right = tofy.rightness(data.right, found[top[0]]), unsure = right < UNSURE;
  const five = top.reduce((sum, id) => sum + found[id], 0), spread = tofy.spread(found);
  at("sure-bar").replaceChildren(bar(five, percent(five)));
  const says = `The first five have ${percent(five)} together; the shares are as if spread evenly over ${spread.toFixed(1)} words. ` +
    `In held-out phrases like those it learned from, a first word with such a share was ${right ? `right in ${percent(right)}` : "hardly ever right"}.`;
  at("sure-says").replaceChildren(says);
  drawWarning({unsure: unsure && right});
  const familiar = ids.length > 24 ? NaN : await tofy.familiar(data, state.models.everyday, ids, answer.order[0], data.runs.everyday.temperature);
  if (turn !== state.turn) return;
  const strange = familiar < data.familiar.threshold;
  document.documentElement.dataset.familiar = familiar.toFixed(3);
  at("sure").classList.toggle("strange", strange);
  drawWarning({unsure: unsure && right, strange});
  at("sure-says").replaceChildren(says + " ", ...Number.isNaN(familiar) ? [] : strange
    ? [make("strong", {}, "I don't know this kind of phrase."), ` Hidden in turn, its other words surprise the model more than in 19 of 20 phrases ` +
       "like those it learned from; don't trust the answer."]
    : ["Hidden in turn, its other words surprise the model no more than in phrases like those it learned from."]);
}

// What speaks against the answer, beside it: words that were read as unknown, a phrase unlike those it learned from, a mere guess.
function drawWarning({unsure = false, strange = false} = {}) {
  const words = asked.tokens.filter(token => token !== null && /[\p{L}\p{N}]/u.test(token));
  const unknown = words.filter(token => !state.data.ids.has(token)), says = [];
  if (unknown.length) says.push(`It does not know ${unknown.length === words.length ? "a single word of the phrase" :
    `${number(unknown.length)} of the ${number(words.length)} words around the blank`} and answers without ${unknown.length > 1 ? "them" : "it"}.`);
  if (strange && unknown.length) says.push("What is left is no kind of phrase it learned from: don't trust the answer.");
  else if (strange) says.push("It knows the words, but has read nothing like this phrase: don't trust the answer.");
  if (unsure !== false) says.push(`It is guessing: where it was as unsure as this in phrases of its own kind, its first word was ${unsure ? `right in ${percent(unsure)}` : "hardly ever right"}.`);
  at("warning").textContent = says.join(" ");
  at("warning").hidden = !says.length;
}

function drawExact() {
  const exact = law(), rows = [];
  const row = (rank, word, p, far) => make("tr", {class: (word === asked.word ? "answer" : "") + (far ? " far" : "")},
    make("td", {class: "rank"}, rank), wordCell(word, word === asked.word && "stood here"), make("td", {}, bar(p, percent(p))));
  if (exact) {
    exact.top.slice(0, SHOWN).forEach(([word, p], i) => rows.push(row(i + 1, word, p, false)));
    if (exact.rank > SHOWN) rows.push(row(exact.rank, asked.word, exact.p, true));
  }
  at("exact").hidden = !exact;
  at("exact").tBodies[0].replaceChildren(...rows);
  at("exact-says").textContent = exact
    ? "The text is made by a grammar whose every probability is known, so the exact answer is, too. No model can do better than this."
    : "Known for the ready phrases only: there the grammar that made the text tells every probability. Press “Another phrase”.";
  at("best").hidden = state.recipe === "everyday";
  at("sure").hidden = state.recipe !== "everyday";
}

function drawVerdict() {
  const {data} = state, answer = answered(), other = {tofy: "notes", notes: "tofy"}[state.recipe], exact = law(), says = [];
  const strong = (kind, text) => make("b", {class: kind}, `“${text}”`);
  says.push("The model says ", strong("model", data.words[answer.order[0]]), ` (cosine ${answer.cosines[answer.order[0]].toFixed(2)}).`);
  const rank = asked.word === null ? 0 : rankOf(answer, asked.word);
  if (rank === 1) says.push(" That is the word that stood there");
  else if (rank) says.push(" The word that stood there, ", strong("answer", asked.word), `, is its number ${number(rank)} of ${number(data.count)}`);
  if (rank) says.push(exact ? `; the best possible answer has it at number ${exact.rank}, with ${percent(exact.p)}.` : ".");
  if (state.found[other]) {
    const theirs = state.found[other], word = data.words[theirs.order[0]];
    says.push(` Trained by ${NAMES[other]}, it says `, strong("model", word));
    says.push(rank > 0 && word !== asked.word ? ` and has “${asked.word}” at number ${number(rankOf(theirs, asked.word))}.` : ".");
  }
  at("verdict").replaceChildren(...says);
}

// ---------------------------------------------------------------- rivals

// The ways of ranking that this world has figures of.
const ranked = () => Object.keys(NAMES).filter(name => name in state.data.ranks);

// The chart: how often the answer comes first, by the number of rivals (logarithmic), a line for each way of ranking.
function drawChart() {
  const width = Math.max(at("chart").clientWidth, 240), height = Math.round(140 + .32 * width), {data, stops} = state;
  const [left, right, top, foot] = [44, 14, 12, 44], most = data.count - 1;
  const x = rivals => left + (width - left - right) * Math.log(rivals) / Math.log(most), y = p => top + (height - top - foot) * (1 - p);
  const chart = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
    "Lines falling as rivals are added; the table beside gives their heights at the chosen number of rivals."});
  for (const p of [0, .25, .5, .75, 1]) {
    chart.append(make("line", {class: "axis", x1: left, x2: width - right, y1: y(p), y2: y(p)}),
                 make("text", {x: left - 6, y: y(p) + 4, "text-anchor": "end"}, percent(p).replace("< 0.1%", "0%")));
  }
  for (const k of [1, 4, 32, 256, most]) chart.append(make("text", {x: x(k), y: height - foot + 18, "text-anchor": k === most ? "end" : "middle"}, number(k)));
  chart.append(make("text", {x: (left + width) / 2, y: height - 5, "text-anchor": "middle"}, "random rivals K"));
  for (const name of ranked()) {
    const line = stops.map(k => `${x(k).toFixed(1)},${y(tofy.firstOfMany(data.ranks[name], data.count, k)).toFixed(1)}`);
    chart.append(make("path", {class: `c-${name}`, d: `M${line.join("L")}`, ...name === "best" ? {"stroke-dasharray": "6 4"} : {}}));
  }
  chart.append(make("line", {class: "now", y1: top, y2: height - foot}));
  for (const name of ranked()) chart.append(make("circle", {class: `c-${name}`, r: 4.5}));
  state.place = (k, odds) => {
    const line = chart.querySelector(".now");
    line.setAttribute("x1", x(k));
    line.setAttribute("x2", x(k));
    chart.querySelectorAll("circle").forEach((dot, i) => { dot.setAttribute("cx", x(k)); dot.setAttribute("cy", y(odds[i])); });
  };
  at("chart").replaceChildren(chart);
}

// A chance in words; only what is certain is called so.
const oftenness = p => p === 1 ? "in every draw" : p === 0 ? "in no draw" : p > .995 ? "in more than 99% of draws" : `in ${percent(p).replace("<", "fewer than")} of draws`;

function drawRivals() {
  const {data, rivals} = state, odds = ranked().map(name => tofy.firstOfMany(data.ranks[name], data.count, rivals));
  const most = data.count - 1;
  at("rivals-value").textContent = rivals === most ? `all ${number(most)} other words` : number(rivals);
  at("rivals").setAttribute("aria-valuetext", `${rivals} rivals: ` + ranked().map((name, i) => `${NAMES[name]} ${percent(odds[i])}`).join(", "));
  state.place(rivals, odds);
  at("odds").tBodies[0].replaceChildren(...ranked().map((name, i) =>
    make("tr", {class: `c-${name}`}, make("td", {}, NAMES[name]), make("td", {}, percent(odds[i])))));
  const answer = answered(), rank = answer && asked.word !== null ? rankOf(answer, asked.word) : 0;
  const chance = tofy.first(rank, data.count, rivals);
  at("rivals-says").textContent = !rank ? "" : `The blank above: “${asked.word}” is number ${number(rank)} of ${number(data.count)}, so it beats ` +
    `${rivals === most ? "all other words" : rivals === 1 ? "a random rival" : `${number(rivals)} random rivals`} ${oftenness(chance)}.`;
}

// ---------------------------------------------------------------- the map

const map = {points: {}, scale: 1, middle: [0, 0]};

// Where the words of a recipe's table lie, in units of the map's half-width, and how to bring other points there.
function pointsOf(name) {
  const {data, models} = state, {rows, dim} = models[name], about = data.runs[name];
  const points = data.words.map((_, id) => id < data.specials ? null : tofy.onPlane(about, rows.subarray(id * dim, id * dim + dim)));
  const ends = [0, 1].map(i => points.flatMap(p => p ? [p[i]] : [])).map(all => [Math.min(...all), Math.max(...all)]);
  const [cx, cy] = ends.map(([low, high]) => (low + high) / 2), reach = Math.max(...ends.map(([low, high]) => (high - low) / 2));
  const place = ([x, y]) => [(x - cx) / reach, (cy - y) / reach];
  return {points: points.map(p => p && place(p)), place};
}

const here = () => map.points[state.recipe] ??= pointsOf(state.recipe);
const zoom = () => 2 ** Number(at("zoom").value);

// Map units → pixels of the canvas.
function project([x, y]) {
  const size = map.width / 2 * .94 * zoom();
  return [map.width / 2 + size * (x - map.middle[0]), map.height / 2 + size * (y - map.middle[1]) * map.height / map.width];
}

function drawMap() {
  const canvas = at("map"), style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(`--${name}`);
  const {data} = state, {points, place} = here(), answer = answered();
  map.width = at("plot").clientWidth;
  map.height = Math.round(map.width * .78);
  const dots = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [map.width * dots, map.height * dots];
  canvas.style.height = `${map.height}px`;
  pen.setTransform(dots, 0, 0, dots, 0, 0);
  map.middle = zoom() > 1 && state.chosen !== null ? points[state.chosen] : [0, 0];
  const top = new Set(answer ? answer.order.slice(0, SHOWN) : []), taken = [];
  const size = id => 1.5 + 1.1 * Math.log10(1 + data.counts[id]) * (1 + .25 * Math.log2(zoom()));
  const dot = (id, fill, radius) => { const [x, y] = project(points[id]); pen.fillStyle = fill; pen.beginPath(); pen.arc(x, y, radius, 0, 7); pen.fill(); };
  const label = (id, ink, must) => {
    const [x, y] = project(points[id]), word = data.words[id], wide = pen.measureText(word).width;
    const left = x + 8 + wide > map.width ? x - 8 - wide : x + 7;
    const box = [left - 2, y - 9, left + wide + 2, y + 7];
    if (box[0] < 0 || box[1] < 0 || box[3] > map.height) { if (!must) return; }
    if (!must && taken.some(b => box[0] < b[2] && box[2] > b[0] && box[1] < b[3] && box[3] > b[1])) return;
    taken.push(box);
    pen.lineWidth = 3; pen.strokeStyle = colour("paper"); pen.strokeText(word, left, y + 4);
    pen.fillStyle = ink; pen.fillText(word, left, y + 4);
  };
  pen.clearRect(0, 0, map.width, map.height);
  pen.globalAlpha = .55;
  points.forEach((p, id) => p && !top.has(id) && dot(id, colour("line-strong"), size(id)));
  pen.globalAlpha = 1;
  top.forEach(id => dot(id, colour("model"), size(id) + 1.5));
  if (answer) {                                              // the prediction, as far out as its direction reaches
    const [x, y] = project(place(answer.point));
    pen.fillStyle = colour("model"); pen.strokeStyle = colour("paper"); pen.lineWidth = 2;
    pen.beginPath(); pen.moveTo(x, y - 9); pen.lineTo(x + 9, y); pen.lineTo(x, y + 9); pen.lineTo(x - 9, y); pen.closePath(); pen.fill(); pen.stroke();
    taken.push([x - 10, y - 10, x + 10, y + 10]);
  }
  pen.font = "600 13px system-ui, sans-serif";
  if (state.chosen !== null) { dot(state.chosen, colour("answer"), size(state.chosen) + 3); label(state.chosen, colour("answer"), true); }
  if (answer) for (const id of answer.order.slice(0, 4)) if (id !== state.chosen) label(id, colour("model"), false);
  pen.font = "12px system-ui, sans-serif";
  let named = 0;
  for (let id = data.specials; id < points.length && named < 32; id++) {     // ids fall with the count: the commonest first
    const [x, y] = project(points[id]);
    if (x < 0 || y < 0 || x > map.width || y > map.height || top.has(id)) continue;
    const before = taken.length;
    label(id, colour("soft"), false);
    named += taken.length - before;
  }
}

// Choose a word of the map: its name, its count and its nearest words.
function choose(id) {
  if (id === null || !answered()) return;
  state.chosen = id;
  const {data} = state, near = tofy.nearest(data, state.models[state.recipe], id, 6), word = data.words[id];
  at("map-says").replaceChildren(make("strong", {}, word), `seen ${number(data.counts[id])} times in training; nearest is ` +
    `${data.words[near[0][0]]}, at a cosine of ${near[0][1].toFixed(2)}.`);
  at("near").tBodies[0].replaceChildren(...near.map(([other, cosine]) => {
    const button = make("button", {type: "button"}, data.words[other]);
    button.addEventListener("click", () => { choose(other); at("plot").focus(); });
    return make("tr", {}, make("td", {}, button), make("td", {}, bar(cosine, cosine.toFixed(2))));
  }));
  drawMap();
}

// The word whose dot is nearest to a place on the canvas, at most `within` pixels away.
function wordAt(x, y, within) {
  let [best, found] = [within, null];
  if (answered()) here().points.forEach((p, id) => {
    if (!p) return;
    const [px, py] = project(p), far = Math.hypot(px - x, py - y);
    if (far < best) [best, found] = [far, id];
  });
  return found;
}

// The next word from the chosen one in a direction: near, and more ahead than aside.
function step(dx, dy) {
  if (!answered()) return;
  if (state.chosen === null) return choose(answered()?.order[0] ?? state.data.specials);
  const [x, y] = project(here().points[state.chosen]);
  let [best, found] = [Infinity, null];
  here().points.forEach((p, id) => {
    if (!p || id === state.chosen) return;
    const [px, py] = project(p), ahead = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    const cost = ahead + 2 * aside;
    if (ahead > aside && cost < best) [best, found] = [cost, id];
  });
  choose(found);
}

// ---------------------------------------------------------------- controls

function setTemperature(value) {
  state.temperature = value;
  at("temperature").value = Math.log10(value);
}

const worldOf = name => Object.values(state.worlds).find(data => name in data.runs);

function setRecipe(name) {
  const before = state.data, chosen = state.chosen === null ? null : before.words[state.chosen];
  state.recipe = name;
  state.data = worldOf(name);
  setTemperature(state.data.runs[name].temperature);
  if (state.data !== before) return moveTo(chosen);
  if (!answered()) return;
  draw();
  if (state.chosen !== null) choose(state.chosen);
}

// Another world, with other words: the same question is asked there.
async function moveTo(chosen) {
  state.found = {};
  state.chosen = state.data.ids.get(chosen) ?? null;
  if (state.chosen === null) { at("map-says").textContent = ""; at("near").tBodies[0].replaceChildren(); }
  drawWorld();
  if (!asked.tokens.length) return forget("Nothing is asked yet.");
  drawUnknown(asked.tokens);
  const ready = state.data.phrases.includes(asked.ready) ? asked.ready : null;
  await ask(asked.tokens, asked.word, ready);
  if (state.chosen !== null) choose(state.chosen);
}

function listen() {
  const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  let wait = 0;
  at("own").addEventListener("submit", event => { event.preventDefault(); clearTimeout(wait); askTyped(); });
  at("typed").addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(askTyped, 400); });
  at("another").addEventListener("click", another);
  at("recipes").addEventListener("change", event => setRecipe(event.target.value));
  at("temperature").addEventListener("input", event => { setTemperature(10 ** event.target.value); if (answered()) drawAnswers(); });
  at("rivals").addEventListener("input", event => { state.rivals = state.stops[event.target.value]; drawRivals(); });
  at("zoom").addEventListener("input", () => { at("zoom-value").textContent = `${zoom().toFixed(1)}×`; drawMap(); });
  at("search").addEventListener("submit", event => event.preventDefault());
  at("find").addEventListener("input", () => {
    const typed = at("find").value.trim(), id = state.data.ids.get(tofy.tokenize(typed)[0]);
    if (id !== undefined) choose(id);
    else if (typed) {
      const near = tofy.similar(state.data, tofy.tokenize(typed)[0] ?? "");
      at("map-says").textContent = `“${typed}” is none of the ${number(state.data.count)} words${near.length ? `; nearest: ${near.join(", ")}` : ""}.`;
    }
  });
  at("plot").addEventListener("keydown", event => {
    if (event.key in arrows) { event.preventDefault(); step(...arrows[event.key]); }
  });
  for (const kind of ["pointermove", "pointerdown"]) at("map").addEventListener(kind, event => {
    const id = wordAt(event.offsetX, event.offsetY, kind === "pointerdown" ? 40 : 14);
    if (id !== null && id !== state.chosen && (zoom() === 1 || kind === "pointerdown")) choose(id);
  });
  window.addEventListener("resize", () => { drawChart(); drawRivals(); if (answered()) drawMap(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (answered()) drawMap(); });
}

// What can be shown before any model is there.
function drawStill() {
  const {everyday, course} = state.worlds, mrr = (data, name) => tofy.meanReciprocal(data.ranks[name]).toFixed(2);
  const {tofy: ours, notes} = course.runs, wide = everyday.runs.everyday, size = run => `${number(run.parameters)} numbers`;
  const trained = run => `${number(run.steps)} steps of ${run.batch} phrases`;
  at("mrr-everyday").textContent = `${number(everyday.count)} words; MRR ${mrr(everyday, "everyday")} (pairs of words: ${mrr(everyday, "bigram")})`;
  at("mrr-tofy").textContent = `a small text of ${number(course.count)} words; MRR ${mrr(course, "tofy")} (best possible: ${mrr(course, "best")})`;
  at("mrr-notes").textContent = `the same text and words; MRR ${mrr(course, "notes")} (counting words only: ${mrr(course, "unigram")})`;
  at("about").textContent = `Everyday English: ${size(wide)} trained for ${trained(wide)} that a grammar of everyday sentences made, with no line of ` +
    `anybody's text; it knows only what that grammar says. It calls a phrase unknown if its words surprise it more than in 19 of 20 ` +
    `held-out phrases; of such phrases with their words shuffled it calls ${percent(everyday.familiar.mixed)} so, of the other models' text ` +
    `${percent(everyday.familiar.other)}, where its first word is right in ${percent(everyday.right_other)}. ` +
    `The two models of the course: ${size(ours)} trained for ${trained(ours)} (this course's recipe), ${size(notes)} for ${trained(notes)} (the recipe of the notes), on one smaller text. MRR is the mean of 1 / rank of the right word ` +
    `over fresh blanks. The ready phrases were kept out of training.`;
}

// What depends on the words of the world: the search list, the rivals and their chart.
function drawWorld() {
  const {data} = state, most = data.count - 1, draws = data.ranks.unigram.reduce((sum, [, n]) => sum + n, 0);
  at("vocabulary").textContent = number(data.count);
  at("dim").textContent = Object.values(data.runs)[0].middle.length;
  at("draws").textContent = number(draws);
  at("words").replaceChildren(...data.words.slice(data.specials).map(word => make("option", {value: word})));
  state.stops = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072].filter(k => k < most).concat(most);
  if (!state.stops.includes(state.rivals)) state.rivals = most;
  at("rivals").max = state.stops.length - 1;
  at("rivals").value = state.stops.indexOf(state.rivals);
  drawChart();
  drawRivals();
}

async function start() {
  state.worlds = await tofy.loadData();
  state.data = worldOf(state.recipe);
  setTemperature(state.data.runs[state.recipe].temperature);
  drawStill();
  drawWorld();
  listen();
  at("typed").value = FIRST;
  askTyped();
  await tofy.startRuntime();
  for (const name of ["everyday", "tofy", "notes"]) {
    state.models[name] = await tofy.loadModel(name);
    at("recipes").querySelector(`[value=${name}]`).disabled = false;
    if (asked.tokens.length && name in state.data.runs) await ask(asked.tokens, asked.word, asked.ready);
    document.documentElement.dataset.ready ??= Math.round(performance.now());   // milliseconds to the first answer
  }
  document.documentElement.dataset.both = "";
}

start().catch(error => {
  console.error(error);
  at("verdict").textContent = `The model could not be started in this browser (${error.message}); a current Firefox, Chrome or Safari runs it.`;
});
