// A run and its whole history. The present can be any frame of it: training goes on from there, and what lay ahead is forgotten.
import {makeGrammar, drawBatch} from "./grammar.js";
import {startModel, copyOf, trainStep} from "./model.js";

export const BATCH = 16, FRAMES = 480;                       // blanks a step; frames kept before every second one is dropped

export function startFilm(settings) {
  const model = startModel(settings.words, settings.dim, settings.seed);
  const film = {settings, grammar: makeGrammar(settings.words, settings.ambiguity), frames: [], stride: 1, at: 0};
  film.frames.push({step: 0, model, copy: copyOf(model)});
  film.now = {step: 0, model: copyOf(model), copy: copyOf(model)};
  return film;
}

// New settings for the same model; what the language or the sphere is made of needs a new film.
export const needsNewFilm = (old, settings) => ["words", "dim", "seed"].some(name => old[name] !== settings[name]);
export function changeSettings(film, settings) {
  if (settings.ambiguity !== film.settings.ambiguity) film.grammar = makeGrammar(settings.words, settings.ambiguity);
  film.settings = settings;
}

export function advance(film) {
  const {now, settings, grammar} = film;
  if (film.at < film.frames.length - 1) film.frames.length = film.at + 1;             // what lay ahead is forgotten
  const batch = drawBatch(grammar, BATCH, settings.rivals, settings.seed, now.step);
  film.last = trainStep(now.model, now.copy, batch, settings);
  now.step++;
  if (now.step % film.stride === 0) keep(film);
}

function keep(film) {
  film.frames.push({step: film.now.step, model: copyOf(film.now.model), copy: copyOf(film.now.copy)});
  if (film.frames.length > FRAMES) { film.frames = film.frames.filter((_, i) => i % 2 === 0); film.stride *= 2; }
  film.at = film.frames.length - 1;
}

// Go to a frame of the history.
export function seek(film, at) {
  film.at = Math.max(0, Math.min(film.frames.length - 1, at));
  const {step, model, copy} = film.frames[film.at];
  film.now = {step, model: copyOf(model), copy: copyOf(copy)};
}
