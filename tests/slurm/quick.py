"""Snakemake as it is, only that it asks Slurm every other second: not after 10 s, then 20 s, 30 s, up to 180 s.

The Slurm plug-in waits longer after each question that found nothing new. That is kind to a cluster's controller, and
most of the time that a run of tiny jobs would take.
"""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def _sleep(self):
    await asyncio.sleep(2)


if __name__ == "__main__":
    RemoteExecutor.sleep = _sleep
    sys.exit(main())
