// The learning rate over a run: warm-up, flat, cosine.
import {LivePanel, alone, linked, dragged, percent} from "./common.js";

// The shares of the run at which warm-up ends and the fall begins.
export function phases({warmup, flat, unit, long}) {
  const up = unit === "steps" ? Math.min(warmup, 2000 / long) : warmup;
  return [up, up + flat * (1 - up)];
}
export function rate(knobs, at) {
  const {lr, min_lr: least} = knobs, [up, down] = phases(knobs);
  if (at < up) return lr * Math.max(at / up, .01);
  return at <= down ? lr : least + (lr - least) * (1 + Math.cos(Math.PI * (at - down) / (1 - down))) / 2;
}
const tidy = value => value === 0 ? "0" : value < 1e-3 ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(3)));
export function sentence(knobs) {
  const {at, unit, long} = knobs, [up, down] = phases(knobs), now = rate(knobs, at);
  const phase = at < up ? "climbing" : at <= down ? "flat" : "falling";
  return `At ${percent(at)} of the run, ${unit.slice(0, -1)} ${Math.round(at * long).toLocaleString("en")}: ${tidy(now)}, ${percent(now / knobs.lr)} of the peak, ${phase}.`;
}

class ScheduleView extends LivePanel {
  constructor(place, home) {
    super(place, home, "The learning rate over a run");
    this.box.innerHTML = `<div class="card"><svg class="grab" height="230" role="img"></svg></div><p class="said" role="status"></p><div class="knobs"></div>`;
    const share = (name, label, says, wide = false) => this.slider(name, label, {least: 0, most: 1, step: .01, show: percent, says, wide});
    const log = (name, label, least, most, says) => this.slider(name, label, {least, most, step: .05, log: true, show: tidy, says});
    this.at(".knobs").append(share("at", "look at", "a point of the run: see the dot; or drag in the picture", true),
      log("lr", "peak rate", -5, -1, "the highest learning rate"), log("min_lr", "rate at the end", -7, -2, "where the cosine ends"),
      share("warmup", "warm-up", "share of the run; at most 2,000 steps if the length is given in steps"),
      share("flat", "flat", "share of the rest at the peak rate; 1: no fall"),
      this.slider("long", "length of the run", {least: 0, most: 6, step: .1, log: true, show: v => Math.round(v).toLocaleString("en"), says: "how many steps or seconds"}),
      this.choice("unit", "counted in", [["steps", "steps"], ["seconds", "seconds"]]));
    dragged(this.at("svg"), x => this.set({at: Math.round(100 * Math.min(1, Math.max(0, (x - 60) / (this.wide - 80)))) / 100}));
    this.begin();
  }
  set(changes) {
    if ("long" in changes) changes.long = Math.max(1, Math.round(changes.long));
    super.set(changes);
  }
  get wide() { return Math.max(280, this.at("svg").clientWidth || 720); }
  look() {
    const {knobs} = this, [up, down] = phases(knobs), wide = this.wide - 80, x = share => 60 + wide * share, y = value => 190 - 155 * value / knobs.lr;
    const line = Array.from({length: 321}, (_, i) => `${x(i / 320).toFixed(1)},${y(rate(knobs, i / 320)).toFixed(1)}`).join(" ");
    const names = [["warm-up", 0, up], ["flat", up, down], ["cosine", down, 1]].filter(([, a, b]) => (b - a) * wide > 55);
    const long = share => Math.round(share * knobs.long).toLocaleString("en");
    this.at("svg").innerHTML = `<path class="line" d="M60 190H${x(1)}M60 190V25"/>
      ${names.map(([name, a, b]) => `<path class="line" stroke-dasharray="3 4" d="M${x(b)} 25V190"/><text x="${x((a + b) / 2)}" y="18" text-anchor="middle">${name}</text>`).join("")}
      <polyline points="${line}" fill="none" stroke="var(--model)" stroke-width="3"/>
      <text class="soft" x="52" y="${y(knobs.lr) + 5}" text-anchor="end">${tidy(knobs.lr)}</text><text class="soft" x="52" y="195" text-anchor="end">0</text>
      <text class="soft" x="60" y="212">0</text><text class="soft" x="${x(1)}" y="212" text-anchor="end">${long(1)} ${knobs.unit}</text>
      <path class="line" d="M${x(knobs.at)} 25V190"/><circle cx="${x(knobs.at)}" cy="${y(rate(knobs, knobs.at))}" r="7" fill="var(--ink)"/>`;
    this.at("svg").setAttribute("viewBox", `0 0 ${this.wide} 230`);
    this.at("svg").setAttribute("aria-label", sentence(knobs));
    this.say(sentence(knobs));
  }
}

export const mount = (place, data) => new ScheduleView(place, alone(data));
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  new ScheduleView(place, linked(model));
}};
