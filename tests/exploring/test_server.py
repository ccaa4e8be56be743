"""The page's server: this machine alone, nothing without the token, subsets checked."""

import http.client
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.exploring.server import PageServer
from learnalign.exploring.subsets import save_subset
from learnalign.problems.subsets import read_subset


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(
        tmp_path_factory.mktemp("served") / "run", synthetic_run(num_problems=12, budget=3)
    )


@pytest.fixture
def server(run: Path, tmp_path: Path) -> Iterator[PageServer]:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("the page")
    (tmp_path / "page" / "about.gz").write_bytes(b"block")
    (tmp_path / "secret.gz").write_bytes(b"not of the page")
    with PageServer(tmp_path / "page", partial(save_subset, [run, run.parent / "other"])) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    server: PageServer, path: str, method: str = "GET", body: object = None, **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    data = body if isinstance(body, str) or body is None else json.dumps(body)
    connection.request(method, path, body=data, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_it_listens_on_this_machine_alone(server: PageServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.address.startswith("http://127.0.0.1:")
    assert len(server.token) >= 32


def test_the_token_lets_in(server: PageServer) -> None:
    assert ask(server, f"/{server.token}/") == (200, "the page")
    assert ask(server, f"/{server.token}/about.gz") == (200, "block")


@pytest.mark.parametrize("path", ["/", "/about.gz", "/wrong/about.gz", "//about.gz"])
def test_without_it_nothing_is_read_or_written(server: PageServer, run: Path, path: str) -> None:
    assert ask(server, path)[0] == 403
    assert ask(server, path, "POST", subset(run))[0] == 403
    assert not (run / "subsets" / "mine.json").exists()


@pytest.mark.parametrize("name", ["../secret.gz", "..%2Fsecret.gz", "other.gz", "about.gz/x"])
def test_only_the_page_is_read(server: PageServer, name: str) -> None:
    assert ask(server, f"/{server.token}/{name}")[0] == 404


def test_other_websites_are_refused(server: PageServer) -> None:
    path = f"/{server.token}/"
    assert ask(server, path, Host="evil.example")[0] == 403
    assert ask(server, path, "POST", {}, Origin="http://evil.example")[0] == 403
    assert ask(server, path, Origin=f"http://127.0.0.1:{server.server_port}")[0] == 200


def subset(run: Path, /, **changes: object) -> dict[str, object]:
    return {
        "kind": "learnalign subset",
        "name": "mine",
        "run": str(run),
        "view": "r.success_rate=0.5..",
        "problem_ids": ["addition-0000", "product-0001"],
    } | changes


def test_a_subset_is_saved_once(server: PageServer, run: Path) -> None:
    path = f"/{server.token}/subsets"
    status, said = ask(server, path, "POST", subset(run))
    assert status == 200
    saved = read_subset(Path(json.loads(said)["path"]))
    assert saved.problem_ids == ["addition-0000", "product-0001"]
    assert saved.described() == {"made": "by hand", "view": "r.success_rate=0.5.."}
    assert ask(server, path, "POST", subset(run))[0] == 200
    status, said = ask(server, path, "POST", subset(run, problem_ids=["addition-0000"]))
    assert status == 400
    assert "another name" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../evil"},
        {"name": ".hidden"},
        {"name": ""},
        {"problem_ids": ["unknown"]},
        {"problem_ids": []},
        {"problem_ids": [1]},
        {"kind": "another"},
        {"run": "/tmp"},
        {"run": None},
    ],
    ids=str,
)
def test_a_wrong_subset_is_refused(
    server: PageServer, run: Path, changes: dict[str, object]
) -> None:
    before = sorted(run.rglob("*"))
    status, said = ask(server, f"/{server.token}/subsets", "POST", subset(run, **changes))
    assert status == 400
    assert "expected" in said
    assert sorted(run.rglob("*")) == before


def test_a_subset_of_another_run_is_saved_there(server: PageServer, run: Path) -> None:
    data = synthetic_run(num_problems=24, budget=3)
    other = write_run(run.parent / "other", data)
    ids = ["addition-0000", "product-0022"]  # of which the first run has one
    request = subset(run, run=str(other), name="theirs", problem_ids=ids)
    status, said = ask(server, f"/{server.token}/subsets", "POST", request)
    assert status == 200, said
    assert Path(json.loads(said)["path"]) == other / "subsets" / "theirs.json"
    assert not (run / "subsets" / "theirs.json").exists()


@pytest.mark.parametrize("body", ["", "[", "[]", "7", "null"])
def test_what_is_no_subset_is_refused(server: PageServer, body: str) -> None:
    assert ask(server, f"/{server.token}/subsets", "POST", body)[0] == 400
