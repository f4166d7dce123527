// The dials: what the model is worth on every blank of the language and every word there, each weighed by how often it comes.
// Nothing is drawn by chance here but the rivals of the sampled term.
import {contextOf, predict, candidatesOf, turned, compare, dot, TERMS} from "./model.js";
import {randomFrom} from "./random.js";

export const sourceOf = (model, copy, settings) => settings.copy === "ema" ? copy : model;

export function gaugesOf(model, copy, grammar, settings) {
  const source = sourceOf(model, copy, settings), own = settings.kind === "context" ? turned(source) : source.rows;
  const {dim} = model, {below} = randomFrom(0), found = {top1: 0, cosine_: 0, alike: 0, softmax: 0, cosine: 0, sampled: 0, direction: 0};
  for (const {left, right, chance, law} of grammar.contexts) {
    const p = predict(model, contextOf(model, left, right), left, right, settings.predictor);
    const candidates = candidatesOf(source, settings.kind, left, right, own), seen = compare(p, candidates);
    const cosine = dot(law, seen.cosines), scores = seen.cosines.map(x => x / settings.temperature);
    found.top1 += chance * luckOf(law, seen.cosines);
    found.alike += chance * alike(candidates, seen.lengths, dim);
    found.cosine_ += chance * cosine;
    found.softmax += chance * (logSum(seen.dots) - dot(law, seen.dots));
    found.cosine += chance * (logSum(scores) - cosine / settings.temperature);
    found.direction += chance * 2 * (1 - cosine);
    found.sampled += chance * sampledOf(scores, law, settings.rivals, below);
  }
  found.inflated = 1 - (1 - found.cosine_) / dim;            // a common mistake: the squared error averaged over the D numbers too
  found.total = TERMS.reduce((sum, term) => sum + settings.weights[term] * found[term], 0);
  found.rank = dim > 2 ? effectiveRank(own, model.words, dim) : null;
  return found;
}

function logSum(scores) {
  const highest = Math.max(...scores);
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - highest);
  return highest + Math.log(sum);
}

// The sampled term: one draw of rivals for every word that is likely here.
function sampledOf(scores, law, rivals, below) {
  let sum = 0, all = 0;
  law.forEach((p, word) => {
    if (p < .02) return;
    const among = [scores[word], ...Array.from({length: rivals}, () => scores[(word + 1 + below(law.length - 1)) % law.length])];
    all += p; sum += p * (logSum(among) - scores[word]);
  });
  return all ? sum / all : 0;
}

// The chance that the nearest word is right. Words whose cosines differ by less than a thousandth are a tie, and a tie is drawn by lot:
// a table that has collapsed still has a nearest word, in the seventh digit, but nobody could live on that.
const TIE = .001;
export function luckOf(law, cosines) {
  const least = Math.max(...cosines) - TIE;
  let sum = 0, tied = 0;
  for (let word = 0; word < law.length; word++) if (cosines[word] >= least) { sum += law[word]; tied++; }
  return sum / tied;
}

// Length of the mean of unit vectors: 0 where they point everywhere, 1 where all are one.
function alike(vectors, lengths, dim) {
  const mean = new Float64Array(dim), words = lengths.length;
  for (let w = 0; w < words; w++) for (let d = 0; d < dim; d++) mean[d] += vectors[w * dim + d] / lengths[w] / words;
  return Math.hypot(...mean);
}

// How many directions the centred unit rows really use: exp of the entropy of the singular values' shares (Roy and Vetterli 2007).
export function effectiveRank(vectors, words, dim) {
  const unit = vectors.slice(), mean = new Float64Array(dim), square = new Float64Array(dim * dim);
  for (let w = 0; w < words; w++) {
    const length = Math.hypot(...unit.subarray(w * dim, (w + 1) * dim)) || 1;
    for (let d = 0; d < dim; d++) mean[d] += (unit[w * dim + d] /= length) / words;
  }
  for (let w = 0; w < words; w++) for (let i = 0; i < dim; i++) for (let j = 0; j < dim; j++)
    square[i * dim + j] += (unit[w * dim + i] - mean[i]) * (unit[w * dim + j] - mean[j]);
  const singular = eigenvalues(square, dim).map(value => Math.sqrt(Math.max(value, 0))), sum = singular.reduce((a, b) => a + b);
  return sum ? Math.exp(-singular.reduce((h, s) => h + (s > 0 ? s / sum * Math.log(s / sum) : 0), 0)) : 1;
}

// Of a small symmetric matrix, by Jacobi's rotations: each makes one pair of off-diagonal numbers zero.
function eigenvalues(M, n) {
  const m = M.slice();
  for (let sweep = 0; sweep < 12; sweep++) for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
    if (Math.abs(m[p * n + q]) < 1e-300) continue;
    const angle = Math.atan2(2 * m[p * n + q], m[q * n + q] - m[p * n + p]) / 2, c = Math.cos(angle), s = Math.sin(angle);
    for (let k = 0; k < n; k++) { const a = m[k * n + p], b = m[k * n + q]; m[k * n + p] = c * a - s * b; m[k * n + q] = s * a + c * b; }
    for (let k = 0; k < n; k++) { const a = m[p * n + k], b = m[q * n + k]; m[p * n + k] = c * a - s * b; m[q * n + k] = s * a + c * b; }
  }
  return Array.from({length: n}, (_, i) => m[i * n + i]);
}
