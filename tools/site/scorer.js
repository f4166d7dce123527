// How the search ranks what it finds: the chapter that a word of the literature belongs to first, chapters before the reference,
// and the reference before source code and lists.
var Scorer = {
  words: "WORDS",
  score: ([page, title, anchor, description, score]) => {
    const asked = (new URLSearchParams(location.search).get("q") || "").trim().toLowerCase(), door = page.split("/")[0];
    if (Scorer.words[asked] === page) return score + (anchor ? 60 : 80);
    if (door === "_modules" || page === "genindex" || page === "py-modindex") return score - 40;
    if (door === "api") return score;
    return score + (["index", "learn", "use", "results", "glossary", "family", "routes"].includes(door) ? 5 : 20);
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
