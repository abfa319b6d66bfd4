"""What ComfyUI does with the nodes of a prompt, as far as this pack leans on it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.outcomes import PromptRefused

if TYPE_CHECKING:
    from tests.contract.conftest import Host

_tokens = (f"t{number}" for number in itertools.count())
Prompt = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def report(source: str, slot: int = 0, **more: object) -> dict[str, Any]:
    return node("Probe_Report", value=[source, slot], **more)


def texts(history: dict[str, Any]) -> dict[str, list[str]]:
    return {node_id: shown["text"] for node_id, shown in history["outputs"].items() if "text" in shown}


def events(history: dict[str, Any]) -> list[str]:
    return [event for event, _ in history["status"]["messages"]]


def data_of(history: dict[str, Any], event: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [data for name, data in history["status"]["messages"] if name == event]
    assert len(found) == 1, history["status"]
    return found[0]


def notes(host: Host) -> list[str]:
    return texts(host.run({"notes": node("Probe_Notes", token=next(_tokens))})).get("notes", [])


def test_async_nodes_of_one_prompt_run_at_the_same_time(host: Host) -> None:
    party = next(_tokens)
    history = host.run(
        {
            "1": node("Probe_Meet", party=party, size=2, name="a"),
            "2": node("Probe_Meet", party=party, size=2, name="b"),
            "3": report("1"),
            "4": report("2"),
        }
    )
    assert texts(history) == {"3": ["a met 1"], "4": ["b met 2"]}
    assert history["status"]["status_str"] == "success"


def test_a_list_into_an_async_node_makes_concurrent_calls(host: Host) -> None:
    history = host.run(
        {
            "1": node("Probe_Several", words="x y z"),
            "2": node("Probe_Meet", party=next(_tokens), size=3, name=["1", 0]),
            "3": report("2"),
        }
    )
    assert texts(history) == {"3": ["x met 2", "y met 2", "z met 2"]}


def test_every_prompt_has_an_event_loop_of_its_own_on_the_workers_thread(host: Host) -> None:
    seen = [
        texts(host.run({"1": node("Probe_Surroundings", token=next(_tokens)), "2": report("1")}))["2"][0]
        for _ in range(3)
    ]
    assert len(set(seen)) == 3
    assert all(text.endswith("main=False") for text in seen)


def test_one_failing_node_cancels_its_siblings_which_may_still_await(host: Host) -> None:
    notes(host)
    party = next(_tokens)
    history = host.run(
        {
            "1": node("Probe_Fail", party=party, size=2, how="error"),
            "2": node("Probe_Wait", party=party, size=2, name="sibling"),
            "3": report("1"),
            "4": report("2"),
        }
    )
    assert history["status"]["status_str"] == "error"
    error = data_of(history, "execution_error")
    assert error["node_id"] == "1"
    assert error["exception_type"] == "ValueError"
    assert notes(host) == ["sibling cancelled, and could still await"]


def test_a_cancelled_node_of_ours_leaves_no_complaint_in_the_log(host: Host) -> None:
    party = next(_tokens)
    host.run(
        {
            "1": node("Probe_Fail", party=party, size=2, how="error"),
            "2": node("Probe_Wait", party=party, size=2, name="quiet"),
            "3": report("1"),
            "4": report("2"),
        }
    )
    notes(host)
    assert "unhandled exception" not in host.log
    assert "never retrieved" not in host.log
    assert "WaitEnded" not in host.log


def test_the_history_has_the_message_of_the_exception_and_not_of_its_cause(host: Host) -> None:
    party = next(_tokens)
    history = host.run({"1": node("Probe_Fail", party=party, size=1, how="error"), "2": report("1")})
    error = data_of(history, "execution_error")
    assert error["exception_message"] == "what went wrong\n"
    assert "the cause" not in str(history)
    assert "the cause" in host.log


def test_a_shielded_cancellation_is_an_ordinary_failure(host: Host) -> None:
    party = next(_tokens)
    history = host.run({"1": node("Probe_Fail", party=party, size=1, how="shielded"), "2": report("1")})
    error = data_of(history, "execution_error")
    assert error["exception_type"].endswith("WaitEnded")
    assert "queue the same prompt again" in error["exception_message"]


def test_every_waiting_node_sees_an_interrupt_when_each_only_peeks(host: Host) -> None:
    notes(host)
    party = next(_tokens)
    prompt_id = host.queue(
        {
            "w1": node("Probe_Wait", party=party, size=2, name="first"),
            "w2": node("Probe_Wait", party=party, size=2, name="second"),
            "3": report("w1"),
            "4": report("w2"),
        }
    )
    host.await_text("w1", "waiting")
    host.await_text("w2", "waiting")
    host.interrupt()
    history = host.wait(prompt_id)
    assert history["status"]["status_str"] == "error"
    assert "execution_interrupted" in events(history)
    assert "execution_error" not in events(history)
    assert set(notes(host)) >= {"first interrupted", "second interrupted"}


def test_an_interrupt_does_not_outlive_its_prompt(host: Host) -> None:
    host.interrupt()
    history = host.run({"1": node("Probe_Number", value=7), "2": report("1")})
    assert texts(history) == {"2": ["7"]}


def test_a_blocked_output_skips_its_consumers_silently_and_no_others(host: Host) -> None:
    history = host.run({"1": node("Probe_Block", token=next(_tokens)), "2": report("1", 0), "3": report("1", 1)})
    assert texts(history) == {"3": ["open"]}
    assert history["status"]["status_str"] == "success"
    assert "execution_error" not in events(history)


def test_a_node_cannot_keep_anything_in_its_class(host: Host) -> None:
    history = host.run({"1": node("Probe_Locked", token=next(_tokens)), "2": report("1")})
    assert texts(history) == {"2": ["refused"]}


def test_an_input_that_is_left_out_is_not_passed(host: Host) -> None:
    name = next(_tokens)
    assert texts(host.run({"1": node("Probe_Counted", name=name), "2": report("1")})) == {"2": [f"{name} run 1 []"]}


def test_the_cache_serves_an_equal_node_under_another_id(host: Host) -> None:
    name = next(_tokens)
    host.run({"1": node("Probe_Counted", name=name), "2": report("1")})
    history = host.run({"81": node("Probe_Counted", name=name), "2": report("81")})
    assert texts(history) == {"2": [f"{name} run 1 []"]}


def test_two_equal_async_nodes_of_one_prompt_both_run(host: Host) -> None:
    party = next(_tokens)
    history = host.run(
        {
            "1": node("Probe_Meet", party=party, size=2, name="twin"),
            "2": node("Probe_Meet", party=party, size=2, name="twin"),
            "3": report("1"),
            "4": report("2", other="b"),
        }
    )
    assert [shown[0][:8] for shown in texts(history).values()] == ["twin met", "twin met"]


def test_the_cache_forgets_what_the_last_prompt_did_not_use(host: Host) -> None:
    a, b = next(_tokens), next(_tokens)
    for name in (a, b):
        host.run({"1": node("Probe_Counted", name=name), "2": report("1")})
    history = host.run({"1": node("Probe_Counted", name=a), "2": report("1")})
    assert texts(history) == {"2": [f"{a} run 2 []"]}


def test_an_output_linked_later_arrives_as_none_from_the_cache(host: Host) -> None:
    name = next(_tokens)
    host.run({"counted": node("Probe_Counted", name=name), "2": report("counted")})
    history = host.run({"counted": node("Probe_Counted", name=name), "2": report("counted"), "3": report("counted", 1)})
    assert texts(history) == {"2": [f"{name} run 1 []"], "3": ["None"]}


def test_an_undeclared_input_is_part_of_the_cache_key_and_is_not_passed(host: Host) -> None:
    name = next(_tokens)
    host.run({"1": node("Probe_Counted", name=name, _x="0"), "2": report("1")})
    same = host.run({"1": node("Probe_Counted", name=name, _x="0"), "2": report("1")})
    other = host.run({"1": node("Probe_Counted", name=name, _x="0,1"), "2": report("1")})
    assert texts(same) == {"2": [f"{name} run 1 []"]}
    assert texts(other) == {"2": [f"{name} run 2 []"]}


def test_with_links_watched_an_output_linked_later_has_its_value(host: Host) -> None:
    name = next(_tokens)
    ours = {"1": node("APIMall_ProbeLinks", name=name)}
    one: Prompt = {**ours, "2": report("1", 0)}
    two: Prompt = {**ours, "2": report("1", 0), "3": report("1", 4)}
    first, again, more = (texts(host.run(prompt)) for prompt in (one, one, two))
    assert first == again == {"2": ["run 1 linked [0] inputs ['name']"]}
    assert more == {"2": ["run 2 linked [0, 4] inputs ['name']"], "3": ["run 2 linked [0, 4] inputs ['name']"]}


def test_a_copy_that_a_loop_runs_gives_what_is_linked_to_it_or_to_its_original(host: Host) -> None:
    name = next(_tokens)
    prompt: Prompt = {
        "7": node("APIMall_ProbeLinks", name=name),
        "loop": node("Probe_Repeat", original="7", slot=2),
        "9": report("loop"),
    }
    shown = texts(host.run(prompt))
    of_copies = [shown[node_id][0] for node_id in shown if "report" in node_id]
    assert len(of_copies) == 2 and all("linked [2] inputs" in text for text in of_copies)

    # What an expansion hands on as its own is an input of no node: only the original tells that it is wanted.
    more: Prompt = {**prompt, "end": node("Probe_Counted", name="never asked for", number=["7", 4])}
    assert "linked [2, 4] inputs" in texts(host.run(more))["9"][0]


def test_the_text_of_a_copy_is_on_the_node_that_the_user_sees(host: Host) -> None:
    text = f"from a copy {next(_tokens)}"
    prompt: Prompt = {
        "seen": node("Probe_Show", text=text),
        "texts": node("Probe_Repeat", original="seen", slot=0),
        "9": report("texts"),
    }
    host.run(prompt)
    host.await_text("seen", text)
    assert {node_id for node_id, shown in host.texts() if shown == text} == {"seen"}
    states = [state for event, data in host.sent() if event == "progress_state" for state in data["nodes"].values()]
    copies = [state for state in states if state["node_id"].startswith("texts.")]
    assert "seen" in {state["display_node_id"] for state in copies}


def test_a_fingerprint_sees_neither_linked_values_nor_the_prompt(host: Host) -> None:
    notes(host)
    how = next(_tokens)
    prompt = {
        "1": node("Probe_Number", value=5),
        "2": node("Probe_Fingerprint", how=how, linked=["1", 0]),
        "3": report("2"),
    }
    for _ in range(2):
        assert texts(host.run(prompt)) == {"3": ["run 1 linked 5 prompt True"]}
    assert set(notes(host)) == {f"{how}: linked None, prompt False"}


def test_a_fingerprint_that_raises_makes_the_node_run_every_time(host: Host) -> None:
    how = f"raise {next(_tokens)}"
    prompt = {"1": node("Probe_Fingerprint", how=how), "2": report("1")}
    runs = [texts(host.run(prompt))["2"][0][:5] for _ in range(3)]
    assert runs == ["run 1", "run 2", "run 3"]


def test_built_in_checks_hold_for_inputs_that_a_node_does_not_check_itself(host: Host) -> None:
    good = {"own": 98, "checked": 9, "choice": "b"}
    assert texts(host.run({"1": node("Probe_Checked", **good), "2": report("1")})) == {"2": ["98 9 b"]}
    for wrong, kind in (
        ({"checked": 11}, "value_bigger_than_max"),
        ({"checked": -1}, "value_smaller_than_min"),
        ({"own": 3}, "custom_validation_failed"),
    ):
        errors = refusal(host, {"1": node("Probe_Checked", **{**good, **wrong}), "2": report("1")})
        assert [error["type"] for error in errors["1"]["errors"]] == [kind]
        if kind == "custom_validation_failed":
            assert "3 is odd" in str(errors)


def test_a_value_that_is_not_in_a_combos_list_may_arrive(host: Host) -> None:
    # 0.3.64 looks at the lists of V1 nodes only: a node of ours has to check what it is given.
    prompt = {"1": node("Probe_Checked", own=2, checked=9, choice="c"), "2": report("1")}
    try:
        history = host.run(prompt)
    except PromptRefused as refused:
        assert "value_not_in_list" in str(refused)
    else:
        assert texts(history) == {"2": ["2 9 c"]}


def refusal(host: Host, prompt: Prompt) -> dict[str, Any]:
    with pytest.raises(PromptRefused) as refused:
        host.queue(prompt)
    return refused.value.node_errors


def test_a_linked_value_is_none_where_inputs_are_validated(host: Host) -> None:
    notes(host)
    host.run(
        {
            "1": node("Probe_Number", value=3),
            "2": node("Probe_Checked", own=["1", 0], checked=1, choice="a"),
            "3": report("2"),
        }
    )
    assert notes(host) == ["validating None"]


def test_a_required_input_that_is_missing_is_refused(host: Host) -> None:
    errors = refusal(host, {"1": node("Probe_Counted"), "2": report("1")})
    assert [error["type"] for error in errors["1"]["errors"]] == ["required_input_missing"]


def test_one_wrong_branch_does_not_stop_the_other(host: Host) -> None:
    history = host.run(
        {
            "1": node("Probe_Number", value=4),
            "2": report("1"),
            "3": node("Probe_Checked", own=3, checked=1, choice="a"),
            "4": report("3"),
        }
    )
    assert texts(history) == {"2": ["4"]}
    assert history["status"]["status_str"] == "success"
