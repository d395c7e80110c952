"""`python -m apex`: the command line without its installed script."""

import sys

from apex.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
