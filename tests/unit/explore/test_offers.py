"""What a page offers to filter by is what documents have."""

from __future__ import annotations

from pixie_retrievers.explore.offers import Offer, offers_of


def test_few_values_are_choices_and_many_numbers_a_range():
    metadatas = [
        {
            "year": 2000 + i % 3,
            "price": i * 1.5,
            "tags": ["위성", "농업"][: 1 + i % 2],
            "id": f"x{i}",
            "_own": 1,
            "same": 1,
        }
        for i in range(100)
    ]
    offers = {offer.field: offer for offer in offers_of(metadatas)}
    assert offers.keys() == {"year", "price", "tags"}
    assert offers["year"] == Offer("year", choices=(("2000", "2000"), ("2001", "2001"), ("2002", "2002")))
    assert offers["price"] == Offer("price", low=0.0, high=148.5)
    assert offers["tags"] == Offer("tags", is_list=True, choices=(('"위성"', "위성"), ('"농업"', "농업")))


def test_nested_fields_have_dotted_names_and_few_are_offered():
    metadatas = [{"author": {"name": ["김", "이"][i % 2]}, **{f"f{j}": i % 2 for j in range(20)}} for i in range(4)]
    offers = offers_of(metadatas)
    assert len(offers) == 8
    assert offers[0].field == "author.name"


def test_without_documents_nothing_is_offered():
    assert offers_of([]) == ()
