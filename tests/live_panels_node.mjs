// What the tests ask of the live panels' scripts, in Node: node live_panels_node.mjs FOLDER NAME < question > answer
import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

const [, , folder, name] = process.argv, load = part => import(pathToFileURL(`${folder}/${part}.mjs`));

const answers = {
  pulls: async cases => { const {pulls} = await load("loss"); return cases.map(({knobs, page}) => pulls(knobs, page.words, page.drawn)); },
  rates: async cases => { const {rate, phases} = await load("schedule"); return cases.map(({knobs, at}) => ({rate: rate(knobs, at), phases: phases(knobs)})); },
  masked: async cases => { const {masked, expected} = await load("masking"); return cases.map(({knobs, page}) => ({rows: masked(knobs, page, page.phrases.length), expected: expected(knobs, page.phrases)})); },
  nearest: async ({film, words, word, at}) => { const P = await load("crowding"); return P.nearest(P.unpacked(film, words), word, at); },
  placed: async ({film, words, at}) => { const P = await load("crowding"); return at.map(share => [...P.placed(P.unpacked(film, words), share)]); },
  found: async ({words, part}) => { const P = await load("crowding"); return P.found(words, part).map(i => words[i]); },
  labelled: async ({wanted, size}) => { const P = await load("crowding"); return P.labelled(wanted, size, size); },
  sized: async ({cases, page}) => { const {sizes, warnings, sentence} = await load("sizing"); return cases.map(knobs => ({...sizes(knobs, page), warnings: warnings(knobs, page), sentence: sentence(knobs, page)})); },
  fixed: async cases => { const {fixed} = await load("sizing"); return cases.map(([value, digits]) => fixed(value, digits)); },
  shares: async cases => { const {shares} = await load("fill"); return cases.map(({looks, layer, head}) => shares(looks, layer, head)); },
};

console.log(JSON.stringify(await answers[name](JSON.parse(readFileSync(0, "utf8")))));
