// The page: turns time, listens to the controls, and shows what has come of it. `mount(place)` is all that a page calls.
import {KNOBS, withDefaults, flat, changed, toLink, fromLink} from "./settings.js";
import {PRESETS} from "./presets.js";
import {TASKS, SECONDS, solved} from "./tasks.js";
import {startFilm, changeSettings, needsNewFilm, advance, seek} from "./film.js";
import {gaugesOf} from "./gauges.js";
import {searchLimit, floorsOf} from "./limits.js";
import {paint, paintChart} from "./draw.js";
import {leftOf, rightOf} from "./grammar.js";
import {skeleton, showSettings, readControl, dialsOf, verdictOf} from "./controls.js";

const LONGEST = 5000;                                        // steps that a link may ask for
const ALONE = 1200;                                          // steps that the home page plays unasked

class Playground {
  constructor(place, {settings = withDefaults(), linked = false, moving = false, told = () => {}} = {}) {
    place.dataset.lmSuppressShortcuts = "true";                // JupyterLab leaves keys pressed in here alone
    this.root = place.attachShadow({mode: "open"});          // so that neither page nor widget change each other's looks
    this.root.innerHTML = `<style>${STYLE}</style>${skeleton(settings, linked)}`;
    Object.assign(this, {place, linked, told, playing: false, speed: 2, touched: 0, blank: 1, view: {yaw: .6, pitch: .35}, limits: new Map(), quiet: matchMedia("(prefers-reduced-motion: reduce)")});
    [this.canvas, this.chart] = this.root.querySelectorAll("canvas");
    if (moving) this.comeFirst();
    this.restart(settings);
    this.listen();
    this.followTheme();
    if (moving) this.playWhenSeen();
  }

  at(name) { return this.root.querySelector(`[data-at=${name}]`); }
  control(name) { return this.root.querySelector(`[data-do=${name}]`); }
  get settings() { return this.film.settings; }

  // ---- time

  restart(settings) {
    this.film = startFilm(settings);
    if (this.blank >= settings.words) this.blank = 1;
    this.control("blank").innerHTML = this.film.grammar.names.map((name, w) => `<option value="${w}">${name}</option>`).join("");
    this.control("blank").value = this.blank;
    this.settled();
  }

  // Settings have changed, by a knob, a preset or a rewind: bring everything in line with them.
  settled() {
    showSettings(this.root, this.settings);
    const now = JSON.stringify(this.settings);
    this.root.querySelectorAll("[data-do=preset]").forEach((button, i) => {
      const same = JSON.stringify({...withDefaults(PRESETS[i].settings), seed: this.settings.seed}) === now;
      button.setAttribute("aria-pressed", same);
      if (same) this.at("says").textContent = PRESETS[i].says;
    });
    if (!this.root.querySelector("[aria-pressed=true]")) this.at("says").textContent = "Settings of your own.";
    this.findLimit();
    this.look();
  }

  play() {
    if (this.quiet.matches) { this.run(300); return; }       // no motion wanted: one still, 300 steps on
    this.playing = !this.playing;
    this.control("play").textContent = this.playing ? "Pause" : "Play";
    if (this.playing) this.tick(); else this.look();
  }

  // On the home page it plays by itself as soon as it is on the screen, for a while: until it has learnt, or somebody touches it.
  // At the front door the picture comes first, then what is going on and the stories; all that needs time is folded below.
  comeFirst() {
    const at = what => this.root.querySelector(what), more = document.createElement("details");
    more.className = "more";
    more.innerHTML = "<summary>All its tasks, knobs and formulas</summary>";
    at(".stage").prepend(at(".phrase"), at(".words"), at(".verdict"), at(".presets"), at(".says"));
    at(".main").after(more);
    more.append(at(".tasks").previousElementSibling, at(".tasks"), at(".knobs"), at(".formulas"));
    this.control("speed").value = this.speed = 1;              // slow enough to be watched
    document.querySelectorAll("a[href='#play']").forEach(link => link.addEventListener("click", () => this.begin()));
  }

  // The page's own button: from the start, whatever it did unasked.
  begin() {
    this.restart(this.settings);
    if (!this.playing) this.play();
  }

  playWhenSeen() {
    const stop = () => { this.unwatched = null; eye.disconnect(); };
    const eye = new IntersectionObserver(([{isIntersecting}]) => {
      if (!isIntersecting || this.quiet.matches || this.playing || this.film.now.step) return;
      this.play();
      this.unwatched = ALONE;
      eye.disconnect();
    }, {threshold: .4});
    eye.observe(this.canvas);
    for (const what of ["pointerdown", "keydown", "input"]) this.root.addEventListener(what, stop, {capture: true, once: true});
  }

