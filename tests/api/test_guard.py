"""The guard: what is open, what is not, and how one gets in with the settings' password."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from studio.api.tries import EACH
from studio.services import Services, build_services
from studio.settings import Settings
from tabs.page import build_app

PASSWORD = "a pass, word: ü"
FRAMED = {
    "Sec-Fetch-Site": "same-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "iframe",
}
_numbers = count(1)
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services with a password and every door there is; nothing of them is started."""
    folder = tmp_path_factory.mktemp("guarded")
    # Strangers are told that they ask too fast after as many requests; here all come from one.
    every = {"mcp": True, "requests_per_minute": 0}
    built = build_services(Settings(data_dir=folder, device="cpu", password=PASSWORD, **every))
    yield built
    built.stop()


@pytest.fixture(scope="module")
def app(guarded: Services) -> FastAPI:
    return build_app(guarded)


@pytest.fixture
def visit(app: FastAPI) -> Callable[..., TestClient]:
    """Makes clients without a session that follow no redirects, each test's at its own address."""
    address = f"192.0.2.{next(_numbers)}"

    def new(client: str = address, base_url: str = "http://testserver") -> TestClient:
        return TestClient(app, base_url, follow_redirects=False, client=(client, 5000))

    return new


def basic(password: str, name: str = "anyone") -> dict[str, str]:
    both = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


def enter(client: TestClient, password: str = PASSWORD, name: str = "admin", **headers: str):
    form = {"username": name, "password": password}
    return client.post("/login", data=form, headers=HTML | headers)


def addresses(routes: list, before: str = "") -> Iterator[tuple[str, str]]:
    """Every method and address that the application has, Gradio's too, with names filled in."""
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from addresses(included.routes, before)
        elif isinstance(route, Mount):
            for method in ("GET", "POST", "DELETE"):
                yield method, f"{before}{route.path}/x"
            yield from addresses(route.routes, before + route.path)
        elif isinstance(route, Route):
            path = before + route.path
            for kind in ("{path:path}", "{path_or_url:path}"):
                path = path.replace(kind, "etc/passwd")
            yield from ((method, path) for method in route.methods or ())
        else:
            assert isinstance(route, WebSocketRoute), f"{route} is of a kind that nobody walks"
            yield "WEBSOCKET", before + route.path


def is_let_in(client: TestClient, method: str, path: str) -> bool:
    """Whether an address answers with anything but that one is nobody."""
    if method != "WEBSOCKET":
        return client.request(method, path).status_code != 401
    try:
        with client.websocket_connect(path):
            return True
    except WebSocketDisconnect as error:
        return error.code != 1008


def test_nothing_but_four_addresses_answers_a_stranger(app, visit):
    client = visit()
    asked = sorted(set(addresses(app.routes)))
    assert len(asked) > 60, "Gradio's routes are among them"
    assert any("gradio_api/upload" in path for _, path in asked)
    assert any("gradio_api/file=" in path for _, path in asked)
    assert any("queue/data" in path for _, path in asked), "the event stream"
    assert any("/mcp/" in path for _, path in asked), "MCP"
    assert any(path.startswith("/vendor/") for _, path in asked), "static files"
    assert any(path.startswith("/sdapi/") for _, path in asked)
    let_in = {path for method, path in asked if is_let_in(client, method, path)}
    assert let_in == {"/health", "/ready", "/login", "/setup"}
    assert not is_let_in(client, "WEBSOCKET", "/any/socket")


@pytest.mark.parametrize(
    "path",
    ["/health/", "//health", "/HEALTH", "/health/../status", "/login/", "/x/health", "/health%2f"],
)
def test_what_only_looks_open_is_not(visit, path):
    assert visit().get(path).status_code == 401


def test_a_stranger_is_told_how_to_get_in(visit):
    refused = visit().get("/status")
    assert refused.json()["detail"].startswith("Who are you?")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["cache-control"] == "no-store"


