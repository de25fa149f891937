"""A notebook kernel with the running Python, even if Jupyter finds another kernel of the same name."""

from __future__ import annotations

from hybrid_rs._extras import needs

with needs("book"):
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager


class OwnKernel(AsyncKernelManager):
    """Starts kernels with ``sys.executable``, so that a notebook runs with the packages that run it."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The only specification that this manager knows."""
        return KernelSpec(**get_kernel_dict())
