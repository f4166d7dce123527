"""Words and commands of the guides that a reader may come with: each is found where it is looked for."""

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from tofy.cli import app, translate
from tofy.hub import parse_hub
from tools.glossary import terms
from tools.key import NBS, read

# the guides' commands, and the command of the laboratory that does their work
GUIDES = {"train-bpe": "tokenizer train", "train_custom_tokenizer.py --vocab_size": "tokenizer train", "count-tokens": "tokenizer count",
          "init --embedding-degree": "train", "train.py --config": "train", "infer": "generate", "generate.py --checkpoint": "generate",
          "loss --limit": "loss", "info": "info", "insert-layer --input": "insert-layer", "init-with": "init-with",
          "compare --limit": "compare", "reset-optimizer": "reset-optimizer"}


def page(*words) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="tofy", terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("term", ["FIM", "GQA", "gradient checkpointing", "accumulation", "perplexity", "TinyStories"])
def test_the_glossary_has_the_guides_words(term):
    assert term in [word.name for word in terms()]


@pytest.mark.parametrize(("words", "command"), [
    ("FIM", "lab train"), ("GQA", "lab train"), ("gradient accumulation", "lab train"), ("gradient checkpointing", "lab train"),
    ("perplexity", "lab loss")])
def test_the_help_has_them(words, command):
    assert words in " ".join(page(*command.split()).split())


@pytest.mark.parametrize("theirs", GUIDES)
def test_a_command_shows_which_of_the_guides_it_replaces(theirs):
    line = re.search(r"Stands for, in the notes: (.*)", page("lab", *GUIDES[theirs].split()))
    assert line and theirs in line[1]


def test_the_original_spelling_is_shown_and_can_be_pasted():
    lines = [line.strip() for line in page().splitlines() if line.strip().startswith(("tofy --latent", "tofy --diff"))]
    assert len(lines) == 2
    assert translate(shlex.split(lines[0])[1:])[:9] == ["train", "data/casual_pairs.txt", "50000", "16", "128", "72", "2", "4", "4000"]
    chapter = read(NBS / "16_cli.ipynb").text
    assert all(lines[i].split()[1] + " " in chapter for i in range(2))
    pasted = re.search(r"^tofy (--latent .*)$", chapter, re.MULTILINE)[1]
    assert translate(shlex.split(pasted))[:3] == ["train", "data/casual_pairs.txt", "200"]


def test_the_table_of_texts_names_commands_that_exist():
    text = read(NBS / "21_reference.ipynb").text
    rows = [row for row in text.splitlines() if row.startswith("|") and "hub:" in row]
    assert [row.split("|")[1].strip() for row in rows] == ["imdb", "ag_news", "yelp_polarity", "daily_dialog", "wikitext-2", "TinyStories"]
    commands = typer.main.get_command(app).commands
    for row in rows:
        words = shlex.split(re.search(r"`tofy (.*?)`", row)[1])
        home = commands["lab"].commands if words[0] == "lab" else commands
        name = words[words[0] == "lab"]
        options = {opt for p in home[name].params for opt in p.opts}
        assert {word for word in words if word.startswith("--")} <= options
        assert parse_hub(next(word for word in words if word.startswith("hub:")))
