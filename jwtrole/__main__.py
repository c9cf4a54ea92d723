"""Run the command line: ``python -m jwtrole``."""

import sys

from jwtrole.cli import main

if __name__ == "__main__":
    sys.exit(main())
