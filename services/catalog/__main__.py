"""`python -m services.catalog`."""

from services.catalog.app import main

if __name__ == "__main__":
    main()
