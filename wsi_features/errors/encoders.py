"""Errors of encoder cards, weights and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import ClassVar

from wsi_features.errors.base import SlideError, UsageError, WsiFeaturesError


class EncoderError(UsageError):
    """An encoder cannot be built as its card says; nothing is embedded with it."""

    reason: ClassVar[str] = "encoder"

    @classmethod
    def unknown_device(cls, wanted: str) -> EncoderError:
        """A device that is spelled wrongly."""
        return cls(f"no device {wanted!r}. Give auto, cpu, cuda or cuda:N, N counted from 0.")

    @classmethod
    def no_device(cls, wanted: str, present: int) -> EncoderError:
        """A GPU that torch does not see here."""
        return cls(
            f"device {wanted!r} was asked for, but torch sees {present} CUDA device(s) here. "
            "Set `device` to auto or cpu, or run on a machine with that GPU and its driver."
        )

    @classmethod
    def no_gpu_to_decode(cls, device: str) -> EncoderError:
        """Pixels of nvJPEG are asked for, which no CPU makes."""
        return cls(
            f"`read.decode` is nvjpeg, which decodes on a GPU, but the device is {device!r} here. Set it to exact or "
            "scaled, whose features are others, or run where there is a GPU."
        )

    @classmethod
    def out_of_memory(cls, device: str) -> EncoderError:
        """Halving the batch has come down to one tile."""
        return cls(
            f"{device} has no memory left for a single tile. End what else runs on it, name another `device`, "
            "or take a smaller encoder."
        )

    @classmethod
    def takes_no_weights(cls, name: str, path: str) -> EncoderError:
        """A weights file for an encoder that has none: probably the wrong encoder was named."""
        return cls(
            f"encoder {name!r} has no weights, but {path!r} was given. "
            "Leave `weights` out, or name the encoder that they belong to."
        )

    @classmethod
    def not_built(cls, name: str, kind: str, what: str) -> EncoderError:
        """An encoder that is known by name only: `kind` says what is missing, `what` what it would take."""
        reason = {
            "remote-code": "its network is code that is published beside the weights, which this program does not run",
            "package": "its network needs a package that this program does not install",
            "not-public": "its weights are not public",
            "facts": "what is published about it does not determine its network",
        }[kind]
        remedy = (
            "Take another encoder."
            if kind == "not-public"
            else "If you trust that code, write a card of your own with `builder: python` that loads it."
        )
        return cls(f"encoder {name!r} is not built here: {reason}. {what} {remedy}")

    @classmethod
    def fixed_precision(cls, name: str, found: str, wanted: str) -> EncoderError:
        """A precision for an encoder that knows only one."""
        return cls(f"encoder {name!r} computes in {wanted} only, {found} was asked for. Leave `precision` out.")

    @classmethod
    def no_second_precision(cls, name: str, precision: str) -> EncoderError:
        """A finished program computes as it was saved, and so cannot repeat a tile in fp32."""
        return cls(f"encoder {name!r} is a program in {precision} only. Leave `nonfinite` out, or save it in fp32.")

    @classmethod
    def no_memory_for_fp32(cls, name: str, device: str) -> EncoderError:
        """Both networks must lie there, and the one in fp32 is twice as large."""
        return cls(
            f"encoder {name!r} made NaN or infinity, and {device} has no memory for a second network in fp32. "
            "Set the encoder's `precision` to fp32, or its `nonfinite` to fail."
        )

    @classmethod
    def contract_broken(cls, name: str, subjects: Sequence[str]) -> EncoderError:
        """`subjects` are the trials that failed; each has been told before."""
        return cls(
            f"encoder {name!r} does not keep the contract of encoders: {', '.join(subjects)}. "
            "Correct the card, the weights or the entry point; features of such an encoder cannot be trusted."
        )


class UnknownEncoderError(EncoderError):
    """No card and no builder of that name."""

    @classmethod
    def named(cls, name: str) -> UnknownEncoderError:
        """Nothing is like it; there are too many to list."""
        return cls(
            f"no encoder {name!r}. `wsi-features encoders list` shows all; any model of some libraries works as "
            "timm:NAME, open_clip:NAME or torchvision:NAME with a weights file."
        )

    @classmethod
    def misspelled(cls, name: str, close: Sequence[str]) -> UnknownEncoderError:
        """`close` lists what was probably meant."""
        return cls(f"no encoder {name!r}. Did you mean {' or '.join(close)}? `wsi-features encoders list` shows all.")

    @classmethod
    def several(cls, name: str, variants: Sequence[str]) -> UnknownEncoderError:
        """A model whose outputs differ: there is no silent default."""
        return cls(f"encoder {name!r} has several outputs. Name one of: {', '.join(variants)}.")

    @classmethod
    def not_in_library(cls, name: str, library: str, close: Sequence[str]) -> UnknownEncoderError:
        """A model of a library by name, `library` with its version; there are too many to list."""
        meant = f"Did you mean {' or '.join(close)}?" if close else "The library's `list_models()` lists them."
        return cls(f"no encoder {name!r}: {library} has no such model. {meant}")


class CardError(EncoderError):
    """A card file that does not follow the schema."""

    @classmethod
    def invalid(cls, path: str, where: str, found: object, wanted: str) -> CardError:
        """`where` is the field, `wanted` what it must be."""
        return cls(f"encoder card {path!r}: {where} is {found!r}; wanted: {wanted}. Correct the card.")

    @classmethod
    def missing(cls, path: str, where: str) -> CardError:
        """A field that has no default."""
        return cls(f"encoder card {path!r} does not state `{where}`. Add it; the shipped cards show how.")

    @classmethod
    def other_descriptor(cls, name: str, *, found: tuple[int, object], wanted: tuple[int, int]) -> CardError:
        """Each of `found` and `wanted` is width and version of the descriptor."""
        return cls(
            f"encoder {name!r}: the card is of a descriptor with {found[0]} values in version {found[1]!r}; this release "
            f"computes {wanted[0]} values in version {wanted[1]}. Use the card that ships with this release."
        )

    @classmethod
    def unknown_field(cls, path: str, where: str, known: Sequence[str]) -> CardError:
        """A field that no card has; often a misspelled one."""
        return cls(f"encoder card {path!r}: there is no field `{where}`. Fields are: {', '.join(known)}.")

    @classmethod
    def unreadable(cls, path: str, why: str) -> CardError:
        """No file, or not a YAML mapping."""
        return cls(f"encoder card {path!r} cannot be read ({why}). Give a YAML file like the shipped cards.")


class WeightsError(EncoderError):
    """A weights file that is missing or is not the card's model."""

    @classmethod
    def needed(cls, name: str) -> WeightsError:
        """Weights are never downloaded."""
        return cls(
            f"encoder {name!r} needs a local weights file. Give it with `--weights FILE`, or as `weights` beside the "
            "encoder's name in the config."
        )

    @classmethod
    def no_file(cls, name: str, path: str) -> WeightsError:
        """Path of the config or command line."""
        return cls(f"encoder {name!r}: no weights file at {path!r}. Correct the path.")

    @classmethod
    def unreadable(cls, name: str, path: str, why: str) -> WeightsError:
        """Neither safetensors nor a plain state dict."""
        return cls(
            f"encoder {name!r}: {path!r} is not a safetensors file or a plain state dict ({why}). "
            "Save the model's `state_dict()` as safetensors."
        )

    @classmethod
    def no_entry(cls, name: str, path: str, entry: str, held: Sequence[str]) -> WeightsError:
        """The card's `checkpoint.unwrap` asks for an entry that the file does not have."""
        first = ", ".join(held[:5])
        return cls(
            f"encoder {name!r}: {path!r} holds {len(held)} entries (first: {first}), but no {entry!r}, where the card "
            "says that the weights are. Give the file that the card names: another file may have the same name."
        )

    @classmethod
    def clash(cls, name: str, path: str, key: str) -> WeightsError:
        """Two tensors for one parameter: which one counts would be chance."""
        return cls(
            f"encoder {name!r}: {path!r} holds two tensors that the card's `checkpoint` both names {key!r}. "
            "Give the file that the card names, or `drop` one of them in the card."
        )

    @classmethod
    def keys_differ(cls, name: str, path: str, missing: Sequence[str], unexpected: Sequence[str]) -> WeightsError:
        """Strict loading: every parameter must be found, and none may be left over."""
        parts = [
            f"{len(keys)} {label} (first: {keys[0]})"
            for keys, label in ((missing, "missing"), (unexpected, "unexpected"))
            if keys
        ]
        return cls(
            f"encoder {name!r}: {path!r} does not fit the architecture: {', '.join(parts)}. "
            "Give the weights of exactly this model, without its training head."
        )

    @classmethod
    def not_finite(cls, name: str, path: str, key: str) -> WeightsError:
        """NaN or infinity: a training run that diverged, or a damaged file."""
        return cls(
            f"encoder {name!r}: {path!r} holds NaN or infinity in {key!r}. "
            "Copy the weights again from where they are published, and compare their SHA-256."
        )

    @classmethod
    def differs(cls, name: str, what: str, found: object, wanted: object) -> WeightsError:
        """A check after loading: shape, parameter count, output dimension, finite values, SHA-256."""
        return cls(
            f"encoder {name!r}: {what} is {found}, the card says {wanted}. "
            "Give the weights that the card names, or correct the card."
        )


