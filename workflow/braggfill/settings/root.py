"""All settings of a run: one block a stage, read from YAML files, with one clear line for every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from braggfill.errors import BraggfillError
from braggfill.settings.base import Field, StageSettings
from braggfill.settings.crystal import CrystalSettings
from braggfill.settings.diffract import DiffractSettings
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.settings.extract import ExtractSettings
from braggfill.settings.fetch import FetchSettings
from braggfill.settings.figures import FiguresSettings
from braggfill.settings.flat import FlatSettings
from braggfill.settings.inpaint import InpaintSettings
from braggfill.settings.particle import ParticleSettings
from braggfill.settings.perturb import PerturbSettings
from braggfill.settings.phase import PhaseSettings
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.settings.relax import RelaxSettings
from braggfill.settings.scatter import ScatterSettings
from braggfill.settings.size import SizeSettings
from braggfill.settings.train import TrainSettings


class Settings(StageSettings):
    """Everything that decides what a run computes."""

    run: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Name of the run: its results lie in `results/<run>/`. Small letters, digits, `-` and `_`."""

    seed: int = Field(1, ge=0, le=2**32 - 1)
    """Seed of all random numbers of the run. The same seed gives the same arrays, whatever the number of jobs."""

    size: SizeSettings = SizeSettings()
    fetch: FetchSettings = FetchSettings()
    particle: ParticleSettings = ParticleSettings()
    relax: RelaxSettings = RelaxSettings()
    scatter: ScatterSettings = ScatterSettings()
    perturb: PerturbSettings = PerturbSettings()
    extract: ExtractSettings = ExtractSettings()
    crystal: CrystalSettings = CrystalSettings()
    diffract: DiffractSettings = DiffractSettings()
    flat: FlatSettings = FlatSettings()
    train: TrainSettings = TrainSettings()
    inpaint: InpaintSettings = InpaintSettings()
    phase: PhaseSettings = PhaseSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    reconstruct: ReconstructSettings = ReconstructSettings()
    figures: FiguresSettings = FiguresSettings()


def stages() -> tuple[str, ...]:
    """The stages that have a block of settings, in their order: what stands below ``stages/`` can't ask ``ORDER``."""
    return tuple(name for name, _ in _blocks() if name != "size")


def load(*paths: str | Path) -> Settings:
    """Settings from YAML files; a later file wins over an earlier one, setting by setting.

    What no file names keeps its default, and no file at all gives the defaults.

    Raises
    ------
    BraggfillError : a file is missing or is no YAML mapping; a setting is unknown, of a wrong type or out of bounds.
        One line that names the file and the setting, and the nearest known setting for a misspelt one.
    """
    merged: Mapping[str, Any] = {}
    contents: list[tuple[str, Mapping[str, Any]]] = []
    for path in paths:
        content: Mapping[str, Any] = read(path)
        contents.append((str(path), content))
        merged = merge(merged, content)
    try:
        return parse(merged, " + ".join(map(str, paths)) or "defaults")
    except BraggfillError:
        for path, content in contents:  # Tell the mistake with the file that it is in, where it is in one alone.
            parse(content, path)
        raise


