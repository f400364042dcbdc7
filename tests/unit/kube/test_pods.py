import json

import pytest

from rayops.kube import ExecResult, KubeError
from rayops.kube.pods import exit_code


def failed(*causes: dict[str, str], message: str = "") -> str:
    return json.dumps({"status": "Failure", "message": message, "details": {"causes": list(causes)}})


def test_the_exit_code_of_a_command() -> None:
    assert exit_code('{"metadata":{},"status":"Success"}') == 0
    assert exit_code(failed({"reason": "Other"}, {"reason": "ExitCode", "message": "3"})) == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (failed({"message": "text"}, message="Internal error: no such file"), "Internal error: no such file"),
        ("", "the connection to the container ended early"),
    ],
)
def test_a_command_that_did_not_run_has_no_exit_code(status: str, message: str) -> None:
    with pytest.raises(KubeError) as caught:
        exit_code(status)
    assert caught.value.message == message


def test_ok_is_zero() -> None:
    assert ExecResult(0, "", "").ok
    assert not ExecResult(1, "", "").ok
