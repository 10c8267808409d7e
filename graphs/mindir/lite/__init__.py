"""The MindIR form for MindSpore Lite 2.0.0: version 1, primitives that its CPU kernels compute, a plan over models."""
