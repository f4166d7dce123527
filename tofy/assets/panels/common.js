// What all live panels share: a frame that follows light and dark, controls with names, and the two homes of a panel.

export const clean = text => String(text).replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`);
export const percent = share => `${Math.round(100 * share)}%`;

// A panel knows a home: knobs (what the controls say), page (what is shown), and whom to tell when a knob moves.
export class LivePanel {
  constructor(place, home, name) {
    this.home = home;
    place.dataset.full = "yes";
    place.dataset.lmSuppressShortcuts = "true";                // JupyterLab leaves keys pressed in here alone
    this.root = place.attachShadow({mode: "open"});
    this.root.innerHTML = `<style>${STYLE}</style><section class="tofy-live" aria-label="${clean(name)}"></section>`;
    this.box = this.root.querySelector("section");
    this.controls = {};
  }
  begin() {
    this.followTheme();
    this.home.heard?.(() => this.refresh());
    this.refresh();
    new ResizeObserver(() => { if (this.wideness !== this.box.clientWidth) { this.wideness = this.box.clientWidth; this.look(); } }).observe(this.box);
  }
  get knobs() { return this.home.knobs; }
  get page() { return this.home.page; }
  at(selector) { return this.box.querySelector(selector); }
  set(changes) {
    this.home.tell(changes);
    this.refresh();
  }
  refresh() {
    for (const [name, show] of Object.entries(this.controls)) show(this.knobs[name]);
    this.look();
  }
  say(words) { for (const place of this.box.querySelectorAll(".said")) if (place.innerHTML !== words) place.innerHTML = words; }

  // A slider as wide as its column; `log`: on a logarithm.
  slider(name, label, {least, most, step, log = false, show = value => value, says = "", wide = false}) {
    const node = document.createElement("label");
    node.className = `knob${wide ? " wide" : ""}`;
    node.title = says;
    node.innerHTML = `<span>${clean(label)}</span><output></output><input type="range" data-knob="${name}" min="${least}" max="${most}" step="${step}" aria-label="${clean(label)}">`;
    const input = node.querySelector("input"), output = node.querySelector("output");
    input.addEventListener("input", () => this.set({[name]: log ? 10 ** Number(input.value) : Number(input.value)}));
    this.controls[name] = value => {
      input.value = log ? Math.log10(value) : value;
      output.textContent = show(value);
      input.setAttribute("aria-valuetext", `${show(value)}`);
    };
    return node;
  }
  // One of a few values.
  choice(name, label, options, says = "") {
    const node = document.createElement("label");
    node.className = "knob";
    node.title = says;
    node.innerHTML = `<span>${clean(label)}</span><select data-knob="${name}">${options.map(([value, text]) => `<option value="${clean(value)}">${clean(text)}</option>`).join("")}</select>`;
    const select = node.querySelector("select"), kind = typeof options[0]?.[0];
    select.addEventListener("change", () => this.set({[name]: kind === "number" ? Number(select.value) : select.value}));
    this.controls[name] = value => { select.value = value; };
    return node;
  }
  button(label, does, says = "", kind = "") {
    const node = document.createElement("button");
    node.textContent = label;
    node.title = says;
    node.className = kind;
    node.addEventListener("click", does);
    return node;
  }

  // Light and dark as the page or JupyterLab has it, or else as the reader's system.
  followTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)"), apply = () => {
      const {theme} = document.documentElement.dataset, lab = document.body.dataset.jpThemeLight;
      this.box.classList.toggle("dark", theme === "dark" || theme !== "light" && (lab ? lab === "false" : system.matches));
      this.recolour?.();
    };
    for (const node of [document.documentElement, document.body]) new MutationObserver(apply).observe(node, {attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light"]});
    system.addEventListener("change", apply);
    apply();
  }
  colour(name) { return getComputedStyle(this.box).getPropertyValue(`--${name}`).trim(); }
  get still() { return matchMedia("(prefers-reduced-motion: reduce)").matches; }
}

// A page without a kernel: its data stand in it.
export const alone = data => {
  const home = {knobs: {...data.knobs}, page: data.page, tell: changes => { home.knobs = {...home.knobs, ...changes}; }};
  return home;
};

// JupyterLab, VS Code, Colab, by anywidget: what the controls say goes to Python, and what Python says comes here.
export const linked = model => {
  const home = {linked: true,
    get knobs() { return model.get("knobs"); }, get page() { return model.get("page"); },
    tell(changes) { model.set("knobs", {...model.get("knobs"), ...changes}); model.save_changes(); },
    heard(look) { model.on("change:knobs", look); model.on("change:page", look); }};
  return home;
};

// Chance that gives the same numbers for the same seed (mulberry32).
export const chance = seed => () => {
  seed = seed + 0x6D2B79F5 | 0;
  let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
  return ((t ^ t >>> 14) >>> 0) / 4294967296;
};

// Drag with a finger, a pen or a mouse: `moved(x, y)` in the coordinates of an SVG.
export const dragged = (svg, moved) => {
  const place = event => {
    const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    moved(spot.x, spot.y);
  };
  svg.addEventListener("pointerdown", event => { svg.setPointerCapture(event.pointerId); place(event); event.preventDefault(); });
  svg.addEventListener("pointermove", event => { if (svg.hasPointerCapture(event.pointerId)) place(event); });
};
