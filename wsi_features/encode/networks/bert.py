"""Text towers that are BERT: KEEP takes its pooler's row, BiomedCLIP the first token behind a projection.

Sources: A Knowledge-Enhanced Pathology Vision-Language Foundation Model (Zhou et al., 2024);
BiomedCLIP (Zhang et al., 2023) as open_clip builds it from its published configuration.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from transformers import BertConfig, BertModel


class BertTower(nn.Module):
    """Token numbers and mask (b, n) to rows (b, dim)."""

    def __init__(self, dim: int, pooling: Literal["pooler", "first"], **config: Any) -> None:
        super().__init__()
        shape = BertConfig(**config)
        self.transformer = BertModel(shape, add_pooling_layer=pooling == "pooler")  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        middle = (shape.hidden_size + dim) // 2
        self.proj = (
            nn.Sequential(
                nn.Linear(shape.hidden_size, middle, bias=False), nn.GELU(), nn.Linear(middle, dim, bias=False)
            )
            if pooling == "first"
            else nn.Identity()
        )
        if pooling == "pooler" and shape.hidden_size != dim:
            raise ValueError(f"a pooler of {shape.hidden_size} values for vectors of {dim}")

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Rows, not normalised."""
        out = self.transformer(input_ids=ids, attention_mask=mask)
        pooled = out.last_hidden_state[:, 0] if out.pooler_output is None else out.pooler_output
        rows: torch.Tensor = self.proj(pooled)
        return rows
