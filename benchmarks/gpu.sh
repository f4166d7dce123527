#!/usr/bin/env bash
# Everything about a graphics card in one command and at most eight minutes, without a network.
#   make wheels                      first, on a machine with a network: what a bare Python with torch may lack
#   bash benchmarks/gpu.sh           then, on the machine with the card; arguments go to python -m benchmarks.gpu
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
missing=()
for package in tomlkit sentencex fastcore; do
  "$PYTHON" -c "import $package" 2>/dev/null || missing+=(wheels/"$package"-*.whl)
done
if [ ${#missing[@]} -gt 0 ]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "${missing[@]}"
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONUNBUFFERED=1
"$PYTHON" -m benchmarks.gpu "$@"
