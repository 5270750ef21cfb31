"""The table of docs/settings.md, from the code: `python -m tests.architecture.settings_table`."""

from finops import environment

HEADER = ("| Setting | Meaning | Default |", "| --- | --- | --- |")


def table() -> str:
    return "\n".join([*HEADER, *map(_row, environment.VARIABLES)])


def _row(variable: environment.Variable) -> str:
    if variable.default is None:
        default = "**required**"
    else:
        default = f"`{variable.default}`" if variable.default else "empty"
    name = f"`{environment.PREFIX}{variable.name}`"
    secret = " Secret." if variable.secret else ""
    meaning = f"{variable.help}{secret}".replace("|", "\\|")
    return f"| {name} | {meaning} | {default} |"


if __name__ == "__main__":
    print(table())
