// The picture: points with trails, the prediction's arrow, what pushes. A canvas, redrawn whole each time from the film.
import {contextOf, predict, candidatesOf, compare, termsOf, throughScores} from "./model.js";
import {sourceOf} from "./gauges.js";
import {randomFrom} from "./random.js";

const TRAIL = 40;

// Eight dimensions under a projection that never changes: two orthonormal directions, drawn once.
function planeOf(dim) {
  const {normal} = randomFrom(8), a = Float64Array.from({length: dim}, normal), b = Float64Array.from({length: dim}, normal);
  const unit = v => { const length = Math.hypot(...v); return v.map(x => x / length); }, first = unit(a);
  const along = first.reduce((sum, x, i) => sum + x * b[i], 0);
  return [first, unit(b.map((x, i) => x - along * first[i]))];
}
const PLANE = planeOf(8), ZOOM = 1.5;

// A vector as (x, y, depth), unit length; `turn` is how the reader has turned the globe, or how the first word is held still.
export function project(vector, dim, turn) {
  const length = Math.hypot(...vector) || 1, v = Array.from(vector, x => x / length);
  if (dim === 2) { const c = Math.cos(turn.spin), s = Math.sin(turn.spin); return [c * v[0] - s * v[1], s * v[0] + c * v[1], 0]; }
  if (dim === 3) {
    const [cy, sy, cx, sx] = [Math.cos(turn.yaw), Math.sin(turn.yaw), Math.cos(turn.pitch), Math.sin(turn.pitch)];
    const x = cy * v[0] + sy * v[2], z = cy * v[2] - sy * v[0];
    return [x, cx * v[1] - sx * z, sx * v[1] + cx * z];
  }
  return [...PLANE.map(axis => ZOOM * axis.reduce((sum, a, i) => sum + a * v[i], 0)), 0];
}

// What stands on the stage for one blank: candidates, prediction, and how hard each candidate is pushed by a gradient step.
export function scene(frame, settings, blank) {
  const {model, copy} = frame, {dim} = model, {left, right, answer} = blank, source = sourceOf(model, copy, settings);
  const p = predict(model, contextOf(model, left, right), left, right, settings.predictor);
  const candidates = candidatesOf(source, settings.kind, left, right), seen = compare(p, candidates);
  const rivals = Array.from({length: settings.rivals}, (_, i) => (answer + 1 + i * 5 % (model.words - 1)) % model.words);
  const found = termsOf(seen, answer, rivals, settings), toPred = new Float64Array(dim), toCandidates = new Float64Array(candidates.length);
  throughScores(p, candidates, seen, found, 1, toPred, toCandidates);
  return {p, candidates, seen, found, toCandidates};
}

export function paint(canvas, film, settings, blank, view, colours) {
  const ctx = canvas.getContext("2d"), size = canvas.clientWidth, ratio = globalThis.devicePixelRatio || 1, {dim, words} = film.now.model;
  if (canvas.width !== Math.round(size * ratio)) canvas.width = canvas.height = Math.round(size * ratio);
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, size, size);
  const middle = size / 2, radius = size * (size < 340 ? .34 : .38), place = ([x, y]) => [middle + radius * x, middle - radius * y];
  const shown = scene(film.now, settings, blank), turn = {...view, spin: spinOf(film, settings, shown.candidates)};
  const at = (vectors, w) => project(vectors.subarray(w * dim, (w + 1) * dim), dim, turn);
  if (dim < 4) ring(ctx, middle, radius, colours);
  const spots = Array.from({length: words}, (_, w) => at(shown.candidates, w));
  trails(ctx, film, settings, blank, place, turn, colours);
  pushes(ctx, shown, spots, blank, place, dim, turn, colours, radius, settings);
  arrow(ctx, [middle, middle], place(project(shown.p, dim, turn)), colours.model, 3.5);
  spots.forEach((spot, w) => point(ctx, spot, w, place, blank, colours));
  labels(ctx, spots, place, blank, colours, film.grammar.names, middle);
  return spots.map(place);
}

// A common rotation is not learning: on the circle the picture is turned so that the first word keeps its place.
function spinOf(film, settings, candidates) {
  if (film.now.model.dim !== 2 || settings.kind === "context") return 0;
  const first = film.frames[0].model.rows;
  return Math.atan2(first[1], first[0]) - Math.atan2(candidates[1], candidates[0]);
}

// The dials over the film's history: how good it is, and how much alike; the same width as the slider above it.
export function paintChart(canvas, film, colours) {
  const ctx = canvas.getContext("2d"), ratio = globalThis.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
  canvas.width = wide * ratio; canvas.height = high * ratio;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  const last = Math.max(1, film.frames.length - 1), x = i => 8 + (wide - 16) * i / last, y = value => high - 3 - (high - 6) * value;
  const level = (value, colour) => { ctx.strokeStyle = colour; ctx.setLineDash([3, 4]); ctx.lineWidth = 1; ctx.beginPath(); ctx.moveTo(0, y(value)); ctx.lineTo(wide, y(value)); ctx.stroke(); };
  level(film.grammar.common, colours.unigram); level(film.grammar.best, colours.best);
  ctx.setLineDash([]); ctx.lineWidth = 2; ctx.lineJoin = "round";
  for (const [name, colour] of [["alike", colours.alike], ["top1", colours.model]]) {
    ctx.strokeStyle = colour; ctx.beginPath();
    let first = true;
    film.frames.forEach((frame, i) => { if (frame[name] === undefined) return; first ? ctx.moveTo(x(i), y(frame[name])) : ctx.lineTo(x(i), y(frame[name])); first = false; });
    ctx.stroke();
  }
}

