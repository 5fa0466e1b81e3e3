# What the rules of inpaint.smk take: choices from the settings and functions that name files.
from braggfill.filling import methods as fillings

SHIPPED = networks.shipped_digest()  # the network that comes with the package
FILLED_SCAN = settings.inpaint.scan  # the measured scan whose gaps are filled


def networks_of(*methods):
    """The modules of the networks that fill for these methods, for the fingerprint of a task."""
    ours = settings.train.network
    comes = "braggfill" if networks.is_shipped() else ours
    kinds = {"network": [ours], "braggfill": [comes], "finite": [comes]}
    files = settings.evaluate.paper_networks.values()
    kinds["paper"] = [networks.card(file)["network"] for file in files if Path(file).is_file()]
    found = [kind for method in methods for kind in kinds.get(method, ())]
    return [networks.module_of(kind) for kind in dict.fromkeys(found)]


def filled_by(*methods):
    """The same, the modules of the methods themselves, and what the registry says of them."""
    known = [method for method in dict.fromkeys(methods) if method in fillings.METHODS]
    fillers = dict.fromkeys(fillings.module_of(method) for method in known)
    return [*fillers, *(f"filling/methods.py#{method}" for method in known), *networks_of(*methods)]
