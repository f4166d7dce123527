// The model. Rows (V words, D numbers each); a prediction from the two neighbours; what it is compared with; the loss; its gradient.
// Everything is a Float64Array, row after row, and every derivative stands beside its formula. Same letters as on the page:
//
//   context     c = A·row(left) + B·row(right)
//   prediction  p = W·c                                 (where the predictor is off: the plain mean of the two rows)
//   candidates  t(w) = row(w), or C·row(w) + E·c        one for each word w; from the model itself or from its slow copy
//   loss        weights · (softmax, cosine, sampled, direction)
import {randomFrom} from "./random.js";

export const MATRICES = ["A", "B", "W", "C", "E"];
export const TERMS = ["softmax", "cosine", "sampled", "direction"];

// Rows anywhere on the sphere, but with their mean taken off, so that no film begins half collapsed. The matrices begin near
// multiples of the identity: the context near the mean of the two neighbours, the prediction near its opposite.
export function startModel(words, dim, seed) {
  const {normal} = randomFrom(seed), model = {words, dim, rows: new Float64Array(words * dim).map(normal)};
  toSphere(model);
  for (let d = 0; d < dim; d++) {
    let mean = 0;
    for (let w = 0; w < words; w++) mean += model.rows[w * dim + d] / words;
    for (let w = 0; w < words; w++) model.rows[w * dim + d] -= mean;
  }
  toSphere(model);
  const near = (diagonal, noise) => Float64Array.from({length: dim * dim}, (_, i) => (i % (dim + 1) ? 0 : diagonal) + noise * normal());
  Object.assign(model, {A: near(.5, .15), B: near(.5, .15), W: near(-1, .15), C: near(1, .1), E: near(.2, .1)});
  return model;
}

export const copyOf = model => Object.fromEntries(Object.entries(model).map(([k, v]) => [k, typeof v === "number" ? v : v.slice()]));

function toSphere({rows, words, dim}) {
  for (let w = 0; w < words; w++) {
    const row = rows.subarray(w * dim, (w + 1) * dim), length = Math.hypot(...row) || 1;
    for (let d = 0; d < dim; d++) row[d] /= length;
  }
}

// ---- small pieces of linear algebra: M is D×D, v has D numbers

export function times(M, v, out = new Float64Array(v.length)) {                       // M·v
  const n = v.length;
  for (let i = 0; i < n; i++) { let sum = 0; for (let j = 0; j < n; j++) sum += M[i * n + j] * v[j]; out[i] = sum; }
  return out;
}
function addTransposed(M, g, out) {                                                    // out += Mᵀ·g
  const n = g.length;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[j] += M[i * n + j] * g[i];
}
function addOuter(g, v, out) {                                                         // out += g·vᵀ
  const n = g.length;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[i * n + j] += g[i] * v[j];
}
export const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };
export const rowOf = (model, w) => model.rows.subarray(w * model.dim, (w + 1) * model.dim);

// ---- forward

export function contextOf(model, left, right) {
  const c = times(model.A, rowOf(model, left)), b = times(model.B, rowOf(model, right));
  return c.map((x, i) => x + b[i]);
}
export function predict(model, context, left, right, predictor) {
  if (predictor) return times(model.W, context);
  return context.map((_, d) => (rowOf(model, left)[d] + rowOf(model, right)[d]) / 2);
}

// What a prediction is compared with, V vectors of D numbers: rows, or what the target encoder would make of each word in this context.
export function candidatesOf(source, kind, left, right, own = kind === "context" ? turned(source) : source.rows) {
  if (kind !== "context") return source.rows;
  const {dim} = source, shift = times(source.E, contextOf(source, left, right));
  return own.map((x, i) => x + shift[i % dim]);
}
export function turned({rows, C, words, dim}) {                                        // C·row for every word
  const out = new Float64Array(rows.length);
  for (let w = 0; w < words; w++) times(C, rows.subarray(w * dim, (w + 1) * dim), out.subarray(w * dim, (w + 1) * dim));
  return out;
}

// Dot products and cosines of one prediction with every candidate.
export function compare(p, candidates) {
  const dim = p.length, words = candidates.length / dim, length = Math.sqrt(dot(p, p));
  const dots = new Float64Array(words), lengths = new Float64Array(words), cosines = new Float64Array(words);
  for (let w = 0; w < words; w++) {
    let product = 0, square = 0;
    for (let d = 0; d < dim; d++) { const x = candidates[w * dim + d]; product += p[d] * x; square += x * x; }
    dots[w] = product; lengths[w] = Math.sqrt(square); cosines[w] = product / (length * lengths[w]);
  }
  return {length, dots, lengths, cosines};
}

// Cross-entropy of scores over the words in `among` (the right one first); adds weight · (softmax − one-hot) to `gradient`.
function crossEntropy(scores, scale, among, weight, gradient) {
  let highest = -Infinity, sum = 0;
  for (const w of among) highest = Math.max(highest, scores[w] * scale);
  for (const w of among) sum += Math.exp(scores[w] * scale - highest);
  if (weight) for (const w of among) gradient[w] += weight * scale * Math.exp(scores[w] * scale - highest) / sum;
  if (weight) gradient[among[0]] -= weight * scale;
  return highest + Math.log(sum) - scores[among[0]] * scale;
}

