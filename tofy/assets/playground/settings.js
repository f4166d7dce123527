// Every knob is told once: its name, its values, the words beside it. Controls, links, checks and the reference come from here.

export const KNOBS = [
  {name: "words", group: "Language", label: "words", options: [[12, "12"], [30, "30"], [60, "60"]], value: 12},
  {name: "dim", group: "Language", label: "live on", value: 2,
    options: [[2, "a circle (D = 2)"], [3, "a globe (D = 3)"], [8, "a sphere in D = 8"]]},
  {name: "ambiguity", group: "Language", label: "ambiguity", range: [0, 1, .05], value: .1, says: "how often a neighbour is any word"},
  {name: "seed", group: "Language", label: "seed", whole: true, value: 0},

  {name: "kind", group: "Target", label: "what is predicted", value: "row",
    options: [["row", "the word's row"], ["context", "a contextual target"]]},
  {name: "copy", group: "Target", label: "made by", value: "shared",
    options: [["shared", "the model, with gradient"], ["stopped", "the model, gradient stopped"], ["ema", "a slow copy (teacher)"]]},
  {name: "decay", group: "Target", label: "decay of the copy", range: [0, .999, .001], value: .99, needs: s => s.copy === "ema"},
  {name: "predictor", group: "Target", label: "predictor", toggle: true, value: true, says: "off: the mean of the neighbours"},

  {name: "softmax", group: "Loss", label: "softmax ×", range: [0, 2, .1], value: 0, weight: true},
  {name: "cosine", group: "Loss", label: "cosine ×", range: [0, 2, .1], value: 1, weight: true},
  {name: "sampled", group: "Loss", label: "sampled rivals ×", range: [0, 2, .1], value: 0, weight: true},
  {name: "direction", group: "Loss", label: "direction ×", range: [0, 2, .1], value: 0, weight: true},

  {name: "temperature", group: "Learning", label: "temperature τ", range: [.02, 1, .01], value: .2,
    needs: s => s.weights.cosine || s.weights.sampled},
  {name: "rivals", group: "Learning", label: "rivals", range: [1, 11, 1], value: 3, needs: s => s.weights.sampled},
  {name: "rate", group: "Learning", label: "learning rate", range: [-5, 2, .1], value: .2, log: true},
  {name: "quick", group: "Learning", label: "matrices learn ×", says: "as fast as the words", range: [-1, 1, .1], value: .3, log: true},
  {name: "sphere", group: "Learning", label: "rows put back on the sphere", toggle: true, value: true},
];
const BY_NAME = Object.fromEntries(KNOBS.map(knob => [knob.name, knob]));

// A full set of settings from a few; the four weights stand together.
export function withDefaults(some = {}) {
  const all = {...Object.fromEntries(KNOBS.map(knob => [knob.name, knob.value])), ...some};
  const settings = {weights: {}};
  for (const {name, weight} of KNOBS) (weight ? settings.weights : settings)[name] = all[name];
  return settings;
}
// The same as one flat list of names and values, as Python has it.
export const flat = settings => Object.fromEntries(KNOBS.map(({name}) => [name, valueOf(settings, name)]));
export const valueOf = (settings, name) => BY_NAME[name].weight ? settings.weights[name] : settings[name];
export const changed = (settings, name, value) => BY_NAME[name].weight
  ? {...settings, weights: {...settings.weights, [name]: value}} : {...settings, [name]: value};

// A link holds what differs from the defaults: "#copy=stopped&rate=0.3". What it holds that no knob could say is left out.
export const toLink = settings => KNOBS.filter(({name, value}) => valueOf(settings, name) !== value)
  .map(({name}) => `${name}=${Number.isFinite(valueOf(settings, name)) ? +valueOf(settings, name).toPrecision(6) : valueOf(settings, name)}`).join("&");
export function fromLink(text) {
  let settings = withDefaults();
  for (const [name, said] of new URLSearchParams(text.replace(/^#/, ""))) {
    const knob = BY_NAME[name], value = knob && read(knob, said);
    if (value !== undefined) settings = changed(settings, name, value);
  }
  return settings;
}
function read(knob, said) {
  if (knob.toggle) return {true: true, false: false}[said];
  if (knob.options) return knob.options.map(([value]) => value).find(value => String(value) === said);
  const number = Number(said), [low, high] = knob.whole ? [0, 9999] : knob.range.map(x => knob.log ? 10 ** x : x);
  return said.trim() && number >= low - 1e-9 && number <= high + 1e-9 && (!knob.whole || Number.isInteger(number)) ? number : undefined;
}
