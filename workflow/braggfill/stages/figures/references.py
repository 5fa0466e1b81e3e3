"""The works that the report refers to: short name, citation, DOI or None."""

REFERENCES: tuple[tuple[str, str, str | None], ...] = (
    (
        "Masto et al. (2024), with its supplement",
        "M. Masto, V. Favre-Nicolin, S. Leake, T. Schülli, M.-I. Richard & E. Bellec, Patching-based deep-learning "
        "model for the inpainting of Bragg coherent diffraction patterns affected by detector gaps, J. Appl. Cryst. "
        "57, 966–974",
        "10.1107/S1600576724004163",
    ),
    (
        "Masto, thesis",
        "M. Masto, Deep Learning for Bragg Coherent Diffraction Imaging: Detector Gap Inpainting and Phase Retrieval, "
        "Université Grenoble Alpes",
        None,
    ),
    (
        "PyNX",
        "V. Favre-Nicolin, G. Girard, S. Leake, J. Carnis, Y. Chushkin, J. Kieffer, P. Paleo & M.-I. Richard, PyNX: "
        "high-performance computing toolkit for coherent X-ray imaging based on operators, J. Appl. Cryst. 53, "
        "1404–1413 (2020)",
        "10.1107/S1600576720010985",
    ),
    (
        "LAMMPS",
        "A. P. Thompson et al., LAMMPS – a flexible simulation tool for particle-based materials modeling at the "
        "atomic, meso, and continuum scales, Comput. Phys. Commun. 271, 108171 (2022)",
        "10.1016/j.cpc.2021.108171",
    ),
    (
        "FINUFFT",
        "A. H. Barnett, J. Magland & L. af Klinteberg, A parallel nonuniform fast Fourier transform library based on "
        "an “exponential of semicircle” kernel, SIAM J. Sci. Comput. 41, C479–C504 (2019)",
        "10.1137/18M120885X",
    ),
    (
        "Snakemake",
        "F. Mölder et al., Sustainable data analysis with Snakemake, F1000Research 10, 33 (2021)",
        "10.12688/f1000research.29032.1",
    ),
)
