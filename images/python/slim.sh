#!/bin/sh
# Takes out what no learner needs, then compiles bytecode that Python trusts without looking at the
# source file's time (unchecked hash): image layers may carry any mtime, and every lab start saves
# the checks. Usage: slim.sh <virtual environment>
set -eu
venv=$1
site=$venv/lib/python3.11/site-packages

# Test suites, source maps, headers (there is no compiler), type stubs of compiled packages.
find "$site" -depth -type d \( -name tests -o -name test_data \) \
  -not -path '*/sympy/*' -exec rm -rf {} +
find "$venv" -type f \( -name '*.map' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' \) -delete
rm -rf "$site/torch/include" "$site/torch/test" "$site/torch/share/cmake" \
  "$site/numpy/_core/include" "$venv/include" "$venv/share/man"
# `import torch` fails without this one program.
find "$site/torch/bin" -type f -not -name torch_shm_manager -delete

# JupyterLab reads staging/package.json; the rest of staging serves `jupyter lab build`.
find "$site/jupyterlab/staging" -mindepth 1 -maxdepth 1 -not -name package.json -exec rm -rf {} +

# Babel: the two languages of the platform (root.dat is their common base).
find "$site/babel/locale-data" -name '*.dat' -not -name 'root.dat' -not -name 'en*.dat' \
  -not -name 'ko*.dat' -delete

python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$venv/lib" || true
chmod -R a+rX "$venv"
