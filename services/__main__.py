"""``python -m services`` is the command ``tessera``."""

from services.cli import main

main()
