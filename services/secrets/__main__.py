"""`python -m services.secrets`."""

from services.secrets.app import main

if __name__ == "__main__":
    main()
