"""``python -m modelserver_xgboost``: the entry point of the runtime's image, with KServe's flags and ``--nthread``."""

import sys

from modelserver.cli.serve import run_runtime

if __name__ == "__main__":
    sys.exit(run_runtime(runtime="xgboost"))
