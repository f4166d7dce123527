// What the page computes, without the page: tokens, blanks, the models, ranks, shares and odds.
// A script of its own, not a module: a page opened from file:// may not load modules.
"use strict";

const tofy = (() => {
  // Python's white space, which is not quite JavaScript's.
  const SPACE = "\\t-\\r\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
  const WORD = "[\\p{L}\\p{N}][\\p{L}\\p{M}\\p{N}]*";
  const RULES = {
    "unicode-1": new RegExp(`[\\p{L}\\p{M}\\p{N}']+|[^${SPACE}]`, "gu"),
    "unicode-2": new RegExp(
      `<unk>|${WORD}(?:'${WORD})*|\\p{RI}{2}|[^${SPACE}\\p{Cc}\\p{Cs}\\u200B][\\p{M}\\p{EMod}]*`, "gu")};
  const [UNK, MASK] = [1, 2];
  const RULE = "unicode-2";                      // that of the models: tools/live.py refuses others

  // As tofy.vocab.folded: lower case, composed, without characters that nobody sees, all quotation marks alike.
  const folded = text => text.replace(/(?!\u200B)\p{DI}/gu, "").normalize("NFD").toLowerCase()
    .replace(/(?<=i\p{M}*)\u0307/gu, "").normalize("NFC")
    .replace(/[`´‘’‚‛‹›′❛❜❟ʼ՚＇]/gu, "'").replace(/[“”„‟«»″〝〞〟❝❞❠⹂＂]/gu, '"')
    .replace(/[｢｣﹁﹂﹃﹄]/gu, mark => "「」「」『』"["｢｣﹁﹂﹃﹄".indexOf(mark)]);

  // Words and single punctuation marks, lower-case, as tofy.vocab.tokenize cuts them.
  function tokenize(text, by = RULE) {
    const ready = by === "unicode-2" ? folded(text) : text.toLowerCase().normalize("NFC").replaceAll("’", "'");
    return ready.match(RULES[by]) ?? [];
  }

  // How the blank is written: [MASK], and where it stands an underscore is text; else underscores.
  const blank = phrase => /\[MASK\]/iu.test(phrase) ? /\[MASK\]/giu : /_+/gu;

  // A phrase with exactly one blank → its tokens, null at the blank. Anything else is an Error with a sentence.
  function readBlank(phrase) {
    const pieces = phrase.split(blank(phrase));
    if (!phrase.trim()) throw new Error("Type some words, with _ where one is missing.");
    if (pieces.length === 1) throw new Error("There is no blank yet: write _ where the word is missing.");
    if (pieces.length > 2) throw new Error(`There are ${pieces.length - 1} blanks; leave exactly one.`);
    const [left, right] = pieces.map(piece => tokenize(piece));
    if (!left.length && !right.length) throw new Error("There is nothing around the blank to go by; type some words beside it.");
    return [...left, null, ...right];
  }

  async function unpack(name) {
    const bytes = Uint8Array.from(atob(TOFY_PACK[name]), c => c.charCodeAt(0));
    delete TOFY_PACK[name];
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  // The words, the figures and the ready phrases of each world, by its name: everyday, course.
  async function loadData() {
    const worlds = JSON.parse(new TextDecoder().decode(await unpack("data.json")));
    for (const data of Object.values(worlds)) {
      data.ids = new Map(data.words.map((word, i) => [word, i]).slice(data.specials));   // no text can spell a special
      data.count = data.words.length - data.specials;                                    // words that are ranked
    }
    return worlds;
  }

  async function startRuntime() {
    const [script, wasm] = await Promise.all([unpack("runtime.mjs"), unpack("runtime.wasm")]);
    const url = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
    Object.assign(ort.env.wasm, {numThreads: 1, wasmBinary: wasm, wasmPaths: {mjs: url}});
  }

  // A trained model: `ask(ids)` → {cosines (V), pred (D)}; `rows`, the table brought to length 1, V rows of `dim` numbers.
  async function loadModel(name) {
    const session = await ort.InferenceSession.create(new Uint8Array(await unpack(`${name}.onnx`)));
    let last = Promise.resolve();                                      // a session answers one question at a time
    const run = (ids, outputs) => {
      const feeds = {ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [ids.length])};
      return last = last.catch(() => {}).then(() => session.run(feeds, outputs));
    };
    const rows = (await run([MASK], ["rows"])).rows;
    const ask = async ids => {
      const found = await run(ids, ["cosines", "pred"]);
      return {cosines: found.cosines.data, pred: found.pred.data};
    };
    return {ask, rows: rows.data, dim: rows.dims[1]};
  }

  // tokens, null at the blank → ids.
  const encode = (data, tokens) => tokens.map(token => token === null ? MASK : data.ids.get(token) ?? UNK);

  // Ids of the words, the highest score first; ties to the smaller id, as everywhere in tofy.
  const order = (data, scores) => Array.from({length: data.count}, (_, i) => i + data.specials)
    .sort((a, b) => scores[b] - scores[a] || a - b);

  // Cosines → shares of all words that sum to 1: softmax of cosine / temperature. The specials get none.
  function shares(data, cosines, temperature) {
    const top = cosines.reduce((most, c, i) => i < data.specials ? most : Math.max(most, c), -1);
    const found = Float64Array.from(cosines, (c, i) => i < data.specials ? 0 : Math.exp((c - top) / temperature));
    const sum = found.reduce((a, b) => a + b, 0);
    return found.map(v => v / sum);
  }

  // Over how many equally likely words the shares would spread: the exponential of their entropy.
  const spread = found => Math.exp(-found.reduce((sum, p) => p > 0 ? sum + p * Math.log(p) : sum, 0));

  // The chance that a word of this rank among `words` comes first among itself and `rivals` others, drawn without replacement:
  // choose(words − rank, rivals) / choose(words − 1, rivals), as a product with as few factors as may be.
  function first(rank, words, rivals) {
    const [better, others] = [rank - 1, words - 1];
    if (rivals > others - better) return 0;
    let odds = 1;
    for (let i = 0; i < Math.min(better, rivals); i++) odds *= (others - Math.max(better, rivals) - i) / (others - i);
    return odds;
  }

  // The mean of `first` over [[rank, how often] …].
  function firstOfMany(counts, words, rivals) {
    let [sum, n] = [0, 0];
    for (const [rank, times] of counts) { sum += times * first(rank, words, rivals); n += times; }
    return sum / n;
  }

  const meanReciprocal = counts => counts.reduce((s, [r, n]) => s + n / r, 0) / counts.reduce((s, [, n]) => s + n, 0);

  // The `n` words whose rows have the highest cosine with the row of word `id`: [[id, cosine] …].
  function nearest(data, model, id, n) {
    const {rows, dim} = model, cosines = new Float32Array(data.words.length);
    for (let i = 0; i < cosines.length; i++)
      for (let d = 0; d < dim; d++) cosines[i] += rows[i * dim + d] * rows[id * dim + d];
    cosines[id] = -2;
    return order(data, cosines).slice(0, n).map(i => [i, cosines[i]]);
  }

  // A word without its ending: barking, barked, barks and bark's → bark.
  function stem(word) {
    const bare = word.replace(/'(?:s|re|m|d|ll|ve)$/u, "").replace(/n't$/u, "");
    const cut = bare.replace(/(?:ies|ied)$/u, "y").replace(/(?:ings?|edly|ed|es|est|er|ly|s)$/u, "");
    return (cut.length < 3 ? bare : cut).replace(/([^aeiouls])\1$/u, "$1").replace(/e$/u, "");
  }

  // How many letters must be put in, taken out, changed or swapped with their neighbour to make one word the other.
  function edits(a, b) {
    const rows = [Array.from({length: b.length + 1}, (_, j) => j)];
    for (let i = 1; i <= a.length; i++) {
      rows.push([i]);
      for (let j = 1; j <= b.length; j++) {
        const [same, swapped] = [a[i - 1] === b[j - 1], i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]];
        rows[i].push(Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + !same,
                              swapped ? rows[i - 2][j - 2] + 1 : Infinity));
      }
    }
    return rows[a.length][b.length];
  }

  // The known words nearest to an unknown one in spelling: the same stem first, then by edits, then the commoner.
  function similar(data, word, n = 3) {
    const most = word.length < 4 ? 1 : 2, own = stem(word), found = [];
    for (const [other, id] of data.ids) {
      const kin = stem(other) === own && own.length > 2;
      if (!/\p{L}/u.test(other) || !kin && Math.abs(other.length - word.length) > most) continue;
      const far = edits(word, other);
      if (kin || far <= most && far < Math.min(word.length, other.length)) found.push([kin ? far / 10 : far, id, other]);
    }
    return found.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, n).map(row => row[2]);
  }

  // How well the model knows this kind of phrase: the answer put into the blank, every other known word is hidden in turn;
  // the mean logarithm of the share that each gets. An unknown word counts as if all words were equally likely.
  async function familiar(data, model, ids, answer, temperature) {
    const full = ids.map(id => id === MASK ? answer : id), logs = [];
    for (let place = 0; place < full.length; place++) {
      if (ids[place] === MASK) continue;
      if (ids[place] === UNK) { logs.push(-Math.log(data.count)); continue; }
      const {cosines} = await model.ask(full.with(place, MASK));
      logs.push(Math.log(shares(data, cosines, temperature)[full[place]]));
    }
    return logs.reduce((a, b) => a + b, 0) / logs.length;
  }

  // How often the first word was right in held-out phrases where its share was about this: `table` as tools/live.py measures it.
  const rightness = (table, share) => table.findLast(([least]) => share >= least)[1];

  // A vector on the map: what it has along the plane's two axes, the middle of the words subtracted.
  function onPlane(about, vector, start = 0) {
    return about.axes.map(axis => axis.reduce((sum, a, d) => sum + a * (vector[start + d] - about.middle[d]), 0));
  }

  return {tokenize, readBlank, loadData, startRuntime, loadModel, encode, order, shares, spread, first, firstOfMany,
          meanReciprocal, nearest, stem, edits, similar, familiar, rightness, onPlane, UNK, MASK};
})();
