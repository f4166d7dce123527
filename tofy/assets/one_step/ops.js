// A step as the page holds it, and how one of its numbers is made from the numbers of its inputs.

function numbersOf(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0)), view = new DataView(bytes.buffer);
  return Float64Array.from({length: bytes.length / 4}, (_, i) => view.getFloat32(4 * i, true));
}

// Page data → steps, each with its stages in order and by name; `lines` is what is shown of each axis.
export function readSteps({steps, heads}) {
  return steps.map(({title, question, stages, labels, picks, few, answer, blank, traced}) => {
    const list = stages.map(({head, shape, numbers, cut = false, consts = {}}) => {
      const [name, formula, inputs, axes, part, op] = heads[head];
      const lines = axes.map((axis, i) => cut && picks[axis] && picks[axis].length < shape[i] ? picks[axis] : [...Array(shape[i]).keys()]);
      const names = axes.map((axis, i) => few[axis] && lines[i].length === few[axis].length && (cut || !labels[axis]) ? few[axis] : labels[axis] ?? null);
      return {name, formula, inputs, axes, part, op, shape, cut, consts, lines, names, numbers: numbersOf(numbers)};
    });
    const by = Object.fromEntries(list.map(stage => [stage.name, stage]));
    return {title, question, list, by, answer, blank, traced, users: usersOf(list)};
  });
}

function usersOf(list) {
  const users = {};
  for (const {name, inputs} of list) for (const input of inputs) (users[input] ??= []).push(name);
  return users;
}

export const placeOf = (shape, index) => index.reduce((at, i, axis) => at * shape[axis] + i, 0);
export function indexOf(shape, place) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) { index.unshift(place % shape[axis]); place = Math.floor(place / shape[axis]); }
  return index;
}

// erf by its series, which converges everywhere; beyond 4 it is 1 to eight digits.
function erf(x) {
  if (Math.abs(x) > 4) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; n < 80; n++) { term *= -x * x / n; sum += term / (2 * n + 1); }
  return 2 / Math.sqrt(Math.PI) * sum;
}
const gelu = x => x / 2 * (1 + erf(x / Math.SQRT2));
const range = n => [...Array(n).keys()], total = values => values.reduce((a, b) => a + b, 0);

// What an operation may ask: the number of an input (`r`), a product of two (`x`), and the sizes of its inputs.
function asking(step, stage, groups, change) {
  const r = (input, ...index) => {
    const name = stage.inputs[input], of = step.by[name], place = placeOf(of.shape, index);
    const value = of.numbers[place] + (change && change.name === name && change.place === place ? change.by : 0);
    groups?.push({reads: [{name, place, value}], value});
    return value;
  };
  const x = (...pair) => {
    const at = groups?.length, value = pair.map(one => r(...one)).reduce((a, b) => a * b);
    if (groups) groups.push({reads: groups.splice(at).flatMap(group => group.reads), value});
    return value;
  };
  return {r, x, size: (input, axis) => step.by[stage.inputs[input]].shape.at(axis), c: stage.consts};
}

const cosine = (a, b) => total(a.map((v, i) => v * b[i])) / Math.hypot(...a) / Math.hypot(...b);

