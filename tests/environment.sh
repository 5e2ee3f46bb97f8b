#!/bin/sh
# Makes an environment in a folder beside this project's own, or adds to it, with the versions of tests/lock.txt.
#
#   sh tests/environment.sh FOLDER [what `uv pip install` is told]...
#
# PYTHON says which Python (python3); LOCK names other constraints than the lock, /dev/null none. uv installs, in seconds
# where pip takes minutes: the one on the path, or else one that pip puts into the environment.
set -eu

folder=$1
shift
lock=${LOCK:-tests/lock.txt}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python 3.10 or newer is needed, and $python is not: say which with PYTHON=/path/to/python3" >&2
    exit 1
}
# A launcher's name, as pyenv's, means something else in another folder.
python=$("$python" -c 'import os, sys; os.write(1, os.fsencode(sys.executable))')

# Where packages come from instead of PyPI is often said to pip alone.
index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2> /dev/null || true)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"

if uv pip install --help 2> /dev/null | grep -q -e --group; then # an old one knows no groups
    uv=uv
    [ -x "$folder/bin/python" ] || uv venv --quiet --python "$python" "$folder"
else
    uv=$folder/bin/uv
    # An environment that uv once made has no pip; venv adds it to what is there.
    "$folder/bin/python" -c 'import pip' 2> /dev/null || "$python" -m venv "$folder"
    [ -x "$uv" ] || "$folder/bin/python" -m pip install --quiet --constraint tests/lock.txt uv
fi

# Without a home, or with one that cannot be written, there is no room for a cache outside.
cache=$("$uv" cache dir 2> /dev/null) && mkdir -p "$cache" 2> /dev/null && [ -w "$cache" ] || {
    export UV_CACHE_DIR="$folder/cache"
}
"$uv" pip install --quiet --python "$folder/bin/python" --constraint "$lock" "$@"
rm -rf "$folder/cache"

# Where the project lies is written in UTF-8, and read in the locale's encoding before Python 3.13: in a folder with a Korean
# name, under the C locale, no Python of this environment would start. A path from there to here needs no such letters.
for editable in "$folder"/lib/python3.*/site-packages/*pixie_retrievers.pth; do
    [ ! -f "$editable" ] || echo ../../../.. > "$editable"
done

# uv links files to its cache, and nltk refuses to read data that is linked from elsewhere.
for data in "$folder"/lib/python3.*/site-packages/llama_index/core/_static; do
    [ -d "$data" ] || continue
    cp -R "$data" "$data.copy"
    rm -rf "$data"
    mv "$data.copy" "$data"
done
