"""The family tree of chapter 23: facts about eleven methods and our own arms, the cards that show them, and the drawn tree.

Each fact was checked in the code or paper that its card names (a few in summaries of the paper); whoever changes one looks there first.
"""
import html
import re

from tofy.colours import BLUE, DARK, GREY, ORANGE

TREE = {
    "a word: the label is fixed": {
        "chosen among all words": ["BERT 2018", "softmax, untied", "softmax, tied", "cosine softmax (default)"],
        "a tree of words, or a few random rivals": ["word2vec, CBOW 2013", "sampled InfoNCE"],
        "one bit a token: replaced?": ["ELECTRA 2020"]},
    "the word's row by itself: it moves, but leaves nothing out": {
        "stop-gradient": ["direction, stop-gradient"],
        "… and a slow copy of the table": ["direction, EMA table"]},
    "the output of an encoder: it may leave things out": {
        "rivals: other targets": ["CPC 2018", "contextual InfoNCE"],
        "stop-gradient and a predictor": ["SimSiam 2020"],
        "… and a slow copy of the encoder": ["BYOL 2020", "data2vec 2022", "I-JEPA 2023", "V-JEPA 2 2025",
                                             "contextual EMA (data2vec's way)", "queries (I-JEPA's way)"],
        "the cloud is kept wide": ["VICReg 2021", "LeJEPA 2025", "SIGReg-JEPA", "contextual VICReg"],
        "a second loss, on words": ["LLM-JEPA 2025"],
        "any of these, for whole phrases": ["phrase-level"]}}

COLUMNS = "hidden", "predicted", "gradient goes to", "against collapse", "often told wrong", "what ours lacks to be it"
RELATIVES = {
    "word2vec (CBOW)": (
        "The middle word of a window; nothing stands in its place.",
        "The word's row in a second, output table, from the mean of its neighbours' rows in the first.",
        "Both tables.",
        "Rivals: the branches of a tree of words in the first paper, words drawn by count to the power ¾ in the second.",
        "“Its two tables are one”: they are two, and only the input one is saved. “It knows the order of the neighbours”: it averages them. "
        "“Negative sampling is in the first paper”: it came with the second.",
        "A mean in place of attention, no positions, an output table of its own, and five random rivals in place of all words.",
        "1301.3781 1310.4546; code: tmikolov/word2vec, word2vec.c"),
    "CPC": (
        "The future of a sequence.",
        "Which of several encoded pieces is the true one, so many steps ahead: a score zᵀWc, with a W for each distance.",
        "All parts: the encoder of the pieces, which makes the targets, and the network that sums up the past.",
        "Rivals: encoded pieces from elsewhere (InfoNCE, named in this paper).",
        "“It regresses the future's vector”: it only has to *score* the true one above the others.",
        "A direction of time: ours sees both sides of a blank. Our contextual InfoNCE has the rest.",
        "1807.03748"),
    "BERT": (
        "15% of the tokens: of these 80% become a mask, 10% a random token, 10% stay.",
        "The token's number: a dense layer, GELU and norm, then dot products with the input table, plus a bias for each token.",
        "Everything; the table from both sides, as input and as output.",
        "The answer is a token's number, which can't move.",
        "“Its output layer has weights of its own”: it is *tied* to the input table, but for the bias.",
        "Lengths and a bias in the score (ours are cosines), its dense layer with GELU and norm, and its second task, next sentences.",
        "1810.04805; code: google-research/bert, run_pretraining.py"),
    "ELECTRA": (
        "15% of the tokens, replaced by what a small masked model (the generator) draws for them.",
        "One bit at *every* token: is it the one of the text? A replacement that happens to be right counts as such.",
        "The discriminator from the bits, the generator from its own masked words; none through the drawing. They share the table of embeddings.",
        "The labels are given by the text.",
        "“It is a GAN”: the generator is trained to be likely, not to deceive, and is dropped afterwards.",
        "A generator, and a score a token: to rank the words for a blank, it would have to read the phrase once for each word.",
        "2003.10555; code: google-research/electra, run_pretraining.py"),
    "BYOL": (
        "Nothing: it gets two altered views of one image.",
        "What a slow copy of the network makes of the other view, through a predictor.",
        "The predicting side only.",
        "A predictor on one side, stop-gradient, and a slow copy (EMA) whose decay rises from .996 to 1.",
        "“BatchNorm is its hidden negative”: without batch statistics it does about as well (73.9 against 74.3, 2010.10241).",
        "Two views of one thing: two texts that say the same.",
        "2006.07733, 2010.10241; code: google-deepmind/deepmind-research, byol"),
    "SimSiam": (
        "Nothing: two altered views of one image.",
        "The encoding of the other view, by cosine.",
        "The side with the predictor; the other is detached. Each view is once the one and once the other.",
        "Stop-gradient and a predictor.",
        "“It can't do without a slow teacher”: both sides are the same network at the same time.",
        "Two views. Our direction term with stop-gradient is its loss, with rows as targets.",
        "2011.10566; code: facebookresearch/simsiam"),
    "data2vec (text)": (
        "Tokens behind a mask: 15% chosen as in BERT in the paper; in the published configuration 35%, in runs of four, all masked.",
        "At a mask: the mean over the upper blocks (10 of 12) of what their feed-forward parts give, *before* it is added to the stream; "
        "each normalised without parameters. A slow copy makes it from the whole text. Smooth L1.",
        "The student.",
        "A slow copy, decay .999 to .9999, and the normalisation.",
        "“Its target is the last layer”; “it has negatives”. And the copy is not slow throughout: in the text code its embeddings are the student's own.",
        "Our contextual EMA arm is this. It lacks size, and long texts.",
        "2202.03555; code: facebookresearch/fairseq, examples/data2vec, fairseq/modules/ema_module.py"),
    "I-JEPA": (
        "Four blocks of an image, each 15 to 20%; they are *removed* from what the encoder reads.",
        "A slow copy's last states at these blocks, made from the whole image, normalised without parameters. A narrow transformer predicts them "
        "from the visible states and one query a place (a mask vector plus its position).",
        "Encoder and predictor.",
        "A slow copy, decay .996 to 1, stop-gradient, and the predictor.",
        "“It predicts pixels”. “The encoder reads mask tokens”: only the predictor does. “Its loss is a squared distance”: in the code it is smooth L1.",
        "Blocks: a blank here is one word. Our queries arm has the rest.",
        "2301.08243; code: facebookresearch/ijepa, src/train.py"),
    "V-JEPA 2": (
        "Blocks of a video through all of its frames, removed as in I-JEPA.",
        "A slow copy's normalised states there; L1.",
        "Encoder and predictor.",
        "A slow copy whose decay stays at .99925, stop-gradient, predictor.",
        "“It learns from a robot's actions”: only the variant AC does, a new predictor on the finished, frozen encoder.",
        "Time, and many words hidden together.",
        "2506.09985; code: facebookresearch/vjepa2, app/vjepa/train.py, app/vjepa_droid/train.py"),
    "LLM-JEPA": (
        "The other view of the same thing, such as the program that a text describes.",
        "The other view's last state, from the text's last state, by 1 − cosine. The predictor is the language model itself, with some extra tokens "
        "at the end of the text (none in the script's default).",
        "Both sides: nothing is detached, and there is no slow copy.",
        "The usual loss on the next token stays in the sum.",
        "“It replaces the next-token loss”; “it has a teacher”.",
        "A decoder. Our phrase-level arm is nearest: the two sides of a dialogue are its views.",
        "2509.14252; code: rbalestr-lab/llm-jepa, finetune.py"),
    "LeJEPA": (
        "Nothing: several views of one image, two large and six small crops.",
        "The mean of the views' vectors, by squared distance.",
        "Everything: no stop-gradient, no slow copy.",
        "λ·SIGReg + (1 − λ)·distance; SIGReg asks for a normal cloud, and is multiplied by the number of vectors.",
        "“It predicts what was masked”; “its vectors have length 1”.",
        "Views. Our SIGReg-JEPA has its regulariser and the blank of the others, so it bears another name.",
        "2511.08544; code: rbalestr-lab/lejepa, MINIMAL.md, README.md"),
}

