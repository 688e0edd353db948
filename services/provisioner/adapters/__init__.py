"""What the provisioner touches outside itself, one file per thing, and `memory.py` with the twins."""
