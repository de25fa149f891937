"""Kernels for the tests of notebooks, forked from one process that has imported what most notebooks import.

A new kernel spends about eight seconds of a core on these imports, and there are forty notebooks. Each notebook still
has a process of its own, and imports by itself everything that it names.
"""

import multiprocessing
import os
import sys
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from nbval.kernel import RunningKernel

SHARED = (
    "ipykernel.kernelapp", "scipy.optimize", "scipy.stats", "pandas.io.formats.style", "seaborn", "mpmath", "flint",
    "torch._dynamo", "transformers.models.llava.modeling_llava", "transformers.models.clip.modeling_clip",
    "transformers.models.llama.modeling_llama",
)  # fmt: skip
OF_TESTS = {str(Path(__file__).parents[1] / name) for name in ("book", "tests", "benchmarks")}  # no notebook sees them
INLINE = "module://matplotlib_inline.backend_inline"


def serve(connection_file: str, folder: str) -> None:
    """Be the kernel of a notebook in this folder, until killed or without a parent."""
    from ipykernel.kernelapp import launch_new_instance
    from matplotlib import rcParams
    from pandas import set_option

    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.environ |= {"MPLBACKEND": INLINE, "JPY_PARENT_PID": str(os.getppid())}
    # pyplot and pandas are imported already, and took the process for one with a terminal
    rcParams["backend"] = INLINE
    set_option("display.max_columns", 20)
    sys.path[:] = ["", *(entry for entry in sys.path if entry not in OF_TESTS)]
    sys.argv = ["ipykernel_launcher", "-f", connection_file]
    launch_new_instance()


class WarmKernel(RunningKernel):
    """What nbval calls a running kernel, started by a fork."""

    def __init__(self, folder: str, startup_timeout: float) -> None:
        fork = multiprocessing.get_context("forkserver")
        fork.set_forkserver_preload(list(SHARED))
        self.file, _ = write_connection_file()
        self.process = fork.Process(target=serve, args=(self.file, folder))
        self.process.start()
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
