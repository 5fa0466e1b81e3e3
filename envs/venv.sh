#!/usr/bin/env bash
# Builds the virtual environment from the pinned requirements.  Usage: envs/venv.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "braggfill needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Name another: make PYTHON=python3.12 …" >&2
  exit 2
}
if [ ! -x "$venv/bin/pip" ]; then
  rm -rf "$venv"
  if ! "$python" -m venv "$venv" 2>/dev/null; then
    # Debian keeps ensurepip in a package of its own.
    rm -rf "$venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "installing python3-venv"
      apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
      "$python" -m venv "$venv"
    else
      echo "'$python -m venv' failed: install it first (Debian, Ubuntu: sudo apt install python3-venv)" >&2
      exit 2
    fi
  fi
fi
echo "installing into $venv (minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "setuptools>=77" wheel
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r envs/requirements.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$venv/.ready"
