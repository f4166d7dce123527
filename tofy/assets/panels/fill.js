// A phrase with a blank: where it looks, as arcs to the words, and what stands there; drag a word out to hide it.
import {LivePanel, alone, linked, clean, percent} from "./common.js";

// The attention of one head, of one layer's heads together, or of all together: {layer: 0…, head: 0…}, or null for the mean.
export function shares(looks, layer, head) {
  const rows = looks.flatMap((heads, i) => heads.filter((_, j) => (layer === null || i === layer) && (head === null || j === head)));
  return rows.length ? rows[0].map((_, place) => rows.reduce((sum, row) => sum + row[place], 0) / rows.length) : [];
}

class FillView extends LivePanel {
  constructor(place, home) {
    super(place, home, "Fill a blank: drag a word out of the phrase to hide it");
    this.box.innerHTML = `<div class="knobs top" style="margin:0 0 .8rem"></div><div class="card"><div class="scroll" tabindex="0" aria-label="the phrase, and where its blank looks"><div class="stage">
        <svg class="over" height="150" role="img"></svg><div class="words" role="group" aria-label="Words: choose one to hide it"></div><svg class="under" height="150" role="img" hidden></svg></div></div>
      <div class="row" style="margin-top:.5rem"></div></div><p class="said" role="status"></p><div class="maps answers" style="margin-top:.9rem"></div>`;
    if (this.page.phrases?.length) this.at(".top").append(this.choice("phrase", "phrase", this.page.phrases.map((text, i) => [i, text])));
    if (this.page.runs?.length > 1) this.at(".top").append(this.choice("run", "run", this.page.runs.map(name => [name, name])), this.choice("beside", "beside it", [["", "none"], ...this.page.runs.map(name => [name, name])]));
    this.at(".top").hidden = !this.at(".top").children.length;
    this.heads = document.createElement("select");
    this.heads.setAttribute("aria-label", "whose attention");
    this.heads.addEventListener("change", () => this.set({head: this.heads.value}));
    this.at(".row").append(this.heads, Object.assign(document.createElement("span"), {className: "soft", textContent: "Drag a word out of the line to hide it, or press it. The blank, pressed, gets its word back."}));
    this.begin();
  }
  set(changes) {
    if ("phrase" in changes) changes = {...changes, place: this.page.places[changes.phrase]};
    super.set(changes);
  }
  // What is shown: the words, and of each run its attention and its answers. Beside a kernel that is the page itself.
  get shown() {
    if (!this.page.table) return this.page;
    const {phrase, place, run, beside} = this.knobs, words = this.page.tokens[phrase];
    const sides = [run, beside].filter((name, i, all) => name && all.indexOf(name) === i).map(name => ({run: name, ...(this.page.table[name][phrase][place] ?? {})}));
    return {words, blank: place, answer: words[place], sides: place < 0 ? [] : sides};
  }
  hide(place) {
    const {blank} = this.shown;
    if (this.page.table) {
      if (place === blank || this.page.table[this.knobs.run][this.knobs.phrase][place]) this.set({place: place === blank ? -1 : place});
    } else this.home.tell({hide: [place, (this.knobs.hide?.[1] ?? 0) + 1]});
  }
  look() {
    const {words = [], sides = [], blank = -1} = this.shown, key = JSON.stringify([words, blank]);
    if (key !== this.drawn) {
      this.drawn = key;
      this.at(".words").innerHTML = words.map((word, i) => `<button class="word" data-place="${i}" ${i === blank ? "data-blank" : ""} title="${i === blank ? "put the word back" : `hide ${clean(word)}`}">${i === blank ? "&nbsp;?&nbsp;" : clean(word)}</button>`).join("");
      for (const button of this.box.querySelectorAll(".word")) this.draggable(button);
      const gap = this.at("[data-blank]"), line = this.at(".scroll");
      if (gap) line.scrollLeft = gap.offsetLeft - line.clientWidth / 2;
    }
    const looks = sides.map(side => side.looks ?? []).find(all => all.length) ?? [], options = [["", "all heads together"]];
    looks.forEach((heads, i) => { options.push([`${i}`, `layer ${i + 1}, its heads together`]); heads.forEach((_, j) => options.push([`${i}.${j}`, `layer ${i + 1}, head ${j + 1}`])); });
    this.heads.innerHTML = options.map(([value, text]) => `<option value="${value}">${text}</option>`).join("");
    this.heads.value = options.some(([value]) => value === this.knobs.head) ? this.knobs.head : "";
    this.heads.hidden = !looks.length;
    this.arcs(words, sides, blank);
    this.tell(sides);
  }
  // Out of its line by more than its height, or pressed: then it is hidden.
  draggable(button) {
    let from = null, moved = false;
    button.addEventListener("pointerdown", event => { from = [event.clientX, event.clientY]; moved = false; button.setPointerCapture(event.pointerId); });
    button.addEventListener("pointermove", event => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
      moved ||= Math.hypot(dx, dy) > 6;
      if (moved) { button.style.transform = `translate(${dx}px, ${dy}px)`; button.style.opacity = Math.abs(dy) > 36 ? .45 : 1; }
    });
    const end = event => {
      const out = from && moved && Math.abs(event.clientY - from[1]) > 36;
      from = null;
      button.style.transform = button.style.opacity = "";
      if (out && event.type === "pointerup") this.hide(Number(button.dataset.place));
    };
    button.addEventListener("pointerup", end);
    button.addEventListener("pointercancel", end);
    button.addEventListener("click", () => { if (!moved) this.hide(Number(button.dataset.place)); moved = false; });
  }
  chosen(side) {
    const [layer, head] = (this.heads.value || "").split(".");
    return shares(side.looks ?? [], layer ? Number(layer) : null, head === undefined ? null : Number(head));
  }
  arcs(words, sides, blank) {
    const buttons = [...this.box.querySelectorAll(".word")], wide = this.at(".words").offsetWidth;
    const middle = button => button.offsetLeft + button.offsetWidth / 2;
    [".over", ".under"].forEach((place, number) => {
      const svg = this.at(place), side = sides[number], found = side && blank >= 0 ? this.chosen(side) : [];
      svg.toggleAttribute("hidden", !found.length);
      svg.style.display = found.length ? "" : "none";
      svg.setAttribute("viewBox", `0 0 ${wide} 150`);
      svg.style.width = `${wide}px`;
      const from = blank >= 0 && buttons[blank] ? middle(buttons[blank]) : 0, most = Math.max(...found, .01);
      const lift = x => Math.min(112, 22 + .42 * Math.abs(x - from)), y = number ? (up => up) : (up => 150 - up);
      svg.innerHTML = found.slice(0, words.length).map((share, i) => {
        if (!buttons[i]) return "";
        const x = middle(buttons[i]), top = y(i === blank ? 34 : lift(x) * 1.25), width = (1 + 9 * share / most).toFixed(1), strong = (.15 + .8 * share / most).toFixed(2);
        const path = i === blank ? `M${x - 9} ${y(2)}C${x - 26} ${top} ${x + 26} ${top} ${x + 9} ${y(2)}` : `M${from} ${y(2)}C${from} ${top} ${x} ${top} ${x} ${y(2)}`;
        const label = share >= .04 ? `<text class="soft" style="font-size:12px" x="${x}" y="${number ? 26 : 132}" text-anchor="middle" stroke="var(--card)" stroke-width="3" paint-order="stroke">${percent(share)}</text>` : "";
        return `<path d="${path}" fill="none" stroke="var(--model)" stroke-width="${width}" stroke-opacity="${strong}" stroke-linecap="round"/>${label}`;
      }).join("");
      svg.setAttribute("aria-label", found.length ? `Where the blank looks: ${words.map((word, i) => [i === blank ? "the blank itself" : word, found[i]]).sort((a, b) => b[1] - a[1]).slice(0, 4).map(([word, share]) => `${word} ${percent(share)}`).join(", ")}` : "");
    });
  }
  tell(sides) {
    const {answer, blank} = this.shown;
    this.say(blank >= 0 ? `<b class="answer">${clean(answer ?? "?")}</b> is hidden${sides.length > 1 ? `: above, where ${clean(sides[0].run)} looks, below, ${clean(sides[1].run)}` : ""}.` : "No word is hidden: drag one out.");
    this.at(".said").hidden = !this.page.table;
    this.at(".answers").hidden = !this.page.table;
    this.at(".answers").classList.toggle("two", sides.length > 1);
    this.at(".answers").innerHTML = sides.map(side => {
      const top = side.top ?? [], most = Math.max(.01, ...top.map(([, value]) => value));
      return `<div class="card"><p class="title">${clean(side.run ?? "")}</p><div class="bars">${top.map(([word, value]) => `<b class="${word === answer ? "answer" : ""}" style="font-weight:${word === answer ? 650 : 400}">${clean(word)}</b><i class="${word === answer ? "of-answer" : "of-model"}" style="width:${Math.max(0, 100 * value / most).toFixed(0)}%"></i><span>${value.toFixed(2)}</span>`).join("")}</div>
        <p class="soft" style="margin-top:.4rem">The nearest rows and their cosines. <b>${clean(answer ?? "")}</b> is number ${side.rank} of ${(side.of ?? 0).toLocaleString("en")}${side.baselines ? ` (${clean(side.baselines)})` : ""}.</p></div>`;
    }).join("");
  }
}

export const mount = (place, data) => new FillView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new FillView(place, linked(model));
}};
