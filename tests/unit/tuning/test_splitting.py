"""Questions held out are about documents that nothing was learned of, where that can be done."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers.tuning.splitting import folds, groups_of, split


def test_questions_that_share_documents_belong_together_by_any_detour():
    groups, by_document = groups_of([{"a"}, {"b"}, {"a", "c"}, {"d"}, {"c"}, {"e"}, {"f"}])
    assert by_document
    assert groups[0] == groups[2] == groups[4]
    assert len(set(groups.tolist())) == 5


def test_where_most_hang_together_each_question_stands_alone():
    groups, by_document = groups_of([{"a"}] * 9 + [{"b"}])
    assert not by_document
    assert len(set(groups.tolist())) == 10


@pytest.mark.parametrize("seed", range(5))
def test_a_split_cuts_through_no_group(seed):
    rng = np.random.default_rng(seed)
    groups, _ = groups_of([{str(document)} for document in rng.integers(0, 40, 300)])
    held = split(groups, 1 / 3, rng)
    assert not set(groups[held]) & set(groups[~held])
    assert held.sum() == pytest.approx(100, abs=15)


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_of_about_equal_size_and_cut_through_no_group(seed):
    rng = np.random.default_rng(seed)
    groups, _ = groups_of([{str(document)} for document in rng.integers(0, 40, 300)])
    parts = folds(groups, 3, rng)
    assert all(len(set(parts[groups == group])) == 1 for group in set(groups.tolist()))
    assert np.bincount(parts) == pytest.approx(100, abs=15)
