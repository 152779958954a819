"""What most commands import, so that processes forked from here need not: see `warm`."""

import datasets  # noqa: F401
import nncf.torch  # noqa: F401
import openvino  # noqa: F401
import optimum.exporters.openvino  # noqa: F401

import cli  # noqa: F401
import export.command  # noqa: F401
import jpqd.run.runner
import jpqd.training.loop  # noqa: F401