def read(path: str | Path) -> dict[str, Any]:
    """The content of a configuration file, YAML or JSON; an empty one holds no settings.

    Raises
    ------
    BraggfillError : the file is missing, is no text, no YAML or no mapping, or names a setting twice; one line with the
        file and, where there is one, the line in it.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses what YAML forbids and its readers take in silence: the same name twice in a block."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: dict[str, int] = {}
            for key, _ in node.value:
                line = key.start_mark.line + 1
                if key.tag != "tag:yaml.org,2002:merge" and seen.setdefault(str(key.value), line) != line:
                    told = f"{key.value!r} in line {line} stands in line {seen[str(key.value)]} already"
                    raise BraggfillError(f"{path}: {told}; keep one of them")
            return super().construct_mapping(node, deep)

    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise BraggfillError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise BraggfillError(f"{path}: is not a text file; name a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise BraggfillError(f"{path}: is not valid YAML{where} ({problem}); correct it") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BraggfillError(f"{path}: must hold `setting: value` lines, not a {type(content).__name__}")
    return content


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one, blocks merged setting by setting; where both name a setting, ``second`` wins."""
    merged = dict(first)
    for name, value in second.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def parse(mapping: Mapping[str, Any], where: str = "configuration") -> Settings:
    """Settings from a mapping of blocks; ``where`` is named in an error.

    Raises
    ------
    BraggfillError : one line with every mistake found, see :func:`load`.
    """
    try:
        # An empty block in a YAML file is None: all of its settings commented out.
        blocks = {name for name, _ in _blocks()}
        return Settings.model_validate({k: v for k, v in mapping.items() if not (v is None and k in blocks)})
    except ValidationError as error:
        raise BraggfillError(f"{where}: {explain(error, Settings)}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every mistake of a pydantic error in one line: the setting's full name, what is wrong, what would be right."""
    told: dict[str, str] = {}
    for mistake in error.errors(include_url=False):
        place = [part for part in mistake["loc"] if not (isinstance(part, str) and "[" in part)]
        dotted = ".".join(map(str, place))
        if mistake["type"] in ("extra_forbidden", "model_type") and (now := _moved(model, place)):
            line = f"{dotted}: this setting is {now} now"
        elif mistake["type"] == "extra_forbidden":
            line = _unknown(model, [str(part) for part in place])
        else:
            message = mistake["msg"].removeprefix("Value error, ").rstrip(".")
            message = message[:1].lower() + message[1:]
            given = mistake.get("input")
            shown = "" if isinstance(given, Mapping | BaseModel) else f", got {_short(given)}"
            if mistake["type"] == "literal_error" and isinstance(given, str):
                near = get_close_matches(given, re.findall(r"'([^']*)'", mistake["ctx"]["expected"]), 1)
                shown += f"; did you mean {near[0]}?" if near else ""
            line = f"{dotted}: {message}{shown}" if dotted else message
        told.setdefault(dotted, line.replace("\n", " "))
    return "; ".join(told.values())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(model: type[BaseModel], place: list[str]) -> str:
    """An unknown setting with the nearest right one: of its block by preference, else of any block."""
    name = place[-1]
    inner = _block(model, place)
    siblings = list(getattr(inner, "model_fields", {}))
    block = ".".join(place[:-1])
    everywhere = dict(_names(model))
    exact = [full for full, last in everywhere.items() if last == name]
    # The very name in another block is nearer than one that is only somewhat alike in this one.
    near = get_close_matches(name, siblings, 1, 0.75 if exact else 0.6)
    if near:
        return f"{'.'.join(place)}: unknown setting; did you mean {'.'.join([*place[:-1], near[0]])}?"
    if exact:
        return f"{'.'.join(place)}: unknown setting; did you mean {exact[0]}?"
    far = get_close_matches(name, list(everywhere.values()), 1, 0.8)
    if far:
        full = next(full for full, last in everywhere.items() if last == far[0])
        return f"{'.'.join(place)}: unknown setting; did you mean {full}?"
    return f"{'.'.join(place)}: unknown setting; {block or 'the configuration'} has {', '.join(siblings)}"


def _moved(model: type[BaseModel], place: list[str | int]) -> str | None:
    """Where the setting of a former name is now."""
    inner = _block(model, place)
    now = getattr(inner, "moved", {}).get(place[-1]) if place else None
    return now and ".".join([*map(str, place[:-1]), now])


def _block(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel] | None:
    """The model of the block that a setting is in."""
    inner: Any = model
    within = False  # a list or mapping of blocks, whose index or name comes next
    for part in place[:-1]:
        if within:
            within = False
            continue
        field = getattr(inner, "model_fields", {}).get(part)
        inner = model_of(field.annotation) if field else None
        within = field is not None and inner is not field.annotation
    return inner


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The settings model in an annotation, also in ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_of, get_args(annotation))), None)


def _blocks() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Settings.model_fields.items():
        model = model_of(field.annotation)
        if model is not None:
            yield name, model


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Full name and last part of every setting."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", name
        inner = model_of(field.annotation)
        if inner is not None:
            yield from _names(inner, f"{prefix}{name}.")
