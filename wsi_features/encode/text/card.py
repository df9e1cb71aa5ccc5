"""The text card: what has to be known to embed prompts with the text tower beside an encoder.

Cards lie in `resources/text_towers`, one YAML file for each model; the encoder's card says
nothing of text, and the text card nothing of images. Both are filled from one weights file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from wsi_features.encode.checkpoint import Checkpoint
from wsi_features.errors import CardError, PromptError
from wsi_features.recipe import Json, Recipe
from wsi_features.resources import share

_OPEN_CLIP = "open_clip:"
_NOT_HASHED = ("source", "notes")


class TextCard(Recipe):
    """One text tower: texts in, vectors out."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", description="Of the encoder, less its output variant")
    builder: Literal["open_clip", "transformers", "bert"] = Field(description="What makes the network")
    arguments: dict[str, Any] = Field(default_factory=dict, description="What its constructor is called with")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="From the file's keys to the network's")
    scale_key: str = Field("logit_scale", description="Key of the logarithm of the factor of cosines")
    tokenizer: Literal["clip", "file"] = Field(description="CLIP's byte pairs, which open_clip brings along, or a file")
    tokenizer_files: tuple[str, ...] = Field((), description="Names under which the tokenizer file is published")
    context: Annotated[int, Field(ge=4)] = Field(description="Tokens that the tower takes")
    pad_id: int = Field(0, ge=0, description="Number of the token that fills up")
    dim: Annotated[int, Field(ge=1)] = Field(description="Width of the vectors, that of the projected features")
    source: str = Field("", description="Where the facts are from")
    notes: str = ""

    def canonical(self) -> Json:
        """Only what changes the numbers."""
        return {k: v for k, v in super().canonical().items() if k not in _NOT_HASHED}


def text_card_names() -> list[str]:
    """Names of the shipped cards, sorted."""
    return sorted(path.stem for path in share("resources", "text_towers").glob("*.yaml"))


def text_card_named(name: str, arguments: Json | None = None) -> TextCard:
    """The text card beside encoder `name` (with or without its variant), of a card file, or of `open_clip:MODEL`.

    `arguments` are the encoder's, which say for an `open_clip:` model which GELU it has.
    Raises PromptError and CardError.
    """
    if name.endswith(".yaml"):
        return text_card_of(Path(name))
    if name.startswith(_OPEN_CLIP):
        return _open_clip_card(name, arguments or {})
    key = name.partition(":")[0]
    if key not in text_card_names():
        raise PromptError.no_text_tower(name, text_card_names())
    return text_card_of(share("resources", "text_towers", f"{key}.yaml"))


def text_card_of(path: Path) -> TextCard:
    """The card in one file. Raises CardError."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TextCard.model_validate(fields)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CardError.unreadable(str(path), " ".join(str(error).split())) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CardError.invalid(str(path), f"`{where}`", first["input"], first["msg"]) from error


def _open_clip_card(name: str, arguments: Json) -> TextCard:
    """From open_clip's own configuration; its models with a text tower from a hub have none that can be built here."""
    import open_clip

    config = open_clip.get_model_config(name.removeprefix(_OPEN_CLIP).partition("/")[0]) or {}
    text = config.get("text_cfg", {})
    known = (
        "context_length",
        "vocab_size",
        "width",
        "heads",
        "layers",
        "embed_cls",
        "pad_id",
        "pool_type",
        "mlp_ratio",
    )
    others = text.keys() - {*known, "output_tokens"}
    if not text or others:
        raise PromptError.no_text_tower(name, text_card_names())
    quick = arguments.get("quick_gelu", config.get("quick_gelu", False))
    rules = (
        Checkpoint(keep="text.")
        if config.get("custom_text")
        else Checkpoint(
            drop=("visual.*", "logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size")
        )
    )
    return TextCard(
        name=name,
        builder="open_clip",
        arguments={key: text[key] for key in known if key in text} | ({"quick_gelu": True} if quick else {}),
        checkpoint=rules,
        tokenizer="clip",
        context=text.get("context_length", 77),
        dim=config["embed_dim"],
        source=f"open_clip {open_clip.__version__}",
    )
