"""Kernels for the tests of notebooks, forked from one process that has imported what most notebooks import."""

import os

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from nbval.kernel import RunningKernel

from hybrid_rs.experiments.kernel import forked


class WarmKernel(RunningKernel):
    """What nbval calls a running kernel, started by a fork."""

    def __init__(self, folder: str, startup_timeout: float) -> None:
        self.file, _ = write_connection_file()
        self.process = forked(self.file, folder)
        self.kc = BlockingKernelClient(connection_file=self.file)
        self.kc.load_connection_file()
        self.kc.start_channels()
        self.kc.wait_for_ready(timeout=startup_timeout)
        self._ensure_iopub_up()

    language = "python"

    def is_alive(self) -> bool:
        """Whether the process lives."""
        return self.process.is_alive()

    def stop(self) -> None:
        """End the process and what belongs to it."""
        self.kc.stop_channels()
        self.process.kill()
        self.process.join()
        os.unlink(self.file)
