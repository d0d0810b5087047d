"""What an e-mail says, in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from facnet_grpc.model.notification import Channel, Notification
from facnet_grpc.model.run import RunStatus
from facnet_grpc.notify.mail import compose
from facnet_grpc.settings.notify import NotifySettings

RUN = UUID(int=2)
ONE = Notification(
    id=UUID(int=1),
    run_id=RUN,
    channel=Channel.MAIL,
    owner="clinic",
    status=RunStatus.COMPLETED,
    url=None,
    data={
        "processed_rows": 4990,
        "rejected_rows": 1,
        "result_counts": {"error": 12, "warning": 0, "optimization": 1, "info": 0},
    },
    created_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    attempt=1,
    age_seconds=0.0,
)
S = "\N{NO-BREAK SPACE}"


def mail(one: Notification = ONE, **changes: str):
    settings = NotifySettings(smtp_host="h", smtp_from="facnet@example.org", **changes)
    return compose(one, ("a@example.org", "b@example.org"), settings)


def test_it_says_counts_in_french():
    assert mail()["Subject"] == "Validation terminée"
    text = mail().get_content()
    for line in (f"La validation {RUN} est terminée.", "- 1 ligne rejetée", "- 12 erreurs", "- 1 gain possible"):
        assert line in text.splitlines()
    assert "4\N{NARROW NO-BREAK SPACE}990 lignes lues" in text.replace(S, "\N{NARROW NO-BREAK SPACE}")


def test_it_says_counts_in_english():
    text = mail(mail_language="en").get_content().splitlines()
    assert text[:6] == [
        f"Validation {RUN} is completed.",
        "",
        "- 4,990 lines read",
        "- 1 line rejected",
        "- 12 errors",
        "- 0 warnings",
    ]


@pytest.mark.parametrize(
    ("status", "subject"), [(RunStatus.FAILED, "Validation failed"), (RunStatus.CANCELLED, "Validation cancelled")]
)
def test_other_ends_have_no_counts(status, subject):
    data = {"error_code": "MISSING_COLUMNS"} if status is RunStatus.FAILED else {}
    sent = mail(replace(ONE, status=status, data=data), mail_language="en")
    assert sent["Subject"] == subject
    assert ("The header lacks a column" in sent.get_content()) is (status is RunStatus.FAILED)
    assert "- " not in sent.get_content()


def test_headers_are_those_of_an_automatic_message_that_stays_the_same():
    assert mail()["To"] == "a@example.org, b@example.org"
    assert mail()["Message-ID"] == f"<{UUID(int=1)}@example.org>"
    assert mail()["Auto-Submitted"] == "auto-generated"
    assert mail().as_bytes() == mail(replace(ONE, attempt=9)).as_bytes()


def test_a_page_is_named_if_there_is_one():
    assert f"https://x.example/{RUN}?y" in mail(mail_link="https://x.example/{validation_id}?y").get_content()
    assert "http" not in mail().get_content()
