"""Which earlier messages a last one leans on, and what they ask for together."""

from __future__ import annotations

import pytest

from pixie_retrievers.conversation import joined, leaned_on
from pixie_retrievers.types import SparseVectors


@pytest.mark.parametrize(
    ("best_scores", "leaned"),
    [
        ([7.0], []),
        ([0.0], []),
        ([0.0, 0.0], []),
        ([9.0, 0.0], [0]),  # an answer that finds nothing
        ([9.0, 8.0], []),  # another request
        ([9.0, 4.0], [0]),  # an action without its thing
        ([9.0, 0.0, 0.0], [0]),  # the answer in between found nothing either
        ([9.0, 6.5, 0.0], [1]),  # the nearest that finds enough ends the search
        ([20.0, 6.0, 0.0], [1, 0]),  # ... and leans itself
        ([9.0, *[0.0] * 6, 5.0], []),  # the further back, the less it is worth
    ],
)
def test_a_message_leans_on_what_finds_much_more_than_it_does(best_scores, leaned):
    assert leaned_on(best_scores) == leaned


def test_together_each_term_has_its_largest_weight_and_is_literal_where_one_text_has_it():
    vectors = SparseVectors.from_dicts([{1: 1.0, 4: 2.0}, {1: 3.0, 2: 0.5}, {}], 5).with_literal([{4}, {1}, set()])
    assert joined(vectors) == SparseVectors.from_dicts([{1: 3.0, 2: 0.5, 4: 2.0}], 5).with_literal([{1, 4}])
    assert joined(vectors[2:]) == SparseVectors.from_dicts([{}], 5)
