"""Triton's model configuration without Triton: what it may say, how two of them are compared, and
which of its fields a change may touch.

Pure. Knows Triton's own protobuf description of the format and the traps that Triton answers with
"OK" or with a bare 500. Refuses whatever Triton would refuse, before anybody is asked to approve.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from optimiser.plan import difference
from optimiser.targets import router

MAY_DIFFER = re.compile(
    r"max_batch_size|response_cache(\.enable)?|dynamic_batching(\..+)?|instance_group\[\d+\]\.count"
)
ROUTER_MAY_DIFFER = re.compile(rf"parameters\.({'|'.join(router.PARAMETERS)})(\.string_value)?")

MOST_BATCH = 4096
MOST_INSTANCES = 64
"""Beyond these a typing error would take the machine down before Triton could say no."""

WHOLE = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
FRACTIONS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}


@cache
def _schema() -> Any:
    """Triton's generated description. Read from its file: the package around it wants gRPC."""
    package = importlib.util.find_spec("tritonclient")
    folders = package.submodule_search_locations if package else None
    assert folders, "tritonclient is not installed"
    file = Path(next(iter(folders))) / "grpc" / "model_config_pb2.py"
    inner = importlib.util.spec_from_file_location("triton_model_config", file)
    assert inner is not None
    assert inner.loader is not None
    module = importlib.util.module_from_spec(inner)
    inner.loader.exec_module(module)
    return module.ModelConfig


def canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """Sorted, whole numbers as numbers whichever way they were spelt, and defaults left out.

    Raises ValueError where `problems` would find one of form.
    """
    wrong = list(_misshapen(_schema().DESCRIPTOR, config, ""))
    if wrong:
        raise ValueError(wrong[0])
    plain = _canonical_message(_schema().DESCRIPTOR, config)
    batching = plain.get("dynamic_batching")
    if batching is not None and "preferred_batch_size" not in batching:
        # Triton fills it in when it loads the config.
        batching["preferred_batch_size"] = [plain.get("max_batch_size", 0)]
        plain["dynamic_batching"] = dict(sorted(batching.items()))
    return plain


def problems(
    name: str, config: Mapping[str, Any], live: Mapping[str, Any] | None = None
) -> list[str]:
    """Why this must not become the config of the model, one sentence each."""
    found = list(_misshapen(_schema().DESCRIPTOR, config, ""))
    if found:
        return found
    try:
        ParseDict(config, _schema()())
    except ParseError as error:
        return [f"Triton cannot read this config: {str(error).splitlines()[0]}"]
    plain = canonical(config)
    found += [*_wrong_values(name, plain), *_wrong_routing(plain)]
    return found + ([] if live is None else forbidden(live, config))