OURS_COLUMNS = (*COLUMNS[:5], "what it lacks to be its relative")
WORDS = "30% of the words: 80% a mask, 10% a random word, 10% unchanged."
OURS = {
    "softmax, untied": (WORDS, "The word: dot products with a second table.", "Everything; the input table only through what is read.",
                        "The answer is a word's number.", "“This is what BERT does”: BERT ties.", "BERT: tying, its dense layer and norm."),
    "softmax, tied": (WORDS, "The word: dot products with the input table, plus a bias.", "Everything; the table from both sides.",
                      "All other words are rivals.", "“It needs an output layer that grows with the vocabulary”: a bias a word.",
                      "BERT: its dense layer and norm, and size."),
    "cosine softmax (the default)": (
        WORDS, "Which row of the table has the direction of the prediction.", "Everything; the table from both sides.",
        "All other words are rivals.", "“It predicts in embedding space, so it is no softmax”: it is one, over scaled rows, "
        "and tied like BERT's.", "A JEPA: a target that an encoder makes."),
    "sampled InfoNCE": (WORDS, "The same, against a few random words.", "Everything; of the table, the rows that were drawn.",
                        "The random rivals.", "“Half of the rivals beaten is good”: counting words does that (chapter 7).",
                        "CPC: targets that an encoder makes."),
    "direction, stop-gradient": (WORDS, "The direction of the answer's row.", "All but the row as a target; as input it learns.",
                                 "Nothing that is certain: the rows still move, as input.", "“Stop-gradient alone saves it”: "
                                 "chapter 11 measures how far.", "SimSiam: a target that an encoder makes, two views."),
    "direction, EMA table": (WORDS, "The direction of the answer's row in a slow copy of the table.", "All but the copy.",
                             "The copy's slowness.", "“A slow copy of the table is a target encoder”: it reads no phrase.",
                             "BYOL, data2vec: a slow *encoder*."),
    "contextual EMA (data2vec's way)": (
        WORDS, "The state at the blank of a slow copy of the encoder that reads the *whole* phrase, normalised without parameters.",
        "The student.", "Slow copy, normalisation, predictor.", "“That it works shows that the slow copy is needed”: "
        "the word's own row goes straight through the blocks into the target, so compare a frozen random copy.",
        "data2vec: size, and several upper blocks averaged."),
    "queries (I-JEPA's way)": (
        "The same words, *removed* from what the encoder reads.", "The same target, by a narrow transformer with one positioned query a blank.",
        "Encoder and predictor.", "Slow copy, stop-gradient, predictor.", "“Removing is the same as masking”: the encoder never meets a mask, "
        "and reads fewer words.", "I-JEPA: whole blocks hidden together."),
    "contextual InfoNCE": (WORDS, "Which of the batch's targets is its own.", "The student.",
                           "The other targets of the batch; blanks with the same word don't count as rivals.",
                           "“It must know the word”: which phrase and which place is often enough to win.", "CPC: only the past is read, "
                           "and the targets get the gradient as well."),
    "SIGReg-JEPA": (WORDS, "The state at the blank of the *same* encoder, reading the whole phrase; squared distance.",
                    "Both sides.", "SIGReg on the targets, times the number of vectors.", "“It is LeJEPA”: that has views and no blank. "
                    "Without the factor, collapse is the cheapest solution.", "LeJEPA: views."),
    "contextual VICReg": (WORDS, "The same.", "Both sides.", "Each coordinate must vary, and no two together; weights 25, 25, 1.",
                          "“Weight 1 will do”: a common mean grows, and buys agreement.", "VICReg: views, and no predictor."),
    "phrase-level": ("The response of a dialogue.", "The response's vector, from the context's.", "Depends on which of the ways above is used.",
                     "That of the way.", "“It answers blanks”: it chooses a response.", "LLM-JEPA: a decoder, with its next-token loss."),
}

