"""scatter: atom positions -> complex amplitude around a Bragg peak, each particle seen from several sides.

A module a task: ``chunk``, ``sampling`` (test particles at several oversamplings), ``check`` (against other ways to do
the sum).  Import them, so that a task depends on its own.

Source: supplement S2.1 and its footnote on oversampling; thesis 3.4.1.
"""
