"""The chapters of the report: a file each, in the order of :data:`CHAPTERS`.

A chapter is a :class:`braggfill.stages.figures.chapter.Chapter`: its figures, tables and verdict.  To add one, write
its file here and its line below; CONTRIBUTING.md has the rest.
"""

from braggfill.stages.figures.chapters import automatic, flat, gaps, phase, realspace, simulation

CHAPTERS = (
    simulation.CHAPTER,
    gaps.CHAPTER,
    realspace.CHAPTER,
    phase.CHAPTER,
    automatic.CHAPTER,
    flat.GAPS,
    flat.PHASES,
)