GRID = "display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15em), 1fr)); gap: .6em 1.2em; margin: 0"


def link(source: str) -> str:
    "A source with its arXiv numbers as links."
    return re.sub(r"\b(\d{4}\.\d{5}|\d{4}\.\d{4})\b", r'<a style="color: inherit" href="https://arxiv.org/abs/\1">\1</a>', html.escape(source))


def card(name: str, entries: tuple[str, ...], columns: tuple[str, ...], source: str = "") -> str:
    "One method as labelled cells, which stand below one another where there is no room beside."
    def emphasis(text): return re.sub(r"\*(.+?)\*", r"<em>\1</em>", html.escape(text, quote=False))

    cells = "".join(f'<div><dt style="font-weight: 600">{column}</dt><dd style="margin: 0">{emphasis(entry)}</dd></div>'
                    for column, entry in zip(columns, entries, strict=True))
    where = f'<p style="margin: .3em 0 0; overflow-wrap: anywhere"><small>{link(source)}</small></p>' if source else ""
    return (f'<section style="border-top: 2px solid; padding: .5em 0 1em; text-align: left"><h3 style="margin: 0 0 .3em; font-size: 1.2em; color: inherit">{html.escape(name)}</h3>'
            f'<dl style="{GRID}">{cells}</dl>{where}</section>')


def cards(family: dict[str, tuple[str, ...]], columns: tuple[str, ...]) -> str:
    "HTML of all of them, one below the other; what an entry holds beyond the columns are its sources."
    return "".join(card(name, entries[:len(columns)], columns, *entries[len(columns):]) for name, entries in family.items())


def plot_tree(tree: dict, ax):
    "Draw the branches from top to bottom; a leaf with a year is a relative (orange), one without is ours (blue)."
    y, tops = 0, []
    for target, branches in tree.items():
        tops.append(y)
        ax.text(.3, y, target, weight="bold", va="center")
        ends = []
        for branch, leaves in branches.items():
            y -= 1
            ends.append(y)
            ax.plot([.5, .9], [y, y], color=GREY)
            ax.text(1, y, branch, va="center", color=DARK)
            for leaf in leaves:
                y -= 1
                colour, mark = (ORANGE, "o") if re.search(r"20\d\d$", leaf) else (BLUE, "s")
                ax.plot([1.3, 1.3, 1.6], [ends[-1] - .45, y, y], color=GREY)
                ax.plot(1.7, y, mark, color=colour)
                ax.text(1.9, y, leaf, va="center")
        ax.plot([.5, .5], [tops[-1] - .45, ends[-1]], color=GREY)
        y -= 1.4
    ax.plot([0, 0], [tops[0], tops[-1]], color=GREY)
    for top in tops:
        ax.plot([0, .25], [top, top], color=GREY)
    ax.set(xlim=(-.1, 6.4), ylim=(y + 1, 1))
    ax.axis("off")
    return ax
