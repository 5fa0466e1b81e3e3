# Every job is told what is upstream of it, settings and code of all that its input comes from, as one more parameter.
# Snakemake removes the output of a job that changed before it makes it anew. If that fails or is interrupted, what is
# missing then is nothing that the next start needs: it finds what follows there and would leave it as it was, made from
# what is out of date. With this parameter, what follows is out of date until it is made again.
import hashlib
import json
from types import SimpleNamespace


def _scans(wildcards):
    """The scans that a job is about: its own, or all."""
    return [SimpleNamespace(name=name) for name in ([wildcards.name] if hasattr(wildcards, "name") else SCANS)]


def _sources(rule, wildcards):
    """The rules that make the input of a rule."""
    names = []
    for item in rule.input:
        found = [item(scan) for scan in _scans(wildcards)] if callable(item) else [item]
        names += [name for each in found for name in (each if isinstance(each, list) else [each])]
    names = {str(name).replace("{chunk}", CHUNKS[0]) for name in names}
    return {made for made in workflow.rules for name in names if made.output and made.is_producer(name)}


def _own(rule, wildcards):
    """What a rule's jobs have in common: settings, code, seed."""
    told = dict(rule.params.items())
    if callable(told.get("settings")):
        told["settings"] = [told["settings"](scan) for scan in _scans(wildcards)]
    told["code"] = told["code"](wildcards)
    return {name: value for name, value in told.items() if not callable(value)}


def upstream(rule):
    """The parameter: a digest of every rule upstream, and of which particles are in a chunk."""

    @cache
    def rules_of(name):
        wildcards = SimpleNamespace(**({"name": name} if name else {}))
        found, queue = set(), [rule]
        while queue:
            more = _sources(queue.pop(), wildcards) - found
            found |= more
            queue.extend(more)
        told = {each.name: _own(each, wildcards) for each in found}
        return json.dumps(told, sort_keys=True), "particle" in told

    def digest(wildcards):
        told, simulated = rules_of(getattr(wildcards, "name", None))
        if simulated:
            told += str(indices(wildcards) if hasattr(wildcards, "chunk") else settings.size.chunk)
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    return digest


for _each in list(workflow.rules):
    if _each.output and len(_each.input):
        _each.set_params(upstream=upstream(_each))

# The report draws the rules that it is made by, as Snakemake has them.
if workflow.is_rule("report"):
    _everyone, _made, _queue = SimpleNamespace(), {}, [workflow.get_rule("report")]
    while _queue:
        _each = _queue.pop()
        _made[_each.name] = sorted(source.name for source in _sources(_each, _everyone))
        _queue.extend(workflow.get_rule(name) for name in _made[_each.name] if name not in _made)
    workflow.get_rule("report").set_params(rules=dict(sorted(_made.items())))
