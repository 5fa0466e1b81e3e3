# Beside the Snakefile it tells, as JSON, what the rules' parameters are made of: modules of code, settings, upstream.
include: "Snakefile"

import json as _json

_told = {}
for _rule in workflow.rules:
    _params = dict(_rule.params.items())
    if "code" in _params:
        _own_settings = _own(_rule, SimpleNamespace(name=SCANS[0]))["settings"]
        _told[_rule.name] = {"modules": _params["code"].modules, "settings": _own_settings}
print("TASKS", _json.dumps(_told))
