"""What ``--help`` says beside the options."""

from __future__ import annotations

NETWORK = "BRAGGFILL_NETWORK"

TOP = """\
Fills the gaps that detectors leave in 3D Bragg coherent diffraction patterns,
so that phase retrieval gives the true strain.

commands:
  braggfill inpaint SCAN --mask MASK -o OUT    fill a scan
  braggfill inpaint SCAN SCAN … -o FOLDER/     fill many
  braggfill phase SCAN [--mask MASK] -o OUT    reconstruct the object and its strain
  braggfill info SCAN [--mask MASK]            size, counts, what is missing, oversampling
  braggfill compare SCAN [--mask MASK]         accuracy of each method on it
  braggfill bundle RUN                         pack a run of the workflow to share it
  braggfill verify BUNDLE                      is it intact, and what would run again here
  braggfill unpack BUNDLE FOLDER               unpack it and continue the run

'braggfill inpaint --help' has file formats and examples.

exit status: 0 success; 1 internal error (please report it); 2 input error,
explained in one line; 3 phase: phase retrieval failed, verify: intact, but stages
would run again; 130 interrupted."""

FILES = """\
files:
  SCAN is a 3D array of photon counts (axes: rocking angle, detector vertical,
  detector horizontal), MASK an array of the same shape, or one frame for all;
  non-zero = masked pixel.

    scan.npz  scan.npz::name     the array of that name, else 'data' (of a mask
                                 'mask'), else the first
    scan.npy
    scan.h5::/path/in/file       HDF5, NeXus, CXI, MATLAB 7.3; without a path CXI's
                                 or NeXus' default, else a detector's 3D dataset,
                                 else the brightest; 'info' lists what there is
    master.h5  scan.h5::/d/part* numbered blocks are joined; so are those of a pattern
    scan.h5::/path[8:40]         only frames 8 to 39
    stack.tif  folder/  "folder/*.tif"
    frame.edf  .cbf  .msk  .gz   pip install 'braggfill[formats]'

  Values are photons. Other values (divided by a monitor, ADU) are an error; the
  message estimates the unit, for --photons-per-unit.
  --flat-field divides by what each pixel counts of an even beam (one frame, of the
  scan or, with --roi, of the whole detector; relative to its median); pixels below a
  third or above three times the median are missing. What is written is divided, too.

what is missing:
  With --mask: only MASK, and the gaps of --detector if that is given too.
  Without it, or with --join, everything that is known: the gaps of
  --detector, the mask in the scan's own file, and voxels that cannot be counts (not
  finite, negative, the largest integer of their type, as Eiger files mark gaps).
  Noise around zero, after subtraction of a dark level, counts as measured.
  The command prints what it used.

  --detector: maxipix, merlin, eiger2m, eiger1m, eiger4m, eiger9m, eiger2_4m,
  pilatus1m, lambda750k … (pyFAI's names; pip install 'braggfill[detectors]').
  --roi is the position of the scan on the detector, counted from 0 as in Python:
  ROW,COLUMN is the detector pixel of the scan's pixel (0, 0); ROW:ROW,COLUMN:COLUMN
  also checks the size. Not needed for full frames. A MASK of the full detector is
  cut accordingly."""

INPAINT = f"""\
{FILES}

output:
  For several scans OUT is a folder/ (.cxi files, named after the scans) or a pattern
  like 'filled/*.npz'; if a scan fails, the others are still processed.
  OUT is .npz (data; mask: True where filled; sigma: standard deviation, NaN where
  there is none; free: what is masked in phase retrieval), .npy (data only), or
  .cxi, .h5 (opens in PyNX as it is; /entry_1/data_1 holds data, filled, sigma and
  expectation, detector_1/mask what is masked in phase retrieval). Measured voxels
  are unchanged. By default, filled voxels whose standard deviation is more than
  1.15 times the counting noise are masked (--masked changes this): near the peak
  phase retrieval determines them better.
  Filled voxels hold the expected photons; in .cxi and .h5, for phase retrieval, the
  square of the expected amplitude of the counts: where 0.1 photons are expected, a
  detector mostly counts zero, and a gap filled with 0.1 would be too bright.
  --value changes this; the expected photons are always in the file.

network:
  --network; else the file in the environment variable {NETWORK}; else the
  network shipped with braggfill; else the newest one trained under ./results.
  Interpolations (--method linear, cubic, nearest …) need none.

examples:
  braggfill inpaint scan.npz --mask mask.npy -o filled.npz --preview filled.png
  braggfill inpaint S11.cxi -o S11_filled.cxi
  braggfill inpaint scan.h5::/1.1/measurement/mpx1x4 --detector maxipix -o filled.cxi
  braggfill inpaint scan.npz --detector eiger1m --roi 400:656,300:556 -o filled.cxi
  braggfill inpaint scan.npz --detector maxipix --roi 140,98 --mask dead.npy -o filled.cxi
  braggfill inpaint eiger.h5 --mask dead.npy --join -o filled.cxi
  braggfill inpaint frames/ --mask gaps.tif -o filled.npz --method linear
  braggfill inpaint scan.npz -o filled.cxi --finetune 3 --save-network particle.safetensors
  braggfill inpaint next.npz -o next.cxi --network particle.safetensors
  braggfill inpaint scans/*.h5 -o filled/ --detector maxipix --roi 140,98"""

PHASE = f"""\
{FILES}

output:
  OUT is .cxi or .h5 (opens in PyNX and cdiutils: /entry_1/image_1 holds data, the
  complex object, support, modulus, phase, and their std between runs; image_2 the
  modes; image_3, with a geometry, object, strain and displacement in nanometres,
  axes z, y, x of the laboratory; runs_1 every run) or .npz with the same arrays.

verdict:
  converged   independent starts gave the same object, or one explains the counts
  uncertain   they did not; OUT is written, and the command says where they disagree
  failed      no reliable object: exit status 3, and nothing is written

geometry:
  With energy, distance, pixel, rocking step and an angle (or the lattice spacing,
  from which the angle follows) the object gets its size in nanometres, its
  displacement in picometres and its strain along Q. Strain is positive where the
  lattice is wider than its mean. docs/phasing.md has the signs of the angles.

examples:
  braggfill phase scan.npz -o object.cxi
  braggfill phase scan.npz --mask mask.npy -o object.cxi --report object.html
  braggfill phase scan.h5 --detector maxipix -o object.cxi --time 2min --keep
  braggfill phase scan.npz -o object.cxi --energy 9 --distance 0.8 --pixel 55 \\
      --rocking-step 0.01 --hkl 1,1,1 --element Pt --preview object.png
  braggfill phase S*.cxi -o objects/"""

INFO = f"""\
{FILES}

examples:
  braggfill info scan.h5::/1.1/measurement/mpx1x4
  braggfill info scan.npz --mask mask.npy
  braggfill info scan.npz --detector maxipix --roi 140,98"""

COMPARE = f"""\
Artificial gaps of each width are placed around the peak (128 voxels along each
axis), outside the real gaps, and filled by each method like a real gap.
The table has the mean correlation (PCC) with what was measured there, over
patches of 32 voxels along each axis, its 95 % interval, and the noise ceiling: the
PCC of a perfect prediction with the noisy counts.

{FILES}

examples:
  braggfill compare scan.npz --mask mask.npy
  braggfill compare scan.npz --detector maxipix --width 6 --axis 1
  braggfill compare S11.cxi --method braggfill --method linear -o pcc.csv --figure pcc.png"""