def forbidden(live: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What differs from the live config and is not for a change to touch, one sentence each."""
    old, new = canonical(live), canonical(config)
    routes = router.is_router(old) and router.is_router(new)
    moved = difference(old, new)
    found = [
        f"{one.path} would change, which a change may not: it may set dynamic_batching, "
        "max_batch_size, instance counts, response_cache"
        f"{' and the routing parameters' if routes else ''}."
        for one in moved
        if not MAY_DIFFER.fullmatch(one.path)
        and not (routes and ROUTER_MAY_DIFFER.fullmatch(one.path))
    ]
    paths = [one.path for one in moved]
    caches = [path for path in paths if path.startswith("response_cache")]
    if caches and len(paths) > len(caches):
        # The cache outlives a reload and its key is name, version and inputs alone.
        found.append(
            "response_cache cannot change together with anything else: answers cached before "
            "would be given afterwards. Make two changes of it."
        )
    return found


def _wrong_values(name: str, plain: dict[str, Any]) -> Iterator[str]:
    if plain.get("name") != name:
        yield f"name is {plain.get('name', '')!r}: it must stay {name!r}."
    for part in ("input", "output", "instance_group"):
        if part not in plain:
            yield (
                f"{part} is missing: send the full config as Triton reports it, since a part of "
                "one replaces all of it."
            )
    most = plain.get("max_batch_size", 0)
    if not 0 <= most <= MOST_BATCH:
        yield f"max_batch_size is {most}: use 0 to {MOST_BATCH}."
    for place, group in enumerate(plain.get("instance_group", [])):
        if not 1 <= group.get("count", 0) <= MOST_INSTANCES:
            yield (
                f"instance_group[{place}].count is {group.get('count', 0)}: "
                f"use 1 to {MOST_INSTANCES}."
            )
    batching = plain.get("dynamic_batching")
    if batching is None:
        return
    if most < 1:
        yield "dynamic_batching needs a max_batch_size of at least 1."
    for size in batching["preferred_batch_size"] if most >= 1 else []:
        if not 1 <= size <= most:
            yield (
                f"dynamic_batching.preferred_batch_size holds {size}: "
                f"use 1 to {most}, the max_batch_size."
            )


def _wrong_routing(plain: dict[str, Any]) -> Iterator[str]:
    if not router.is_router(plain):
        return
    try:
        router.arms(plain)
    except router.NoRouter as error:
        yield str(error)
    if plain.get("response_cache", {}).get("enable"):
        yield (
            "response_cache cannot be on for a router: it would go on giving the canary's answers "
            "after a rollback."
        )


# The form: which fields there are and what they hold


def _misshapen(descriptor: Descriptor, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path or 'The config'} must be an object, not {_kind(value)}."
        return
    for name, inner in value.items():
        at = f"{path}.{name}" if path else str(name)
        field = descriptor.fields_by_name.get(name)
        if field is None:
            near = get_close_matches(str(name), descriptor.fields_by_name, 1)
            yield (
                f"{at} is no field of Triton's config"
                f"{f': did you mean {near[0]}?' if near else '.'}"
            )
        elif _is_map(field):
            yield from _misshapen_map(field, inner, at)
        elif field.is_repeated:
            yield from _misshapen_list(field, inner, at)
        else:
            yield from _misshapen_one(field, inner, at)


def _misshapen_map(field: FieldDescriptor, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path} must be an object, not {_kind(value)}."
        return
    for key, inner in value.items():
        yield from _misshapen_one(_map_value(field), inner, f"{path}.{key}")


def _misshapen_list(field: FieldDescriptor, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} must be a list, not {_kind(value)}."
        return
    for place, inner in enumerate(value):
        yield from _misshapen_one(field, inner, f"{path}[{place}]")


def _misshapen_one(field: FieldDescriptor, value: Any, path: str) -> Iterator[str]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        yield from _misshapen(field.message_type, value, path)
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            yield f"{path} must be true or false, not {_kind(value)}."
    elif kind == FieldDescriptor.CPPTYPE_STRING:
        if not isinstance(value, str):
            yield f"{path} must be text, not {_kind(value)}."
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        names = field.enum_type.values_by_name
        if value not in names:
            yield f"{path} is {value!r}: use one of {', '.join(names)}."
    elif kind in WHOLE:
        if _whole(value) is None:
            yield f"{path} must be a whole number, not {_kind(value)}."
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield f"{path} must be a number, not {_kind(value)}."


def _whole(value: Any) -> int | None:
    """JSON spells 64-bit numbers as text too; a number with a fraction is none."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value)


# The canonical spelling


def _canonical_message(descriptor: Descriptor, value: Mapping[str, Any]) -> dict[str, Any]:
    plain = {}
    for name in sorted(value):
        field = descriptor.fields_by_name[name]
        if _is_map(field):
            of = _map_value(field)
            found: Any = {key: _canonical_one(of, value[name][key]) for key in sorted(value[name])}
        elif field.is_repeated:
            found = [_canonical_one(field, inner) for inner in value[name]]
        else:
            found = _canonical_one(field, value[name])
        if not _is_default(field, found):
            plain[name] = found
    return plain


def _canonical_one(field: FieldDescriptor, value: Any) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return _canonical_message(field.message_type, value)
    if field.cpp_type in WHOLE:
        return _whole(value)
    if field.cpp_type in FRACTIONS:
        return float(value)
    return value


def _is_default(field: FieldDescriptor, value: Any) -> bool:
    """An empty object is none: `dynamic_batching: {}` switches batching on."""
    if field.is_repeated:
        return not value
    if field.has_presence:
        return False
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return bool(field.enum_type.values_by_name[value].number == field.default_value)
    return bool(value == field.default_value)


def _is_map(field: FieldDescriptor) -> bool:
    return (
        field.is_repeated
        and field.message_type is not None
        and field.message_type.GetOptions().map_entry
    )


def _map_value(field: FieldDescriptor) -> FieldDescriptor:
    return field.message_type.fields_by_name["value"]
