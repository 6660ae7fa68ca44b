"""Readers of scan files, one module per format; `..reading` lists them."""
