"""From the keys of DINOv2's own code to those of timm, whose networks compute the same.

Nothing is resized: a file for another image size has other position embeddings, and
fails the strict load instead of being interpolated in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from wsi_features.encode.checkpoint import State

_CHUNKED = re.compile(r"^blocks\.\d+\.(\d+)\.")  # blocks.CHUNK.BLOCK, where BLOCK counts through all chunks
_RENAMED = (("register_tokens", "reg_token"), (".mlp.w12.", ".mlp.fc1."), (".mlp.w3.", ".mlp.fc2."))


def converted(_name: str, state: State, _network: nn.Module) -> State:
    """The state under timm's keys, without the token that masked patches had in training.

    timm's networks with registers keep no position for the class token: its embedding is added to the token.
    """
    found = {_new_key(key): tensor for key, tensor in state.items() if key != "mask_token"}
    if "reg_token" in found and {"cls_token", "pos_embed"} <= found.keys():
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:].contiguous()
    return found


def _new_key(key: str) -> str:
    key = _CHUNKED.sub(r"blocks.\1.", key)
    for old, new in _RENAMED:
        key = key.replace(old, new)
    return key
