"""The index as a state machine: whatever is done to it, it shows what a dictionary shows."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import pytest
from figures import MACHINE_STEPS, MACHINES, holds
from histories import FINGERPRINT, IDS, VOCABULARY_SIZE, Model, Step, apply, queries, shown
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pixie_retrievers import Document, DuplicateIdError, InvalidTextError, SparseVectors, SqliteIndex

BATCH = queries(2, 3)
ids = st.sets(st.sampled_from(IDS[:12]), min_size=1, max_size=6).map(sorted).map(tuple)


class Machine(RuleBasedStateMachine):
    """Adds, replaces, deletes, compacts, reopens, reads beside, and refuses; after every step all must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="pixie-machine-", dir=FOLDER))
        self.model = Model()
        self.revision = 0
        self.generation = 0

    @initialize(weights=st.sampled_from(["float32", "float16", "uint8"]))
    def begin(self, weights: str) -> None:
        self.model.weights = weights
        self.index = self.open()
        self.reader: SqliteIndex | None = None

    def open(self) -> SqliteIndex:
        options = {"vocabulary_size": VOCABULARY_SIZE, "fingerprint": FINGERPRINT, "weights": self.model.weights}
        return SqliteIndex(self.folder / "index.db", **options)

    def make(self, step: Step) -> None:
        apply(self.index, step)
        self.model.apply(step)

    @rule(ids=ids)
    def upsert(self, ids: tuple[str, ...]) -> None:
        self.revision += 1
        self.make(Step("upsert", ids, self.revision))

    @rule(ids=ids)
    def delete(self, ids: tuple[str, ...]) -> None:
        before = len(self.model.revisions)
        n_deleted = self.index.delete(ids)
        self.model.apply(Step("delete", ids))
        assert n_deleted == before - len(self.model.revisions)

    @rule()
    def compact(self) -> None:
        self.make(Step("compact"))
        assert self.index.stats().n_deleted == 0

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = self.open()

    @rule()
    def read_beside(self) -> None:
        if self.reader is None and self.index.path.exists():
            self.reader = SqliteIndex(self.index.path, read_only=True)

    @rule(ids=ids)
    def refuse(self, ids: tuple[str, ...]) -> None:
        documents = [Document(id, "neu") for id in ids]
        vectors = SparseVectors.from_dicts([{0: 1.0}] * (len(ids) + 1), VOCABULARY_SIZE)
        with pytest.raises(DuplicateIdError):
            self.index.upsert([*documents, documents[0]], vectors)
        with pytest.raises(InvalidTextError):
            self.index.upsert([*documents, Document("schlecht", "\ud800")], vectors)

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "index"):
            return
        expected = self.model.shows(BATCH)
        for handle in (self.index, self.reader):
            if handle is not None:
                assert shown(handle, BATCH) == expected
        generation = self.index.stats().generation
        assert generation >= self.generation
        self.generation = generation

    def teardown(self) -> None:
        if hasattr(self, "index"):
            assert self.index.check().sound
            self.index.close()
            if self.reader is not None:
                self.reader.close()


FOLDER: str = ""


@holds(MACHINES, MACHINE_STEPS)
def test_any_sequence_of_operations_shows_what_a_dictionary_shows(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "FOLDER", str(tmp_path))
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=MACHINES.n,
            stateful_step_count=MACHINE_STEPS.n,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
