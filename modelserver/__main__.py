"""``python -m modelserver``: the same as the ``modelserver`` command."""

import sys

from modelserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
