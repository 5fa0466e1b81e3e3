"""Volumes that are looked at in a browser: slices and turned surfaces in one HTML file that needs nothing else.

``volumes`` packs arrays, ``surface`` makes a coloured surface of an object, ``page`` writes the file.  plotly.js
draws, and is put into the file.
"""
