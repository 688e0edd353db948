"""The corpus of hostile inputs, by the place where each is typed."""

from pathlib import Path
from typing import Any

import yaml

CORPUS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "hostile_inputs.yaml").read_text(encoding="utf-8")
)


def inputs(place: str) -> list[str]:
    """Every input for one place."""
    found = CORPUS[place]
    assert found
    assert all(isinstance(text, str) for text in found)
    return list(found)
