"""Training: a `NetworkSpec` and a data set in, a run directory out.

Only what needs no Lightning is imported here; `train` imports it when it runs.
"""

from neurorobust.training.fit import train
from neurorobust.training.options import TrainOptions
from neurorobust.training.recipes import recipe
from neurorobust.training.rundir import load_run

__all__ = ["TrainOptions", "load_run", "recipe", "train"]
