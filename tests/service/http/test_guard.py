"""Who may ask, and what every answer carries."""

from __future__ import annotations

import logging

import pytest

from cxr_edge.errors import EngineError, MissingExtraError, OutputError, UsageError
from cxr_edge.service.http.settings import ServerSettings, read_token

TOKEN = "s3cret-of-this-device"
PATHS = (
    *("/v1/predictions", "/v1/predictions/1", "/v1/predictions/1/heatmap", "/v1/health"),
    *("/metrics", "/nothing"),
)
WRONG = (
    {},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": "Bearer \xff\xfe"},
)


def test_without_the_token_nothing_is_answered(start, service, upload):
    client = start(token=TOKEN)
    for headers in WRONG:
        for path in PATHS:
            answer = client.get(path, **headers)
            assert answer.refusal() == (401, "Unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert client.post("a.png", upload(filler=300_000), **headers).refusal()[0] == 401
    assert not service.results


def test_with_the_token_all_is_answered(start, upload):
    client = start(token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("a.png", upload(), **headers).status == 201
    assert client.get("/v1/predictions", Authorization=f"bearer {TOKEN}").status == 200
    assert client.get("/healthz", **headers).json["artifact"]


def test_monitors_learn_without_a_token_whether_all_is_well_and_no_more(start, service):
    client = start(token=TOKEN)
    assert client.get("/healthz").json == {"schema": "cxr-edge.health/1", "ok": True}
    service.problems = ("secret",)
    answer = client.get("/healthz")
    assert (answer.status, answer.json["ok"], b"secret" in answer.body) == (503, False, False)


def test_the_page_itself_needs_no_token(start):
    client = start(token=TOKEN)
    for path in ("/", "/page.js", "/page.css", "/icon.svg"):
        assert client.get(path).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8631", "localhost.evil.example", "[::2]", "127.0.0.2", ""],
)
def test_a_name_that_is_not_this_computer_s_is_refused(client, service, upload, host):
    assert client.get("/", Host=host).refusal() == (421, "Misdirected")
    assert client.post("a.png", upload(), Host=host).refusal() == (421, "Misdirected")
    assert not service.results


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8631", "[::1]:8631"])
def test_names_of_this_computer(client, host):
    assert client.get("/healthz", Host=host).status == 200


def test_other_addresses_than_loopback_may_have_any_name(start):
    client = start(host="0.0.0.0", token=TOKEN)
    assert client.get("/healthz", Host="xray-1.ward").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[broken"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_send(client, service, upload, headers):
    assert client.post("a.png", upload(), **headers).refusal() == (403, "Forbidden")
    assert not service.results


def test_the_own_page_can_send(client, upload):
    own = f"127.0.0.1:{client.server.port}"
    headers = {"Host": own, "Origin": f"http://{own}", "Sec_Fetch_Site": "same-origin"}
    assert client.post("a.png", upload(), **headers).status == 201


@pytest.mark.parametrize("path", ["/", "/v1/predictions", "/nothing", "/metrics"])
def test_every_answer_has_the_security_headers(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy and "*" not in policy
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"):
        assert rule in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_fault_of_the_service_is_one_line_without_names(client, service, upload, caplog, capfd):
    def fail() -> None:
        raise ZeroDivisionError("secret-name.png")

    service.work = fail
    with caplog.at_level(logging.WARNING, "cxr_edge"):
        answer = client.post("secret-name.png", upload())
    assert answer.refusal() == (500, "InternalError")
    (record,) = caplog.records
    assert "ZeroDivisionError at test_guard.py:" in record.getMessage()
    assert "secret-name" not in record.getMessage() + answer.json["message"]
    assert "Traceback" not in "".join(capfd.readouterr())
    service.work = lambda: None
    assert client.post("a.png", upload()).status == 201


def test_a_typed_error_of_the_service_keeps_its_type(client, service, upload):
    for error, status in ((OutputError, 503), (MissingExtraError, 501), (EngineError, 500)):

        def fail(error=error) -> None:
            raise error("results.db: no space left")

        service.work = fail
        answer = client.post("a.png", upload())
        assert answer.refusal() == (status, error.__name__)
        assert answer.json["message"] == "results.db: no space left"
        assert ("retry-after" in answer.headers) is (status == 503)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "xray.ward"])
def test_other_computers_need_a_token(host):
    with pytest.raises(UsageError, match="can be reached from other computers"):
        ServerSettings(host=host)
    assert not ServerSettings(host=host, token=TOKEN).is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback(host):
    assert ServerSettings(host=host).is_loopback


@pytest.mark.parametrize("token", ["", " ", "a b", "ü", "a\n"])
def test_tokens_that_no_header_carries_are_refused(token):
    with pytest.raises(UsageError, match="token"):
        ServerSettings(token=token)


def test_settings_do_not_show_their_token():
    assert TOKEN not in repr(ServerSettings(token=TOKEN))


def test_a_token_comes_from_a_file_of_its_own(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\n")
    file.chmod(0o640)
    assert read_token(file) == TOKEN
    file.chmod(0o644)
    with pytest.raises(UsageError, match=r"every user .* \(mode 0644\); run: chmod o= "):
        read_token(file)
    with pytest.raises(UsageError, match="absent"):
        read_token(tmp_path / "absent")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_reads_nothing_and_makes_no_work(client, site):
    headers = {"Sec_Fetch_Site": site}
    for path in ("/v1/predictions", "/v1/predictions/1/heatmap", "/v1/health", "/metrics"):
        assert client.get(path, **headers).status == 403
    assert client.get("/", **headers).status == 200  # somebody follows a link
