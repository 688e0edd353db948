"""The few expressions that the forge itself must understand: names of concurrency groups and environments.

Everything within steps and conditions is `act`'s to evaluate. Here `${{ … }}` may hold property paths (`github.ref`,
`inputs.target`, `vars.STAGE`), single-quoted text, and `||` and `&&` between them; what is more is refused by name.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from deploy.embedded.forge.workflows.definition import WorkflowError

_EXPRESSION: Final = re.compile(r"\$\{\{((?:[^'}]|'(?:[^']|'')*'|\}(?!\}))*)\}\}")
_OPERAND: Final = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+))\s*")
_CONTEXTS: Final = ("github", "inputs", "vars")


def evaluate(text: str, contexts: Mapping[str, Any]) -> str:
    """`text` with its expressions replaced. Raises WorkflowError for one that is beyond this runner."""
    return _EXPRESSION.sub(lambda found: _value(found[1], contexts), text)


def _value(expression: str, contexts: Mapping[str, Any]) -> str:
    """`a && b || c`: `&&` binds closer, and both give the operand that decided (as GitHub's do)."""
    result: Any = ""
    for alternative in expression.split("||"):
        for operand in alternative.split("&&"):
            result = _operand(operand, contexts)
            if not result:
                break
        if result:
            break
    return str(result).lower() if isinstance(result, bool) else str(result)


def _operand(text: str, contexts: Mapping[str, Any]) -> Any:
    found = _OPERAND.fullmatch(text)
    if found is None or (found[2] and found[2].split(".")[0] not in _CONTEXTS):
        raise WorkflowError(
            f"this runner evaluates only github, inputs and vars with || and && here, not `{text.strip()[:100]}`"
        )
    if found[2] is None:
        return found[1].replace("''", "'")
    value: Any = contexts
    for part in found[2].split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return "" if value is None or isinstance(value, Mapping | list) else value
