"""Plain data, as YAML reads it, into typed dataclasses: strictly, with errors that name the key.

@dataclass(frozen=True, kw_only=True)
class Merge:
    seed: int = at_least(0)

from_dict(Merge, {"sed": 1}, "merge")    # ParamsError: unknown key merge.sed; did you mean seed?
"""

import difflib
import math
import types
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from stages.lib.run.errors import StageError


class ParamsError(StageError):
    """params.yaml cannot be used as it is; the message names the key and the remedy."""


def at_least(low: float, default: Any = MISSING) -> Any:
    """A dataclass field whose value must be >= low."""
    return field(default=default, metadata={"low": low})


def within(low: float, high: float) -> Any:
    """A dataclass field whose value must lie in [low, high]."""
    return field(metadata={"low": low, "high": high})


def from_dict(cls: type, raw: Any, where: str = "") -> Any:
    """Build the dataclass `cls` from a plain mapping, strictly; `where` is the dotted path so far."""
    if not isinstance(raw, dict):
        raise ParamsError(f"{where or 'the file'} must be a mapping, not {_name(raw)}")
    hints = get_type_hints(cls)
    for key in raw:
        if key not in hints:
            raise ParamsError(f"unknown key {_join(where, key)}{_nearest(str(key), hints)}")
    values = {}
    for item in fields(cls):
        name = _join(where, item.name)
        if item.name in raw:
            values[item.name] = _check(_convert(hints[item.name], raw[item.name], name), item.metadata, name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ParamsError(f"missing key {name}")
    return cls(**values)


def _convert(hint: Any, value: Any, name: str) -> Any:
    """`value` as `hint` says, or a ParamsError. Ints pass for floats; nothing else is coerced."""
    origin = get_origin(hint)
    if is_dataclass(hint):
        return from_dict(hint, value, name)
    if origin is Literal:
        if value not in get_args(hint):
            raise ParamsError(f"{name} must be {_choice(get_args(hint))}, not {value!r}")
        return value
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        fitting = [option for option in options if is_dataclass(option) == isinstance(value, dict)]
        return None if value is None else _convert((fitting or options)[0], value, name)
    if origin is list:
        if not isinstance(value, list) or not value:
            raise ParamsError(f"{name} must be a list of at least one value, not {value!r}")
        if len(set(map(repr, value))) != len(value):
            raise ParamsError(f"{name} names a value twice: {value!r}")
        return [_convert(get_args(hint)[0], item, name) for item in value]
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ParamsError(f"{name} must be {hint.__name__}, not {_name(value)} {value!r}")
    if hint is float and not math.isfinite(value):
        raise ParamsError(f"{name} must be finite, not {value!r}")
    return value


def _check(value: Any, metadata: Any, name: str) -> Any:
    low, high = metadata.get("low", -math.inf), metadata.get("high", math.inf)
    if isinstance(value, int | float) and not low <= value <= high:
        bound = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        raise ParamsError(f"{name} must be {bound}, not {value}")
    return value


def _nearest(key: str, valid: Any) -> str:
    near = difflib.get_close_matches(key, list(valid), n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else ""


def _choice(values: Any) -> str:
    return "one of " + ", ".join(map(str, values))


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def short(error: Exception) -> str:
    """A message as one line, which a value of any length does not fill a screen with."""
    text = " ".join(str(error).split())
    return text if len(text) <= 600 else f"{text[:300]} ... {text[-300:]}"


def _name(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
