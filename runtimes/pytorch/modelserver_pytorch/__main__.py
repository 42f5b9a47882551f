"""``python -m modelserver_pytorch``: the entry point of the runtime's image, with KServe's flags."""

import sys

from modelserver.cli.serve import run_runtime
from modelserver_pytorch.store import arguments_for

if __name__ == "__main__":
    sys.exit(run_runtime(arguments_for(sys.argv[1:]), runtime="pytorch"))
