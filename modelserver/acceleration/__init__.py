"""For runtimes: faster ways to the same answer, and proof that it is the same before one is used.

A framework's call costs much more than its arithmetic when a batch is small. A runtime offers other engines for the
same model; ``accelerated`` builds them, compares their answers to the framework's on probe rows, times those that
passed for several batch sizes, and gives back one callable. Whatever an engine was not proved for is the framework's.
"""

from modelserver.acceleration.calibration import SIZES, Choice
from modelserver.acceleration.choice import Accelerated, accelerated
from modelserver.acceleration.ensembles import tree_engine
from modelserver.acceleration.equality import BOUNDS, difference
from modelserver.acceleration.probes import probe_rows, probes_near
from modelserver.acceleration.proof import Engine, Proved

__all__ = [
    "BOUNDS",
    "SIZES",
    "Accelerated",
    "Choice",
    "Engine",
    "Proved",
    "accelerated",
    "difference",
    "probe_rows",
    "probes_near",
    "tree_engine",
]
