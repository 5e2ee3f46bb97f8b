"""What the pages show is true: their Python runs, or says that it does not; their commands are understood."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from programs import run_program
from typer.main import get_command

from pixie_retrievers.cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md"))
ENGINES = {"opensearch.md", "elasticsearch.md", "milvus.md", "qdrant.md"}  # their pages ask servers: test_engines.py
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r'^```python title="[^"\n]*\(not run\)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)

# What a page's blocks stand on where the page shows a piece of a program.
RETRIEVER = """
from pixie_retrievers import Document, PixieEncoder, SparseRetriever
encoder = PixieEncoder.bundled()
retriever = SparseRetriever.open(encoder=encoder)
documents = [Document("a", "위성 서비스를 소개한다.", {"field": "우주·위성", "year": 2022, "source": "rules.md"})]
retriever.add(documents)
"""
BEFORE = {
    "filters.md": RETRIEVER,
    "inputs.md": RETRIEVER + "chunks = all_chunks = documents\n",
    "encoder.md": RETRIEVER + "documents = lambda some=documents: some\n",
    "reliability.md": """
from pixie_retrievers import PixieEncoder, SparseRetriever
with SparseRetriever.open("saved.db", encoder=PixieEncoder.bundled()) as retriever:
    retriever.add_texts(["위성"])
with open("saved.db.lost.jsonl", "w", encoding="utf-8") as lines:
    lines.write('{"id": "a", "text": "정찰 위성", "metadata": {}}')
""",
    "evaluation.md": """
from pathlib import Path
Path("data/my-set/qrels").mkdir(parents=True)
Path("data/my-set/corpus.jsonl").write_text('{"_id": "d", "title": "", "text": "정찰 위성"}', encoding="utf-8")
Path("data/my-set/queries.jsonl").write_text('{"_id": "q", "text": "위성"}', encoding="utf-8")
Path("data/my-set/qrels/test.tsv").write_text("q\\td\\t1\\n", encoding="utf-8")
""",
}


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


RUN = [page for page in PAGES if BLOCK.search(text_of(page)) and Path(page).name not in ENGINES]


def run(program, folder, *, shows_progress=False, **options):
    done = run_program(program, folder, **options)
    assert done.returncode == 0, done.stderr
    assert shows_progress or done.stderr == ""


@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs_in_one_go(page, tmp_path):
    if page.endswith("README.md"):  # its examples stand alone
        for program in BLOCK.findall(text_of(page)):
            run(program, tmp_path)
    else:
        program = "\n".join([BEFORE.get(page, ""), *BLOCK.findall(text_of(page))])
        run(program, tmp_path, shows_progress="show_progress=True" in program)


def test_the_card_of_the_bundled_model_runs():
    card = ROOT / "pixie_retrievers/encoder/nano/README.md"
    (program,) = BLOCK.findall(card.read_text(encoding="utf-8"))
    run(program, ROOT, shows_progress=True, warnings_are="default")  # torch's own


@pytest.mark.parametrize("page", PAGES)
def test_python_that_is_not_run_says_so_and_is_python(page):
    text = text_of(page)
    not_run = NOT_RUN.findall(text)
    assert len(re.findall(r"^ *```python", text, re.MULTILINE)) == len(BLOCK.findall(text)) + len(not_run)
    for block in not_run:
        compile(block, page, "exec")


@pytest.mark.parametrize("part", ["", ".langchain", ".llama_index", ".tools", ".ray_data"])
def test_the_reference_has_every_public_name(part):
    module = f"pixie_retrievers{part}"
    named = re.findall(rf"^::: {re.escape(module)}\.(\w+)$", text_of("api.md"), re.MULTILINE)
    assert sorted(named) == sorted(import_module(module).__all__)


@pytest.mark.parametrize("page", ["README.md", "docs/ko/README.md"])
def test_the_readme_has_every_command_and_no_other(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)) + "\n".join(re.findall(r"`([^`\n]+)`", text))
    assert set(re.findall(r"\bpixie (\w[\w-]*)", shown)) == set(get_command(app).commands)


def commands_shown():
    for page in ["../README.md", *PAGES]:
        for block in re.findall(r"^```sh\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE):
            yield from ((page, line) for line in block.splitlines() if line.startswith("pixie "))


@pytest.mark.parametrize(("page", "line"), [*commands_shown()])
def test_a_command_that_is_shown_is_understood(page, line):
    _, name, *arguments = shlex.split(line, comments=True)
    get_command(app).commands[name].make_context(name, arguments)  # reads the arguments, and does nothing


def test_the_commands_of_the_quickstart_run(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "space.txt").write_text("다누리는 달 궤도를 돈다.", encoding="utf-8")
    (tmp_path / "articles.jsonl").write_text(
        '{"id": "nuri", "text": "누리호는 위성을 궤도에 올렸다."}', encoding="utf-8"
    )
    lines = [line for page, line in commands_shown() if page == "quickstart.md"]
    assert len(lines) == 3
    for line in lines:
        _, *arguments = shlex.split(line)
        command = [sys.executable, "-m", "pixie_retrievers.cli", *arguments]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, timeout=300, check=False)
        assert done.returncode == 0, done.stderr


def test_the_site_has_every_page():
    """`make docs` holds the rest: links, anchors, docstrings, and that nothing is loaded from elsewhere."""
    site = yaml.safe_load((ROOT / ".mkdocs.yml").read_text(encoding="utf-8"))

    def pages(entry):
        return [entry] if isinstance(entry, str) else [page for part in parts_of(entry) for page in pages(part)]

    def parts_of(entry):
        return entry.values() if isinstance(entry, dict) else entry

    named = pages(site["nav"])
    assert len(named) == len(set(named))
    assert set(PAGES) <= set(named)
