# Every job is told what is upstream of it, settings and code of all that its input comes from, as one more parameter.
# Snakemake removes the output of a job that changed before it makes it anew. If that fails or is interrupted, what is
# missing then is nothing that the next start needs: it finds what follows there and would leave it as it was, made from
# what is out of date. With this parameter, what follows is out of date until it is made again.
import hashlib
import json
from types import SimpleNamespace


def _scans(wildcards):
    """The scans that a job is about, its own or all, with every case of the stage `phase`."""
    names = [wildcards.name] if hasattr(wildcards, "name") else SCANS
    cases = [*settings.phase.refine.cases, *convex_cases()]
    if not names:  # who asks for a scan has no job
        return [SimpleNamespace(case=case) for case in cases]
    return [SimpleNamespace(name=name, case=case) for name in names for case in cases]


def _asked(item, wildcards):
    """What an input function names, over all scans and cases."""
    found = []
    for scan in _scans(wildcards):
        try:
            found.append(item(scan))
        except AttributeError:
            if hasattr(scan, "name"):
                raise
    return found


def _sources(rule, wildcards):
    """The rules that make the input of a rule."""
    names = []
    for item in rule.input:
        found = _asked(item, wildcards) if callable(item) else [item]
        names += [name for each in found for name in (each if isinstance(each, list) else [each])]
    first = {"{chunk}": CHUNKS[0], "{strain}": settings.phase.patches.strains[0]}
    for wildcard, value in first.items():
        names = [str(name).replace(wildcard, value) for name in names]
    names = set(names)
    return {made for made in workflow.rules for name in names if made.output and made.is_producer(name)}


def _own(rule, wildcards):
    """What a rule's jobs have in common: settings, code, seed."""
    told = dict(rule.params.items())
    if callable(told.get("settings")):
        told["settings"] = _asked(told["settings"], wildcards)
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
