"""What the manifest adds to a slide by hand: its annotations by class, and a mask from outside.

Each stage depends only on the classes that it uses, so that a new outline of a class which only
marks tiles redoes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Config
from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.tiles.recipe import TileRecipe
from wsi_features.tissue.annotations import annotation_classes, class_digests, is_empty_mask
from wsi_features.tissue.io import annotation_text
from wsi_features.tissue.objects import Polygon


@dataclass(frozen=True, slots=True)
class Drawn:
    """What someone drew on a slide: SHA-256 of each class, of the whole file, and of its mask image.

    `path` names the file of annotations in messages; texts are empty where there is none. `empty_mask` says
    that the file is one of ours without any tissue.
    """

    path: str = ""
    whole: str = ""
    mask: str = ""
    classes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    empty_mask: bool = False

    def replaces_mask(self, annotation_class: str) -> bool:
        """Whether the annotations say what is tissue."""
        return annotation_class in self.classes or self.empty_mask

    def for_tissue(self, annotation_class: str) -> str:
        """What the mask depends on. A file of tissue alone counts by its bytes, as in earlier releases."""
        if self.mask:
            return f"mask:{self.mask}"
        if not self.replaces_mask(annotation_class):
            return ""
        alone = set(self.classes) <= {annotation_class}
        return self.whole if alone else f"class:{self.classes[annotation_class]}"

    def for_tiles(self, recipe: TileRecipe) -> list[str]:
        """What the choice of tiles depends on besides the mask."""
        return [f"{name}:{self.classes.get(name, '')}" for name in recipe.named_classes]

    def absent(self, wanted: Iterable[str]) -> list[str]:
        """The classes of `wanted` that are not there."""
        return [name for name in wanted if name not in self.classes]


def drawn_on(row: ManifestRow) -> Drawn:
    """Look at what a slide's row names. Raises AnnotationError when a file cannot be read or is no GeoJSON."""
    mask = _mask_digest(row) if row.mask else ""
    if not row.annotations:
        return Drawn(mask=mask)
    try:
        stamp = Path(row.annotations).stat()
    except OSError as error:
        raise AnnotationError.unreadable(row.slide_id, row.annotations, error.strerror or str(error)) from error
    drawn = _drawn(row.slide_id, row.annotations, stamp.st_size, stamp.st_mtime_ns)
    return replace(drawn, mask=mask)


def check_drawn(row: ManifestRow, drawn: Drawn, config: Config) -> None:
    """Refuse annotations that would silently do nothing, or be in doubt. Raises AnnotationError.

    A class that the recipe names and the file writes a little differently is a mistake. A file without tissue is
    of use only where the recipe names a class of it, or says that it need not have tissue; one without any object
    says that none of the classes is there.
    """
    wanted, named = config.tissue.annotation_class, config.tiles.named_classes
    for name in (wanted, *named):
        _refuse_near_miss(row, drawn, name)
    if row.mask and drawn.path and wanted in drawn.classes:
        raise AnnotationError.two_masks(row.slide_id, row.mask, drawn.path, wanted)
    used = any(name in drawn.classes for name in named) or (named and not drawn.classes)
    if drawn.path and not (used or row.mask or drawn.replaces_mask(wanted)) and config.tissue.without_class == "fail":
        raise AnnotationError.no_such_class(row.slide_id, drawn.path, wanted, sorted(drawn.classes))


def areas_on(row: ManifestRow, slide: Size) -> dict[str, Polygon]:
    """The areas of all classes drawn on a slide, none where it has no annotations. Raises AnnotationError."""
    if not row.annotations:
        return {}
    text = annotation_text(row.slide_id, Path(row.annotations))
    return annotation_classes(text, slide_id=row.slide_id, source=row.annotations, slide=slide)


@lru_cache(maxsize=64)
def _drawn(slide_id: str, path: str, _size: int, _time: int) -> Drawn:
    """Kept, since every stage asks; a file that has changed has another size or time."""
    text = annotation_text(slide_id, Path(path))
    whole = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    classes = class_digests(text, slide_id=slide_id, source=path)
    return Drawn(path, whole, classes=MappingProxyType(classes), empty_mask=not classes and is_empty_mask(text))


def _mask_digest(row: ManifestRow) -> str:
    try:
        with Path(row.mask).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AnnotationError.bad_mask(row.slide_id, row.mask, error.strerror or str(error)) from error


def _refuse_near_miss(row: ManifestRow, drawn: Drawn, wanted: str) -> None:
    if wanted in drawn.classes:
        return
    for found in drawn.classes:
        if _plain(found) == _plain(wanted):
            raise AnnotationError.near_miss(row.slide_id, drawn.path, wanted, found)


def _plain(name: str) -> str:
    """Without what differs between two writings of one name: case, spaces, dashes."""
    return "".join(c for c in name.casefold() if c.isalnum() or c == ":")
