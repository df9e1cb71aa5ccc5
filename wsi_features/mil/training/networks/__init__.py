"""Networks over bags. Its modules import torch, and are imported inside functions."""
