#!/usr/bin/env bash
# Runs the workflow on a configuration file and prints what came out.  Usage: envs/run.sh CONFIG
# One run at a time in a folder; what a killed run left behind (locks, half-made files) is cleared first.
set -euo pipefail
config=$1
[ -f "$config" ] || { echo "no configuration file '$config'; those at hand: $(ls config/*.yaml | tr '\n' ' ')" >&2; exit 2; }
bin=.venv/bin
run=$("$bin/python" -m braggfill.settings "$config") || exit
mkdir -p .snakemake
exec 9> .snakemake/run.lock
if ! flock -n 9; then
  echo "another run is at work in this folder; wait for it, or stop it first" >&2
  exit 2
fi
options=(--configfile "$config" --rerun-incomplete)
if [ -n "${PROFILE:-}" ]; then
  options+=(--profile "$PROFILE")
else
  options+=(--cores "${CORES:-2}")
fi
if [ -n "$(ls -A .snakemake/locks 2>/dev/null)" ]; then
  echo "an earlier run was killed: its lock is cleared and its unfinished files are made again"
  "$bin/snakemake" "${options[@]}" --unlock --quiet all
  find results -name ".*.part*" -delete 2>/dev/null || true
fi
log=results/$run/logs/snakemake.log
echo "run $run: one line a stage; what Snakemake says goes to $log"
"$bin/snakemake" "${options[@]}" 2>&1 | "$bin/python" -m braggfill.runs.progress "$log"
echo
cat "results/$run/summary.txt"
echo
echo "report: results/$run/report.html"
