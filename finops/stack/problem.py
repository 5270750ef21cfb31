"""What goes wrong while starting or stopping. Knows one sentence; refuses tracebacks."""


class StackError(Exception):
    """Says in one sentence what is wrong and what to do; printed as it is."""


class CannotStart(StackError):
    """The stack was being started and was stopped again; `log` holds its last lines."""

    def __init__(self, sentence: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.log = log