  tick() {
    if (!this.playing || !this.place.isConnected) return;
    requestAnimationFrame(() => this.tick());
    const began = performance.now();
    for (let i = 0; i < this.speed && performance.now() - began < 30; i++) advance(this.film);
    if (this.film.now.step % 12 < this.speed) this.look(); else this.draw();
    if (this.unwatched && this.film.now.step >= this.unwatched) { this.unwatched = null; this.play(); }
  }

  run(steps) { for (let i = 0; i < steps; i++) { advance(this.film); if (i % 20 === 0) this.measure(); } this.look(); }

  // ---- looking

  get blankNow() { return {left: leftOf(this.blank), answer: this.blank, right: rightOf(this.blank)}; }

  draw() {
    this.spots = paint(this.canvas, this.film, this.settings, this.blankNow, this.view, this.colours);
    const bar = this.control("seek");
    bar.max = this.film.frames.length - 1; bar.value = this.film.at;
    this.at("step").textContent = `step ${this.film.now.step}`;
    bar.setAttribute("aria-valuetext", `step ${this.film.now.step}`);
  }

  measure() {
    const {model, copy} = this.film.now;
    this.gauges = gaugesOf(model, copy, this.film.grammar, this.settings);
    Object.assign(this.film.frames[this.film.at], {alike: this.gauges.alike, top1: this.gauges.top1});
  }

  look() {
    this.measure();
    if (!this.colours) this.readColours();
    this.draw();
    paintChart(this.chart, this.film, this.colours);
    const {names} = this.film.grammar, {left, right} = this.blankNow, limit = this.limit;
    this.at("phrase").innerHTML = `<span class="context">${names[left]}</span> <span class="gap">_____</span> <span class="context">${names[right]}</span>`;
    this.at("dials").innerHTML = dialsOf(this.gauges, this.film.grammar, limit, floorsOf(this.film.grammar, limit, this.settings), this.settings, this.settings.dim);
    const [state, title, words] = verdictOf(this.gauges, this.film.grammar, this.settings, this.film), verdict = this.at("verdict");
    verdict.dataset.state = state; verdict.innerHTML = `<b>${title}</b> ${words}`;
    this.markTasks();
    if (!this.playing) this.describe();
  }

  markTasks() {
    let done = 0;
    for (const task of TASKS) {
      const item = this.root.querySelector(`[data-task=${task.name}]`), was = item.classList.contains("done"), is = solved(task, this.film, this.gauges, (performance.now() - this.touched) / 1000);
      item.classList.toggle("done", is);
      if (is && !was) this.say(`Done: ${task.says}`);
      done += is; if (is) item.classList.add("once");
    }
    const ever = this.root.querySelectorAll(".once").length;
    this.at("count").textContent = ever ? `· ${ever} of ${TASKS.length} done` : "";
  }

  describe() {
    const {top1, alike} = this.gauges, {names} = this.film.grammar, {settings} = this;
    this.canvas.setAttribute("aria-label", `${settings.words} words in ${settings.dim} dimensions at step ${this.film.now.step}. `
      + `The blank is ${names[this.blank]}. Top-1 ${top1.toFixed(2)}, alike ${alike.toFixed(2)}${alike > .97 ? ": collapsed" : ""}. `
      + `Left and right arrow choose the blank${settings.dim === 3 ? ", shift and an arrow turns the globe" : ""}.`);
  }
  say(text) { this.at("aloud").textContent = text; }

  // The best in this D is searched a few rounds at a time, and kept.
  findLimit() {
    const {words, dim, ambiguity, temperature} = this.settings, key = [words, dim, ambiguity, temperature].join();
    this.limit = this.limits.get(key);
    clearTimeout(this.searching);
    if (this.limit) return;
    const search = searchLimit(this.film.grammar, dim, temperature);
    const go = () => {
      for (const began = performance.now(); performance.now() - began < 8;) {
        const {value, done} = search.next();
        if (done) { this.limits.set(key, this.limit = value); this.look(); return; }
      }
      this.searching = setTimeout(go, 20);
    };
    this.searching = setTimeout(go, 200);
  }

  // ---- listening

  listen() {
    this.root.addEventListener("click", ({target}) => {
      const button = target.closest("button[data-do]");
      if (button) this[`on_${button.dataset.do}`](button);
    });
    this.root.addEventListener("input", ({target}) => {
      if (target.dataset.knob) this.turn(target.dataset.knob, readControl(target));
      else if (target.dataset.do) this[`on_${target.dataset.do}`]?.(target);
    });
    this.canvas.addEventListener("keydown", event => this.key(event));
    this.drag();
    if (this.linked) addEventListener("hashchange", () => this.follow());
    if (this.linked) this.follow();
  }

