"""The provisioner's rules, pure: what an environment's directory holds (`rendering`), how people's edits of it are read
back (`manifest`), what an update may cost (`updating`) and what is told in the end (`outcomes`)."""

from services.provisioner.domain.manifest import MANIFEST, Manifest, read_manifest
from services.provisioner.domain.outcomes import author_of, infrastructure_of, plan_of
from services.provisioner.domain.rendering import (
    MODULES,
    OUTPUTS,
    ROOT_MODULE,
    VARIABLES,
    AwsPlatform,
    Platform,
    incarnation_of,
    on_local_state,
    render,
    render_again,
    says_the_same,
)
from services.provisioner.domain.updating import DATA_KINDS, asks_for_less_data, summary_of, what_was_before

__all__ = [
    "DATA_KINDS",
    "MANIFEST",
    "MODULES",
    "OUTPUTS",
    "ROOT_MODULE",
    "VARIABLES",
    "AwsPlatform",
    "Manifest",
    "Platform",
    "asks_for_less_data",
    "author_of",
    "incarnation_of",
    "infrastructure_of",
    "on_local_state",
    "plan_of",
    "read_manifest",
    "render",
    "render_again",
    "says_the_same",
    "summary_of",
    "what_was_before",
]
