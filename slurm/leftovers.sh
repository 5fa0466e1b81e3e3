#!/usr/bin/env bash
# Slurm jobs of this folder that a killed Snakemake left behind: lists them, and with `cancel` cancels them.
# For when no Snakemake is at work in this folder any more; the next one starts what was cancelled again.
set -euo pipefail
cd "$(dirname "$0")/.."
# Snakemake submits with the folder it runs in (%Z) and a comment that begins with rule_ (%k).
jobs=$(squeue --me --noheader --format '%i|%T|%k|%Z' |
  awk -F'|' -v one="$PWD" -v two="$(pwd -P)" '$3 ~ /^rule_/ && ($4 == one || $4 == two)')
if [ -z "$jobs" ]; then
  echo "no Slurm job of this folder is left"
  exit 0
fi
echo "$jobs" | awk -F'|' '{ print $1, $2, $3 }'
if [ "${1:-}" = cancel ]; then
  echo "$jobs" | cut -d'|' -f1 | xargs scancel
  while squeue --me --noheader --format '%i' | grep -qxF "$(echo "$jobs" | cut -d'|' -f1)"; do sleep 1; done
  echo "cancelled"
fi
