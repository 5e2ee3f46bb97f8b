#!/bin/sh
# The tests that compute, in .venv, under what the environment says of the processor (make test-processors).
set -eu

echo "== ATEN_CPU_CAPABILITY=${ATEN_CPU_CAPABILITY-} ONEDNN_MAX_CPU_ISA=${ONEDNN_MAX_CPU_ISA-} NUMBA_CPU_NAME=${NUMBA_CPU_NAME-}"
PIXIE_QUICK=1 .venv/bin/python -m pytest -q -n auto -m "not server" \
    tests/unit/encoder tests/unit/index tests/property tests/contract/test_index.py tests/integration/test_encoder_bundled.py
