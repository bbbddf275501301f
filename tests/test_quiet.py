"""The tools drop LiteRT's notes, and nothing else, whichever way they end."""

from __future__ import annotations

import os
import pathlib
import pty
import signal
import subprocess
import sys
import textwrap

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes

from tflite_odl.commands import quiet

ROOT = pathlib.Path(__file__).parents[1]

INFO = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
WARNING = b"WARNING: [npu_registry.cc:34] NPU accelerator could not be loaded.\n"
CONTINUED = "WARNING: [plugin.cc:312] Failed\n└ Could not load x\n".encode()
CONVERTER = b"I0000 00:00:1795582503.216180   12121 loader.cc:220] Running op\n"
ERROR = "ERROR: [compiled_model.cc:1] no\n└ file missing\n".encode()
OTHERS = b"terminate called\nINFORM: me\n an INFO: inside\nWARNING:x:y\nW0000 y\n"


def passed(pieces) -> bytes:
    found = quiet.Filter()
    return b"".join(map(found.feed, pieces)) + found.end()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_notes_are_dropped_and_others_pass_in_order(size):
    text = INFO + OTHERS + WARNING + CONTINUED + ERROR + CONVERTER + b"\n" + INFO
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert passed(pieces) == OTHERS + ERROR + b"\n"


def test_partial_lines_pass_at_once_unless_they_may_be_notes():
    found = quiet.Filter()
    assert found.feed(b"loss .5") == b"loss .5"
    assert found.feed(b", INFO: of it") == b", INFO: of it"
    assert found.feed(b"\nINF") == b"\n"
    assert found.feed(b"ERNO\nINFO: crea") == b"INFERNO\n"
    assert found.end() == b"INFO: crea" and found.end() == b""


def script(body: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a tool of these lines; between them `native(text)` writes like LiteRT."""
    head = """
    import os, sys
    from tflite_odl.commands import quiet
    from absl import app
    def native(text):
        os.write(2, text.encode())
    def main(argv):
        quiet.start()
    """
    code = textwrap.dedent(head) + textwrap.indent(textwrap.dedent(body), "    ")
    command = [sys.executable, "-c", code + "\napp.run(main)", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_what_python_and_others_write_keeps_its_order():
    body = """
    for number in range(300):
        native(f"INFO: [a.cc:1] {number}\\nnative {number}\\n")
        print(f"INFO: python {number}", file=sys.stderr)
    native("cut off")
    """
    expected = "".join(f"native {n}\nINFO: python {n}\n" for n in range(300))
    done = script(body)
    assert done.stderr == expected + "cut off" and done.returncode == 0


def test_verbose_shows_everything():
    body = 'native("INFO: [a.cc:1] b\\n")'
    assert script(body).stderr == ""
    assert script(body, "--verbose").stderr == "INFO: [a.cc:1] b\n"


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV])
def test_the_last_words_of_a_crash_arrive(number):
    body = f"""
    native("INFO: [a.cc:1] b\\n" + "x" * 300_000 + "\\nlast\\n")
    os.kill(os.getpid(), {number})
    """
    done = script(body)
    assert done.returncode == -number
    # absl has Python add where it was.
    assert done.stderr.startswith("x" * 300_000 + "\nlast\n")
    assert ("Fatal Python error" in done.stderr) == (number != signal.SIGKILL)


def test_a_traceback_and_what_the_exit_writes_arrive():
    body = """
    import atexit, ctypes
    libc = ctypes.CDLL(None)
    for text in (b"last", b"INFO: [a.cc:43] b"):  # the last one registered is first
        libc.__cxa_atexit(libc.perror, ctypes.c_char_p(text), None)
    atexit.register(native, "WARNING: [a.cc:43] c\\nfirst\\n")
    raise ValueError("INFO: why")
    """
    done = script(body)
    assert done.returncode == 1
    assert "ValueError: INFO: why\nfirst\nlast: " in done.stderr
    assert "a.cc" not in done.stderr.split("ValueError")[-1]


def test_children_write_through_the_filter_and_may_outlive_the_tool():
    body = """
    import subprocess
    late = "sleep .3; echo INFO: [a.cc:1] b >&2; echo late >&2"
    subprocess.Popen(["sh", "-c", late])
    subprocess.run(["sh", "-c", "echo WARNING: [a.cc:1] b >&2; echo child >&2"])
    print("parent", file=sys.stderr)
    """
    assert script(body).stderr == "child\nparent\nlate\n"


def test_a_closed_descriptor_is_left_alone():
    command = [sys.executable, ROOT / "tools" / "describe.py", "missing"]
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", *map(str, command)]
    done = subprocess.run(shell, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2


def test_python_still_knows_its_terminal():
    ours, theirs = pty.openpty()
    code = (
        "import sys\nfrom absl import app\nfrom tflite_odl.commands import quiet\n"
        "def main(argv):\n"
        " quiet.start()\n"
        " print(sys.stderr.isatty(), file=sys.stderr)\n"
        "app.run(main)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment)
    assert os.read(ours, 100) == b"True\r\n"
    os.close(ours)
    os.close(theirs)


def test_describe_and_emulate_print_no_notes(build, tmp_path):
    artifact = build("finetune-mlp")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def errors(*command: object) -> str:
        line = [sys.executable, *map(str, command)]
        done = subprocess.run(line, capture_output=True, text=True, env=environment)
        return done.stderr

    describe = (ROOT / "tools" / "describe.py", artifact)
    assert errors(*describe) == ""
    assert "INFO: " in errors(*describe, "--verbose")
    emulate = (ROOT / "tools" / "emulate.py", artifact, "--runtime=compiled")
    # Its rows do not fit this artifact: refused once the runtime stands.
    said = errors(*emulate, f"--out={tmp_path / 'run'}")
    assert said.startswith("ContractError: ") and said.count("\n") == 1


def test_a_failed_process_is_quoted_without_notes():
    code = "import sys; sys.exit('the cause\\nINFO: [a.cc:43] DestroyAccelerator')"
    with pytest.raises(processes.Failed, match="exit 1: the cause"):
        processes.run([sys.executable, "-c", code])
