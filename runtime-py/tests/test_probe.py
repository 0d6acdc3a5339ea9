"""`--probe`, asked as the kubelet asks: by the one file, in an image that has nothing else."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support import Runtime, eventually

BUILD = Path(__file__).resolve().parents[1] / "build_zipapp.py"
# Of the key of a ConfigMap, all keys together.
CONFIG_MAP_LIMIT = 1024 * 1024


def build(file):
    subprocess.run([sys.executable, str(BUILD), str(file)], check=True, stdout=subprocess.DEVNULL)
    return file


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asya")
    file = build(folder / "asya_runtime.py")
    file.chmod(0o444)
    folder.chmod(0o555)
    yield file
    folder.chmod(0o755)


def probe(zipapp, runtime, *arguments):
    command = [sys.executable, str(zipapp), "--probe", *arguments]
    directory = str(runtime.directory) if runtime else "/nowhere"
    env = {"ASYA_SOCKET_DIR": directory, "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, cwd="/")
    assert len(done.stdout.splitlines()) <= 1, "one line of reason"
    return done.returncode, done.stdout + done.stderr


def bare(zipapp, handler, **more):
    return Runtime(handler, command=[sys.executable, str(zipapp)], PYTHONPATH="", **more)


def test_a_mounted_file_runs_the_echo_fallback_where_no_module_handlers_exists(zipapp):
    runtime = bare(zipapp, "handlers.echo")
    try:
        reply = runtime.one_shot({"id": "1", "route": {"actors": ["a"], "current": 0}, "payload": {"n": 1}})
        assert reply[0]["payload"] == {"n": 1}
        assert probe(zipapp, runtime) == (0, "ok\n")
        assert probe(zipapp, runtime, "live") == (0, "ok\n")
        assert runtime.one_shot({"id": "2", "route": {"actors": ["a"], "current": 0}, "payload": 2})
        assert not [line for line in runtime.lines() if line["level"] in ("warning", "error")], "probes leave no trace"
    finally:
        assert runtime.terminate() == 0
    assert [each.name for each in zipapp.parent.iterdir()] == ["asya_runtime.py"], "nothing is written beside it"


def test_a_busy_handler_is_ready_and_alive(zipapp, tmp_path):
    (tmp_path / "busy.py").write_text("import time\ndef work(payload):\n    time.sleep(600)\n")
    runtime = Runtime("busy.work", command=[sys.executable, str(zipapp)], PYTHONPATH=str(tmp_path))
    try:
        with runtime.connect() as sock:
            body = b'{"id":"1","route":{"actors":["a"],"current":0},"payload":1}'
            sock.sendall(len(body).to_bytes(4, "big") + body)
            assert probe(zipapp, runtime) == (0, "ok\n")
            assert probe(zipapp, runtime, "live") == (0, "ok\n")
    finally:
        runtime.process.kill()
        runtime.process.wait()


def test_a_hung_supervisor_is_neither_ready_nor_alive(zipapp):
    runtime = bare(zipapp, "handlers.echo")
    runtime.process.send_signal(signal.SIGSTOP)
    try:
        for arguments in ((), ("live",)):
            code, said = probe(zipapp, runtime, *arguments)
            assert code == 1
            assert "does not answer" in said
    finally:
        runtime.process.send_signal(signal.SIGCONT)
    eventually(lambda: probe(zipapp, runtime)[0] == 0)
    assert runtime.terminate() == 0


def test_a_runtime_that_loads_its_handler_is_alive_and_not_ready(zipapp):
    assert probe(zipapp, None)[0] == 1
    assert probe(zipapp, None, "live")[0] == 0
    assert probe(zipapp, None, "lively")[0] == 64


def test_the_file_fits_into_a_config_map_and_is_the_same_for_the_same_sources(zipapp, tmp_path):
    assert stat.S_IMODE(zipapp.stat().st_mode) == 0o444
    # A zip file in binaryData is base64.
    assert zipapp.stat().st_size * 4 / 3 < CONFIG_MAP_LIMIT
    assert build(tmp_path / "again").read_bytes() == zipapp.read_bytes()