// The four terms for one blank, and the gradient of their weighted sum by dot products and by cosines.
export function termsOf(seen, answer, rivals, {weights, temperature}) {
  const words = seen.dots.length, others = [answer];
  for (let w = 0; w < words; w++) if (w !== answer) others.push(w);
  const byDot = new Float64Array(words), byCosine = new Float64Array(words);
  const losses = {
    softmax: crossEntropy(seen.dots, 1, others, weights.softmax, byDot),
    cosine: crossEntropy(seen.cosines, 1 / temperature, others, weights.cosine, byCosine),
    sampled: crossEntropy(seen.cosines, 1 / temperature, [answer, ...rivals], weights.sampled, byCosine),
    direction: 2 * (1 - seen.cosines[answer])};
  byCosine[answer] -= 2 * weights.direction;
  return {losses, byDot, byCosine};
}

// ---- backward

// From gradients by dot products and cosines to those by the prediction (`toPred`) and by each candidate (`toCandidates`).
// d cos(p, t) / dp = (t/|t| − cos · p/|p|) / |p|, and the same with p and t exchanged.
export function throughScores(p, candidates, seen, {byDot, byCosine}, scale, toPred, toCandidates) {
  const dim = p.length;
  for (let w = 0; w < byDot.length; w++) {
    const g = scale * byCosine[w], h = scale * byDot[w], cos = seen.cosines[w];
    if (!g && !h) continue;
    for (let d = 0, at = w * dim; d < dim; d++, at++) {
      const unitP = p[d] / seen.length, unitT = candidates[at] / seen.lengths[w];
      toPred[d] += g * (unitT - cos * unitP) / seen.length + h * candidates[at];
      if (toCandidates) toCandidates[at] += g * (unitP - cos * unitT) / seen.lengths[w] + h * p[d];
    }
  }
}

// Losses of a batch (means over its blanks) and the gradient of their weighted sum by everything that learns.
// `copy` is the slow teacher; it is asked only where settings.copy is "ema", and no gradient reaches it.
export function gradientOf(model, copy, batch, settings) {
  const {dim} = model, count = batch.answer.length, flows = settings.copy === "shared";
  const source = settings.copy === "ema" ? copy : model, own = settings.kind === "context" ? turned(source) : source.rows;
  const grad = {rows: new Float64Array(model.rows.length)}, losses = Object.fromEntries(TERMS.map(term => [term, 0]));
  for (const name of MATRICES) grad[name] = new Float64Array(dim * dim);
  for (let i = 0; i < count; i++) {
    const left = batch.left[i], right = batch.right[i], answer = batch.answer[i];
    const context = contextOf(model, left, right), p = predict(model, context, left, right, settings.predictor);
    const candidates = candidatesOf(source, settings.kind, left, right, own), seen = compare(p, candidates);
    const found = termsOf(seen, answer, batch.rivals[i], settings);
    for (const term of TERMS) losses[term] += found.losses[term] / count;
    const toPred = new Float64Array(dim), toContext = new Float64Array(dim), toCandidates = flows && new Float64Array(candidates.length);
    throughScores(p, candidates, seen, found, 1 / count, toPred, toCandidates);
    if (flows) throughCandidates(model, settings.kind, toCandidates, context, toContext, grad);
    throughPrediction(model, settings.predictor, toPred, context, left, right, toContext, grad);
    throughContext(model, left, right, toContext, grad);
  }
  return {losses, grad, total: TERMS.reduce((sum, term) => sum + settings.weights[term] * losses[term], 0)};
}

function throughCandidates(model, kind, toCandidates, context, toContext, grad) {
  const {dim, words} = model;
  if (kind !== "context") { for (let i = 0; i < toCandidates.length; i++) grad.rows[i] += toCandidates[i]; return; }
  const all = new Float64Array(dim);                                                   // E·c stands in every candidate
  for (let w = 0; w < words; w++) {
    const g = toCandidates.subarray(w * dim, (w + 1) * dim);
    addOuter(g, rowOf(model, w), grad.C);
    addTransposed(model.C, g, grad.rows.subarray(w * dim, (w + 1) * dim));
    for (let d = 0; d < dim; d++) all[d] += g[d];
  }
  addOuter(all, context, grad.E);
  addTransposed(model.E, all, toContext);
}

function throughPrediction(model, predictor, toPred, context, left, right, toContext, grad) {
  const {dim} = model;
  if (!predictor) { for (const w of [left, right]) for (let d = 0; d < dim; d++) grad.rows[w * dim + d] += toPred[d] / 2; return; }
  addOuter(toPred, context, grad.W);
  addTransposed(model.W, toPred, toContext);
}

function throughContext(model, left, right, toContext, grad) {
  const {dim} = model;
  addOuter(toContext, rowOf(model, left), grad.A);
  addOuter(toContext, rowOf(model, right), grad.B);
  addTransposed(model.A, toContext, grad.rows.subarray(left * dim, (left + 1) * dim));
  addTransposed(model.B, toContext, grad.rows.subarray(right * dim, (right + 1) * dim));
}

// ---- one step

// Plain gradient descent; rows go back to the sphere (cosine gradients fade as rows grow); then the teacher follows slowly.
export function trainStep(model, copy, batch, settings) {
  const found = gradientOf(model, copy, batch, settings);
  for (const name of ["rows", ...MATRICES]) {
    const rate = settings.rate * (name === "rows" ? 1 : settings.quick), values = model[name], g = found.grad[name];
    for (let i = 0; i < values.length; i++) values[i] -= rate * g[i];
  }
  if (settings.sphere) toSphere(model);
  for (const name of ["rows", ...MATRICES]) {
    const slow = copy[name], values = model[name];
    for (let i = 0; i < slow.length; i++) slow[i] = settings.decay * slow[i] + (1 - settings.decay) * values[i];
  }
  return found;
}
