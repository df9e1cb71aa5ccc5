"""One constructor for every encoder: card and weights in, an encoder on its device out."""

from __future__ import annotations

from pathlib import Path

from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device.fixed import Acceleration
from wsi_features.encode.device.retry import NonFinite
from wsi_features.encode.device.uploads import Uploads
from wsi_features.encode.encoder import Encoder
from wsi_features.encode.preprocess import PREPROCESS_VERSION
from wsi_features.errors import EncoderError, WeightsError
from wsi_features.recipe import Json


def build(  # noqa: PLR0913 - the choices for one encoder, by name
    card: EncoderCard,
    *,
    weights: Path | None = None,
    precision: Precision | None = None,
    nonfinite: NonFinite = "fail",
    device: str = "auto",
    workers: int = 1,
    acceleration: Acceleration = "none",
    uploads: Uploads | None = None,
) -> Encoder:
    """The encoder that `card` describes, ready to take batches.

    `weights` is a local file, `precision` the card's unless given. `device` is `auto`, `cpu`,
    `cuda` or `cuda:N`; `workers` is the number of cores used on a CPU, where histo-texture
    always runs. With `nonfinite` fp32, tiles whose features are NaN or infinity are computed again in fp32,
    by a second network that is loaded when the first such tile comes. `acceleration` replays or compiles the network on a GPU where that leaves the features
    within a tolerance; encoders with the same `uploads` share the batches copied there.

    May run in any thread, several at once too: a network of 300 million parameters takes seconds to load,
    in which a slide can be opened. Raises EncoderError, or one of its kinds CardError and WeightsError.
    """
    if card.builder == "histo-texture":
        return _histo_texture(card, weights, precision, workers)
    if weights is None:
        raise WeightsError.needed(card.name)
    from wsi_features.encode.network_encoder import build_network

    return build_network(
        card,
        weights,
        precision=precision or card.precision,
        nonfinite=nonfinite,
        device=device,
        workers=workers,
        acceleration=acceleration,
        uploads=uploads,
    )


def encoder_recipe(card: EncoderCard, weights_digest: str, precision: Precision, nonfinite: NonFinite = "fail") -> Json:
    """What of an encoder decides the features, as plain JSON for the embed fingerprint.

    `weights_digest` is the SHA-256 of the weights file, empty for an encoder without weights. How pixels
    are prepared concerns networks only, and `nonfinite` only where it is not the default.
    """
    recipe: Json = {"card": card.canonical(), "weights": weights_digest, "precision": precision}
    prepared = {"preprocess": PREPROCESS_VERSION} if card.needs_weights else {}
    return recipe | prepared | ({"nonfinite": nonfinite} if nonfinite != "fail" else {})


def _histo_texture(card: EncoderCard, weights: Path | None, precision: Precision | None, workers: int) -> Encoder:
    from wsi_features.encode.histo_texture.encoder import histo_texture_encoder

    if weights is not None:
        raise EncoderError.takes_no_weights(card.name, str(weights))
    if precision not in (None, card.precision):
        raise EncoderError.fixed_precision(card.name, precision, card.precision)
    encoder: Encoder = histo_texture_encoder(card, workers=workers)
    return encoder
