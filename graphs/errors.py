"""Every error that coopdraw raises on purpose: one sentence with the cause and the fix."""

from __future__ import annotations


class CoopdrawError(Exception):
    """A failure that the user can act on; the message names the cause and the fix.

    `exit_code` is what the command line returns: 1 for a failed check, 2 for bad input.
    """

    exit_code = 2


class GraphError(CoopdrawError):
    """A graph that breaks a rule of the IR: structure, types, shapes or attributes."""


class MindirError(CoopdrawError):
    """A MindIR file that cannot be read, or a graph that cannot be written as one."""


class OnnxError(CoopdrawError):
    """A graph that cannot be written as ONNX, or the `onnx` package missing."""


class WeightError(CoopdrawError):
    """Weight bytes that are missing, truncated or not what was declared."""


class PassError(CoopdrawError):
    """A pass that failed or left an invalid graph; the message names the pass, the node and the source Cell."""

    exit_code = 1


class CheckError(CoopdrawError):
    """A check that ran to its end and failed, such as a parity threshold."""

    exit_code = 1