  on_play() { this.play(); }
  on_step() { if (this.playing) this.play(); advance(this.film); this.look(); }
  on_rewind() { this.go(0); }
  on_reset() { this.restart(this.settings); }
  on_seek({value}) { this.go(+value); }
  on_speed({value}) { this.speed = +value; }
  on_blank({value}) { this.blank = +value; this.look(); }
  on_preset({dataset}) {                                     // a story that is chosen is told
    this.restart({...withDefaults(PRESETS[dataset.index].settings), seed: this.settings.seed});
    this.share();
    this.canvas.scrollIntoView({block: "nearest"});
    if (!this.playing && !this.quiet.matches) this.play();
  }
  on_link() { navigator.clipboard?.writeText(this.address()); this.say("The link is copied."); history.replaceState(null, "", this.address()); }

  go(at) {
    if (this.playing) this.play();
    seek(this.film, at);
    this.settled();
  }

  turn(name, value) {
    if (value === undefined) return;
    this.touched = performance.now();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => { if (!this.playing) this.look(); }, 1000 * SECONDS + 50);   // a still may have done a task
    const settings = changed(this.settings, name, value);
    if (needsNewFilm(this.settings, settings)) this.restart(settings); else { changeSettings(this.film, settings); this.settled(); }
    this.share();
  }

  key(event) {
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    if (event.shiftKey) { this.view[event.key.endsWith("t") ? "yaw" : "pitch"] += .15 * step; this.draw(); return; }
    this.blank = (this.blank + step + this.settings.words) % this.settings.words;
    this.control("blank").value = this.blank;
    this.look();
  }

  // Drag to turn the globe; a touch or a click on a word makes it the blank.
  drag() {
    let from = null, moved = 0;
    this.canvas.addEventListener("pointerdown", event => { from = event; moved = 0; });
    this.canvas.addEventListener("pointermove", event => {
      if (!from || this.settings.dim !== 3) return;
      const x = event.clientX - from.clientX, y = event.clientY - from.clientY;
      moved += Math.abs(x) + Math.abs(y); from = event;
      this.view.yaw -= x / 120; this.view.pitch = Math.max(-1.5, Math.min(1.5, this.view.pitch + y / 120));
      this.draw();
    });
    this.canvas.addEventListener("pointerup", event => { if (from && moved < 8) this.pickAt(event); from = null; });
    this.canvas.addEventListener("pointercancel", () => { from = null; });
  }

  pickAt({clientX, clientY}) {
    const box = this.canvas.getBoundingClientRect(), far = this.spots.map(([x, y]) => Math.hypot(x - clientX + box.left, y - clientY + box.top));
    const word = far.indexOf(Math.min(...far));
    if (far[word] < 30) { this.blank = word; this.control("blank").value = word; this.look(); }
  }

  // ---- the link holds the knobs, and the step of a film whose knobs were never turned

  address() {
    const step = this.film.touched ? 0 : Math.min(this.film.now.step, LONGEST), text = toLink(this.settings);
    return location.href.split("#")[0] + `#${[text, step ? `step=${step}` : ""].filter(Boolean).join("&") || "play=1"}`;
  }
  share() {
    this.told(flat(this.settings));
    if (this.linked) history.replaceState(null, "", this.address());
  }
  follow() {
    if (!location.hash.includes("=")) return;                // an anchor of the page
    this.restart(fromLink(location.hash));
    const step = Number(new URLSearchParams(location.hash.slice(1)).get("step"));
    if (step > 0) this.run(Math.min(step, LONGEST));
  }

  // ---- light and dark, as the page or JupyterLab has it, or else the reader's system

  followTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)"), apply = () => {
      const {theme} = document.documentElement.dataset, lab = document.body.dataset.jpThemeLight;
      const dark = theme === "dark" || theme !== "light" && (lab ? lab === "false" : system.matches);
      this.root.querySelector(".tofy-play").classList.toggle("dark", dark);
      this.readColours();
      this.look();
    };
    for (const node of [document.documentElement, document.body]) new MutationObserver(apply).observe(node, {attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light"]});
    system.addEventListener("change", apply);
    new ResizeObserver(() => this.look()).observe(this.canvas);
    apply();
  }
  readColours() {
    const style = getComputedStyle(this.root.querySelector(".tofy-play"));
    this.colours = Object.fromEntries(["ink", "soft", "card", "line", "model", "answer", "context", "rival", "trail", "dot", "unigram", "best", "alike"].map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
}

export const mount = (place, options) => new Playground(place, options);

// For anywidget: JupyterLab, VS Code, Colab. What the knobs say goes back to Python.
export const widget = {render({model, el}) {
  const place = document.createElement("div");
  el.append(place);
  mount(place, {settings: withDefaults(model.get("settings")), told: settings => { model.set("settings", settings); model.save_changes(); }});
}};