// Each operation: what it may ask, and which number of its result → that number.
const OPS = {
  row: ({r}, [line, i]) => r(0, r(1, line), i),
  scale: ({r, c}, index) => total(c.scales.map((scale, i) => scale * r(i, ...index))),
  norm({r, size, c}, index) {
    const line = index.slice(0, -1), own = index.at(-1), x = range(size(0, -1)).map(i => r(0, ...line, i));
    const mean = total(x) / x.length, variance = total(x.map(v => (v - mean) ** 2)) / x.length;
    return (x[own] - mean) / Math.sqrt(variance + c.eps) * r(1, own) + r(2, own);
  },
  linear: ({r, x, size}, index) => total(range(size(0, -1)).map(i => x([0, ...index.slice(0, -1), i], [1, index.at(-1), i]))) + r(2, index.at(-1)),
  heads({r, x, size, shape}, [head, word, i]) {
    const out = head * shape[2] + i;
    return total(range(size(0, -1)).map(j => x([0, word, j], [1, out, j]))) + r(2, out);
  },
  turn({r, shape, c}, [head, word, i]) {
    const even = i - i % 2, angle = word * c.base ** (-even / shape[2]), a = r(0, head, word, even), b = r(0, head, word, even + 1);
    return i % 2 ? a * Math.sin(angle) + b * Math.cos(angle) : a * Math.cos(angle) - b * Math.sin(angle);
  },
  dot: ({x, size}, [head, reader, seen]) => total(range(size(0, -1)).map(i => x([0, head, reader, i], [1, head, seen, i]))) / Math.sqrt(size(0, -1)),
  softmax({r, size}, index) {
    const all = range(size(0, -1)).map(i => Math.exp(r(0, ...index.slice(0, -1), i)));
    return all[index.at(-1)] / total(all);
  },
  read: ({x, size}, [head, word, i]) => total(range(size(0, -1)).map(seen => x([0, head, word, seen], [1, head, seen, i]))),
  join({r, x, size}, [word, out]) {
    const d = size(0, -1);
    return total(range(size(0, 0) * d).map(i => x([0, Math.floor(i / d), word, i % d], [1, out, i]))) + r(2, out);
  },
  add: ({r}, index) => r(0, ...index) + r(1, ...index),
  times: ({r, count}, index) => r(0, ...index) * (count > 1 ? r(1) : 1),
  at: ({r, c}, [i]) => r(0, c.at, i),
  exp: ({r}) => Math.exp(r(0)),
  relu: ({r}, index) => Math.max(0, r(0, ...index)),
  gelu: ({r, count}, index) => gelu(r(0, ...index)) * (count > 1 ? r(1, ...index) : 1),
  cosine: ({r, size}, [line]) => cosine(range(size(0, -1)).map(i => r(0, i)), range(size(0, -1)).map(i => r(1, line, i))),
  divide: ({r}, [i]) => r(0, i) / r(1),
  rank({r, size, c}) {
    const scores = range(size(0, 0)).map(i => r(0, i));
    return Math.log(total(scores.map(Math.exp))) - (1 - c.smoothing) * scores[c.answer] - c.smoothing * total(scores) / scores.length;
  },
  direction: ({r, c}) => 2 * (1 - r(0, c.answer)) / c.size,
  aux: ({r, size, c}) => 1 - cosine(range(size(0, 0)).map(i => r(0, i)), range(size(0, 0)).map(i => r(1, c.answer, i))),
  long: ({r, count, sizes}) => Math.hypot(...range(count).flatMap(input => range(sizes[input].reduce((a, b) => a * b, 1)).map(place => r(input, ...indexOf(sizes[input], place))))),
  clip: ({r, c}) => Math.min(1, c.most / (r(0) + 1e-6)),
  square: ({r, c}, index) => c.scales[0] * r(0, ...index) + c.scales[1] * r(1, ...index) ** 2,
  adam({r, c}, index) {
    const [mean, square] = [0, 1].map(input => r(input, ...index) / c.corrections[input]);
    return -c.rate * (mean / (Math.sqrt(square) + c.eps) + c.decay * r(2, ...index));
  },
  length: ({r, size}, [line]) => { const row = r(1, line); return Math.hypot(...range(size(0, -1)).map(i => r(0, row, i))); },
  "cosine moved"({r, size}, [line]) {
    const row = r(2, line);
    return cosine(range(size(0, -1)).map(i => r(0, i)), range(size(0, -1)).map(i => r(1, row, i)));
  },
};

function evaluate(step, stage, place, groups, change) {
  const asked = asking(step, stage, groups, change), sizes = stage.inputs.map(name => step.by[name].shape);
  return OPS[stage.op]({...asked, shape: stage.shape, count: stage.inputs.length, sizes}, indexOf(stage.shape, place));
}

// A gradient: of each number that was made from this one, its gradient times how fast it changes with this one.
function back(step, stage, place, groups) {
  const name = stage.consts.of, tiny = 1e-4;
  let sum = 0;
  for (const input of stage.inputs) {
    const gradient = step.by[input], made = step.by[gradient.consts.of ?? "loss"];
    for (let at = 0; at < gradient.numbers.length; at++) {
      const met = [];
      evaluate(step, made, at, met);
      if (!met.some(group => group.reads.some(read => read.name === name && read.place === place))) continue;
      const [up, down] = [tiny, -tiny].map(by => evaluate(step, made, at, null, {name, place, by}));
      const slope = (up - down) / (2 * tiny), value = slope * gradient.numbers[at];
      groups.push({reads: [{name: input, place: at, value: gradient.numbers[at]}], slope, value});
      sum += value;
    }
  }
  return sum;
}

export const isWhole = stage => stage !== undefined && !stage.cut;

// What one number comes from: the numbers that were read, in groups that were multiplied; null where the page lacks them.
export function trace(step, name, place) {
  const stage = step.by[name], groups = [];
  const needs = stage.op === "back" ? [...stage.inputs, ...stage.inputs.map(input => step.by[input]?.consts.of ?? "loss"),
    ...stage.inputs.flatMap(input => step.by[step.by[input]?.consts.of]?.inputs ?? [])] : stage.inputs;
  if (!step.traced || !stage.op || !isWhole(stage) || !needs.every(need => isWhole(step.by[need]))) return null;
  const value = stage.op === "back" ? back(step, stage, place, groups) : evaluate(step, stage, place, groups);
  return {value, groups};
}
