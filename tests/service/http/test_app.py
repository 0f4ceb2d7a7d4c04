"""What each address answers."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cxr_edge.service.recorder import Stopping

STORED = {
    *("id", "received", "finished", "via", "path", "content", "bundle", "latency_ms", "hash"),
}


def test_an_image_is_answered_with_its_stored_prediction(client, service, upload):
    answer = client.post("lung.png", upload(0.8), Content_Type="image/png")
    assert answer.status == 201
    document = answer.json
    assert document["schema"] == "cxr-edge.predictions/1"
    assert (document["ok"], document["label"], document["source"]) == (
        True,
        "PNEUMONIA",
        "lung.png",
    )
    assert set(document["stored"]) == STORED
    assert document["stored"]["content"] == hashlib.sha256(upload(0.8)).hexdigest()
    assert answer.headers["location"] == f"/v1/predictions/{document['stored']['id']}"
    assert client.get(answer.headers["location"]).json == document
    assert len(service.results) == 1


def test_the_same_name_and_content_is_stored_once(client, service, upload):
    first = client.post("a.png", upload())
    again = client.post("a.png", upload())
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert client.post("b.png", upload()).status == 201
    assert len(service.results) == 2


def test_an_image_that_cannot_be_read_is_a_stored_failure(client, service):
    answer = client.post("bad.png", b"bad image")
    assert answer.status == 422
    assert (answer.json["ok"], answer.json["error"]) == (False, "ImageError")
    assert client.get(f"/v1/predictions/{answer.json['stored']['id']}").json == answer.json
    assert client.post("bad.png", b"bad image").json == answer.json
    assert len(service.results) == 1


def test_an_upload_without_a_name_is_called_after_its_content(client, upload):
    document = client.post(None, upload()).json
    assert document["stored"]["path"] == document["stored"]["content"][:12]


@pytest.mark.parametrize(
    "name", ["a b.png", "röntgen.png", "肺.dcm", "<b>&amp;\"'.png", "x" * 255, "%41"]
)
def test_names_are_kept_as_they_are(client, upload, name):
    assert client.post(name, upload()).json["stored"]["path"] == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../x",
        "a\\b",
        "a\nb",
        "a\0b",
        "a\x7f",
        "\u202ea",
        "x" * 256,
    ],
)
def test_bad_names_are_refused(client, service, upload, name):
    assert client.post(name, upload()).refusal() == (400, "BadRequest")
    assert not service.results


@pytest.mark.parametrize("query", ["name=a&name=b", "name=%ff%fe"])
def test_names_that_are_no_names_are_refused(client, upload, query):
    answer = client.ask("POST", f"/v1/predictions?{query}", upload())
    assert answer.refusal() == (400, "BadRequest")


def test_results_come_newest_first_in_pages(client, upload):
    for number in range(5):
        client.post(f"{number}.png", upload())
    first = client.get("/v1/predictions?limit=2").json
    assert [result["source"] for result in first["results"]] == ["4.png", "3.png"]
    second = client.get(f"/v1/predictions?limit=3&before={first['next']}").json
    assert [result["source"] for result in second["results"]] == ["2.png", "1.png", "0.png"]
    assert second["next"] is None
    assert client.get("/v1/predictions").json["results"] == first["results"] + second["results"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "limit=",
        "before=0",
        f"before={2**63}",
        "before=%D9%A1",  # an Arabic 1
    ],
)
def test_pages_that_are_none_are_refused(client, query):
    assert client.get(f"/v1/predictions?{query}").refusal() == (400, "BadRequest")


def test_a_name_in_the_inbox_need_not_be_unicode(client, service, upload):
    service._store("caf\udce9.png", upload(), "ab" * 32)
    (result,) = client.get("/v1/predictions").json["results"]
    assert result["stored"]["path"] == result["source"] == "caf\udce9.png"
    assert client.get("/v1/predictions/1").status == 200


@pytest.mark.parametrize("number", ["0", "1", "-1", "x", "9" * 30, "1.0", "%00"])
def test_a_result_that_is_not_there(client, number):
    assert client.get(f"/v1/predictions/{number}").refusal() == (404, "NotFound")
    assert client.get(f"/v1/predictions/{number}/heatmap").refusal() == (404, "NotFound")


def test_a_heat_map_is_a_picture(client, service, upload):
    number = client.post("a.png", upload()).json["stored"]["id"]
    answer = client.get(f"/v1/predictions/{number}/heatmap")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body == service.picture


def test_no_heat_map_says_why(client, upload):
    kept_no_more = client.post("gone.png", upload()).json["stored"]["id"]
    failed = client.post("bad.png", b"bad").json["stored"]["id"]
    answer = client.get(f"/v1/predictions/{kept_no_more}/heatmap")
    assert answer.refusal() == (404, "NoHeatmap")
    assert answer.json["message"] == "the image is no longer kept"
    assert client.get(f"/v1/predictions/{failed}/heatmap").refusal() == (404, "NoHeatmap")


def test_health(client, service):
    assert client.get("/healthz").json == client.get("/v1/health").json
    service.problems = ("the disk is full",)
    answer = client.get("/healthz")
    assert answer.status == 503
    assert (answer.json["ok"], answer.json["problems"]) == (False, ["the disk is full"])
    assert client.get("/v1/health").status == 200


def test_a_paused_or_busy_service_says_so_and_when_to_come_again(client, service, upload):
    service.paused = "the disk is full"
    answer = client.post("a.png", upload())
    assert answer.refusal() == (503, "Paused")
    assert "the disk is full" in answer.json["message"]
    assert int(answer.headers["retry-after"]) > 0
    service.paused, service.most_waiting = "", 0
    answer = client.post("a.png", upload())
    assert answer.refusal() == (503, "Busy")
    assert int(answer.headers["retry-after"]) > 0
    service.most_waiting = 1
    assert client.post("a.png", upload()).status == 201


def test_uploads_wait_in_line_and_not_for_ever(start, service, upload):
    """The worker itself has room for few."""
    service.most_waiting = 5
    client = start(queue_timeout_s=0.5)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: client.post(f"{n}.png", upload()).status, range(20)))
    assert answers == [201] * 20
    goes_on = threading.Event()
    service.work = lambda: goes_on.wait(10)
    with ThreadPoolExecutor(5) as pool:
        held = [pool.submit(client.post, f"held-{n}.png", upload()) for n in range(4)]
        until = time.monotonic() + 10
        while service.waiting < 4 and time.monotonic() < until:
            time.sleep(0.01)
        assert client.post("late.png", upload()).refusal() == (503, "Busy")
        goes_on.set()
        assert [answer.result().status for answer in held] == [201] * 4


@pytest.mark.parametrize("how", ["cancelled", "stopping"])
def test_what_waits_when_the_service_stops_can_be_sent_again(client, service, upload, how):
    future: Future[object] = Future()
    if how == "cancelled":
        future.cancel()
    else:
        future.set_exception(Stopping())
    service.submit, submit = lambda name, data: future, service.submit
    try:
        answer = client.post("a.png", upload())
    finally:
        service.submit = submit
    assert answer.refusal() == (503, "Busy")
    assert answer.headers["retry-after"]


def test_a_slow_answer_is_given_up_but_not_the_work(start, service, upload):
    client = start(answer_timeout_s=0.1)
    goes_on = threading.Event()
    service.work = lambda: goes_on.wait(10)
    assert client.post("a.png", upload()).refusal() == (504, "Timeout")
    goes_on.set()
    service.pool.submit(int).result(10)
    assert [result.path for result in service.results] == ["a.png"]
    assert client.post("a.png", upload()).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 404),
        ("GET", "/static/page.js", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/healthz/", 404),
        ("DELETE", "/v1/predictions/1", 405),
        ("PUT", "/v1/predictions", 405),
        ("POST", "/healthz", 405),
        ("FETCH", "/", 405),
    ],
)
def test_addresses_and_methods_that_do_not_exist(client, method, path, status):
    assert client.ask(method, path).refusal()[0] == status


def test_metrics_are_prometheus_text(client, upload):
    client.post("a.png", upload())
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'\ncxr_edge_predictions_total{label="PNEUMONIA"} ' in answer.body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/page.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_s_files(client, path, kind):
    answer = client.get(path)
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, kind)
    assert b"{{" not in answer.body
    assert b"http://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in answer.body and b"style=" not in answer.body


def test_the_page_says_that_it_is_no_medical_device(client):
    assert b"Research software, not a medical device" in client.get("/").body