def test_a_person_is_led_to_the_login_and_on(visit):
    client = visit()
    led = client.get("/outputs/7/image?a=b&c=%2F", headers=HTML)
    assert led.status_code == 303
    page = client.get(led.headers["location"], headers=HTML)
    assert 'value="/outputs/7/image?a=b&amp;c=%2F"' in page.text
    assert "http" not in page.text.replace("http://www.w3.org/2000/svg", ""), "nothing from others"
    form = {"username": "admin", "password": PASSWORD, "next": "/outputs/7/image?a=b&c=%2F"}
    done = client.post("/login", data=form, headers=HTML)
    assert (done.status_code, done.headers["location"]) == (303, "/outputs/7/image?a=b&c=%2F")
    assert client.get("/status").status_code == 200


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: b=c",
        "",
        '"><script>alert(1)</script>',
    ],
)
def test_the_login_leads_to_the_studio_only(visit, next):
    client = visit()
    form = {"username": "x", "password": PASSWORD, "next": next}
    done = client.post("/login", data=form, headers=HTML)
    assert done.headers["location"] == "/"
    page = client.get("/login", params={"next": next}).text
    assert 'name="next" value="/"' in page
    assert "<script>alert" not in page


def test_the_cookie_is_for_the_server_alone(visit):
    cookie = enter(visit()).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/;" in cookie
    assert "Secure" not in cookie, "or plain HTTP in one's own network would not work"


def test_the_cookie_is_secure_behind_tls(visit):
    for client, headers in (
        (visit(base_url="https://studio.example"), {}),
        (visit(), {"Origin": "https://studio.example", "Host": "studio.example"}),
    ):
        assert "; Secure" in enter(client, **headers).headers["set-cookie"]


def test_a_wrong_password_is_told_on_the_page(visit):
    client = visit()
    wrong = enter(client, "not it at all")
    assert wrong.status_code == 401
    assert "That is not the name and password of anybody here." in wrong.text
    assert "set-cookie" not in wrong.headers
    assert client.get("/status").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {PASSWORD}".encode()}, basic(PASSWORD), basic(PASSWORD, "")],
    ids=["bearer", "basic", "basic without a name"],
)
def test_programs_send_the_password(visit, headers):
    assert visit().get("/status", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer x", "Basic", "Basic ???", "Basic /////w==", "Digest a", "basic Og==", ""],
)
def test_what_is_no_password_is_refused(visit, value):
    assert visit().get("/status", headers={"Authorization": value}).status_code == 401


def test_a_gradio_client_logs_in_as_it_does_elsewhere(visit):
    client = visit()
    wrong = client.post("/login", data={"username": "a", "password": "b"})
    assert wrong.status_code == 401
    done = client.post("/login", data={"username": "a", "password": PASSWORD})
    assert done.json() == {"success": True}
    assert client.get("/config").status_code == 200


def test_the_end_of_a_session(visit):
    client = visit()
    enter(client)
    assert client.get("/status").status_code == 200
    assert client.post("/logout").headers["location"] == "/login"
    assert client.get("/status").status_code == 401


@pytest.mark.parametrize("line", ["", ".", "..", "9999999999.a.", "x.y.z", "9999999999.ü.00"])
def test_a_made_up_session_is_none(app, visit, line):
    name = enter(visit()).headers["set-cookie"].partition("=")[0]
    cookie = f"{name}={line}".encode()
    assert visit().get("/status", headers={"Cookie": cookie}).status_code == 401


def test_too_many_tries_are_not_looked_at(visit):
    client = visit("203.0.113.7")
    codes = [enter(client, f"wrong {i}").status_code for i in range(EACH)]
    assert set(codes) == {401}
    late = enter(client)
    assert late.status_code == 429, "even the right one has to wait"
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert "Too many wrong passwords" in late.text
    assert client.get("/status", headers=basic(PASSWORD)).status_code == 429
    assert client.post("/login", data={"password": PASSWORD}).status_code == 429
    assert enter(visit("203.0.113.8")).status_code == 303, "another address"


