"""Where a network runs, and how batches get there and back without the caller waiting.

A stage takes uint8 batches in host memory and gives float32 rows. `host` computes on
the cores of the CPU, `cuda` on one GPU; both give the same `Pending`.
"""

from wsi_features.encode.device.choice import choose_device, cpu_split, has_bf16_units
from wsi_features.encode.device.host import HostStage
from wsi_features.encode.device.stage import Stage, Work
from wsi_features.encode.device.uploads import Uploads

__all__ = ["HostStage", "Stage", "Uploads", "Work", "choose_device", "cpu_split", "has_bf16_units"]
