// A run and its whole history. The present can be any frame of it: training goes on from there, exactly as it did the first time,
// and what lay ahead is forgotten.
import {makeGrammar, drawBatch} from "./grammar.js";
import {startModel, copyOf, trainStep} from "./model.js";

export const BATCH = 16, FRAMES = 480;                       // blanks a step; frames kept before every second one is dropped

export function startFilm(settings) {
  const model = startModel(settings.words, settings.dim, settings.seed), copy = copyOf(model);
  return {settings, grammar: makeGrammar(settings.words, settings.ambiguity), stride: 1, at: 0, touched: 0,
    frames: [{step: 0, settings, model: copyOf(model), copy: copyOf(copy)}], now: {step: 0, model, copy}, jump: 0, last: null};
}

// Other words, another sphere or another seed are another film.
export const needsNewFilm = (old, settings) => ["words", "dim", "seed"].some(name => old[name] !== settings[name]);

export function changeSettings(film, settings) {
  if (settings.ambiguity !== film.settings.ambiguity) film.grammar = makeGrammar(settings.words, settings.ambiguity);
  film.settings = settings;
  film.touched = film.now.step;
}

export function advance(film) {
  const {now, settings, grammar} = film;
  film.frames.length = film.at + 1;                          // what lay ahead is forgotten
  const before = now.model.rows.slice();
  film.last = trainStep(now.model, now.copy, drawBatch(grammar, BATCH, settings.rivals, settings.seed, now.step), settings);
  film.jump = .9 * film.jump + .1 * meanMove(before, now.model);
  now.step++;
  if (now.step % film.stride === 0) keep(film);
}

function keep(film) {
  const {step, model, copy} = film.now;
  film.frames.push({step, settings: film.settings, model: copyOf(model), copy: copyOf(copy), jump: film.jump});
  if (film.frames.length > FRAMES) { film.frames = film.frames.filter((_, i) => i % 2 === 0); film.stride *= 2; }
  film.at = film.frames.length - 1;
}

// Go to a frame of the history; the knobs go back with it.
export function seek(film, at) {
  film.at = Math.max(0, Math.min(film.frames.length - 1, at));
  const {step, settings, model, copy, jump = 0} = film.frames[film.at];
  if (settings.ambiguity !== film.settings.ambiguity) film.grammar = makeGrammar(settings.words, settings.ambiguity);
  Object.assign(film, {settings, jump, touched: step, now: {step, model: copyOf(model), copy: copyOf(copy)}});
}

// How far a word moves in one step, on the mean.
function meanMove(before, {rows, words, dim}) {
  let sum = 0;
  for (let w = 0; w < words; w++) {
    let square = 0;
    for (let d = w * dim; d < (w + 1) * dim; d++) square += (rows[d] - before[d]) ** 2;
    sum += Math.sqrt(square) / words;
  }
  return sum;
}
