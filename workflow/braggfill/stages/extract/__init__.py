"""extract: patterns (``chunk``) and measured scans (``scan``) -> patches of 32 x 32 x 32 voxels.

Import these modules, so that a task depends on its own.
"""
