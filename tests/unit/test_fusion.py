"""Fusion by hand: what is kept of every list, and what is refused."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from pixie_retrievers.errors import InvalidParameterError, PixieWarning
from pixie_retrievers.fusion import IdentityCheck, Ranked, check_fusion, fuse, told_apart

SPARSE = [Ranked("a", "sparse a", 9.0), Ranked("b", "sparse b", 5.0), Ranked("c", "sparse c", 1.0)]
DENSE = [Ranked("c", "dense c", 0.9), Ranked("a", "dense a", 0.7), Ranked("d", "dense d", -0.1)]
PARTS = {"sparse": SPARSE, "dense": DENSE}


def test_ranks_are_fused_as_the_paper_has_it():
    fused = fuse(PARTS)
    assert [(one.id, one.score) for one in fused] == [
        ("a", pytest.approx(1 / 61 + 1 / 62)),
        ("c", pytest.approx(1 / 63 + 1 / 61)),
        ("b", pytest.approx(1 / 62)),
        ("d", pytest.approx(1 / 63)),
    ]


def test_scores_are_fused_on_one_scale():
    fused = fuse(PARTS, method="weighted", weights=[1, 2])
    assert [(one.id, one.score) for one in fused] == [
        ("a", pytest.approx(1 + 2 * 0.8)),
        ("c", pytest.approx(0 + 2 * 1)),
        ("b", pytest.approx(0.5)),
        ("d", pytest.approx(0)),
    ]
    assert fused[0] == fuse(PARTS, method="weighted", weights={"dense": 2, "sparse": 1})[0]


def test_every_lists_rank_score_value_and_contribution_is_kept():
    best = fuse(PARTS, weights=[3, 1])[0]
    assert best.item == "sparse a"
    assert (best.parts["sparse"].item, best.parts["dense"].item) == ("sparse a", "dense a")
    said = {name: part.to_dict() for name, part in best.parts.items()}
    assert said == {
        "sparse": {"rank": 1, "score": 9.0, "value": 1 / 61, "weight": 3.0, "contribution": 3 / 61},
        "dense": {"rank": 2, "score": 0.7, "value": 1 / 62, "weight": 1.0, "contribution": 1 / 62},
    }
    assert json.loads(json.dumps(said)) == said
    with pytest.raises(FrozenInstanceError):
        best.score = 0.0


def test_a_list_that_lacks_an_item_says_so_and_counts_nothing():
    only_dense = next(one for one in fuse(PARTS) if one.id == "d")
    assert only_dense.item == "dense d"
    assert only_dense.parts["sparse"].to_dict() == {
        "rank": None,
        "score": None,
        "value": 0.0,
        "weight": 1.0,
        "contribution": 0.0,
    }
    assert only_dense.parts["sparse"].item is None


@pytest.mark.parametrize("normalization", ["z-score", "none"])
def test_not_to_be_found_is_never_better_than_to_be_found_last(normalization):
    cold = {"one": [Ranked("a", None, -1.0), Ranked("b", None, -2.0)], "two": [Ranked("c", None, 0.0)]}
    fused = {one.id: one.parts["one"].value for one in fuse(cold, method="weighted", normalization=normalization)}
    assert fused["a"] > fused["b"] == fused["c"]


@pytest.mark.parametrize("normalization", ["min-max", "z-score"])
def test_to_be_found_counts_where_all_scores_are_equal(normalization):
    parts = {"one": [Ranked("a", None, 0.2)], "two": [Ranked("b", None, 7.0), Ranked("a", None, 7.0)]}
    scores = {one.id: one.score for one in fuse(parts, method="weighted", normalization=normalization)}
    assert scores == {"a": 2.0, "b": 1.0}


def test_items_are_the_same_by_id_not_by_text_and_a_repeated_one_counts_once():
    parts = {"one": [Ranked("a", "text"), Ranked("b", "text"), Ranked("a", "again"), Ranked("c", "text")]}
    fused = fuse(parts)
    assert [(one.id, one.item, one.parts["one"].rank) for one in fused] == [
        ("a", "text", 1),
        ("b", "text", 2),
        ("c", "text", 3),
    ]


def test_numbers_of_numpy_are_numbers():
    parts = {"one": [Ranked("a", None, np.float32(0.5)), Ranked("b", None, np.float32(0.25))]}
    for method in ("rrf", "weighted"):
        best = fuse(parts, method=method, weights=[np.float64(2)])[0]
        assert type(best.score) is type(best.parts["one"].score) is float
        assert json.dumps(best.parts["one"].to_dict())


def test_none_is_an_item_like_any_other():
    assert [one.item for one in fuse({"one": [Ranked("a", None)], "two": [Ranked("a", "a")]})] == [None]


def test_equal_scores_are_ordered_by_best_rank_then_by_the_first_list():
    parts = {"one": [Ranked("b", None), Ranked("a", None)], "two": [Ranked("a", None), Ranked("b", None)]}
    assert [one.id for one in fuse(parts)] == ["b", "a"]
    assert [one.id for one in fuse({"one": [], "two": [Ranked("z", None)], "three": [Ranked("a", None)]})] == ["z", "a"]


def test_no_lists_and_empty_lists_give_nothing():
    assert fuse({}) == []
    assert fuse({"one": [], "two": []}, method="weighted", weights=[1, 2]) == []


def test_sizes_of_scores_do_not_matter_to_a_scale():
    huge = {"one": [Ranked("a", None, 1.7e308), Ranked("b", None, 0.0), Ranked("c", None, -1.7e308)]}
    for normalization in ("min-max", "z-score"):
        values = [one.score for one in fuse(huge, method="weighted", normalization=normalization)]
        assert values[0] - values[1] == pytest.approx(values[1] - values[2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "borda"}, "rrf, weighted"),
        ({"normalization": "softmax"}, "min-max, z-score, none"),
        ({"weights": [1]}, "one weight a list, not 1 for 2"),
        ({"weights": [1, 2, 3]}, "one weight a list, not 3 for 2"),
        ({"weights": [1, -0.5]}, "'dense' is -0.5"),
        ({"weights": [1, float("nan")]}, "'dense' is nan"),
        ({"weights": [float("inf"), 1]}, "'sparse' is inf"),
        ({"weights": ["1", 1]}, "'sparse' is '1'"),
        ({"weights": [0, 0]}, "every weight is 0"),
        ({"weights": {"sparse": 1}}, "one weight a list"),
        ({"weights": {"sparse": 1, "dense": 1, "bm25": 1}}, "one weight a list"),
        ({"weights": "11"}, "weights is of type str"),
        ({"weights": 1.0}, "weights is of type float"),
        ({"rank_constant": -1}, "rank_constant is -1"),
        ({"rank_constant": float("nan")}, "rank_constant is nan"),
    ],
)
def test_what_means_nothing_is_refused_before_and_while_fusing(options, words):
    with pytest.raises(InvalidParameterError, match=words):
        check_fusion(PARTS, **options)
    with pytest.raises(InvalidParameterError, match=words):
        fuse(PARTS, **options)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3"])
def test_k_below_one_or_no_whole_number_is_refused(k):
    with pytest.raises(InvalidParameterError, match="k is"):
        fuse(PARTS, k=k)


def test_two_lists_of_one_name_are_refused():
    with pytest.raises(InvalidParameterError, match="two lists have the name 'sparse'"):
        fuse([("sparse", SPARSE), ("sparse", DENSE)])
    with pytest.raises(InvalidParameterError, match="not a name"):
        fuse([("", SPARSE)])


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "9"])
def test_a_score_that_is_not_a_number_is_refused_by_list_and_rank(score):
    parts = {"sparse": [Ranked("a", None, 1.0), Ranked("b", None, score)]}
    for method in ("rrf", "weighted"):
        with pytest.raises(InvalidParameterError, match="rank 2 of 'sparse'"):
            fuse(parts, method=method)


def test_scores_are_needed_where_they_are_weighed():
    parts = {"sparse": SPARSE, "bm25": [Ranked("a", None)]}
    assert fuse(parts)[0].parts["bm25"].score is None
    with pytest.raises(InvalidParameterError, match=r"'bm25' has no score.*rrf"):
        fuse(parts, method="weighted")


def test_sums_out_of_range_are_refused():
    parts = {"one": [Ranked("a", None, 1e308)], "two": [Ranked("a", None, 1e308)]}
    with pytest.raises(InvalidParameterError, match="too large"):
        fuse(parts, method="weighted", normalization="none")
    with pytest.raises(InvalidParameterError, match="too large"):
        fuse(parts, method="weighted", normalization="none", weights=[10, 1])


def test_lists_without_names_are_told_apart_by_number():
    assert told_apart(["A", "B", "A", "A b", "A"]) == ["A", "B", "A 2", "A b", "A 3"]
    assert told_apart(["A 2", "A", "A", "A 2"]) == ["A 2", "A", "A 3", "A 2 2"]
    assert told_apart([]) == []


# Lists whose ids have nothing to do with each other


def named(**lists):
    return {name: [Ranked(id, text) for id, text in entries] for name, entries in lists.items()}


def test_texts_under_ids_that_never_meet_are_warned_of_once_with_the_cure():
    check = IdentityCheck(str, "do this")
    strangers = named(a=[("1", "글"), ("2", "다른 글")], b=[("x", "글 "), ("y", "셋째")])
    with pytest.warns(PixieWarning, match="'a' and 'b' found the same text under different ids.*do this"):
        check(strangers)
    check(strangers)


def test_lists_that_share_an_id_or_no_text_are_left_in_peace():
    check = IdentityCheck(str, "do this")
    check(named(a=[("1", "글")], b=[("x", "둘")], c=[]))
    check(named(a=[("1", "")], b=[("x", " ")], c=[]))
    check(named(a=[("1", "글"), ("2", "셋")], b=[("1", "글"), ("x", "셋")], c=[]))
    check(named(a=[("2", "셋")], b=[("x", "셋")], c=[]))  # copies inside stores that do share ids
    with pytest.warns(PixieWarning, match="'b' and 'c'"):
        check(named(a=[], b=[("x", "셋")], c=[("y", "셋")]))
