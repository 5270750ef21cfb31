"""The sample estate behind `./run demo`: a real Triton under a real, calibrated load.

Each module is a process of its own with a command line. Knows public protocols only (Triton's
HTTP, OTLP, the GPU probe's wire format); refuses Django and the database, so what the demo shows
came in through the same doors as anybody's data.
"""
