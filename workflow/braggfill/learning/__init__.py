"""Training of networks: one trainer for all of them.

:mod:`braggfill.learning.trainer` knows neither stages nor what is learned.  A :class:`braggfill.learning.task.Task`
gives it batches, loss and scores; a :class:`braggfill.learning.task.Plan` says how long and where.  A folder a family
of networks holds the tasks: ``gap/``.
"""
