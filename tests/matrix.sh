#!/bin/sh
# Runs the adapters' tests against several versions of their frameworks, and with one framework alone; the encoder's
# against the lowest sentence-transformers.
#
#   sh tests/matrix.sh            every row of the table below
#   sh tests/matrix.sh ROW...     some of them
#
# What every row needs (torch and the rest of the package's own dependencies, pytest) is installed once, in
# .venv-matrix/base; a row has an environment of its own in front of it, with the frameworks alone.
set -eu

# name | what is installed beside the package | what is tested
TABLE='
langchain-lowest | langchain-core==1.0.0 langchain==1.0.0 langchain-classic==1.0.0 langchain-tests==1.0.0 langgraph==1.0.0 langgraph-checkpoint==2.1.2 langgraph-prebuilt==1.0.0 | tests/unit/langchain tests/contract/test_langchain_*.py
langchain-newest | langchain-core langchain langchain-classic langchain-tests langchain-qdrant langgraph-bigtool | tests/unit/langchain tests/contract/test_langchain_*.py
langchain-core-alone | langchain-core | tests/unit/langchain tests/unit/test_architecture.py
langchain-milvus | langchain-milvus pymilvus<3 milvus-lite<3 | tests/unit/langchain/test_embeddings.py
llama-index-lowest | llama-index-core==0.14.0 pydantic<2.12 | tests/unit/llama_index tests/contract/test_llama_index_*.py
llama-index-newest | llama-index-core llama-index-vector-stores-qdrant | tests/unit/llama_index tests/contract/test_llama_index_*.py
llama-index-core-alone | llama-index-core | tests/unit/llama_index tests/unit/test_architecture.py
llama-index-milvus | llama-index-vector-stores-milvus milvus-lite<3 setuptools<81 | tests/contract/test_llama_index_sparse_hooks.py
sentence-transformers-lowest | sentence-transformers==5.1.0 transformers<5 | -W ignore::DeprecationWarning:torch.jit._script tests/unit/encoder tests/integration/test_encoder_bundled.py
no-framework | | tests/unit/test_*.py tests/unit/index
'

ROOT=.venv-matrix
BASE=$ROOT/base
mkdir -p "$ROOT"
if [ ! -e "$BASE/ready" ] || [ pyproject.toml -nt "$BASE/ready" ]; then
    rm -rf "$BASE"
    "${PYTHON:-python3}" -m venv "$BASE"
    "$BASE/bin/python" -m pip install --quiet --constraint tests/lock.txt --editable '.[encoder]' \
        'pytest>=8.2' 'pytest-asyncio>=1.3' 'hypothesis>=6.130'
    touch "$BASE/ready"
fi

# Environments are named by their contents, so that a changed row is made anew and an unchanged one is kept.
# A condition switches `set -e` off, hence the returns.
prepare() {
    environment=$ROOT/$1-$(printf '%s' "$2" | cksum | cut -d' ' -f1)
    if [ ! -e "$environment/ready" ] || [ "$BASE/ready" -nt "$environment/ready" ]; then
        rm -rf "$environment"
        "$BASE/bin/python" -m venv "$environment" || return 1
        ours=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        theirs=$(cd "$BASE" && bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        # site.addsitedir, because the editable package is itself found by a .pth file.
        echo "import site; site.addsitedir('$theirs')" > "$ours/base.pth"
        # shellcheck disable=SC2086  # several requirements
        [ -z "$2" ] || "$environment/bin/python" -m pip install --quiet --constraint tests/lock.txt $2 pytest ||
            return 1
        touch "$environment/ready"
    fi
}

results=$ROOT/results
: > "$results"
echo "$TABLE" | while IFS='|' read -r name requirements tests; do
    name=$(echo "$name" | tr -d ' ')
    requirements=$(echo "$requirements" | xargs)
    [ -n "$name" ] || continue
    case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
    echo "== $name"
    # shellcheck disable=SC2086  # several paths
    if prepare "$name" "$requirements" && "$environment/bin/python" -m pytest -q $tests < /dev/null; then
        echo "passed  $name" >> "$results"
    else
        echo "FAILED  $name" >> "$results"
    fi
done
cat "$results"
[ -s "$results" ] || { echo "no row has that name" >&2; exit 2; }
! grep -q FAILED "$results"
