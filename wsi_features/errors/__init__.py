"""Every error that the project raises on purpose.

    WsiFeaturesError
    ├── SlideError                  one slide fails, the others go on      exit 1
    │   ├── SlideFileError          unreadable_slide
    │   │   └── RemoteSlideError    unreadable_slide
    │   ├── CrashError              crashed
    │   ├── ResolutionError         mpp
    │   ├── TileReadError           bad_tiles
    │   ├── AnnotationError         annotations
    │   ├── CoordinatesError        coordinates
    │   ├── ImportedFileError       imported_file
    │   ├── CompareError            incomparable
    │   ├── SegmentationError       tissue
    │   ├── TissueModelSlideError   tissue
    │   ├── StainFitError           stain_fit
    │   ├── StainKindError          not_he
    │   ├── NonFiniteFeaturesError  non_finite
    │   ├── SlideScaleError         scale
    │   ├── ArtifactError           artifact
    │   ├── ScoreError              scores
    │   ├── ClaimedError            claimed
    │   └── StoreError              store
    ├── DeviceLostError             the job fails: device_lost             exit 3
    ├── StorageError                the job fails: storage                 exit 3
    └── UsageError                  nothing is started                     exit 2
        ├── ConfigError             config
        │   ├── StainTargetError    config
        │   └── ThresholdError      config
        ├── ManifestError           manifest
        ├── MarksError              marks
        ├── OutputError             output
        ├── PromptError             prompts
        ├── CurationError           curation
        ├── ExportError             export
        ├── CompareRequestError     compare
        ├── ImportedError           import
        ├── LabelError              labels
        ├── BagError                bags
        ├── SplitError              split
        ├── TrainingError           training
        ├── TrainingFolderError     training
        ├── ScoreTableError         score_table
        ├── HeatMapError            heatmap
        ├── TissueModelError        tissue_model
        └── EncoderError            encoder
            ├── UnknownEncoderError
            ├── CardError
            ├── WeightsError
            │   ├── ProgramError
            │   └── WeightsStoreError   weights
            │       ├── MissingWeightsError  weights
            │       └── HubError        weights
            ├── LibraryError
            ├── ScaleContractError
            └── StainContractError

The second column is the reason code that records and status tables carry.
"""

from wsi_features.errors.base import SlideError, UsageError, WsiFeaturesError, one_line, some_of
from wsi_features.errors.cohort import (
    ConfigError,
    ManifestError,
    MarksError,
    OutputError,
    ThresholdError,
    manifest_problem,
)
from wsi_features.errors.compare import CompareError, CompareRequestError
from wsi_features.errors.coordinates import CoordinatesError
from wsi_features.errors.curation import CurationError
from wsi_features.errors.encoders import (
    CardError,
    DeviceLostError,
    EncoderError,
    NonFiniteFeaturesError,
    ScaleContractError,
    SlideScaleError,
    UnknownEncoderError,
    WeightsError,
)
from wsi_features.errors.exports import ExportError, ImportedError, ImportedFileError
from wsi_features.errors.mil import BagError, LabelError, SplitError
from wsi_features.errors.programs import LibraryError, ProgramError
from wsi_features.errors.prompts import PromptError
from wsi_features.errors.remote import RemoteSlideError
from wsi_features.errors.scores import HeatMapError, ScoreError, ScoreTableError
from wsi_features.errors.slides import CrashError, ResolutionError, SlideFileError, TileReadError
from wsi_features.errors.stain import StainContractError, StainFitError, StainKindError, StainTargetError
from wsi_features.errors.store import ArtifactError, ClaimedError, StorageError, StoreError
from wsi_features.errors.tissue import AnnotationError, SegmentationError
from wsi_features.errors.tissue_models import TissueModelError, TissueModelSlideError
from wsi_features.errors.training import TrainingError
from wsi_features.errors.training_folder import TrainingFolderError
from wsi_features.errors.weights import HubError, MissingWeightsError, WeightsStoreError

__all__ = [
    "AnnotationError",
    "ArtifactError",
    "BagError",
    "CardError",
    "ClaimedError",
    "CompareError",
    "CompareRequestError",
    "ConfigError",
    "CoordinatesError",
    "CrashError",
    "CurationError",
    "DeviceLostError",
    "EncoderError",
    "ExportError",
    "HeatMapError",
    "HubError",
    "ImportedError",
    "ImportedFileError",
    "LabelError",
    "LibraryError",
    "ManifestError",
    "MarksError",
    "MissingWeightsError",
    "NonFiniteFeaturesError",
    "OutputError",
    "ProgramError",
    "PromptError",
    "RemoteSlideError",
    "ResolutionError",
    "ScaleContractError",
    "ScoreError",
    "ScoreTableError",
    "SegmentationError",
    "SlideError",
    "SlideFileError",
    "SlideScaleError",
    "SplitError",
    "StainContractError",
    "StainFitError",
    "StainKindError",
    "StainTargetError",
    "StorageError",
    "StoreError",
    "ThresholdError",
    "TileReadError",
    "TissueModelError",
    "TissueModelSlideError",
    "TrainingError",
    "TrainingFolderError",
    "UnknownEncoderError",
    "UsageError",
    "WeightsError",
    "WeightsStoreError",
    "WsiFeaturesError",
    "manifest_problem",
    "one_line",
    "some_of",
]
