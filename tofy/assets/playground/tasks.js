// Twelve things to try. A task is done while what it asks for has lasted for some steps in which no knob was touched; turn a knob
// that matters, and it is open again. `g` are the dials, `s` the knobs.

const only = (s, term) => Object.entries(s.weights).every(([name, weight]) => (weight > 0) === (name === term));

export const TASKS = [
  {name: "learn", says: "Let it learn, until top-1 is three quarters of the exact best.", hint: "Play. If two words stand in each other's way: another seed.",
    done: ({g, s, grammar}) => only(s, "cosine") && g.top1 >= .75 * grammar.best},
  {name: "useless", says: "Make the loss zero and the model useless.", hint: "Only the direction term. Who else could come to meet the prediction?",
    done: ({g, s}) => only(s, "direction") && g.total < .01 && g.alike > .99},
  {name: "stop", says: "Only the direction term, and a stop-gradient: keep the words apart for 400 steps.", lasts: 400,
    hint: "Made by: the model, gradient stopped. Begin with Reset if they have run together already.",
    done: ({g, s}) => only(s, "direction") && s.copy === "stopped" && s.predictor && g.alike < .9},
  {name: "despite", says: "Let them run together in spite of the stop-gradient.", hint: "What could learn instead of the words? Switch it off. Noise helps.",
    done: ({g, s}) => only(s, "direction") && s.copy === "stopped" && g.alike > .97},
  {name: "jepa", says: "A JEPA that lives: a contextual target, a slow copy, only the direction, 600 steps.", lasts: 600,
    hint: "Begin with Reset; leave the predictor on.",
    done: ({g, s}) => only(s, "direction") && s.kind === "context" && s.copy === "ema" && s.decay >= .9 && g.alike < .95},
  {name: "wake", says: "Let a table collapse, and wake it without Reset.", hint: "Rivals push them apart. But the prediction must find them first: add some direction to the cosine term.",
    done: ({g, film}) => g.alike < .4 && film.frames.some(({alike}) => alike > .97)},
  {name: "crowd", says: "Crowd it: many words, none alike, and top-1 below two thirds of what is possible.", lasts: 400,
    hint: "More words than a circle has room for. The cosine term keeps them apart.",
    done: ({g, s, grammar}) => s.words > 12 && only(s, "cosine") && g.alike < .5 && g.top1 < .66 * grammar.best},
  {name: "room", says: "Thirty words or more, and top-1 within a tenth of the best possible.", hint: "More dimensions.",
    done: ({g, s, grammar}) => s.words > 12 && g.top1 > .9 * grammar.best},
  {name: "hot", says: "So hot that the words jump, and go on jumping.", hint: "The learning rate.",
    done: ({s, film}) => s.weights.cosine > 0 && film.jump > .5},
  {name: "few", says: "Three quarters of the exact best, with three sampled rivals or fewer.", hint: "Only the sampled term. A globe has more room.",
    done: ({g, s, grammar}) => only(s, "sampled") && s.rivals <= 3 && g.top1 >= .75 * grammar.best},
  {name: "flatter", says: "A cosine that flatters: .9 or more as commonly misreported, and in truth .3 less.",
    hint: "The mistake divides by D.", done: ({g}) => g.inflated >= .9 && g.cosine_ <= g.inflated - .3},
  {name: "floor", says: "Three quarters of the exact best, and yet a loss above 1.3.", hint: "A loss has a floor. What lifts it, and leaves the nearest row the nearest?",
    done: ({g, s, grammar}) => only(s, "cosine") && g.top1 >= .75 * grammar.best && g.total > 1.3},
];
export const LASTS = 200, SECONDS = 1.5;                      // without a touch: steps, and time (at speed 20 steps are nothing)

export function solved(task, film, gauges, seconds = Infinity) {
  const lasted = film.now.step - film.touched;
  return lasted >= (task.lasts ?? LASTS) && seconds >= SECONDS && Boolean(task.done({g: gauges, s: film.settings, grammar: film.grammar, film}));
}
