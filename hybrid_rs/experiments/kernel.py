"""Notebook kernels with the running Python: started as usual, or forked from a process that has done the imports."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

from hybrid_rs._extras import needs

with needs("book"):
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner

IMPORTED = (
    "__main__", "ipykernel.kernelapp", "scipy.optimize", "scipy.stats", "pandas.io.formats.style", "seaborn", "mpmath",
    "flint", "torch._dynamo", "transformers.models.llava.modeling_llava", "transformers.models.clip.modeling_clip",
    "transformers.models.llama.modeling_llama", "sklearn.datasets",
)  # fmt: skip
CHECKOUT = Path(__file__).parents[2]
INLINE = "module://matplotlib_inline.backend_inline"


class OwnKernel(AsyncKernelManager):
    """Starts kernels with ``sys.executable``, so that a notebook runs with the packages that run it."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The only specification that this manager knows."""
        return KernelSpec(**get_kernel_dict())


class ForkedKernel(OwnKernel):
    """Starts kernels by a fork of one process that has imported what most notebooks import.

    A new kernel spends about seven seconds of a core on these imports. Each notebook still has a process of its own,
    and imports by itself everything that it names. Use it where several notebooks run from one process.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.provisioner = _Forked(kernel_spec=self.kernel_spec, parent=self)


class _Forked(LocalProvisioner):
    """Starts the process of a kernel by a fork instead of a command."""

    process: Any

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        manager: Any = self.parent
        self.cwd = options.get("cwd") or os.getcwd()
        self.process = _Process(forked(manager.connection_file, self.cwd, options.get("env")))
        self.pid = self.pgid = self.process.pid  # it leads a group of its own
        return self.connection_info


class _Process:
    """A forked process as ``subprocess`` would show it."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self.process = process
        self.pid = process.pid
        self.kill, self.terminate = process.kill, process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)


def forked(connection_file: str, folder: str, environment: dict[str, str] | None = None) -> Any:
    """Start the kernel of a connection file in a folder; return its process."""
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(list(IMPORTED))
    process = fork.Process(target=_serve, args=(connection_file, folder, environment or {}))
    process.start()
    return process


def _serve(connection_file: str, folder: str, environment: dict[str, str]) -> None:
    """Be the kernel, until killed or without a parent."""
    with needs("book"):
        from ipykernel.kernelapp import launch_new_instance
        from matplotlib import rcParams
        from pandas import set_option

    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.environ |= environment | {"MPLBACKEND": INLINE}
    # pyplot and pandas are imported already, and took the process for one with a terminal
    rcParams["backend"] = INLINE
    set_option("display.max_columns", 20)
    # not what the scripts and tests of this project import from one another
    sys.path[:] = ["", *(entry for entry in sys.path if entry and Path(entry).parent != CHECKOUT)]
    sys.argv = ["ipykernel_launcher", "-f", connection_file, f"--IPKernelApp.parent_handle={os.getppid()}"]
    launch_new_instance()
