"""The family tree (chapter 23): complete, cited, the drawn tree and the cards agree, and a card fits a phone."""
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

from tofy.colours import BLUE, ORANGE
from tools.family import COLUMNS, OURS, OURS_COLUMNS, RELATIVES, TREE, card, cards, link, plot_tree
from tools.glossary import terms

LEAVES = [leaf for branches in TREE.values() for found in branches.values() for leaf in found]


def short(name: str) -> str:
    "A method's name without its year and what stands in brackets."
    return re.sub(r" \(.*\)|,? CBOW|[, ]+20\d\d$", "", name)


def test_every_relative_and_every_arm_is_there():
    wanted = {"word2vec", "CPC", "BERT", "ELECTRA", "BYOL", "SimSiam", "data2vec", "I-JEPA", "V-JEPA 2", "LLM-JEPA", "LeJEPA"}
    assert set(map(short, RELATIVES)) == wanted and len(OURS) >= 12
    assert sorted(set(map(short, LEAVES)) - {"VICReg"}) == sorted(map(short, [*RELATIVES, *OURS]))   # tree and cards agree


@pytest.mark.parametrize("name", RELATIVES)
def test_a_card_is_complete_and_cites_a_paper(name):
    *entries, source = RELATIVES[name]
    assert len(entries) == len(COLUMNS) and all(len(entry) > 10 for entry in entries)
    assert re.match(r"\d{4}\.\d{4,5}\b", source) and "memory" not in " ".join(entries)


def test_our_arms_are_complete():
    assert all(len(entries) == len(OURS_COLUMNS) and all(entries) for entries in OURS.values())


def test_a_card_is_html_that_wraps():
    shown = card("A & B", ("one *two*", "x < y"), ("hidden", "predicted"), "2301.08243; code: a/b")
    assert "<em>two</em>" in shown and "x &lt; y" in shown and "A &amp; B" in shown
    assert shown.count("<dt") == shown.count("<dd") == 2 and "minmax(min(100%" in shown and "<table" not in shown
    assert re.findall(r'href="([^"]+)">([^<]+)</a>', link("2301.08243, 1310.4546")) == [
        ("https://arxiv.org/abs/2301.08243", "2301.08243"), ("https://arxiv.org/abs/1310.4546", "1310.4546")]
    assert shown.count("color: inherit") == 2                            # the site puts outputs on a light ground in the dark, too
    assert cards(OURS, OURS_COLUMNS).count("<section") == len(OURS)
    with pytest.raises(ValueError):
        card("too few", ("one",), ("hidden", "predicted"))


def test_the_tree_names_everybody_in_the_right_colour():
    ax = plot_tree(TREE, plt.figure().add_subplot())
    assert {*LEAVES, *TREE, *(branch for branches in TREE.values() for branch in branches)} <= {t.get_text() for t in ax.texts}
    drawn = [line.get_color() for line in ax.lines if line.get_marker() in "os"]
    assert drawn == [ORANGE if re.search(r"20\d\d$", leaf) else BLUE for leaf in LEAVES]
    plt.close("all")


def test_the_glossary_explains_the_family():
    names = {term.name for term in terms()}
    assert names >= {"InfoNCE", "contrastive", "NT-Xent", "BYOL", "SimSiam", "stop-gradient", "EMA", "target encoder", "collapse", "data2vec",
                     "I-JEPA", "V-JEPA", "LLM-JEPA", "LeJEPA", "SIGReg", "VICReg", "JEPA"}
