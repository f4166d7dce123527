// How well could anything do in this many dimensions? On a circle two words that answer the same blank may lie far apart, and twelve
// words leave 30° to each. Rows and predictions are moved here freely, each blank with a prediction of its own, no matrices between:
// what comes out is the best found, and no model with matrices does better. A round at a time, so that the page stays quick.
import {dot} from "./model.js";
import {luckOf} from "./gauges.js";
import {randomFrom} from "./random.js";

export function* searchLimit(grammar, dim, temperature, rounds = 160) {
  const {words, contexts} = grammar, rows = spreadOut(words, dim);
  const preds = contexts.map(({law}) => unit(mixture(law, rows, dim)));
  for (let round = 0; round < rounds; round++) {
    const pull = new Float64Array(rows.length);
    contexts.forEach(({law, chance}, c) => {
      const p = preds[c], share = softmaxOf(p, rows, temperature), mean = new Float64Array(dim);
      for (let w = 0; w < words; w++) for (let d = 0; d < dim; d++) {
        mean[d] += (law[w] - share[w]) * rows[w * dim + d];
        pull[w * dim + d] += chance * words * (law[w] - share[w]) * p[d];
      }
      for (let d = 0; d < dim; d++) p[d] += mean[d];
      unit(p);
    });
    for (let w = 0; w < words; w++) {
      const row = rows.subarray(w * dim, (w + 1) * dim);
      for (let d = 0; d < dim; d++) row[d] += .3 * pull[w * dim + d];
      unit(row);
    }
    yield null;
  }
  return scoreOf(grammar, rows, preds, temperature, dim);
}

function scoreOf({contexts}, rows, preds, temperature, dim) {
  const found = {cosine: 0, top1: 0};
  contexts.forEach(({law, chance}, c) => {
    const share = softmaxOf(preds[c], rows, temperature);
    found.cosine -= chance * law.reduce((sum, p, w) => sum + (p ? p * Math.log(share[w]) : 0), 0);
    found.top1 += chance * luckOf(law, share.map(p => 1 + temperature * Math.log(p)));   // cosines, but for a common number
  });
  return found;
}

function softmaxOf(p, rows, temperature) {
  const dim = p.length, share = new Float64Array(rows.length / dim);
  let sum = 0;
  for (let w = 0; w < share.length; w++) {
    let cosine = 0;
    for (let d = 0; d < dim; d++) cosine += p[d] * rows[w * dim + d];
    sum += share[w] = Math.exp((cosine - 1) / temperature);
  }
  for (let w = 0; w < share.length; w++) share[w] /= sum;
  return share;
}

function unit(v) {                                           // in place
  const length = Math.sqrt(dot(v, v)) || 1;
  for (let d = 0; d < v.length; d++) v[d] /= length;
  return v;
}

function mixture(law, rows, dim) {
  const sum = new Float64Array(dim).fill(1e-9);
  law.forEach((p, w) => { for (let d = 0; d < dim; d++) sum[d] += p * rows[w * dim + d]; });
  return sum;
}

// Evenly on the circle, along a spiral on the globe, anywhere in eight dimensions.
function spreadOut(words, dim) {
  const rows = new Float64Array(words * dim), {normal} = randomFrom(3);
  for (let w = 0; w < words; w++) {
    const angle = 2 * Math.PI * w / words, z = 1 - (2 * w + 1) / words, golden = w * Math.PI * (3 - Math.sqrt(5)), wide = Math.sqrt(1 - z * z);
    const row = dim === 2 ? [Math.cos(angle), Math.sin(angle)] : dim === 3 ? [wide * Math.cos(golden), wide * Math.sin(golden), z]
      : Array.from({length: dim}, normal);
    rows.set(unit(row), w * dim);
  }
  return rows;
}

// The least that each term can be. Softmax: the language's own uncertainty. Sampled: were every rival opposite to the answer.
// Direction: nothing, and a table that has collapsed reaches it.
export const floorsOf = (grammar, limit, {temperature, rivals}) => ({softmax: grammar.entropy, cosine: limit?.cosine,
  sampled: Math.log(1 + rivals * Math.exp(-2 / temperature)), direction: 0});
