// Eight ways for it to go, each a few knobs away from the start. What each claims is tested for twenty seeds.

const AGREE = {cosine: 0, direction: 1};      // the loss of BYOL, SimSiam and I-JEPA: agree with the target, no rivals

export const PRESETS = [
  {name: "healthy", settings: {},
    says: "The arrow is pulled to the right word and pushed away from every other, and so the words keep their distance."},
  {name: "collapse", settings: {...AGREE, kind: "context"},
    says: "Nothing is pushed away any more: arrow and target need only agree, and both may move. Watch where the words go, and the loss. Then mend it: make the word's row the target again, and give the cosine term its weight."},
  {name: "saved by stop-gradient", settings: {...AGREE, kind: "context", copy: "stopped"},
    says: "The same loss, but the target no longer comes to meet the arrow (its gradient is stopped). All the way must be learned."},
  {name: "predictor off", settings: {...AGREE, kind: "context", copy: "stopped", predictor: false, ambiguity: .7, rate: .5},
    says: "The gradient is stopped, but the arrow is now the plain mean of the two neighbours. Only words can move, and they run together all the same."},
  {name: "crowded", settings: {words: 60},
    says: "Sixty words on a circle: 6° for each. Nothing has collapsed; there is no room. Now let them live on a sphere in D = 8."},
  {name: "too hot", settings: {rate: 30},
    says: "A learning rate far too high: each step jumps over what it was looking for."},
  {name: "too cold", settings: {rate: .00003},
    says: "A learning rate far too low: all is well, and nothing moves."},
  {name: "teacher off", settings: {...AGREE, dim: 3, kind: "context", rate: 1},
    says: "A JEPA on a globe without its teacher, the slow copy that makes the targets: it makes its own, and they come to meet it. Now let a slow copy make them."},
];
