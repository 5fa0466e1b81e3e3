# What the rules of scatter.smk take: choices from the settings and functions that name files.
from braggfill.runs.external import pynx_version

PATTERN = math.prod(settings.scatter.shape) / 128**3  # the size of one, that of the paper is 1
PYNX = pynx_version() or "none"
SUM = ("hkl", "isolate", "backend", "tolerance", "device")  # what the sum over the atoms looks at
VIEWS = (
    "shape",
    "oversampling_min",
    "oversampling_max",
    "equal_steps",
    "tilt_degrees",
    "reach",
)  # what a view is drawn by


def kept(path):
    """Whole patterns are kept, or removed once their patches are cut (`size.keep_patterns`)."""
    return path if settings.size.keep_patterns else temp(path)
