"""The command line, against a gateway that follows a script."""
