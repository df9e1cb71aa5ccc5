"""Modules and functions stay small, and some habits stay out."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "wsi_features"
MODULES = sorted(PACKAGE.rglob("*.py"))
CATCHES_ALL = {"stages/boundary.py"}
ids = {"ids": lambda p: str(p.relative_to(PACKAGE))}


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", MODULES, **ids)
def test_no_module_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, **ids)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    long = {f.name: n for f in functions(ast.parse(path.read_text())) if (n := (f.end_lineno or 0) - f.lineno + 1) > 50}
    assert not long


@pytest.mark.parametrize("path", MODULES, **ids)
def test_no_class_has_more_than_12_methods(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            methods = [f for f in node.body if isinstance(f, ast.FunctionDef) and not f.decorator_list]
            assert len(methods) <= 12, node.name


@pytest.mark.parametrize("path", MODULES, **ids)
def test_nothing_prints_uses_globals_or_catches_everything(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Global), "global"
        assert not (isinstance(node, ast.Name) and node.id == "print"), "print"
        if isinstance(node, ast.ExceptHandler) and str(path.relative_to(PACKAGE)) not in CATCHES_ALL:
            assert node.type is not None, "bare except"
            assert ast.unparse(node.type) not in {"Exception", "BaseException"}, "blind except"


@pytest.mark.parametrize("path", MODULES, **ids)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
