"""reconstruct: patterns with gap, filled and whole to real-space objects, displacement and strain, and their errors.

A module a task: ``exact`` (true phase: an object of known phase, particles), ``phasing`` (phase retrieval), ``mapping``
(which treatment of a gap is best where), ``tuning`` (a network that learns on from a scan).  Import them, so that a
task depends on its own.

Source: paper sections 2.6.1, 2.6.2 and 2.7, supplement S7 and S8, thesis 3.8 and 3.9.
"""
