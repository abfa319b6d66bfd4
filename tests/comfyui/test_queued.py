"""What is bound when a prompt is queued: rehearsal or not, and what it may cost (rules 11 and 12)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from nodes.comfyui import host, queued
from nodes.journal.rows import Only
from nodes.settings import set_rehearsal
from tests.support.harness import eventually
from tests.support.node_files import Comfy, give, give_list, image_to_video, keep, make, poll, save, text_to_video


def state(comfy: Comfy) -> Path:
    return comfy.service.folders.state


def test_switching_rehearsal_off_makes_no_queued_prompt_pay(slow_comfy: Comfy) -> None:
    slow_comfy.environ["APIMALL_MAX_JOBS"] = "1"
    first = slow_comfy.queue({"1": text_to_video("paid before"), "2": save("1")})
    slow_comfy.comfy.await_text("1", "pending")
    set_rehearsal(state(slow_comfy), True)
    second = slow_comfy.queue({"1": text_to_video("to be rehearsed", wait=False), "2": keep("1", 4)})
    set_rehearsal(state(slow_comfy), False)
    slow_comfy.clock.advance(3600)
    slow_comfy.wait(first).ok()
    slow_comfy.wait(second).ok()
    assert [task.prompt for task in slow_comfy.gateway.record.tasks] == ["paid before"]


def test_switching_rehearsal_on_makes_no_queued_prompt_play(slow_comfy: Comfy) -> None:
    first = slow_comfy.queue({"1": text_to_video("one"), "2": save("1")})
    slow_comfy.comfy.await_text("1", "pending")
    second = slow_comfy.queue({"1": text_to_video("two", wait=False), "2": keep("1", 4)})
    set_rehearsal(state(slow_comfy), True)
    slow_comfy.clock.advance(3600)
    slow_comfy.wait(first).ok()
    slow_comfy.wait(second).ok()
    assert [task.prompt for task in slow_comfy.gateway.record.tasks] == ["one", "two"]


@pytest.mark.parametrize("paid", [False, True])
def test_nodes_that_others_make_while_a_prompt_runs_go_by_what_was_bound_for_it(comfy: Comfy, paid: bool) -> None:
    set_rehearsal(state(comfy), not paid)
    cue = threading.Event()
    running = comfy.queue({"1": make(text_to_video("made on the way", wait=False), cue), "2": keep("1", 0)})
    set_rehearsal(state(comfy), paid)
    cue.set()
    comfy.wait(running).ok()
    assert [task.prompt for task in comfy.gateway.record.tasks] == (["made on the way"] if paid else [])


def test_a_prompt_without_an_id_of_its_own_gets_one(comfy: Comfy) -> None:
    prompt = {"1": text_to_video(), "2": save("1")}
    ids = [
        queued._bind({"prompt": prompt, **given})["prompt_id"] for given in ({}, {"prompt_id": ""}, {"prompt_id": ""})
    ]
    assert len({*ids}) == 3 and all(ids)
    assert queued._bind({"prompt": prompt, "prompt_id": "given"})["prompt_id"] == "given"


def test_under_a_cap_what_is_no_job_costs_nothing_and_the_others_of_its_prompt_run_as_bound(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("known price"), "2": save("1")}).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "50"
    comfy.run({"1": text_to_video("a shot"), "2": save("1"), "3": text_to_video(""), "4": save("3")}).ok()
    assert [task.prompt for task in comfy.gateway.record.tasks] == ["known price", "a shot"]


def test_a_prompt_refused_by_its_cap_leaves_nothing_unfinished(comfy: Comfy) -> None:
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "1"
    assert "your limit of 1 credits a prompt" in comfy.run({"1": text_to_video("too dear"), "2": save("1")}).error
    assert not comfy.service.records().page(comfy.service.settings().account).jobs


def test_what_no_database_can_hold_in_one_node_leaves_the_others_bound(comfy: Comfy) -> None:
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "50"
    odd = text_to_video(prompt=["9", 0], model="\ud800")
    told = queued._bind({"prompt": {"1": text_to_video(), "2": odd, "9": give("linked")}})["prompt"]
    assert [told[node]["inputs"][queued.BOUND_INPUT] for node in ("1", "2")] == ["paid", "paid"]
    assert "1 new job" in told["1"]["inputs"][queued.OVER_LIMIT_INPUT]


def test_a_prompt_above_its_cap_is_refused_with_the_sum_before_anything_is_sent(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("known price"), "2": save("1")}).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "50"
    outcome = comfy.run(
        {
            "1": text_to_video("new one"),
            "2": text_to_video("new two"),
            "3": text_to_video("known price"),
            "4": save("1"),
            "5": save("2"),
        }
    )
    assert "your limit of 50 credits a prompt: 2 new jobs, about 60 credits" in outcome.error
    assert "Nothing was sent" in outcome.error
    assert comfy.count("create") == 1
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "60"
    comfy.run({"1": text_to_video("new one"), "2": text_to_video("new two"), "4": save("1"), "5": save("2")}).ok()


def test_what_a_prompt_does_not_run_is_not_in_its_sum(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("known price"), "2": save("1")}).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "30"
    prompt = {"1": text_to_video("one"), "2": text_to_video("two"), "3": save("1"), "4": save("2")}
    queued._bind({"prompt": prompt, "partial_execution_targets": ["3"]})
    assert queued.OVER_LIMIT_INPUT not in prompt["1"]["inputs"]
    queued._bind({"prompt": prompt, "partial_execution_targets": ["3", "4"]})
    assert "2 new jobs" in prompt["1"]["inputs"][queued.OVER_LIMIT_INPUT]


@pytest.mark.parametrize(
    ("targets", "runs"),
    [
        (None, ["1", "2", "3", "4"]),
        (["3"], ["1", "3"]),
        (["4", "3"], ["1", "2", "3", "4"]),
        (["2"], ["2"]),
        ([], []),
        (["nowhere", 7, None, ["3"]], []),
        ("3", ["1", "2", "3", "4"]),
    ],
)
def test_a_prompt_runs_its_targets_and_what_these_need(targets: object, runs: list[str]) -> None:
    prompt = {"1": text_to_video("one"), "2": text_to_video("two"), "3": save("1"), "4": save("2")}
    more = {} if targets is None else {"partial_execution_targets": targets}
    assert sorted(host.running({"prompt": prompt, **more})) == runs


def test_nodes_that_wait_for_each_other_are_found_once() -> None:
    prompt = {"1": text_to_video(prompt=["2", 0]), "2": text_to_video(prompt=["1", 0])}
    assert sorted(host.running({"prompt": prompt, "partial_execution_targets": ["1"]})) == ["1", "2"]


def test_the_browser_that_queues_is_told_which_nodes_will_run_and_no_other_is(comfy: Comfy) -> None:
    server = comfy.comfy.server
    before = len(server.sent)
    prompt = {"1": text_to_video("one"), "2": text_to_video("two"), "3": save("1")}
    queued._bind({"prompt": prompt, "partial_execution_targets": ["3"], "client_id": "tab"})
    queued._bind({"prompt": prompt})
    told = [sent for sent in server.sent[before:] if sent.event == host.QUEUED_EVENT]
    assert [(sent.sid, list(sent.data["nodes"])) for sent in told] == [("tab", ["1"])]


def test_more_takes_of_a_clip_are_not_made_of_another_picture(comfy: Comfy) -> None:
    def take(number: int, shade: float, of: int | None = None) -> dict[str, Any]:
        node = image_to_video(image=["1", 0], take=number)
        if of is not None:
            node["inputs"][queued.TAKE_OF_INPUT] = of
        return {"1": give(torch.full((1, 320, 320, 3), shade)), "2": node, "3": save("2")}

    comfy.run(take(0, 0.25)).ok()
    (job,) = comfy.service.records().page(comfy.service.settings().account, before=None, limit=9, only=Only.ALL).jobs
    comfy.run(take(1, 0.25, of=job.id)).ok()
    assert comfy.count("create") == 2
    refused = comfy.run(take(2, 0.75, of=job.id))
    assert "made from another picture or video" in refused.error
    assert "Nothing was sent" in refused.error
    assert "another picture" in comfy.run(take(2, 0.25, of=job.id + 7)).error
    assert comfy.count("create") == 2


def test_a_node_is_given_the_same_until_something_before_it_changes() -> None:
    def sign(**changed: Any) -> str:
        prompt = {"1": text_to_video("a shore", **changed), "2": image_to_video(image=["1", 2])}
        host._write_links({"prompt": prompt})
        return queued._given(prompt, "2")

    assert sign() == sign() == sign(wait=False)
    assert len({sign(), sign(take=1), sign(resolution="1080p")}) == 3


def test_what_was_paid_already_costs_nothing_in_the_sum_and_is_served(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("paid"), "2": save("1")}).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "1"
    comfy.restart()
    comfy.run({"1": text_to_video("paid"), "2": save("1")}).ok()
    assert comfy.count("create") == 1


def test_equal_nodes_are_one_job_in_the_sum(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("known price"), "2": save("1")}).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "30"
    comfy.run({"1": text_to_video("twin"), "2": text_to_video("twin"), "3": save("1"), "4": save("2")}).ok()


@pytest.mark.parametrize("unknown", [{"duration": "10"}, {"prompt": ["9", 0]}])
def test_under_a_cap_an_unknown_price_is_not_nothing(comfy: Comfy, unknown: dict[str, object]) -> None:
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "20"
    outcome = comfy.run({"1": text_to_video(**unknown), "2": save("1"), "9": give("a prompt from elsewhere")})
    assert "the price of 1 of them is not known yet" in outcome.error
    assert comfy.count("create") == 0


def test_copies_that_a_list_makes_of_a_node_are_held_against_the_cap_when_they_are_sent(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("known price"), "2": save("1")}).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "60"
    outcome = comfy.run({"1": text_to_video(prompt=["9", 0]), "2": save("1"), "9": give_list(["a", "b", "c", "d"])})
    assert "your limit of 60 credits a prompt: this prompt has spent 60" in outcome.error
    assert comfy.count("create") == 3, "the one before, and two of this prompt"
    comfy.run({"1": text_to_video("known price"), "2": save("1")}).ok()


def test_a_paid_job_with_media_is_served_under_a_cap_and_another_medium_is_not_paid_beyond_it(comfy: Comfy) -> None:
    def prompt(url: str) -> dict[str, Any]:
        return {"1": image_to_video(image_urls=url), "2": save("1")}

    comfy.run(prompt("https://cdn.example.com/a.png")).ok()
    comfy.environ["APIMALL_PROMPT_CREDITS"] = "20"
    comfy.restart()
    comfy.run(prompt("https://cdn.example.com/a.png")).ok()
    outcome = comfy.run(prompt("https://cdn.example.com/b.png"))
    assert "your limit of 20 credits a prompt: this prompt has spent 0, and it would cost about 30" in outcome.error
    assert comfy.count("create") == 1


def test_what_a_workflow_brings_along_is_not_believed(comfy: Comfy) -> None:
    node = text_to_video()
    node["inputs"] |= {queued.BOUND_INPUT: "rehearsal", queued.OVER_LIMIT_INPUT: "by somebody"}
    comfy.run({"1": node, "2": save("1")}).ok()
    assert comfy.count("create") == 1


def test_the_cap_of_the_settings_counts_too(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfy.service, "_prompt_limit", lambda: 10.0)
    assert (
        "your limit of 10 credits a prompt"
        in comfy.run({"1": image_to_video(image_urls="https://cdn.example.com/a.png"), "2": save("1")}).error
    )
    assert host.PROMPT_LIMIT_SETTING.startswith("apimallvideo.")


def test_poll_result_takes_the_newest_clip_that_nobody_was_handed_and_says_which(slow_comfy: Comfy) -> None:
    ids = [
        slow_comfy.run({"1": text_to_video(prompt, wait=False), "2": keep("1", 4)}).ok().kept("2")
        for prompt in ("older", "newer")
    ]
    slow_comfy.clock.advance(3600)
    journal = slow_comfy.service.journal()
    eventually(lambda: all(journal.get(number).delivered_at for number in (1, 2)), "fetched although no node waits")
    for task_id in reversed(ids):
        outcome = slow_comfy.run({"1": poll(), "2": keep("1", 4)}).ok()
        assert outcome.kept("2") == task_id
        assert f"The newest job that was not collected yet: task {task_id}" in outcome.said()
