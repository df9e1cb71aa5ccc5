import inspect
import pickle
import re

import pytest

from wsi_features import errors
from wsi_features.errors import SlideError, UsageError, WsiFeaturesError

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_stands_in_the_tree_under_its_parent(kind: type[WsiFeaturesError]) -> None:
    assert issubclass(kind, WsiFeaturesError)
    lines = (errors.__doc__ or "").splitlines()
    found = [line for line in lines if re.search(rf"\b{kind.__name__}\b", line)]
    assert len(found) == 1
    if kind not in {WsiFeaturesError, SlideError, UsageError} and kind.reason != "encoder":
        assert kind.reason in found[0]


def test_a_reason_code_belongs_to_one_branch() -> None:
    slide = {kind.reason for kind in CLASSES if issubclass(kind, SlideError)}
    usage = {kind.reason for kind in CLASSES if issubclass(kind, UsageError)}
    assert not slide & usage
    assert all(re.fullmatch("[a-z_]+", reason) for reason in slide | usage)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_comes_through_from_another_process(kind: type[WsiFeaturesError]) -> None:
    found = pickle.loads(pickle.dumps(kind("slide 's1': why")))  # noqa: S301 - our own bytes
    assert (type(found), str(found)) == (kind, "slide 's1': why")
