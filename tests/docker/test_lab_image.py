"""The lab image does what a learner needs, and nothing slow came back into its start."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from core.settings import ROOT
from tests.docker.lab_container import LAB_TOKEN, STATUS, LabContainer, Outside, lab, outside

pytestmark = pytest.mark.docker

IMAGE = "dli/lab-cpu:latest"

NOTEBOOK_OF_TWO_TESTS = """
import nbformat.v4 as v4, nbformat, pathlib
def test(source, name):
    about = {"grade": True, "grade_id": name, "locked": True, "points": 1, "solution": False,
             "schema_version": 3, "task": False}
    return v4.new_code_cell(source, metadata={"nbgrader": about})
folder = pathlib.Path.home() / "tiny" / "sums"
folder.mkdir(parents=True)
cells = [test("assert 1 + 1 == 2", "one"), test("assert 1 + 1 == 3", "two")]
spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), folder / "sums.ipynb")
"""


FORMGRADER = """
from jupyter_core.paths import jupyter_config_path, jupyter_path
from jupyter_server.services.config.manager import ConfigManager
from jupyterlab_server.config import get_page_config
name = 'nbgrader.server_extensions.formgrader'
server = ConfigManager(read_config_path=jupyter_config_path()).get('jupyter_server_config')
page = get_page_config(jupyter_path('labextensions'))
print(server['ServerApp']['jpserver_extensions'][name])
print('@jupyter/nbgrader:formgrader' not in page['disabledExtensions'])
"""
"""Whether the server and the page have formgrader."""


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    engine = docker.from_env(timeout=120)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    with outside() as found:
        yield found


@pytest.fixture(scope="module")
def running(
    client: docker.DockerClient, world: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabContainer]:
    material = tmp_path_factory.mktemp("material")
    (material / "labs").mkdir()
    (material / "labs" / "one.ipynb").write_text('{"cells": []}')
    for folder in (material.parent, material):
        folder.chmod(0o755)
    volumes = {str(material): {"bind": "/srv/course", "mode": "ro"}}
    with lab(client, world, IMAGE, volumes=volumes) as found:
        yield found


def test_only_the_signed_in_learner_gets_in(running: LabContainer) -> None:
    assert running.http.get("api/contents/").status_code == 200
    for path in ("api/contents/", "dli-lab/status", "api/kernels"):
        assert running.anonymous.get(path).status_code == 403
        wrong = running.anonymous.get(path, headers={"Authorization": "token wrong"})
        assert wrong.status_code == 403
    for path in ("lab", "assignments?course_id=tiny", "nbgrader_version?version=1"):
        assert "/hub/api/oauth2/authorize" in running.anonymous.get(path).headers["Location"]


def test_the_server_starts_without_database_and_grammar(running: LabContainer) -> None:
    loaded = running.python(
        "import sys\n"
        "from dli_lab import launch\n"
        "with launch.without_database():\n"
        "    import jupyterhub.singleuser.extension, jupyterlab.labapp\n"
        "heavy = {'sqlalchemy', 'alembic', 'lark', 'rfc3987_syntax', 'nbgrader', 'nbconvert'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert loaded == "[]"


def test_an_idle_lab_is_small(client: docker.DockerClient, world: Outside) -> None:
    with lab(client, world, IMAGE) as fresh:
        time.sleep(2)
        pids = [row[0] for row in fresh.container.top(ps_args="-o pid")["Processes"]]
        lines = []
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                lines += Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    assert sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024 < 110


def test_stand_ins_give_the_real_module_afterwards(running: LabContainer) -> None:
    answer = running.python(
        "from dli_lab import launch\n"
        "with launch.without_database():\n"
        "    import jupyterhub.scopes as scopes\n"
        "both = scopes._intersect_expanded_scopes({'a!user=x', 'b'}, {'a', 'c'})\n"
        "import sqlalchemy, nbgrader.apps\n"
        "from jupyterhub import orm\n"
        "print(sorted(both), scopes.orm.User is orm.User, sqlalchemy.select is not None)"
    )
    assert answer == "['a!user=x'] True True"


def test_status_comes_from_the_usage_service_with_the_labs_token(
    running: LabContainer, world: Outside
) -> None:
    answer = running.http.get("dli-lab/status?lang=ko")
    started_for = {"course": "tiny", "lab": "", "cohort": "", "assignment": ""}
    assert answer.json() == {**STATUS, **started_for}
    calls = [(path, auth) for path, auth, _ in world.seen if "/usage/api/me/status" in path]
    assert calls[-1] == ("GET /usage/api/me/status?lang=ko", f"token {LAB_TOKEN}")
    page = running.http.get("lab").text
    assert LAB_TOKEN not in page
    assert LAB_TOKEN not in answer.text


def test_warnings_and_requests_are_passed_on(running: LabContainer, world: Outside) -> None:
    assert running.http.post("dli-lab/warnings/w-1/seen").status_code == 200
    assert world.seen[-1][0] == "POST /usage/api/me/warnings/w-1/seen"
    refused = running.http.post("dli-lab/requests", json={"minutes": 30, "note": "please"})
    assert (refused.status_code, refused.json()["message"]) == (409, "Not today.")
    assert json.loads(world.seen[-1][2]) == {"minutes": 30, "note": "please"}
    for wrong in ({"minutes": 0}, {"minutes": "30"}, {"note": "x"}, [1]):
        assert running.http.post("dli-lab/requests", json=wrong).status_code == 400


def test_coursework_that_cannot_be_is_a_sentence(running: LabContainer) -> None:
    path = "dli-lab/assignments/tiny/digits"
    for action in ("submit", "validate"):
        answer = running.http.post(f"{path}/{action}?lang=en")
        text = "There is no folder tiny/digits. Fetch the assignment first."
        assert answer.json() == {"error": text}
    assert "폴더" in running.http.post(f"{path}/submit?lang=ko").json()["error"]
    assert running.http.post("dli-lab/assignments/..%2F..%2Fetc/x/fetch").status_code == 404


def test_validation_names_what_fails_and_leaves_nbgrader_out_of_the_server(
    running: LabContainer,
) -> None:
    running.python(NOTEBOOK_OF_TWO_TESTS)
    answer = running.http.post("dli-lab/assignments/tiny/sums/validate?lang=en", timeout=120)
    (found,) = answer.json()["notebooks"]
    assert (found["name"], found["passed"], found["changed"]) == ("sums.ipynb", False, [])
    assert [cell["source"] for cell in found["failed"]] == ["assert 1 + 1 == 3"]
    assert "AssertionError" in found["failed"][0]["error"]


def test_nbgraders_addresses_answer_when_first_used(running: LabContainer) -> None:
    assert running.http.get("nbgrader_version?version=0.9.6").json() == {"success": True}
    patterns = running.python(
        "from nbgrader.server_extensions.assignment_list import handlers as a\n"
        "from nbgrader.server_extensions.validate_assignment import handlers as b\n"
        "print(sorted({p for p, _ in a.default_handlers + b.default_handlers}))"
    )
    assert patterns == str(
        [
            "/assignments",
            "/assignments/(?P<action>fetch|submit|fetch_feedback)",
            "/assignments/validate",
            "/courses",
            "/nbgrader_version",
        ]
    )


def test_formgrader_is_off_until_an_instructor_switches_it_on(running: LabContainer) -> None:
    guide = (ROOT / "docs" / "how-to" / "teach-a-class.md").read_text()
    (switch,) = (b for b in guide.split("```")[1::2] if "formgrader" in b)
    both = 'export HOME=/tmp/instructor\npython3 -c "$LOOK"\n' + switch + 'python3 -c "$LOOK"'
    said = running.run("env", f"LOOK={FORMGRADER}", "sh", "-euc", both)
    assert said.split() == ["False", "False", "True", "True"]


def test_the_extension_and_the_assignment_list_are_in_the_page(running: LabContainer) -> None:
    page = running.http.get("lab").text
    config = json.loads(page.split('type="application/json">', 1)[1].split("</script>", 1)[0])
    assert {e["name"] for e in config["federated_extensions"]} >= {"dli-lab", "@jupyter/nbgrader"}
    disabled = str(config["disabledExtensions"])
    assert "dli-lab" not in disabled
    assert "assignment-list" not in disabled
    entry = next(e for e in config["federated_extensions"] if e["name"] == "dli-lab")
    assert running.http.get(f"lab/extensions/dli-lab/{entry['load']}").status_code == 200


def test_korean_is_the_language_of_a_korean_lab(running: LabContainer) -> None:
    setting = running.http.get("lab/api/settings/@jupyterlab/translation-extension:plugin").json()
    assert setting["schema"]["properties"]["locale"]["default"] == "ko_KR"
    texts = running.http.get("lab/api/translations/ko_KR").json()["data"]
    assert texts["jupyterlab"]


def test_material_is_copied_but_never_over_a_learners_file(running: LabContainer) -> None:
    copied = "/home/learner/tiny/labs/one.ipynb"
    assert running.run("cat", copied) == '{"cells": []}'
    running.run("sh", "-c", f"echo mine > {copied}")
    running.run("/opt/dli/bin/seed-course")
    assert running.run("cat", copied) == "mine\n"
    running.run("rm", copied)
    running.run("/opt/dli/bin/seed-course")
    assert running.run("cat", copied) == '{"cells": []}'


def test_the_learner_can_write_at_home_and_in_tmp_only(running: LabContainer) -> None:
    assert running.run("id", "-u").strip() == "1000"
    running.run("sh", "-c", "echo x > ~/x && echo x > /tmp/x")
    for place in ("/opt/dli", "/opt/lab", "/srv/course", "/etc"):
        code, _ = running.container.exec_run(["sh", "-c", f"echo x > {place}/x"])
        assert code != 0, place


def test_a_kernel_computes_and_draws_korean(running: LabContainer) -> None:
    kernel = running.http.post("api/kernels", json={"name": "python3"})
    assert kernel.status_code == 201
    said = running.python(
        "import warnings; warnings.simplefilter('error')\n"
        "import matplotlib; matplotlib.use('agg')\n"
        "import matplotlib.pyplot as plot, sklearn.datasets, torch\n"
        "plot.rcParams['font.family'] = 'NanumGothic'\n"
        "plot.title('정확도'); plot.savefig('/tmp/x.png')\n"
        "x = torch.tensor(sklearn.datasets.load_digits().data)\n"
        "print(tuple(x.shape), torch.cuda.is_available())"
    )
    assert said == "(1797, 64) False"
