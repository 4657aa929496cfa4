"""The log: for people and for programs, with the job that a line belongs to."""

import json
import logging
import threading

import pytest
from prometheus_client import CollectorRegistry

from studio import logs
from studio.models.journal import Journal
from studio.requests import GenerationRequest


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_object_whatever_is_in_it(capsys):
    with logs.written("info", "json"):
        logging.getLogger("a.part").warning("two\nlines of %s", '"words"')
        [line] = lines(capsys)
        assert line["message"] == 'two\nlines of "words"'
        assert (line["level"], line["logger"]) == ("warning", "a.part")
        assert line["time"].endswith("+00:00")
        assert "job" not in line


def test_a_fault_is_in_its_line(capsys):
    with logs.written("info", "json"):
        try:
            raise RuntimeError("so it is")
        except RuntimeError:
            logging.getLogger("a").exception("It failed")
        [line] = lines(capsys)
        assert "RuntimeError: so it is" in line["exception"]
        assert "Traceback" in line["exception"]


def test_lines_of_a_job_have_its_id_and_others_have_not(capsys):
    with logs.written("info", "json"):
        log = logging.getLogger("a")
        with logs.of_job("one"):
            other = threading.Thread(target=lambda: log.info("of nobody"))
            other.start()
            other.join()
            with logs.of_job("two"):
                log.info("of two")
            log.info("of one")
        log.info("after")
        told = {line["message"]: line.get("job") for line in lines(capsys)}
        assert told == {"of nobody": None, "of two": "two", "of one": "one", "after": None}


def test_all_that_a_real_job_logs_has_its_id(services, capsys):
    with logs.written("info", "json"):
        job_id = services.run_now(GenerationRequest(prompt="a red apple", steps=1, seed=1))
        told = [line for line in lines(capsys) if line["logger"].startswith("studio.")]
        assert {line.get("job") for line in told} == {job_id}
        events = [line["facts"]["event"] for line in told if "facts" in line]
        assert "load" in events, "what the broker did is told in fields, not in words alone"


def test_people_get_lines_as_before(capsys):
    with logs.written("warning", "text"):
        logging.getLogger("a.part").info("not this")
        logging.getLogger("a.part").warning("this")
        assert capsys.readouterr().err == "WARNING a.part: this\n"


def test_bad_lines_are_counted(capsys):
    with logs.written("info", "json"):
        registry = CollectorRegistry()
        logs.count_lines(registry)
        for _ in range(3):
            logging.getLogger("a").error("bad")
        logging.getLogger("a").info("good")

        def count(level: str) -> float | None:
            return registry.get_sample_value("atelier_log_lines_total", {"level": level})

        assert (count("error"), count("warning"), count("info")) == (3, 0, None)


def test_facts_that_json_does_not_know(capsys):
    with logs.written("info", "json"):
        Journal().record("load", model="a", bytes=float("inf"))
        assert "broker event=load" in capsys.readouterr().err
