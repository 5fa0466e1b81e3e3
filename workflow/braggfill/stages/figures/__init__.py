"""figures: tables and arrays -> figures as PNG and SVG (``catalogue``), and the report (``page``)."""
