"""Modules and functions stay small, and some habits stay out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Module

CATCHES_ALL = {"stages/boundary.py"}


def test_no_module_is_longer_than_300_lines(modules: tuple[Module, ...]) -> None:
    assert not {m.name: n for m in modules if (n := len(m.text.splitlines())) > 300}


def test_no_function_is_longer_than_a_screen(modules: tuple[Module, ...]) -> None:
    functions = [(m, node) for m in modules for node in m.nodes if isinstance(node, ast.FunctionDef)]
    assert not {(m.name, f.name): n for m, f in functions if (n := (f.end_lineno or 0) - f.lineno + 1) > 50}


def test_no_class_has_more_than_12_methods(modules: tuple[Module, ...]) -> None:
    classes = [(m, node) for m in modules for node in m.nodes if isinstance(node, ast.ClassDef)]
    assert not {(m.name, c.name): n for m, c in classes if (n := methods(c)) > 12}


def methods(node: ast.ClassDef) -> int:
    return sum(isinstance(f, ast.FunctionDef) and not f.decorator_list for f in node.body)


def test_nothing_prints_uses_globals_or_catches_everything(modules: tuple[Module, ...]) -> None:
    assert not [f"{m.name}:{line}: {habit}" for m in modules for line, habit in habits(m)]


def habits(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Global):
            yield node.lineno, "global"
        if isinstance(node, ast.Name) and node.id == "print":
            yield node.lineno, "print"
        if isinstance(node, ast.ExceptHandler) and module.name not in CATCHES_ALL:
            caught = node.type and ast.unparse(node.type)
            if caught in {None, "Exception", "BaseException"}:
                yield node.lineno, f"bare or blind except: {caught}"


def test_every_module_says_what_it_is(modules: tuple[Module, ...]) -> None:
    assert not [m.name for m in modules if not ast.get_docstring(m.tree)]
