"""What the doctor found, line by line as it is found."""

from cli.checks import checks
from cli.output import Words
from cli.session import Session

_SIGNS: dict[str, tuple[str, str]] = {
    "ok": ("✓ ok     ", "green"),
    "warning": ("▲ warning", "yellow"),
    "failed": ("✗ failed ", "red"),
}


def show(here: Session) -> bool:
    """Check the gateway and print what is found. Answers whether nothing failed."""
    output, found = here.output, []
    for check in checks(here.gateway):
        found.append(check)
        if not output.for_programs:
            words: tuple[Words, ...] = (_SIGNS[check.outcome], f"  {check.name:<10}  ", check.found)
            output.say(*words)
            if check.remedy:
                output.say(f"{'':<11}{'':<12}{check.remedy}")
    failed, warned = (sum(check.outcome == outcome for check in found) for outcome in ("failed", "warning"))
    if output.for_programs:
        output.document([check.as_json() for check in found])
    elif failed or warned:
        output.say(f"\n{failed} failed, {warned} warnings.")
    else:
        output.say("\nEverything is in order.")
    return not failed
