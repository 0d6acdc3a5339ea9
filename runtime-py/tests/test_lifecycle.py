"""Start, recycling and stop."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import HANDLERS, Runtime, eventually

BUILD = Path(__file__).resolve().parents[1] / "build_zipapp.py"


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("nowhere.f", ["no module 'nowhere'", "searched", str(HANDLERS)]),
        ("zoo.identty", ["has no 'identty'", "did you mean identity"]),
        ("zoo.Model.proces", ["class Model", "did you mean process"]),
        ("zoo.Model", ["name its method"]),
        ("zoo.Needs.process", ["needs a value for 'weights'"]),
        ("broken.f", ["its import fails", "there_is_no_such_module_either"]),
        ("zoo", ["module.function"]),
        ("", ["ASYA_HANDLER is not set"]),
    ],
)
def test_a_handler_that_does_not_load_is_explained(handler, words):
    with Runtime(handler, wait=False) as runtime:
        assert runtime.process.wait(15) == 1
        for word in words:
            assert word in runtime.log().replace("\\\\", "\\")


def test_every_wrong_variable_is_named_at_once():
    wrong = {
        "ASYA_WORKERS": "many", "ASYA_HANDLER_MODE": "x", "ASYA_SOCKET_CHMOD": "-1", "ASYA_BATCH_MAX": "0",
        "ASYA_CONCURRENCY": "", "ASYA_GRACE_SECONDS": "nan", "ASYA_LOG_LEVEL": "loud", "ASYA_JSON": "yaml",
        "ASYA_RESULT": "double", "ASYA_WORKER_MAX_RSS_MB": "-1", "ASYA_BATCH_WAIT_MS": "soon",
        "ASYA_WORKER_MAX_REQUESTS": "1.5", "ASYA_LOG_FORMAT": "xml", "ASYA_UVLOOP": "perhaps",
    }  # fmt: skip
    with Runtime("", wait=False, **wrong) as runtime:
        assert runtime.process.wait(15) == 64
        for name in [*wrong, "ASYA_HANDLER is not set"]:
            assert name in runtime.log()


def test_handlers_echo_is_there_when_no_such_module_is():
    with Runtime("handlers.echo") as runtime:
        assert runtime.control().worker().ask({"x": 1}) == [{"x": 1}]


def test_stale_files_are_removed_and_modes_set():
    with Runtime("zoo.do", ASYA_SOCKET_CHMOD="0o600") as runtime:
        runtime.process.kill()
        runtime.process.wait()
        assert (runtime.directory / "asya-runtime.sock").exists()
        env = {**os.environ, "ASYA_HANDLER": "zoo.do", "ASYA_SOCKET_DIR": str(runtime.directory)}
        env |= {"PYTHONPATH": f"{BUILD.parent / 'src'}:{HANDLERS}", "ASYA_SOCKET_CHMOD": "0o600"}
        (runtime.directory / "asya-w99.sock").touch()
        (runtime.directory / "runtime-ready").unlink()
        runtime.process = subprocess.Popen([sys.executable, "-m", "asya_runtime"], env=env, stderr=subprocess.DEVNULL)
        path = runtime.directory / "asya-runtime.sock"
        eventually((runtime.directory / "runtime-ready").exists)
        assert not (runtime.directory / "asya-w99.sock").exists()
        assert path.stat().st_mode & 0o777 == 0o600
        assert runtime.control().worker().ask(1) == [1]


def test_a_worker_is_recycled_after_its_requests_and_none_is_lost():
    with Runtime("zoo.do", ASYA_WORKER_MAX_REQUESTS="3") as runtime:
        control = runtime.control()
        worker = control.worker()
        worker.sock.sendall(b"".join(worker.frame(i, {"n": i}) for i in range(1, 11)))
        answered = []
        try:
            while True:
                answered.append(worker.read()[1])
        except (EOFError, OSError):
            pass
        assert answered == list(range(1, len(answered) + 1))
        assert len(answered) >= 3
        exited, fresh = control.replaced()
        assert (exited["worker"], exited["reason"]) == (worker.id, "retired")
        assert fresh.ask(1) == [1]


def test_sigterm_stops_an_idle_runtime_and_removes_its_files():
    with Runtime("zoo.do") as runtime:
        assert runtime.terminate() == 0
        left = [path.name for path in runtime.directory.iterdir()]
        assert left == ["log"]


@pytest.mark.parametrize("handler", ["do", "async_do"])
def test_sigterm_lets_running_work_finish(handler):
    with Runtime(f"zoo.{handler}") as runtime:
        control = runtime.control()
        worker = control.worker()
        worker.send(1, {"sleep": 0.7})
        time.sleep(0.1)
        runtime.process.terminate()
        time.sleep(0.2)
        assert worker.read()[2] == [(b"", {"sleep": 0.7})]
        assert worker.ask("more", request=2) == ["more"]
        assert runtime.process.poll() is None
        worker.sock.close()
        control.sock.close()
        assert runtime.process.wait(10) == 0


def test_a_sidecar_that_has_done_its_job_ends_the_runtime_with_0():
    with Runtime("zoo.do") as runtime:
        control = runtime.control()
        worker = control.worker()
        control.sock.sendall(bytes.fromhex("00000009040000000000000000"))
        assert worker.ask("still served") == ["still served"]
        worker.sock.close()
        control.sock.close()
        assert runtime.process.wait(10) == 0


def test_sigterm_serves_an_older_sidecar_until_it_is_quiet():
    envelope = {"route": {"actors": ["a"], "current": 0}, "payload": 1}
    with Runtime("zoo.do") as runtime:
        runtime.one_shot(envelope)
        runtime.process.terminate()
        time.sleep(0.3)
        assert runtime.one_shot(envelope)[0]["payload"] == 1
        assert runtime.process.wait(10) == 0


def test_the_grace_period_ends_what_does_not_end():
    with Runtime("zoo.do", ASYA_GRACE_SECONDS="3") as runtime:
        worker = runtime.control().worker()
        worker.send(1, "hang")
        began = time.monotonic()
        assert runtime.terminate() == 0
        assert time.monotonic() - began < 3.5


@pytest.mark.parametrize("name", ["asya_runtime.pyz", "asya_runtime.py"])
def test_one_file_is_the_whole_runtime(tmp_path, name):
    archive = tmp_path / name
    subprocess.run([sys.executable, str(BUILD), str(archive)], check=True, stdout=subprocess.DEVNULL)
    again = tmp_path / "again"
    subprocess.run([sys.executable, str(BUILD), str(again)], check=True, stdout=subprocess.DEVNULL)
    assert archive.read_bytes() == again.read_bytes()
    with Runtime("zoo.do", command=[sys.executable, str(archive)]) as runtime:
        assert runtime.control().worker().ask(1) == [1]
        assert runtime.terminate() == 0
