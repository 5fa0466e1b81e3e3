# What the rules of perturb.smk take: choices from the settings and functions that name files.
def unchanging():
    """Settings under which an object is the same at every oversampling: no random fields, the middle of each range."""
    ranges = ("smoothing_sigma_voxels", "blur_sigma_voxels", "background_photons")
    same = {name: [sum(getattr(settings.perturb, name)) / 2] * 2 for name in ranges}
    photons = [math.log10(settings.evaluate.oversampling.photons_at_peak)] * 2
    return {
        **block("perturb"),
        **same,
        "modulus_noise": [0.0, 0.0],
        "phase_replaced_share": 0.0,
        "photons_exponent": photons,
    }
