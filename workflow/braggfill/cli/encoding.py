"""Output in any locale: what its encoding lacks is written in plain letters."""

from __future__ import annotations

import codecs
import os
import sys

PLAIN = {
    **{"…": "...", "×": "x", "–": "-", "—": "-", "→": "->", "≥": ">=", "≤": "<=", "±": "+-", "µ": "u", "°": " deg"},
    **{"Å": "A", "σ": "sigma", "√": "sqrt", "⟨": "<", "⟩": ">", "’": "'", "“": '"', "”": '"', "³": "^3", "²": "^2"},
    **{"⁻": "-", "¹": "^1", "π": "pi", "λ": "lambda", "θ": "theta", "Δ": "d", "│": "|", "─": "-"},
}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


def any_locale() -> None:
    """Let the program write whatever it has to say, and to nowhere where there is no output."""
    codecs.register_error("braggfill", _plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for as long as the program runs)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="braggfill")
