"""The laboratory: small decoder language models, made of the same layers, loop and checkpoints as the encoder."""