class ScaleContractError(EncoderError):
    """A grid outside the resolution or size that the encoder was made for."""

    @classmethod
    def outside(cls, name: str, what: str, found: object, wanted: str, fits: tuple[int, float]) -> ScaleContractError:
        """`wanted` says the accepted range, `fits` is the tile size and resolution of the card."""
        size, mpp = fits
        return cls(
            f"encoder {name!r}: {what} is {found}, accepted is {wanted}. Set `tiles: {{size: {size}, mpp: {mpp:g}}}`, "
            "or both to auto; or give the encoder `scale: any` in the config to embed nevertheless."
        )


class SlideScaleError(SlideError):
    """The real resolution of one slide's tiles is outside what the encoder was made for."""

    reason: ClassVar[str] = "scale"

    @classmethod
    def outside(
        cls, slide_id: str, name: str, scale: tuple[int, float], accepted: tuple[float, float]
    ) -> SlideScaleError:
        """`scale` is tile size and effective resolution, `accepted` the card's range in um/px."""
        size, effective = scale
        return cls(
            f"slide {slide_id!r}: its tiles are {size} px of {effective:.4g} um, which encoder {name!r} was not made for "
            f"({accepted[0]:g} to {accepted[1]:g} um). Ask for another `tiles.mpp`, give the encoder `scale: any` in the "
            "config to embed nevertheless, or skip the slide."
        )


