#!/usr/bin/env bash
# Installs PyNX (ESRF, CeCILL-B) into a virtual environment, where it can be had.
usage="Usage: envs/pynx.sh [VENV [DEB]]

Installs PyNX 2025.1 into the virtual environment VENV (.venv if not named), if it isn't there already.
PyNX is on no Python index (the 'pynx' there is another program), but Debian 13 packages it: the package is
fetched by apt-get from the mirror that this machine's sources name, checked by sha256, and its Python files are
copied into VENV. Nothing is installed outside VENV, and no root is needed. Or name the package with DEB, a copy
of python3-pynx_2025.1-2_amd64.deb made elsewhere.

Where it can't be had, one line says so and the exit status is still 0: the steps that need it are left out."
case "${1:-}" in -h | --help) echo "$usage"; exit 0 ;; esac
set -euo pipefail

venv=${1:-.venv} deb=${2:-}
package=python3-pynx version=2025.1-2 suite=trixie
sha256=b36f5e99a00e2103bb36421ca1baada62c1abc023b76d1d904964fdbd986b393
marker=$venv/.pynx # so that make does not try again each time
python=$venv/bin/python

[ -x "$python" ] || { echo "$venv: not a virtual environment (no bin/python); run make setup first" >&2; exit 2; }

works() { # what the steps need of it, PyPI's program of the same name excluded
  (cd / && PYNX_PU=cpu "$python" -c 'import pynx.cdi, pynx.scattering' >/dev/null 2>&1)
}

leave_out() {
  echo "left out: $1" > "$marker"
  echo "PyNX is not to be had here ($1): the steps that need it are left out. To try again: bash envs/pynx.sh $venv"
  exit 0
}

python=$(cd "$(dirname "$python")" && pwd)/python
if works; then
  echo "installed" > "$marker"
  exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fetch() { # the package from the first mirror that has it, with lists and caches of its own
  mkdir -p "$folder"/lists/partial "$folder"/cache/archives/partial "$folder"/state
  # Leave out what the machine does after its own updates; the signature is not relied on, the sha256 below is.
  printf '#clear APT::Update::%s;\n' Post-Invoke Post-Invoke-Success > "$folder/apt.conf"
  private=(-q -c="$folder/apt.conf" -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache"
    -o APT::Sandbox::User="$(id -un)" -o APT::Architecture=amd64 -o APT::Architectures::=amd64
    -o Acquire::Languages=none -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15)
  {
    apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 'Created-By: Packages'
    # Before the machine's first update there are no index targets; what it would fetch names the mirror too.
    apt-get "${private[@]}" update --print-uris | sed -n "s|^'\([^']*/\)dists/.*|\1|p"
  } 2>/dev/null | grep -v security | awk '!seen[$0]++' | head -n 3 > "$folder/mirrors" || true
  private+=(-o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=-)
  while read -r mirror; do
    echo "deb [trusted=yes] $mirror $suite main" > "$folder/sources.list"
    if (cd "$folder" && apt-get "${private[@]}" update && apt-get "${private[@]}" download "$package=$version") \
      < /dev/null > "$folder/apt.log" 2>&1; then
      deb=$(echo "$folder/$package"_*.deb)
      return 0
    fi
  done < "$folder/mirrors"
  return 1
}

if [ -z "$deb" ]; then
  command -v apt-get > /dev/null || leave_out "no apt-get on this machine"
  echo "fetching PyNX (Debian's $package $version)"
  fetch || leave_out "no mirror named in this machine's apt sources gave $package $version"
fi
command -v dpkg > /dev/null || leave_out "no dpkg to unpack $deb"
echo "$sha256  $deb" | sha256sum --check --status 2> /dev/null || leave_out "$deb is not the package expected, by its sha256"

dpkg -x "$deb" "$folder/unpacked"
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf "$site/pynx" "$site"/PyNX-*.dist-info
# pip would keep asking for what only PyNX's other parts (tomography, ptychography) need.
sed -i '/^Requires-Dist:/d' "$folder"/unpacked/usr/lib/python3/dist-packages/PyNX-*.dist-info/METADATA
cp -R "$folder"/unpacked/usr/lib/python3/dist-packages/. "$site/"
if ! works; then
  reason=$(cd / && PYNX_PU=cpu "$python" -c 'import pynx.cdi, pynx.scattering' 2>&1 | tail -n 1 || true)
  rm -rf "$site/pynx" "$site"/PyNX-*.dist-info
  leave_out "it does not import: $reason"
fi
echo "installed" > "$marker"
echo "PyNX $("$python" -c 'import importlib.metadata as m; print(m.version("pynx"))') is in $venv"
