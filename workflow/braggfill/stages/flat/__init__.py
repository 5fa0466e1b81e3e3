"""flat: gaps and phases in two dimensions, the studies that chose losses and networks (Masto, thesis, 3.3, 4.4, 4.5).

``sets`` draws patterns; ``gap_cells`` and ``phase_cells`` train one network with one loss; ``gap_sweeps``, ``fit``,
``starts`` and ``full`` are what else the sections show; ``tables`` joins scores; ``claims`` sets the published
statements beside them.
"""
