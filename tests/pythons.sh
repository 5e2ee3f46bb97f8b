#!/bin/sh
# Lint, types and the quick tests on every Python that the machine has and the package supports.
#
#   sh tests/pythons.sh                 all there are
#   sh tests/pythons.sh 3.12 3.13       some of them
set -eu

[ $# -gt 0 ] || set -- 3.10 3.11 3.12 3.13

find_python() {
    for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-${HOME:-/nowhere}/.pyenv}/versions/$1".*/bin/python; do
        [ -x "$candidate" ] || continue
        # A launcher's name, as pyenv's, may be there without what it launches.
        [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)" = "$1" ] || continue
        echo "$candidate"
        return
    done
}

results=
for version in "$@"; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        results="$results
not there  Python $version"
        continue
    fi
    echo "== Python $version: $python"
    environment=.venv-$version
    if PYTHON=$python sh tests/environment.sh "$environment" --editable '.[all,engines,ray]' --group dev &&
        "$environment/bin/ruff" check && "$environment/bin/mypy" --cache-dir ".mypy_cache/$version" &&
        make unit READY= BIN="$environment/bin"; then
        results="$results
passed     Python $version"
    else
        results="$results
FAILED     Python $version"
    fi
done
echo "$results"
case $results in *FAILED*) exit 1 ;; esac
