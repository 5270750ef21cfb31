"""The plan of the house, and what breaks it. Reads source with `ast`; imports none of it.

Each rule takes modules and yields offences: file, line, what is wrong, how to mend it. Moving a
wall is allowed: change the plan here in the same commit, and say why.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What each package may import of the others. `wire` is the only word gpu_probe shares.
MAY_IMPORT = {
    "gpu_probe": (),
    "ingest": ("gpu_probe.wire",),
    "finops": ("gpu_probe.wire", "ingest"),
    "optimiser": ("gpu_probe", "ingest", "finops"),
}
PACKAGES = tuple(MAY_IMPORT)
THIRD_PARTY_OF_THE_PROBE = ("pynvml",)

# Rooms inside `finops` and `optimiser` that stand apart: own programs, not parts of the site.
APART = {
    # The launcher runs before Django can, and must not need it.
    "finops.stack": (("finops.stack",), ("psutil", "pytest")),
}
WITHOUT_DJANGO = ("optimiser.demo",)

# Plain values in, plain values out.
PURE = (
    "finops.money",
    "finops.costing",
    "finops.series",
    "gpu_probe.wire",
    "ingest.error_records",
    "ingest.events",
    "ingest.masking",
    "ingest.records",
    "ingest.sketch",
    "ingest.sources.usage",
    "optimiser.demo.history",
    "optimiser.demo.tally",
    "optimiser.demo.traffic",
    "optimiser.levers",
    "optimiser.plan",
    "optimiser.policy",
    "optimiser.simulate",
    "optimiser.targets.base",
    "optimiser.targets.model_config",
    "optimiser.targets.router",
    "optimiser.verify",
)
# `history` names the demo's GPUs once, where they are simulated.
PURE_MAY_ALSO_IMPORT = {"optimiser.demo.history": ("optimiser.demo.gpus",)}
IMPURE_MODULES = (
    "asyncio",
    "celery",
    "django",
    "duckdb",
    "http.client",
    "httpx",
    "kombu",
    "os",
    "psycopg",
    "random",
    "redis",
    "requests",
    "secrets",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "urllib.request",
)
CLOCKS_AND_DICE = (
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
)
SEEDED = ("Generator", "SeedSequence", "default_rng", "PCG64")
"""What a pure room may use of numpy.random, with a seed given."""

# Slow to import, or an outside world of its own: each has one home.
HOMES = {
    "boto3": ("ingest/sources/bills/aws.py",),
    "botocore": ("ingest/sources/bills/aws.py",),
    "duckdb": ("ingest/sources/bills/parquet_as_csv.py",),
    "genai_prices": ("finops/costing/snapshot.py",),
    "langfuse": (),
    "numba": ("optimiser/simulate/engine.py",),
    "pandas": ("finops/series/forecast.py",),
    "plotly": (),
    "pynvml": ("gpu_probe/nvml.py",),
    "statsmodels": ("finops/series/forecast.py",),
    "tritonclient": (
        "optimiser/demo/calling.py",
        "optimiser/targets/calibration.py",
        "optimiser/targets/triton.py",
    ),
}

# Django reads its environment in one place. The others are programs with a command line.
READ_THE_ENVIRONMENT = (
    "finops/settings.py",
    "finops/stack/",
    "gpu_probe/__main__.py",
    "optimiser/demo/",
)
NAME_THE_SETTINGS = ("finops/celery.py", "finops/wsgi.py", "manage.py")
"""They may say DJANGO_SETTINGS_MODULE, and nothing else."""


@dataclass(frozen=True)
class Import:
    name: str
    """Dotted and absolute; for `from a import b` it is `a.b`."""
    line: int

    def is_of(self, package: str) -> bool:
        return self.name == package or self.name.startswith(f"{package}.")


@dataclass(frozen=True)
class Module:
    file: str
    """Relative to the repository."""
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.file)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @property
    def name(self) -> str:
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    def is_in(self, *rooms: str) -> bool:
        return any(self.name == room or self.name.startswith(f"{room}.") for room in rooms)

    @cached_property
    def imports(self) -> list[Import]:
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [Import(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = self._absolute(node)
                found += [Import(f"{start}.{alias.name}", node.lineno) for alias in node.names]
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        if not self.file.endswith("/__init__.py"):
            parts = parts[:-1]
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])

    @cached_property
    def _meaning(self) -> dict[str, str]:
        """Local name → dotted name of what was imported under it."""
        names = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    names[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{self._absolute(node)}.{alias.name}"
        return names

    def uses(self) -> Iterator[tuple[str, ast.expr]]:
        """Every `name` and `name.attribute…` as the dotted name that it stands for."""
        inner = set()
        for node in self.nodes:
            if isinstance(node, ast.Attribute | ast.Name) and node not in inner:
                parts, at = [], node
                while isinstance(at, ast.Attribute):
                    parts.append(at.attr)
                    at = at.value
                    inner.add(at)
                if isinstance(at, ast.Name) and at.id in self._meaning:
                    yield ".".join([self._meaning[at.id], *reversed(parts)]), node


@dataclass(frozen=True, order=True)
class Offence:
    file: str
    line: int
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}. {self.fix}"


def house(root: Path = ROOT) -> list[Module]:
    """The four packages and manage.py, migrations left out: those are records, not code."""
    files = [root / "manage.py"]
    for package in PACKAGES:
        files += sorted((root / package).rglob("*.py"))
    return [_read(file, root) for file in files if "migrations" not in file.parts]


def _read(file: Path, root: Path) -> Module:
    return Module(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8"))


# The rules


def imports_point_one_way(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        allowed = (module.package, *MAY_IMPORT.get(module.package, PACKAGES))
        for one in module.imports:
            if one.name.partition(".")[0] in PACKAGES and not any(map(one.is_of, allowed)):
                yield Offence(
                    module.file,
                    one.line,
                    f"{module.package} imports {one.name}",
                    "Imports point from optimiser to finops to ingest to gpu_probe/wire.py: hand "
                    "the value in from above, or join by string.",
                )


def the_probe_travels_light(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        if module.package != "gpu_probe":
            continue
        for one in module.imports:
            top = one.name.partition(".")[0]
            if top not in {*sys.stdlib_module_names, "gpu_probe", *THIRD_PARTY_OF_THE_PROBE}:
                yield Offence(
                    module.file,
                    one.line,
                    f"gpu_probe imports {top}",
                    "It runs on GPU hosts with the standard library and NVML alone.",
                )


def rooms_apart_stay_apart(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        for room, (own, third_party) in APART.items():
            if not module.is_in(room):
                continue
            for one in module.imports:
                known = {*sys.stdlib_module_names, *third_party}
                if not any(map(one.is_of, own)) and one.name.partition(".")[0] not in known:
                    yield Offence(
                        module.file,
                        one.line,
                        f"{room} imports {one.name}",
                        "It starts Breakeven and must work where Django does not.",
                    )
        if module.is_in(*WITHOUT_DJANGO):
            for one in module.imports:
                if one.is_of("django") or one.is_of("psycopg"):
                    yield Offence(
                        module.file,
                        one.line,
                        f"the demo imports {one.name}",
                        "Its facts come in through the doors that everybody's come in by.",
                    )


def pure_rooms_are_pure(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        if not module.is_in(*PURE):
            continue
        pure = (*PURE, *PURE_MAY_ALSO_IMPORT.get(module.name, ()))
        for one in module.imports:
            ours = one.name.partition(".")[0] in PACKAGES
            if any(map(one.is_of, IMPURE_MODULES)) or (ours and not any(map(one.is_of, pure))):
                yield Offence(
                    module.file,
                    one.line,
                    f"the pure {module.name} imports {one.name}",
                    "Take what it gives as an argument, and let the caller fetch it.",
                )
        yield from _clocks_and_dice(module)


def _clocks_and_dice(module: Module) -> Iterator[Offence]:
    unseeded = {
        node.func
        for node in module.nodes
        if isinstance(node, ast.Call) and not node.args and not node.keywords
    }
    for name, node in module.uses():
        dice = name.startswith("numpy.random.") and (
            name.split(".")[2] not in SEEDED or node in unseeded
        )
        if name in CLOCKS_AND_DICE or dice:
            what = "dice" if dice or "uuid" in name else "a clock"
            yield Offence(
                module.file,
                node.lineno,
                f"the pure {module.name} uses {what} ({name})",
                "`now` and `seed` are arguments, so that a result can be had again.",
            )


def slow_libraries_have_one_home(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        for one in module.imports:
            for library, homes in HOMES.items():
                if one.is_of(library) and module.file not in homes:
                    yield Offence(
                        module.file,
                        one.line,
                        f"imports {one.name}",
                        f"{library} lives in {' and '.join(homes) or 'no module yet'}: ask there, "
                        "or give it a home in tests/architecture/rooms.py.",
                    )


def homes_are_lived_in(modules: Iterable[Module]) -> Iterator[Offence]:
    files = {module.file: module for module in modules}
    for library, homes in HOMES.items():
        for home in homes:
            if home not in files or not any(one.is_of(library) for one in files[home].imports):
                yield Offence(
                    home,
                    1,
                    f"is named as the home of {library} and does not import it",
                    "Take it out of HOMES in tests/architecture/rooms.py.",
                )


def settings_read_the_environment(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        if module.file.startswith(READ_THE_ENVIRONMENT):
            continue
        for name, node in module.uses():
            if name.startswith(("os.environ", "os.getenv", "os.putenv")) and not (
                module.file in NAME_THE_SETTINGS and name == "os.environ.setdefault"
            ):
                yield Offence(
                    module.file,
                    node.lineno,
                    f"reads the environment ({name})",
                    "Add a Variable to finops/environment.py and take it from Django's settings.",
                )


def modules_introduce_themselves(modules: Iterable[Module]) -> Iterator[Offence]:
    for module in modules:
        if module.tree.body and not ast.get_docstring(module.tree):
            yield Offence(
                module.file,
                1,
                "does not say what it knows and what it refuses",
                "Begin it with a docstring.",
            )
