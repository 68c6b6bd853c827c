"""Plain data, as YAML reads it, into typed dataclasses: strictly (pydantic), with errors of one line that name the key.

@dataclass(frozen=True, kw_only=True)
class Merge(Strict):
    seed: Annotated[int, Field(ge=0)]

from_dict(Merge, {"sed": 1}, "merge")    # ParamsError: unknown key merge.sed; did you mean seed?
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from stages.lib.run.errors import StageError

T = TypeVar("T")


class ParamsError(StageError):
    """params.yaml cannot be used as it is; the message names the key and the remedy."""


class Strict:
    """Base of the dataclasses that hold data from files: unknown keys, other types, NaN and infinity are refused.

    Only an int passes for a float. The checks are made where data is read (`from_dict`, `records.parse`), not where
    code builds an instance.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _distinct(values: list[T]) -> list[T]:
    if len(set(map(repr, values))) != len(values):
        raise ValueError(f"names a value twice: {values!r}")
    return values


Distinct = Annotated[list[T], Field(min_length=1), AfterValidator(_distinct)]
"""A list of at least one value, none of them twice."""


def from_dict(cls: type[T], raw: Any, where: str = "") -> T:
    """Build the dataclass `cls` from a plain mapping, strictly; `where` is the dotted name of `raw` itself.

    Raises:
        ParamsError: a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    try:  # as JSON: from Python objects, a strict dataclass takes only its own instances
        text = json.dumps(raw, default=_named)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParamsError(f"{where or 'the file'} cannot be used: {short(error)}") from None
    try:
        return adapter(cls).validate_json(text)
    except ValidationError as error:
        plain = json.loads(text)
        raise ParamsError(_line(_first(error, plain), cls, plain, where)) from None


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def adapter(cls: type[T]) -> TypeAdapter[T]:
    """The checks of `cls`, compiled once."""
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _named(value: Any) -> dict[str, str]:
    """A value that JSON lacks, a date of YAML's say, in a shape that no param has: the error then shows its type."""
    return {type(value).__name__: str(value)}


def _first(error: ValidationError, raw: Any) -> ErrorDetails:
    """The one error to show: an unknown key, which explains a missing one; else the deepest, the closest to the cause.

    A union reports an error per option, and the option that was meant got furthest.
    """
    return min(
        error.errors(include_url=False),
        key=lambda item: (item["type"] != "unexpected_keyword_argument", -len(_path(raw, item["loc"]))),
    )


def _path(raw: Any, loc: Sequence[int | str]) -> list[int | str]:
    """The keys of `loc` that lead through `raw`, without the names of a union's options that pydantic puts between."""
    path: list[int | str] = []
    for key in loc:
        inside = key in raw if isinstance(raw, dict) else isinstance(raw, list) and isinstance(key, int)
        if inside:
            path.append(key)
            raw = raw[key]
    return path


def _line(item: ErrorDetails, cls: type, raw: Any, where: str) -> str:
    """An error of pydantic's in one line."""
    path = _path(raw, item["loc"])
    name = ".".join(filter(None, [where, *(key for key in path if isinstance(key, str))]))
    kind = item["type"]
    if kind == "missing":
        return f"missing key {_join(name, item['loc'][-1])}"
    if kind == "unexpected_keyword_argument":
        return f"unknown key {name}{_nearest(str(path[-1]), _section(cls, path[:-1]))}"
    return f"{name or 'the file'} {_fault(kind, item)}"


def _fault(kind: str, item: ErrorDetails) -> str:
    value = item["input"]
    limits = item.get("ctx", {})
    match kind:
        case "literal_error":
            return f"must be one of {limits['expected'].replace(' or ', ', ').replace(chr(39), '')}, not {value!r}"
        case "list_type" | "too_short":
            return f"must be a list of at least one value, not {value!r}"
        case "greater_than_equal":
            return f"must be at least {limits['ge']}, not {value}"
        case "less_than_equal":
            return f"must be at most {limits['le']}, not {value}"
        case "finite_number":
            return f"must be finite, not {value!r}"
        case "dataclass_type":
            return f"must be a mapping, not {_type(value)}"
        case "json_invalid":
            return f"holds what is no text: {item['msg']}"
        case "value_error":
            return str(limits["error"])
        case "string_pattern_mismatch":
            return f"{value!r}: a value is letters, digits, -, _ and dots"
        case _ if kind in _TYPES:
            return f"must be {_TYPES[kind]}, not {_type(value)} {value!r}"
    return f"cannot be {value!r}: {item['msg']}"


_TYPES = {"float_type": "float", "int_type": "int", "int_from_float": "int", "bool_type": "bool", "string_type": "str"}


def _section(cls: Any, path: Sequence[int | str]) -> list[str]:
    """The names of the fields where `path` leads from the dataclass `cls`."""
    for key in path:
        if isinstance(key, str):
            cls = _dataclass(get_type_hints(cls)[key])
    return [item.name for item in fields(cls)]


def _dataclass(hint: Any) -> Any:
    """The dataclass in a hint such as `list[Source]` or `str | Mapping | None`."""
    if is_dataclass(hint):
        return hint
    return next(filter(None, map(_dataclass, get_args(hint))), None)


def _nearest(key: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else ""


def _join(where: str, key: int | str) -> str:
    return f"{where}.{key}" if where else str(key)


def short(error: Exception) -> str:
    """A message as one line, which a value of any length does not fill a screen with."""
    text = " ".join(str(error).split())
    return text if len(text) <= 600 else f"{text[:300]} ... {text[-300:]}"


def _type(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
