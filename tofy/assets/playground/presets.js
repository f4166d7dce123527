// Eight ways for it to go, each a few knobs away from the start. What each claims is tested for twenty seeds.

const AGREE = {cosine: 0, direction: 1};      // the loss of BYOL, SimSiam and I-JEPA: agree with the target, no rivals

export const PRESETS = [
  {name: "healthy", settings: {},
    says: "Every row is a rival of every other: the words spread, and the arrow finds its answer."},
  {name: "collapse", settings: {...AGREE, kind: "context"},
    says: "Only agreement counts, and the target may move too. Prediction and targets run together, and the loss is delighted."},
  {name: "saved by stop-gradient", settings: {...AGREE, kind: "context", copy: "stopped"},
    says: "The same, but the target no longer comes to meet the prediction: the predictor has to do the work."},
  {name: "predictor off", settings: {...AGREE, kind: "context", copy: "stopped", predictor: false, ambiguity: .5, rate: 1},
    says: "The gradient is stopped, but nothing can learn except the words themselves. So they run together all the same."},
  {name: "crowded", settings: {words: 30},
    says: "Thirty words on a circle: 12° for each. Nothing has collapsed; there is no room. Now give it more dimensions."},
  {name: "too hot", settings: {rate: 30},
    says: "A learning rate far too high: each step jumps over what it was looking for."},
  {name: "too cold", settings: {rate: .0003},
    says: "A learning rate far too low: all is well, and nothing moves."},
  {name: "teacher off", settings: {...AGREE, dim: 3, kind: "context"},
    says: "A JEPA on a globe whose slow copy was switched off: it makes its own targets, and the gradient reaches them. Now make them by a slow copy."},
];
