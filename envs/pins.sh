#!/usr/bin/env bash
# Resolves envs/requirements.txt anew from pyproject.toml.  Usage: envs/pins.sh PYTHON
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet ".[pipeline,test,lint,docs]"
{
  echo '# Every version, resolved together on Python 3.11. `make` installs exactly these; regenerate with `make pins`.'
  "$folder/venv/bin/pip" freeze | grep -v -i -E '^(braggfill|pip|setuptools)\b' | sed 's/^torch==.*/torch==2.13.0/'
} > "$folder/pins"
cp "$folder/pins" envs/requirements.txt
