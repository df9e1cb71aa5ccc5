"""Makes the modules of this folder importable by each other and by the inspector's process; counts mutations."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

# At the end: a library of the same name comes first, as it would without the tests.
if (here := str(Path(__file__).parent)) not in sys.path:
    sys.path.append(here)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many mutations ended how."""
    counts: Counter[str] = Counter()
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        for name, found in getattr(report, "user_properties", ()):
            if name == "fuzz":
                counts.update(found)
    if counts:
        told = ", ".join(f"{count} {end}" for end, count in counts.most_common())
        terminalreporter.write_line(f"{counts.total()} mutations: {told}")
