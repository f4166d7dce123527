"What the literature calls the things of this course, and the chapter in which a reader finds them: the search finds it by these words."
import json
from pathlib import Path

WORDS = {
    "InfoNCE": "06_losses.ipynb",                          # van den Oord et al. 2018
    "contrastive": "06_losses.ipynb",
    "NT-Xent": "06_losses.ipynb",                          # Chen et al. 2020, SimCLR
    "SimCLR": "06_losses.ipynb",
    "weight tying": "06_losses.ipynb",                     # Press and Wolf 2017
    "BYOL": "06a_targets.ipynb",                           # Grill et al. 2020
    "momentum encoder": "06a_targets.ipynb",               # He et al. 2020, MoCo
    "exponential moving average": "06a_targets.ipynb",
    "data2vec": "06a_targets.ipynb",                       # Baevski et al. 2022
    "I-JEPA": "06a_targets.ipynb",                         # Assran et al. 2023
    "perplexity": "lab/02_training.ipynb",
    "mean reciprocal rank": "07_metrics.ipynb",
    "cloze": "03_masking.ipynb",                           # Taylor 1953
    "masked language model": "03_masking.ipynb",           # Devlin et al. 2019, BERT
    "representation collapse": "11d_collapse.ipynb",
    "dimensional collapse": "11d_collapse.ipynb",          # Jing et al. 2022
    "VICReg": "11d_collapse.ipynb",                        # Bardes et al. 2022
    "anisotropy": "11_crowding.ipynb",                     # Ethayarajh 2019
    "hubness": "11_crowding.ipynb",                        # Radovanović et al. 2010
    "linear probing": "11a_probes.ipynb",                  # Alain and Bengio 2017
    "kNN-LM": "10a_memory.ipynb",                          # Khandelwal et al. 2020
    "byte pair encoding": "lab/00_tokenizers.ipynb",       # Sennrich et al. 2016
    "BPE": "lab/00_tokenizers.ipynb",
    "GPT": "lab/01_decoder.ipynb",
    "Net2Net": "lab/06_surgery.ipynb",                     # Chen et al. 2016
}


def write_scorer(path: Path) -> None:
    "The script that ranks what the search finds; it knows these words and the pages of their chapters."
    from tools.site.chapters import page_of
    script = Path(__file__).with_name("scorer.js").read_text(encoding="utf-8")
    pages = {word.lower(): page_of(home) for word, home in WORDS.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script.replace('"WORDS"', json.dumps(pages)), encoding="utf-8")
