"""Run as `python -m deploy.sdk` after a change of the API; `tests/unit/sdk` finds a file that is not current."""

from deploy.sdk.writing import CLIENT, client_source


def main() -> None:
    """Write the client."""
    CLIENT.write_text(client_source(), encoding="utf-8")


if __name__ == "__main__":
    main()
