// The language: lines of three words, each sung as a round ("cat drinks milk cat drinks milk cat …"), so that every word has a
// left and a right neighbour. A blank hides a word; its two neighbours are all that the model sees. `ambiguity` is how often a
// neighbour is drowned by any word at all. So the exact chance of every word at every blank is known.
import {randomFrom} from "./random.js";

const LINES = `cat drinks milk, dog chews bone, bird pecks seed, child reads book, baker kneads dough, cook stirs soup,
  sailor ties rope, painter mixes colour, poet writes verse, farmer grows corn, smith bends iron, tailor sews coat,
  pilot flies plane, nurse heals wound, miner digs coal, monk rings bell, judge weighs proof, thief steals gold,
  gardener plants rose, fiddler plays tune`.split(",").map(line => line.trim().split(/\s+/));

// Word 3·line + place: cat 0, drinks 1, milk 2, dog 3, …
export const leftOf = word => word % 3 ? word - 1 : word + 2;
export const rightOf = word => word % 3 === 2 ? word - 2 : word + 1;

export function makeGrammar(words, ambiguity) {
  const weights = Array.from({length: words}, (_, word) => 1 / (Math.floor(word / 3) + 3));   // the first lines are sung more often
  const all = weights.reduce((a, b) => a + b), unigram = weights.map(weight => weight / all);
  const grammar = {words, ambiguity, unigram, names: LINES.flat().slice(0, words)};
  grammar.contexts = contextsOf(grammar);
  const mean = f => grammar.contexts.reduce((sum, context) => sum + context.chance * f(context.law), 0);
  grammar.best = mean(law => Math.max(...law));                                               // top-1 of the exact answer
  grammar.entropy = mean(law => -law.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0));   // and its cross-entropy
  grammar.common = Math.max(...unigram);                                                      // top-1 of word frequency alone
  return grammar;
}

// Every blank that can be met: its neighbours, how often it comes, and `law`, the chance of each word there (Bayes' rule).
function contextsOf({words, ambiguity, unigram}) {
  const seen = (neighbour, right) => (neighbour === right ? 1 - ambiguity : 0) + ambiguity / words, found = [];
  for (let left = 0; left < words; left++) for (let right = 0; right < words; right++) {
    const law = Float64Array.from(unigram, (p, word) => p * seen(left, leftOf(word)) * seen(right, rightOf(word)));
    const chance = law.reduce((a, b) => a + b);
    if (chance > 0) found.push({left, right, chance, law: law.map(p => p / chance)});
  }
  return found;
}

// n blanks as training meets them, each with its answer and, for the term with sampled rivals, some other words.
export function drawBatch({words, ambiguity, unigram}, count, rivals, seed, step) {
  const {uniform, below} = randomFrom(seed, step), batch = {left: [], answer: [], right: [], rivals: []};
  const beside = neighbour => uniform() < ambiguity ? below(words) : neighbour;
  for (let i = 0; i < count; i++) {
    const answer = pick(unigram, uniform());
    batch.answer.push(answer);
    batch.left.push(beside(leftOf(answer)));
    batch.right.push(beside(rightOf(answer)));
    batch.rivals.push(Array.from({length: rivals}, () => (answer + 1 + below(words - 1)) % words));
  }
  return batch;
}

function pick(chances, at) {
  for (let i = 0; i < chances.length - 1; i++) if ((at -= chances[i]) < 0) return i;
  return chances.length - 1;
}
