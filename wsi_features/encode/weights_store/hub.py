"""Fetching weights from the Hugging Face hub: the one module that opens a connection.

The user's own login is used, from HF_TOKEN or what `hf auth login` keeps; the library reads it, nothing here
ever holds it. HF_ENDPOINT names another hub. What arrives is checked like any file that is added.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from wsi_features.encode.weights import sha256_of
from wsi_features.encode.weights_store.addition import checked_record
from wsi_features.encode.weights_store.folder import FETCHING, Entry, put_moved
from wsi_features.encode.weights_store.hub_address import HubAddress, hub_address
from wsi_features.encode.weights_store.record import AnyCard, WeightsRecord, key_of, slug
from wsi_features.encode.weights_store.registry import WeightsRegistry
from wsi_features.errors import HubError, WeightsError, WeightsStoreError, one_line

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar", ".onnx", ".pt2")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Offer:
    """One file as the hub offers it, at one commit. `sha256` and `size` are None where the hub does not say."""

    address: HubAddress
    file: str
    revision: str
    licence: str
    gated: bool
    size: int | None
    sha256: str | None


def offer_of(
    card: AnyCard, *, repository: str | None = None, file: str | None = None, revision: str | None = None
) -> Offer:
    """Ask the hub for the file of a card; nothing is downloaded. Raises HubError and WeightsStoreError.

    What is not given is the card's, and the newest revision.
    """
    key, address = key_of(card), hub_address(card)
    if not card.needs_weights:
        raise WeightsStoreError.takes_none(card.name)
    if repository is not None:
        same = address is not None and address.repository == repository
        address = address if same else HubAddress(repository)
    if address is None:
        raise HubError.not_on_hub(key, card.source)
    with _asking(key, address, revision):
        from huggingface_hub import HfApi

        kind = address.kind
        found = HfApi().repo_info(address.repository, revision=revision, repo_type=kind, files_metadata=True)
        info = cast("ModelInfo", found)  # spaces and data sets say the same of what is read here
    name = _file_in(key, address, info, file or address.file)
    file_info = next(s for s in info.siblings or () if s.rfilename == name)
    return Offer(
        address=replace(address, file=name),
        file=name,
        revision=info.sha or revision or "",
        licence=_licence(card, info),
        gated=bool(card.gated or getattr(info, "gated", False)),
        size=file_info.size,
        sha256=file_info.lfs.sha256 if file_info.lfs else None,
    )


def already_there(registry: WeightsRegistry, card: AnyCard, offer: Offer) -> Entry | None:
    """The offered file where the registry has it whole."""
    for entry in registry.known(key_of(card)):
        same = entry.record.sha256 == offer.sha256 and entry.file.is_file()
        if same and sha256_of(entry.file) == entry.record.sha256:
            return entry
    return None


def fetched(registry: WeightsRegistry, card: AnyCard, offer: Offer, *, accepted: bool) -> Entry:
    """Download an offered file, check it and put it into the registry.

    A gated one needs `accepted`: that its licence was read. Raises HubError, WeightsError and WeightsStoreError;
    nothing is stored then. What has arrived of a stopped download is used by the next.
    """
    key = key_of(card)
    if offer.gated and not accepted:
        raise HubError.licence_not_accepted(key, offer.licence, offer.address.page)
    staging = registry.writable / FETCHING / slug(f"{key}-{offer.revision[:12]}")
    try:
        arrived = _downloaded(key, offer, staging)
        return put_moved(registry.writable, arrived, _record(card, offer, arrived))
    except WeightsError:
        if entry := already_there(registry, card, offer):  # another process fetched the same and was first
            return entry
        raise
    finally:
        if not _half_arrived(staging):
            shutil.rmtree(staging, ignore_errors=True)


def _half_arrived(staging: Path) -> bool:
    """Whether part of a file is there that the next fetch goes on from."""
    return any(path.stat().st_size for path in staging.rglob("*.incomplete"))


def _record(card: AnyCard, offer: Offer, arrived: Path) -> WeightsRecord:
    record = checked_record(
        card,
        arrived,
        source=str(offer.address),
        revision=offer.revision,
        licence=offer.licence,
        name=PurePosixPath(offer.file).name,
    )
    if offer.sha256 not in (None, record.sha256):
        raise WeightsStoreError.other_digest(record.encoder, offer.file, record.sha256, str(offer.sha256))
    return record.model_copy(update={"gated": offer.gated})


def _downloaded(key: str, offer: Offer, staging: Path) -> Path:
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsStoreError.unwritable(str(staging), error.strerror or str(error)) from error
    with _asking(key, offer.address, offer.revision):
        from huggingface_hub import hf_hub_download

        address, revision = offer.address, offer.revision
        return Path(
            hf_hub_download(
                address.repository, offer.file, repo_type=address.kind, revision=revision, local_dir=staging
            )
        )


def _file_in(key: str, address: HubAddress, info: ModelInfo, wanted: str | None) -> str:
    """The weights file: the one named, or the only one."""
    names = [sibling.rfilename for sibling in info.siblings or ()]
    likely = [name for name in names if name.endswith(_WEIGHTS)]
    if wanted in names:
        return str(wanted)
    if wanted is None and len(likely) == 1:
        return likely[0]
    raise HubError.which_file(key, address.repository, likely)


def _licence(card: AnyCard, info: ModelInfo) -> str:
    """The card's licence; the hub's where the card knows none, or beside it where it says another."""
    stated = info.card_data
    hub = str(getattr(stated, "license_name", None) or getattr(stated, "license", None) or "")
    if card.licence.startswith(_UNKNOWN):
        return one_line(hub or card.licence)
    same = hub.lower() in ("", card.licence.lower())
    return card.licence if same else one_line(f"{card.licence} (the hub says: {hub})")


@contextmanager
def _asking(key: str, address: HubAddress, revision: str | None) -> Iterator[None]:
    """Turn what the hub's library raises into what a person can do."""
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError.no_access(key, address.page) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError.not_found(key, f"repository {address.repository!r} that this login may see") from error
    except errors.RevisionNotFoundError as error:
        raise HubError.not_found(key, f"revision {revision!r} of {address.repository!r}") from error
    except errors.RemoteEntryNotFoundError as error:
        raise HubError.not_found(key, f"file {address.file!r} in {address.repository!r}") from error
    except (httpx.HTTPError, errors.HFValidationError, OSError) as error:
        raise HubError.failed(key, one_line(error) or type(error).__name__) from error