function ring(ctx, middle, radius, colours) {
  ctx.strokeStyle = colours.line; ctx.lineWidth = 1;
  ctx.beginPath(); ctx.arc(middle, middle, radius, 0, 2 * Math.PI); ctx.stroke();
}

function trails(ctx, film, settings, blank, place, turn, colours) {
  const frames = film.frames.slice(Math.max(0, film.at - TRAIL), film.at + 1), {dim, words} = film.now.model;
  const paths = frames.map(frame => {
    const vectors = settings.kind === "context" ? candidatesOf(sourceOf(frame.model, frame.copy, settings), "context", blank.left, blank.right)
      : sourceOf(frame.model, frame.copy, settings).rows;
    const own = {...turn, spin: spinOf(film, settings, vectors)};
    return Array.from({length: words}, (_, w) => place(project(vectors.subarray(w * dim, (w + 1) * dim), dim, own)));
  });
  ctx.lineWidth = 2; ctx.lineCap = "round";
  for (let i = 1; i < paths.length; i++) {
    ctx.strokeStyle = colours.trail; ctx.globalAlpha = .5 * i / paths.length;
    ctx.beginPath();
    for (let w = 0; w < words; w++) { ctx.moveTo(...paths[i - 1][w]); ctx.lineTo(...paths[i][w]); }
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

// Lines from the prediction to those that it is pushed away from, as thick as the push.
function pushes(ctx, shown, spots, blank, place, dim, turn, colours, radius, settings) {
  const tip = place(project(shown.p, dim, turn)), {byCosine, byDot} = shown.found;
  spots.forEach((spot, w) => {
    const push = byCosine[w] * settings.temperature + byDot[w];
    if (Math.abs(push) < .02) return;
    ctx.strokeStyle = w === blank.answer ? colours.answer : colours.rival;
    ctx.globalAlpha = .25 + .5 * Math.min(1, Math.abs(push)); ctx.lineWidth = 1 + 4 * Math.min(1, Math.abs(push));
    ctx.setLineDash(w === blank.answer ? [] : [2, 4]);
    ctx.beginPath(); ctx.moveTo(...tip); ctx.lineTo(...place(spot)); ctx.stroke();
  });
  ctx.setLineDash([]); ctx.globalAlpha = 1;
}

function arrow(ctx, [x0, y0], [x1, y1], colour, width) {
  const angle = Math.atan2(y1 - y0, x1 - x0), head = 4 * width;
  ctx.strokeStyle = ctx.fillStyle = colour; ctx.lineWidth = width; ctx.lineCap = "round";
  ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x1 - head * .7 * Math.cos(angle), y1 - head * .7 * Math.sin(angle)); ctx.stroke();
  ctx.beginPath(); ctx.moveTo(x1, y1);
  for (const side of [-.45, .45]) ctx.lineTo(x1 - head * Math.cos(angle + side), y1 - head * Math.sin(angle + side));
  ctx.closePath(); ctx.fill();
}

const roleOf = (w, blank) => w === blank.answer ? "answer" : w === blank.left || w === blank.right ? "context" : "dot";

function point(ctx, spot, w, place, blank, colours) {
  const role = roleOf(w, blank);
  ctx.globalAlpha = spot[2] < -.05 ? .35 : 1;                                           // on the far side of the globe
  ctx.fillStyle = colours[role];
  ctx.beginPath(); ctx.arc(...place(spot), role === "dot" ? 4.5 : 6.5, 0, 2 * Math.PI); ctx.fill();
  ctx.globalAlpha = 1;
}

// Names, the answer's first; one that would lie on another is left out, and none is cut off. Where words lie on the answer, it says how many.
function labels(ctx, spots, place, blank, colours, names, middle) {
  const taken = [], size = 2 * middle, first = w => ["answer", "context", "dot"].indexOf(roleOf(w, blank));
  const order = [...spots.keys()].sort((a, b) => first(a) - first(b)), home = place(spots[blank.answer]);
  const under = spots.filter(spot => { const [x, y] = place(spot); return Math.hypot(x - home[0], y - home[1]) < 12; }).length - 1;
  for (const w of order) {
    const [x, y] = place(spots[w]), role = roleOf(w, blank);
    if (role === "dot" && (names.length > 30 || spots[w][2] < -.05)) continue;
    ctx.font = `${role === "dot" ? "" : "600 "}13px system-ui, sans-serif`;
    const name = role === "answer" && under > 1 ? `${names[w]} + ${under} more` : names[w];
    const wide = ctx.measureText(name).width, out = Math.hypot(x - middle, y - middle) || 1, dx = (x - middle) / out, dy = (y - middle) / out;
    const wanted = x + 11 * dx - wide * (dx > .3 ? 0 : dx < -.3 ? 1 : .5), left = Math.min(size - 2 - wide, Math.max(2, wanted));
    const top = Math.abs(left - wanted) < 4 ? y + 14 * dy - 8 : y + (dy < 0 ? -27 : 12);        // no room beside the dot: above it, or below
    if (taken.some(([l, t, r]) => left < r + 3 && left + wide > l - 3 && Math.abs(top - t) < 15)) continue;
    taken.push([left, top, left + wide]);
    ctx.fillStyle = role === "dot" ? colours.soft : colours[role]; ctx.textAlign = "left"; ctx.textBaseline = "top";
    ctx.globalAlpha = spots[w][2] < -.05 ? .5 : 1;
    ctx.fillText(name, left, top);
  }
  ctx.globalAlpha = 1;
}
