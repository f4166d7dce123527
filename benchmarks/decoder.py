"""Two settings on a text of your own, such as Tiny Shakespeare: what a decoder of this project comes to, and how fast.

usage: python -m benchmarks.decoder FILE [--setting quick|five] [--threads 2] [--seed 0] [--out DIR]

quick  the shape and the steps of nanoGPT's quick start on a processor: 4 layers of 128, context 64, 2,000 steps of 12
       windows, no dropout (its README: a validation loss of 1.88); the learning rate is ours
five   five minutes

The last tenth of the text is held out, as there. The loss is that of all its letters, in nats, asked in windows as long
as the context; nanoGPT's own figure is an estimate from 20 batches of the same kind.
"""

import argparse
import json
from pathlib import Path

import torch

from tofy.encoder import count_parameters
from tofy.lab.decoder import Decoder, DecoderConfig
from tofy.lab.training import TextConfig, load_texts, measure_loss, train
from tofy.lab.writing import Writer, load_decoder

SETTINGS = {
    "quick": (DecoderConfig(dim=128, layers=4, heads=4, context=64),
              TextConfig(steps=2000, seconds=None, batch=12, lr=3e-3, eval_every=500, sample=0)),
    "five": (DecoderConfig(dim=128, layers=4, heads=4, context=128),
             TextConfig(seconds=300, batch=12, lr=3e-3, sample=0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--setting", choices=SETTINGS, default="quick")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the run here")
    args = parser.parse_args()
    shape, config = SETTINGS[args.setting]
    config.threads, config.seed = args.threads, args.seed
    torch.manual_seed(args.seed)
    data = load_texts(args.file, "character")
    shape.vocab_size = len(data.tokenizer)
    model = Decoder(shape)
    for record in train(data, model, config, args.out):
        if record.is_line and record.valid_loss == record.valid_loss:
            print(f"step {record.step:5} {record.seconds:6.1f} s  held out {record.valid_loss:.4f}", flush=True)
    writer = load_decoder(args.out) if args.out else Writer(model.eval(), data.tokenizer)
    found = measure_loss(writer, data.valid, data.valid_bytes)
    print(json.dumps(dict(setting=args.setting, steps=record.step, seconds=round(record.seconds, 1),
                          parameters=count_parameters(model), tokens=record.examples, valid_loss=found["loss"])))


if __name__ == "__main__":
    main()
