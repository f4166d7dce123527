// What tests/test_playground.py asks of the playground's script, in Node: node playground_node.mjs SCRIPT NAME < question > answer
import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

const P = await import(pathToFileURL(process.argv[2]));
const full = some => P.withDefaults(some);

// A film of these settings after some steps, with its dials.
function played(some, steps) {
  const film = P.startFilm(full(some));
  for (let i = 0; i < steps; i++) P.advance(film);
  return {film, ...P.gaugesOf(film.now.model, film.now.copy, film.grammar, film.settings), jump: film.jump};
}
function limitOf(film) {
  const search = P.searchLimit(film.grammar, film.settings.dim, film.settings.temperature);
  for (;;) { const {value, done} = search.next(); if (done) return value; }
}
const arrays = values => Object.fromEntries(Object.entries(values).map(([name, list]) => [name, Float64Array.from(list)]));

const answers = {
  // Starts and batches from torch: the first gradient, and the losses of every step.
  parity: cases => cases.map(({toy, own, slow, batches}) => {
    const settings = full(toy), size = {words: toy.words, dim: toy.dim}, model = {...size, ...arrays(own)}, copy = {...size, ...arrays(slow)};
    const {grad} = P.gradientOf(model, copy, batches[0], settings);
    const losses = batches.map(batch => P.trainStep(model, copy, batch, settings).losses);
    return {grad: Object.fromEntries(Object.entries(grad).map(([name, g]) => [name, [...g]])), losses};
  }),
  laws: ({words, ambiguity}) => {
    const {contexts, best, entropy, common, unigram, names} = P.makeGrammar(words, ambiguity);
    return {contexts: contexts.map(c => ({...c, law: [...c.law]})), best, entropy, common, unigram: [...unigram], names};
  },
  draws: ({words, ambiguity, count}) => P.drawBatch(P.makeGrammar(words, ambiguity), count, 3, 0, 0),
  presets: ({seeds, steps}) => P.PRESETS.map(({name, settings}) => ({name, runs: Array.from({length: seeds}, (_, seed) => {
    const {film, ...dials} = played({...settings, seed}, steps[name]);
    return {...dials, unigram: film.grammar.common, best: film.grammar.best, start: played({...settings, seed}, 0).total};
  })})),
  played: ({settings, steps}) => settings.map(some => { const {film, ...dials} = played(some, steps); return dials; }),
  floors: settings => settings.map(some => ({...limitOf(played(some, 0).film), runs: [300, 900].map(steps => played(some, steps).cosine)})),
  exact: some => {                                            // the dials against the terms of every blank, one by one
    const {film, ...dials} = played(some, 30), {now, grammar, settings} = film, sums = {softmax: 0, cosine: 0, direction: 0};
    const source = P.sourceOf(now.model, now.copy, settings);
    for (const {left, right, chance, law} of grammar.contexts) law.forEach((p, word) => {
      const seen = P.compare(P.predict(now.model, P.contextOf(now.model, left, right), left, right, settings.predictor), P.candidatesOf(source, settings.kind, left, right));
      const {losses} = P.termsOf(seen, word, [], settings);
      for (const term in sums) sums[term] += chance * p * losses[term];
    });
    return {dials, sums};
  },
  rewound: some => {                                          // forward, back, forward again
    const {film} = played(some, 60), end = [...film.now.model.rows];
    P.seek(film, 20);
    const between = film.now.step;
    while (film.now.step < 60) P.advance(film);
    return {between, first: end, again: [...film.now.model.rows], frames: film.frames.length};
  },
  links: texts => texts.map(text => { const settings = P.fromLink(text); return {flat: P.flat(settings), link: P.toLink(settings)}; }),
  knobs: () => P.flat(P.withDefaults()),
  tasks: () => P.TASKS.map(({name}) => name),
  // A list of [settings, steps], one after the other in one film (or a new one, where words, D or the seed change) → tasks done after each.
  story: parts => {
    let film = P.startFilm(full(parts[0][0]));
    return parts.map(([some, steps]) => {
      const settings = full(some);
      if (P.needsNewFilm(film.settings, settings)) film = P.startFilm(settings); else if (JSON.stringify(settings) !== JSON.stringify(film.settings)) P.changeSettings(film, settings);
      return doneIn(film, steps);
    });
  },
  // The same list → the verdict's title at every twelfth step, beside what it speaks of.
  verdicts: parts => {
    let film = P.startFilm(full(parts[0][0]));
    return parts.map(([some, steps]) => {
      const settings = full(some);
      if (P.needsNewFilm(film.settings, settings)) film = P.startFilm(settings); else P.changeSettings(film, settings);
      return Array.from({length: steps / 12}, () => {
        for (let i = 0; i < 12; i++) P.advance(film);
        const gauges = P.gaugesOf(film.now.model, film.now.copy, film.grammar, settings);
        film.frames[film.at].alike = gauges.alike;
        const [, title, words] = P.verdictOf(gauges, film.grammar, settings, film);
        return {title, words, alike: gauges.alike, top1: gauges.top1, common: film.grammar.common};
      });
    });
  },
  // Somebody who turns a knob at random twice a second for a minute, while it plays at 60 pictures a second.
  random: ({seed, pictures, speed, every, clock}) => {
    const {below, uniform} = P.randomFrom(seed, 7), ever = new Set();
    let film = P.startFilm(full({}));
    for (let picture = 0; picture < pictures; picture += every) {
      const knob = P.KNOBS[below(P.KNOBS.length)], value = randomValue(knob, uniform, below), settings = P.changed(film.settings, knob.name, value);
      if (P.needsNewFilm(film.settings, settings)) film = P.startFilm(settings); else P.changeSettings(film, settings);
      doneIn(film, speed * every, clock ? every / 60 : undefined).forEach(name => ever.add(name));
    }
    return [...ever];
  },
  speed: ({settings, steps}) => {
    const film = P.startFilm(full(settings));
    for (let i = 0; i < 20; i++) P.advance(film);
    const began = performance.now();
    for (let i = 0; i < steps; i++) P.advance(film);
    const middle = performance.now();
    P.gaugesOf(film.now.model, film.now.copy, film.grammar, film.settings);
    return {steps: 1000 * steps / (middle - began), dials: performance.now() - middle};
  },
};

function doneIn(film, steps, seconds) {
  for (let i = 1; i <= steps; i++) {
    P.advance(film);
    if (i % 25 === 0 || i === steps) film.frames[film.at].alike = P.gaugesOf(film.now.model, film.now.copy, film.grammar, film.settings).alike;
  }
  const gauges = P.gaugesOf(film.now.model, film.now.copy, film.grammar, film.settings);
  return P.TASKS.filter(task => P.solved(task, film, gauges, seconds)).map(({name}) => name);
}
function randomValue({options, toggle, whole, log, range}, uniform, below) {
  if (options) return options[below(options.length)][0];
  if (toggle) return uniform() < .5;
  if (whole) return below(100);
  const value = range[0] + uniform() * (range[1] - range[0]);
  return log ? 10 ** value : range[2] === 1 ? Math.round(value) : value;
}

process.stdout.write(JSON.stringify(answers[process.argv[3]](JSON.parse(readFileSync(0, "utf8")))));
