"""Synthetic H&E slides with known truth, for demonstrations, tests and benchmarks.

Schematic, but with what a pipeline meets on real ones: pieces of tissue of several types
on uneven glass, nuclei of true size, two laboratories' stains, artefacts, and an Aperio
style pyramid of any size. It does not imitate any diagnosis.
"""

from wsi_features.slides.synthetic.anatomy import TISSUE_TYPES
from wsi_features.slides.synthetic.file import write_slide
from wsi_features.slides.synthetic.render import slide_pixels
from wsi_features.slides.synthetic.spec import SlideSpec
from wsi_features.slides.synthetic.truth import GroundTruth, ground_truth

__all__ = ["TISSUE_TYPES", "GroundTruth", "SlideSpec", "ground_truth", "slide_pixels", "write_slide"]
