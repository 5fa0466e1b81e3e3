"""evaluate: sweeps -> tables, one observation a row, with the noise ceiling beside every correlation.

A module a task: ``patches`` (measured and simulated patches), ``whole`` (oversampling, position of the gap), ``scan``
(skipped voxels, wide and unequal gaps), ``calibration``, ``cases``, ``realism``, ``join``, ``claims``.  Import them, so
that a task depends on its own.

Source: paper sections 2.3 to 2.5 and Table 1, supplement S2.1, S3 to S6, thesis sections 3.3.3 and 3.7.
"""
