"""``python -m modelserver_pytorch``: the entry point of the runtime's image, with KServe's flags."""

import sys

from modelserver.cli.serve import run_runtime

if __name__ == "__main__":
    sys.exit(run_runtime(runtime="pytorch"))
