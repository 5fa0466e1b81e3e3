# What the rules of phase_convex.smk take: choices from the settings and functions that name files.
CONVEX_MEASURED = {"id01_s11": "id01_s11", "id01_s978": "id01_s978", "aps": "aps_staff20_s0054"}  # case: data set
CONVEX_SETTINGS = type(settings.phase.convex).model_fields.keys() - {"cases", "particles"}
CONVEX_SETTINGS = [f"convex.{name}" for name in sorted(CONVEX_SETTINGS)]
CONVEX_VOXELS = settings.phase.convex.box_px**3 * settings.phase.convex.published_starts  # fitted side by side


def convex_cases():
    """The cases of automatic differentiation; simulated ones with their numbers."""
    found = []
    for case in dict.fromkeys(settings.phase.convex.cases):
        numbers = range(1, settings.phase.convex.particles + 1)
        found += [case] if case in CONVEX_MEASURED else [f"{case}_{number}" for number in numbers]
    return found


def convex_object(wildcards):
    """The measured object or scan, for the cases that are made of one."""
    name = CONVEX_MEASURED.get(getattr(wildcards, "case", ""))
    return [f"{RUN}/fetch/{name}.h5"] if name else []


def convex_files():
    """What the chapter on automatic differentiation is made of."""
    return [
        *expand(f"{RUN}/phase/convex/{{case}}.h5", case=convex_cases()),
        f"{RUN}/phase/convex.csv",
        f"{RUN}/phase/convex-claims.csv",
    ]
