"""`histo-texture`: a tile descriptor that needs no weights, no GPU and no network.

Every number has a name and a meaning, so it serves as the default encoder, as a baseline
for learned ones, and as a check of a whole pipeline. A descriptor is float32 (213,), made
from one uint8 RGB tile alone; `FEATURE_NAMES` names its dimensions:

    dims     names                          what                                            position  turned by 90 deg
    0-23     h_*, e_*, r_*                  haematoxylin, eosin, residual density: mean,     ignored   same
                                            std, skewness, percentiles 5 25 50 75 95
    24-38    saturation_*, value_*, lab_*   HSV and CIELAB at half size: mean, std, skewness ignored   same
    39-42    hue_cos, hue_sin,              mean hue, correlation of the two stains,         ignored   same
             h_e_correlation, tissue_share  share of pixels that are not glass
    43-102   lbp_<plane>_r<radius>_bin<n>   local binary patterns of haematoxylin and        ignored   same
                                            luminance at radius 1, 2 and 4, 10 bins each
    103-138  glcm_<stain>_d<distance>_*     co-occurrence of haematoxylin and eosin 2, 4     ignored   same
                                            and 8 px apart, six properties each
    139-158  surround_h_mean, nuclei_*      nuclei: density, sizes, shapes, spacing, stain   ignored   same
    159-168  band_<stain>_<size>px          energy of details of 1, 2, 4, 8, 16 px           ignored   same
    169-180  gradient_<stain>_<size>px_*    strength of edges; how far they run in parallel  ignored   same
                                            nearby (coherence) and in all (alignment)
    181-212  layout_<stain>_row<r>_column<c> density in a 4 x 4 grid, less the tile's mean   kept      turned

Quarter turns change nothing else in tiles of a multiple of 16 px, and little in others.
Each value is given relative to fixed typical ones (see `Feature`), so most lie between -2
and 2 and none beyond 4. Nothing is fitted to a slide or a batch: equal pixels give equal
bytes. Lengths are in pixels of the tile: 0.5 um/px is the scale that sizes were chosen for.
"""

from wsi_features.encode.histo_texture.descriptor import DIM, FEATURE_NAMES, VERSION, tile_descriptor
from wsi_features.encode.histo_texture.encoder import HistoTextureEncoder, histo_texture_encoder

__all__ = ["DIM", "FEATURE_NAMES", "VERSION", "HistoTextureEncoder", "histo_texture_encoder", "tile_descriptor"]
