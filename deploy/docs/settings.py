"""The page of settings, from the classes that read them."""

import ast
import inspect
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from chassis.settings import ChassisSettings, DatabaseSettings
from deploy.docs.markdown import code, paragraph, table
from services.catalog import settings as catalog
from services.cicd import settings as cicd
from services.gateway import settings as gateway
from services.notifier import settings as notifier
from services.provisioner import settings as provisioner
from services.secrets import settings as vault

_SERVICES: Final = {
    "gateway": gateway,
    "catalog": catalog,
    "provisioner": provisioner,
    "secrets": vault,
    "cicd": cicd,
    "notifier": notifier,
}
_PROJECT: Final = Path(__file__).resolve().parents[2]
_WORDS: Final = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "lt": "less than",
    "min_length": "length at least",
    "max_length": "length at most",
}
_INTRODUCTION: Final = """\
Settings are variables of the environment. Secrets are given as files, whose paths these are: an environment can be read
by every child process. A value that breaks a rule ends the process at its start, with the rule. The embedded platform
sets all of them; whoever runs the services in another way sets what has no default."""


def settings_page() -> str:
    """Every variable of every service."""
    parts = ["# Settings", _INTRODUCTION, "## Every service", _of(ChassisSettings)]
    parts += ["## Services with a database", "The gateway, the catalog and the notifier.", _of(DatabaseSettings)]
    for service, module in _SERVICES.items():
        for found in _read_by(module):
            parts += [f"## {service.capitalize()}", paragraph(inspect.getdoc(found) or ""), _of(found)]
    return "\n\n".join(parts) + "\n"


def _read_by(module: ModuleType) -> list[type[BaseSettings]]:
    """The classes of settings that a module has, without those that another one of them extends."""
    found = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, BaseSettings)]
    own = [one for one in found if one.__module__ == module.__name__]
    return [one for one in own if not any(other is not one and issubclass(other, one) for other in own)]


def _of(settings: type[BaseSettings]) -> str:
    prefix, told = settings.model_config.get("env_prefix", ""), _told(settings)
    rows = [
        (code(f"{prefix}{name}".upper()), _default(field), _rules(field), told.get(name, ""))
        for name, field in settings.model_fields.items()
    ]
    return table(("variable", "default", "rule", "what it is"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default is PydanticUndefined or default == "":
        return "empty"
    if isinstance(default, Path) and default.is_relative_to(_PROJECT):
        return f"{code(str(default.relative_to(_PROJECT)))} of the installation"
    return code(str(list(default)) if isinstance(default, tuple | frozenset | set) else str(default))


def _rules(field: FieldInfo) -> str:
    rules = [
        f"{words} {getattr(rule, name)}"
        for rule in field.metadata
        for name, words in _WORDS.items()
        if hasattr(rule, name)
    ]
    patterns = [f"matches {code(rule.pattern)}" for rule in field.metadata if getattr(rule, "pattern", None)]
    return ", ".join([*rules, *patterns])


def _told(settings: type[BaseSettings]) -> dict[str, str]:
    """What stands under each field as a string, where Python itself does not keep it."""
    found: dict[str, str] = {}
    for one in reversed(settings.__mro__):
        if issubclass(one, BaseSettings) and one is not BaseSettings:
            found |= _told_in(one)
    return found


def _told_in(settings: type[BaseSettings]) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    found: dict[str, str] = {}
    name = ""
    for line in getattr(body, "body", ()):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            name = line.target.id
        elif isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and name:
            found[name] = str(line.value.value)
            name = ""
    return found
