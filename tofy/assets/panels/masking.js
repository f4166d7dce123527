// Which words are hidden: a rate and three shares over real phrases.
import {LivePanel, alone, linked, chance, clean, percent} from "./common.js";

export const FATES = ["hidden", "random", "kept"];
const UNKNOWN = "<unk>";                                     // no such word is ever asked for
const WORDS = {hidden: "replaced by <mask>", random: "replaced by a random word", kept: "left as it is"};

// What happens to each word of the phrases: null, or [fate, what is read, answer]. A word keeps its random numbers.
export function masked(knobs, page, many = page.shown) {
  const {phrases, words} = page, [low, high] = [knobs.low, Math.max(knobs.low, knobs.high)];
  const rows = Array.from({length: Math.min(many, phrases.length)}, (_, i) => (knobs.first + i) % phrases.length);
  return rows.map(row => {
    const draw = chance(1000003 * knobs.seed + row), known = phrases[row];
    const numbers = known.map(() => [draw(), draw(), draw()]);
    const least = Math.min(...numbers.map(([choice], i) => known[i] !== UNKNOWN ? choice : 2));
    return known.map((word, i) => {
      const [choice, fate, other] = numbers[i];
      if (word === UNKNOWN || !(choice === least || knobs.mode === "rate" && choice < knobs.rate)) return [null, word, word];
      if (fate < low) return ["hidden", "<mask>", word];
      return fate < high ? ["random", words[Math.floor(other * words.length)], word] : ["kept", word, word];
    });
  });
}

// How many blanks are to be expected: n·r + (1−r)ⁿ of a phrase of n words.
export const expected = (knobs, rows) => rows.reduce((sum, row) => {
  const n = row.filter(word => word !== UNKNOWN).length;
  return sum + (n ? knobs.mode === "one" ? 1 : n * knobs.rate + (1 - knobs.rate) ** n : 0);
}, 0);

class MaskingView extends LivePanel {
  constructor(place, home) {
    super(place, home, "Masking: which words are hidden");
    this.box.innerHTML = `<div class="card"><div class="phrases"></div></div><div class="knobs"></div>
      <div class="row" style="margin-top:.9rem"></div><div class="card"><table></table></div><p class="said" role="status"></p>`;
    this.at(".knobs").append(
      this.choice("mode", "mode", [["rate", "rate: each word may be hidden"], ["one", "one: exactly one a phrase"]]),
      this.slider("rate", "mask rate", {least: 0, most: 1, step: .01, show: percent, says: "in mode rate: the probability that a word must be predicted; at least one is"}),
      this.slider("low", "<mask>: up to", {least: 0, most: 1, step: .01, show: percent, says: "share of the chosen words that are replaced by <mask>"}),
      this.slider("high", "a random word: from there up to (beyond, itself)", {least: 0, most: 1, step: .01, show: percent, says: "between the two: a random word; right of both: the word itself"}));
    this.at(".row").append(
      this.button("Resample", () => this.set({seed: this.knobs.seed + 1}), "the same phrases, new random numbers"),
      this.button("Other phrases", () => this.set({first: (this.knobs.first + this.page.shown) % this.page.phrases.length}), "the next phrases of the data"));
    this.begin();
  }
  set(changes) {                                             // three shares add up to one: neither handle passes the other
    if ("low" in changes && changes.low > this.knobs.high) changes.high = changes.low;
    if ("high" in changes && changes.high < this.knobs.low) changes.low = changes.high;
    super.set(changes);
  }
  look() {
    const rows = masked(this.knobs, this.page), {low, high} = this.knobs;
    this.at("[data-knob=rate]").disabled = this.knobs.mode === "one";
    this.at("[data-knob=rate]").closest(".knob").classList.toggle("off", this.knobs.mode === "one");
    this.at(".phrases").innerHTML = rows.map(row => `<p>${row.map(([fate, read, answer]) => fate
      ? `<span class="blank ${fate}"><small>${clean(fate === "kept" ? fate : `${fate}: ${answer}`)}</small><b>${clean(read)}</b></span>` : `<span>${clean(read)}</span>`).join("")}</p>`).join("");
    const found = Object.fromEntries(FATES.map(fate => [fate, rows.flat().filter(([name]) => name === fate).length]));
    const {phrases} = this.page, plain = rows.map((_, i) => phrases[(this.knobs.first + i) % phrases.length]);
    const all = FATES.reduce((sum, fate) => sum + found[fate], 0), asked = expected(this.knobs, plain);
    const shares = {hidden: low, random: high - low, kept: 1 - high}, cells = (values, tag = "td") => values.map(value => `<${tag} class="number">${value}</${tag}>`).join("");
    this.at("table").innerHTML = `<tr><td></td><th class="number">asked</th>${FATES.map(fate => `<th class="number ${fate}" title="${clean(WORDS[fate])}">${fate}</th>`).join("")}</tr>
      <tr><th>share</th>${cells(["", ...FATES.map(fate => percent(shares[fate]))])}</tr><tr data-row="here"><th>here</th>${cells([all, ...FATES.map(fate => found[fate])])}</tr>
      <tr><th>expected</th>${cells([asked, ...FATES.map(fate => asked * shares[fate])].map(n => n.toFixed(1)))}</tr>`;
    const most = plain.flat().filter(word => word !== UNKNOWN).length;
    this.say(`Of ${most} words ${all} must be predicted: ${FATES.map(fate => `<b class="${fate}">${found[fate]}</b> ${clean(WORDS[fate])}`).join(", ")}.`);
  }
}

export const mount = (place, data) => new MaskingView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new MaskingView(place, linked(model));
}};
