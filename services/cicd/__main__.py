"""`python -m services.cicd`."""

from services.cicd.app import main

if __name__ == "__main__":
    main()
