from __future__ import annotations

import pickle

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.psql import PsqlError


def test_it_says_what_why_and_what_to_type_as_sentences() -> None:
    refusal = Refused("No room", "the disk is full.", "Make room", code="disk-too-small")
    assert str(refusal) == "No room [disk-too-small]: the disk is full. Make room."


def test_empty_parts_leave_no_trace() -> None:
    assert str(Refused("No room", code="disk-too-small")) == "No room [disk-too-small]."


def test_an_error_of_before_there_were_codes_is_reported_without_one() -> None:
    assert str(Refused.of({"what": "No room", "why": "full", "remedy": ""})) == "No room: full."


def test_it_crosses_a_process_boundary_whole() -> None:
    copy = pickle.loads(pickle.dumps(Failed("what", "why", "remedy", code="lock-lost")))  # noqa: S301 - made here

    assert type(copy) is Failed
    assert copy.as_facts() == {"code": "lock-lost", "what": "what", "why": "why", "remedy": "remedy"}


@pytest.mark.parametrize("error", [Refused("what", "why", "remedy", code="lock-lost"),
                                   Failed("what", "why", "remedy", code="lock-lost"),
                                   PsqlError("ERROR:  42501: why\n")])  # fmt: skip
def test_a_reason_is_put_in_front_whatever_the_class_wants_to_be_made_of(error: Refused) -> None:
    reported = error.with_reason("it had to be")

    assert isinstance(reported, Failed) == isinstance(error, Failed)
    assert reported.as_facts() == {**error.as_facts(), "why": "it had to be; why"}
