"""What is secret never gets past the normalizer, and what is none stays readable."""

import time

import pytest

from apps.support_assistant.redaction import redact

# Made up, of the forms that the services use; put together here so that no scanner takes them for real ones.
GITHUB = "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
KEY = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEA7\nzzzz\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret", "kind"),
    [
        ("password=hunter2", "hunter2", "secret"),
        ("Password: 'correct horse battery'", "correct horse", "secret"),
        ('{"password": "pa ss", "user": "bob"}', "pa ss", "secret"),
        ("the password for the test db is hunter2-XyZ, have fun", "hunter2-XyZ", "secret"),
        ("DB_PASSWORD=abc123 AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI", "wJalrXUtnFEMI", "secret"),
        ("client_secret: 0f9", "0f9", "secret"),
        ("run it with --token s3cr3t --verbose", "s3cr3t", "secret"),
        ("api-key => k-99", "k-99", "secret"),
        ("postgres://admin:swordfish@db.local:5432/x", "swordfish", "secret"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz", "token"),
        ("curl -H 'X-Api-Key: 12-34'", "12-34", "token"),
        ("Cookie: session=abc; theme=dark", "session=abc", "token"),
        ("sent bearer abcdefgh.1234", "abcdefgh.1234", "token"),
        (f"pushed with {GITHUB}", GITHUB, "token"),
        (f"key {AWS} leaked", AWS, "token"),
        (f"jwt {JWT}!", "dozjgNryP4J3jVmNHl0w5N", "token"),
        ("blob aGVsbG8gd29ybGQgdGhpcyBpcyBhIHRlc3Q5OTk5 end", "aGVsbG8gd29ybGQ", "token"),
        (f"here it is\n{KEY}\nbye", "MIIEpAIBAAKCAQEA7", "key"),
        ("-----BEGIN PRIVATE" + " KEY-----\nMIIE cut off", "MIIE cut off", "key"),
        ("mail ana.pereira+ray@acme.example please", "ana.pereira", "e-mail"),
        ("from 10.244.2.9:8000 refused", "10.244.2.9", "ip"),
        ("node fe80::1ff:fe23:4567:890a is gone", "fe80::1ff", "ip"),
        ("at 2001:0db8:0000:0000:0000:ff00:0042:8329", "2001:0db8", "ip"),
    ],
)
def test_a_secret_is_taken_out_and_counted(text: str, secret: str, kind: str) -> None:
    (clean,), found = redact(text)
    assert secret not in clean
    assert f"[{kind}]" in clean
    assert found[kind] >= 1


@pytest.mark.parametrize(
    "text",
    [
        "KubeRay 1.6.2 with Ray 2.60.0 at 14:02:11",
        "rag-raycluster-7x8kd-worker-cpu-q2m9z is Pending",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "it listens on 127.0.0.1 and on 0.0.0.0:8265 and ::1",
        "std::vector<int> and Foo::bar",
        "hf_hub_download failed in sk-learn",
        "the session token expired, the key does not fit",
        "max-model-len 8192, max_tokens=512",
        "999.999.999.999 is no address",
        "/srv/apps/support_assistant/replicas.py, line 9",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == ([text], {})


def test_a_secret_named_once_is_taken_out_everywhere() -> None:
    clean, found = redact(
        "db: hunter2-XyZ", "password=hunter2-XyZ; later hunter2-XyZ again", "token: expired is expired"
    )
    assert clean == ["db: [secret]", "password=[secret]; later [secret] again", "token: [secret] is expired"]
    assert found == {"secret": 4}


def test_it_is_done_once() -> None:
    once = redact("password=hunter2 bearer abcdefghij from a@b.example at 10.0.0.1")
    assert redact(*once[0]) == (once[0], {})


@pytest.mark.parametrize(
    "unit", ["password ", "a.", "eyJa.", "1:", "1.", "--token ", "x@", "-----BEGIN ", "is ", "Ab1"]
)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    started = time.process_time()
    redact(unit * (20_000 // len(unit)))
    assert time.process_time() - started < 10, "milliseconds when it is linear, hours when it is not"
