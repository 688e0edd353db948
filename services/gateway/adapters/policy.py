"""The policy file: what each team may have. Read once, at the start."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from services.gateway.domain.policy import Policy


def read_policy(path: Path | None) -> Policy:
    """The policy in a YAML file; the default one where there is none. Raises ValueError, which says what is wrong: a
    platform that cannot read its limits does not start."""
    if path is None:
        return Policy()
    try:
        return Policy.read(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"the policy file {path.name} cannot be used: {error}") from error
