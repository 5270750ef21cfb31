"""The exit codes of the probe: services and scripts decide by them, so none changes its meaning."""

EXIT_OK = 0
EXIT_NOT_DELIVERED = 1  # --once: the batch is kept on disk, the server does not have it
EXIT_USAGE = 2
EXIT_NO_NVML = 3
EXIT_NO_SPOOL = 4
EXIT_SENDER_DIED = 5
EXIT_NO_GPU = 6
EXIT_TOKEN_REFUSED = 7