def test_wrong_tries_do_not_end_sessions(visit):
    client, stranger = visit(), visit()
    enter(client)
    for i in range(EACH + 1):
        stranger.get("/status", headers=basic(f"wrong {i}"))
    assert enter(stranger).status_code == 429
    assert client.get("/status").status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "passes"),
    [
        ("POST", {"Sec-Fetch-Site": "same-origin"}, True),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, False),
        ("POST", {"Sec-Fetch-Site": "same-site"}, False),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
        ("GET", FRAMED, False),
        ("GET", FRAMED | {"Sec-Fetch-Site": "same-origin"}, True),
        ("POST", {"Origin": "http://evil.example"}, False),
        ("POST", {"Origin": "null"}, False),
        ("POST", {"Origin": "http://testserver"}, True),
        ("POST", {"Origin": "http://seen.example", "X-Forwarded-Host": "seen.example"}, True),
        ("POST", {}, True),
        ("PUT", {"Origin": "http://testserver:81"}, False),
        ("GET", {"Origin": "http://evil.example"}, True),
    ],
)
def test_other_sites_pages_do_nothing_here(visit, method, headers, passes):
    answer = visit().request(method, "/inputs", headers=headers | basic(PASSWORD))
    assert (answer.status_code != 403) == passes


def test_a_form_that_is_no_form(visit):
    client = visit()
    assert client.post("/login", content=b"\xff\xfe" * 5_000).status_code == 401
    assert client.post("/login", content=b"password=" + b"x" * 40_000).status_code == 413
    assert client.post("/login").status_code == 401


def test_a_bearer_may_come_from_anywhere_but_not_from_another_sites_page(visit):
    bearer = {"Authorization": f"Bearer {PASSWORD}".encode()}
    sent = bearer | {"Origin": "http://evil.example"}
    assert visit().post("/inputs", headers=sent).status_code == 415
    sent |= {"Sec-Fetch-Site": "cross-site"}
    assert visit().post("/inputs", headers=sent).status_code == 403


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://testserver:81"])
def test_other_sites_pages_open_no_sockets(visit, origin):
    client = visit()
    enter(client)
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/any/socket", headers={"Origin": origin}),
    ):
        pass
    assert caught.value.code == 1008


def test_without_accounts_everybody_is_at_home_who_asks_for_this_machine(services):
    app = build_app(services)
    client = TestClient(app)
    assert client.get("/status").status_code == 200
    assert client.get("/account").status_code == 404
    for host in ("127.0.0.1:7860", "[::1]:7860", "localhost", "a.localhost:1", "192.0.2.7"):
        assert client.get("/status", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7860", ""):
        refused = client.get("/status", headers={"Host": host})
        assert refused.status_code == 403, "a name that was bound anew to this machine"
        assert "ATELIER_ALLOWED_HOSTS" in refused.json()["detail"]
    for origin in ("null", "http://evil.example"):
        assert client.post("/inputs", headers={"Origin": origin}).status_code == 403
    assert client.post("/inputs", headers={"Origin": "http://testserver"}).status_code == 415


def test_with_accounts_names_count_once_they_are_set(guarded):
    named = guarded.settings.model_copy(update={"allowed_hosts": "studio.example"})
    client = TestClient(build_app(replace(guarded, settings=named)))
    for host, status in (("studio.example:80", 401), ("10.0.0.1", 401), ("evil.example", 403)):
        assert client.get("/status", headers={"Host": host}).status_code == status


def test_a_root_path_counts_with_and_without_the_proxy_taking_it_off(guarded):
    below = guarded.settings.model_copy(update={"root_path": "/studio"})
    client = TestClient(build_app(replace(guarded, settings=below)), follow_redirects=False)
    for path in ("/status", "/studio/status"):
        led = client.get(path, headers=HTML)
        assert led.headers["location"] == "/studio/login?next=/status"
        assert client.get(path).status_code == 401
    assert client.get("/studio/health").status_code == 200
    assert client.get("/studiohealth").status_code == 401
    page = client.get("/studio/login").text
    assert 'action="/studio/login"' in page
    done = enter(client)
    assert done.headers["location"] == "/studio/"
    assert "Path=/studio;" in done.headers["set-cookie"]
    client.cookies.clear()
    cookie = {"Cookie": done.headers["set-cookie"].partition(";")[0]}
    assert client.get("/studio/status", headers=cookie).status_code == 200
