"""The demo's models as Triton's python backend runs them, each with its full configuration.

Knows Triton's model interface and nothing else of Breakeven: these files are copied into a model
repository and run inside Triton's own processes.

Tensors cross by DLPack in both directions: this Triton's own bridge to numpy was built for
numpy 1 and, with numpy 2, reads inputs as repeated values and outputs as empty, without an error
(`tensors.py`).
"""
