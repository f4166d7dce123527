// The playground as one sees it: builds its controls from the knobs, and turns time. `mount(root)` is all that a page calls.
import {KNOBS, withDefaults, valueOf, changed, toLink, fromLink} from "./settings.js";
import {startFilm, changeSettings, needsNewFilm, advance, seek} from "./film.js";
import {gaugesOf} from "./gauges.js";
import {paint} from "./draw.js";
import {leftOf, rightOf} from "./grammar.js";

export function mount(root, options = {}) {
  const play = {settings: options.settings ?? withDefaults(), playing: false, speed: 2, blank: 1, view: {yaw: .5, pitch: .35}};
  root.classList.add("tofy-play");
  root.innerHTML = `<style>${STYLE}</style><div class="main"><div class="stage"><canvas role="img"></canvas>
    <div class="row"><button class="first" data-do="play">Play</button><button data-do="step">One step</button><button data-do="reset">Reset</button>
    <span data-at="step"></span></div><input type="range" data-do="seek" min="0" max="0" value="0" aria-label="history"></div><div class="side"></div></div>
    <div class="knobs"></div>`;
  const find = name => root.querySelector(name), canvas = find("canvas");
  find(".knobs").append(...knobGroups(play));
  const film = () => play.film;
  const blank = () => ({left: leftOf(play.blank), answer: play.blank, right: rightOf(play.blank)});
  const redraw = () => { paint(canvas, film(), play.settings, blank(), play.view, coloursOf(root)); find("[data-at=step]").textContent = `step ${film().now.step}`;
    const bar = find("[data-do=seek]"); bar.max = film().frames.length - 1; bar.value = film().at; };
  const restart = () => { play.film = startFilm(play.settings); redraw(); };
  const frame = () => { if (!play.playing) return; for (let i = 0; i < play.speed; i++) advance(film()); redraw(); requestAnimationFrame(frame); };
  const act = {play() { play.playing = !play.playing; find("[data-do=play]").textContent = play.playing ? "Pause" : "Play"; frame(); },
    step() { advance(film()); redraw(); }, reset: restart};
  root.addEventListener("click", event => act[event.target.dataset.do]?.());
  root.addEventListener("input", event => {
    const {name, knob} = event.target.dataset;
    if (event.target.dataset.do === "seek") { seek(film(), +event.target.value); redraw(); }
    if (knob) { const settings = changed(play.settings, knob, readControl(event.target)), anew = needsNewFilm(play.settings, settings); play.settings = settings; anew ? restart() : changeSettings(film(), settings); redraw(); }
  });
  restart();
}

function coloursOf(root) {
  const style = getComputedStyle(root), colour = name => style.getPropertyValue(`--${name}`).trim();
  return {word: colour("soft"), soft: colour("soft"), answer: colour("answer"), context: colour("context"), rival: colour("rival"), model: colour("model"), line: colour("line"), trail: colour("trail")};
}

function knobGroups(play) {
  return ["language", "target", "loss", "learning"].map(group => {
    const set = document.createElement("fieldset");
    set.innerHTML = `<h3>${group}</h3>` + KNOBS.filter(knob => knob.group === group).map(knob => control(knob, valueOf(play.settings, knob.name))).join("");
    return set;
  });
}

function control(knob, value) {
  const id = `tofy-${knob.name}`;
  if (knob.options) return `<label class="knob">${knob.label}<select data-knob="${knob.name}">${knob.options.map(([v, said]) => `<option value="${v}"${v === value ? " selected" : ""}>${said}</option>`).join("")}</select></label>`;
  if (knob.toggle) return `<label class="knob">${knob.label}<input type="checkbox" data-knob="${knob.name}"${value ? " checked" : ""}></label>`;
  if (knob.whole) return `<label class="knob">${knob.label}<input type="number" data-knob="${knob.name}" value="${value}" min="0" max="9999"></label>`;
  const [low, high, step] = knob.range;
  return `<label class="knob">${knob.label}<input type="range" data-knob="${knob.name}" min="${low}" max="${high}" step="${step}" value="${knob.log ? Math.log10(value) : value}"></label>`;
}

function readControl(input) {
  const knob = KNOBS.find(({name}) => name === input.dataset.knob);
  if (knob.toggle) return input.checked;
  if (knob.options) return knob.options.find(([value]) => String(value) === input.value)[0];
  return knob.log ? 10 ** +input.value : +input.value;
}

// For anywidget: JupyterLab, VS Code, Colab.
export const widget = {render: ({el}) => { mount(el); }};