class DeviceLostError(WsiFeaturesError):
    """A GPU failed in a way that leaves this process unable to use it; the whole job ends, to be tried again."""

    reason: ClassVar[str] = "device_lost"

    @classmethod
    def after(cls, device: str, why: str) -> DeviceLostError:
        """`why` is the driver's own word."""
        return cls(
            f"{device} failed ({why}); this process cannot use it any more. Run the same command again: finished work "
            "is kept. If it happens again, look at `nvidia-smi` for errors of the GPU, or name another `device`."
        )


class NonFiniteFeaturesError(SlideError):
    """The model returned NaN or infinity, or a value that the stored dtype cannot hold."""

    reason: ClassVar[str] = "non_finite"

    @classmethod
    def in_export(cls, slide_id: str, row: int, value: float, dtype: str) -> NonFiniteFeaturesError:
        """A format of half precision, and a store in single."""
        return cls(
            f"slide {slide_id!r}: the feature {value:g} at row {row} is beyond {dtype}, which this format wants. "
            "Export to a format of single precision."
        )

    @classmethod
    def at_row(cls, slide_id: str, encoder: str, row: int, value: float, dtype: str) -> NonFiniteFeaturesError:
        """First offending row; a store of float32 is of an encoder that computes in fp32."""
        found = f"slide {slide_id!r}: {encoder} returned {value:g} at row {row}, which {dtype} cannot hold."
        if dtype == "float32":
            return cls(
                f"{found} Try the weights with `wsi-features encoders check`, or `skip` the slide with a reason."
            )
        if isfinite(value):
            return cls(f"{found} Set the encoder's `precision` to fp32 and rerun.")
        return cls(
            f"{found} Set the encoder's `nonfinite` to fp32, so that such tiles are computed again, "
            "or its `precision`, and rerun."
        )
