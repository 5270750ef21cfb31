"""The script itself, as a newcomer meets it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finops.stack import prepare
from finops.stack.home import REPOSITORY

RUN = REPOSITORY / "run"
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def run(*arguments, **options):
    return subprocess.run(
        [RUN, *arguments], capture_output=True, text=True, check=False, cwd="/", **options
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_understands_it(shell):
    command = ["busybox", "sh"] if shell == "busybox" else [shell]
    done = subprocess.run([*command, "-n", RUN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_uses_nothing_a_plain_shell_lacks():
    script = RUN.read_text()
    assert script.startswith("#!/bin/sh\n")
    bashisms = r"\[\[|\blocal\b|\bfunction\b|\bsource\b|<\(|\$'|&>|==|\becho -[en]|\barray\b"
    assert re.findall(bashisms, re.sub(r"'[^']*'", "", script)) == []


def test_alone_it_explains_every_word_it_knows():
    done = run()
    assert done.returncode == 0
    words = re.search(r"^([a-z| ]+)\) ;;$", RUN.read_text(), re.MULTILINE)[1].split(" | ")
    explained = re.findall(r"^  \./run (\w+)", done.stdout, re.MULTILINE)
    assert sorted(explained) == sorted(words)
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_unknown_word_is_one_sentence():
    done = run("upp")
    assert done.returncode == 2
    assert done.stderr == "./run does not know 'upp'; ./run alone explains what it knows.\n"


@pytest.fixture
def up_with_no_python(tmp_path):
    """`./run up` where the names on the path do not work, as a version manager leaves them."""
    copy = tmp_path / "repository"
    tools = tmp_path / "bin"
    copy.mkdir()
    tools.mkdir()
    shutil.copy(RUN, copy / "run")
    (tools / "dirname").symlink_to(shutil.which("dirname"))
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        (tools / name).write_text("#!/bin/sh\nexit 127\n")
        (tools / name).chmod(0o755)

    def up(**env):
        return subprocess.run(
            ["/bin/sh", copy / "run", "up"],
            env={"PATH": str(tools), **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return up


def test_without_a_fitting_python_it_says_which_one_it_needs(up_with_no_python):
    done = up_with_no_python()
    assert done.returncode == 1
    assert done.stderr == (
        "Breakeven needs Python 3.11, 3.12 or 3.13 and found none: "
        "install one of them and have it on the PATH as python3.\n"
    )


def test_python_that_is_named_is_taken_or_refused_but_not_passed_over(up_with_no_python):
    refused = up_with_no_python(PYTHON="python3.12")
    assert refused.returncode == 1
    assert refused.stderr == (
        "PYTHON is 'python3.12', which is no Python 3.11, 3.12 or 3.13 that works here: "
        "name another one, or none.\n"
    )
    taken = up_with_no_python(PYTHON=sys.executable)
    assert "finops/stack/prepare.py" in taken.stderr, "it is not in this folder"


def test_stopping_where_nothing_was_installed_is_no_error(tmp_path):
    shutil.copy(RUN, tmp_path / "run")
    for word, code in (("down", 0), ("reset", 0), ("status", 3)):
        done = subprocess.run([tmp_path / "run", word], capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stdout == "Nothing has been started here yet; ./run up or ./run demo does.\n"


def pins(lock):
    return dict(re.findall(r"^([\w.\-]+)==(\S+)", (REPOSITORY / lock).read_text(), re.MULTILINE))


def test_locks_agree_and_each_holds_the_one_before():
    base, demo, dev = map(pins, prepare.SETS)
    assert len(base) > 50
    assert base.items() <= demo.items() <= dev.items()


def test_every_locked_package_has_a_hash():
    for lock in (*prepare.SETS, prepare.UV, prepare.TRITON):
        text = (REPOSITORY / lock).read_text()
        packages = re.split(r"^(?=[\w.\-]+==)", text, flags=re.MULTILINE)[1:]
        assert packages
        assert [one for one in packages if "--hash=sha256:" not in one] == []


def test_locked_triton_is_the_one_named():
    assert [f"{name}=={pin}" for name, pin in pins(prepare.TRITON).items()] == [
        prepare.TRITON_PACKAGE
    ]


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """A `.venv` with one package and an installer that only counts."""
    folder = tmp_path / ".venv"
    package = folder / "lib" / "python3.11" / "site-packages" / "django-5.2.dist-info"
    calls = []

    class Counting:
        def make_venv(self):
            calls.append("venv")
            (folder / "bin").mkdir(parents=True)
            (folder / "bin" / "python").symlink_to(prepare.base_python())
            (folder / "pyvenv.cfg").write_text(f"home = {Path(prepare.base_python()).parent}\n")

        def install(self, *arguments):
            calls.append(arguments[-1])
            package.mkdir(parents=True, exist_ok=True)

    for name in prepare.SETS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name} as it was\n")
    monkeypatch.setattr(prepare, "REPOSITORY", tmp_path)
    for name in ("VENV", "PYTHON", "STAMP", "UNFINISHED", "INSTALL_LOG"):
        there = getattr(prepare, name).relative_to(REPOSITORY)
        monkeypatch.setattr(prepare, name, tmp_path / there)
    monkeypatch.setattr(prepare, "find_installer", Counting)
    monkeypatch.setattr(prepare, "why_no_triton", lambda: "it needs another machine")
    prepare.prepare("demo")
    calls.clear()
    return calls, package


def test_second_start_installs_nothing(venv):
    calls, _ = venv
    prepare.prepare("demo")
    prepare.prepare("up")
    assert calls == []


def test_more_is_installed_when_more_is_needed(venv):
    calls, _ = venv
    prepare.prepare("test")
    prepare.prepare("demo")
    assert calls == ["requirements/dev.txt"]


def test_changed_lock_is_installed(venv):
    calls, _ = venv
    (prepare.REPOSITORY / "requirements.txt").write_text("changed\n")
    prepare.prepare("up")
    assert calls == ["requirements.txt"]


def test_missing_package_is_installed_again(venv):
    calls, package = venv
    package.rmdir()
    prepare.prepare("up")
    assert calls == ["requirements.txt"]


def test_half_made_environment_is_made_anew(venv, capsys):
    calls, _ = venv
    prepare.UNFINISHED.touch()
    prepare.prepare("up")
    assert calls == ["venv", "requirements.txt"]
    assert "The .venv here is broken or half made and is made anew." in capsys.readouterr().out


def test_environment_whose_python_has_gone_is_made_anew(venv):
    calls, _ = venv
    prepare.PYTHON.unlink()
    prepare.PYTHON.symlink_to("/nowhere/python")
    prepare.prepare("up")
    assert calls == ["venv", "requirements.txt"]


class FakePip:
    """Tells what it was asked for."""

    def __init__(self, settings="", *, fails=False):
        self.said, self.fails, self.asked = settings, fails, []

    def settings(self):
        return self.said

    def install(self, *arguments):
        self.asked.append(arguments[-1])
        if self.fails and "--target" in arguments:
            raise prepare.CannotPrepare("There is no wheel of it.")


@pytest.fixture
def uv(monkeypatch):
    """What uv is asked for; it fails once `broken` is in there."""
    asked = []

    class Fake:
        def __init__(self, program):
            assert program.endswith(".venv/uv/bin/uv")

        def install(self, *arguments):
            if "broken" in asked:
                raise prepare.CannotPrepare("No way out of here.")
            asked.append(arguments[-1])

    monkeypatch.setattr(prepare, "Uv", Fake)
    monkeypatch.setattr(prepare, "works", lambda *_: False)
    return asked


def test_pip_brings_uv_which_installs_the_rest(uv):
    pip = FakePip("global.extra-index-url='https://more.example'\n")
    prepare.UvByPip(pip).install("-r", "requirements.txt")
    assert (pip.asked, uv) == ([prepare.UV], ["requirements.txt"])


@pytest.mark.parametrize("told", ["global.index-url", "install.no-index", ":env:.proxy"])
def test_pip_that_was_told_another_way_goes_it_alone(uv, told):
    pip = FakePip(f"global.timeout='9'\n{told}='x'\n")
    prepare.UvByPip(pip).install("-r", "requirements.txt")
    assert (pip.asked, uv) == (["requirements.txt"], [])


def test_pip_goes_on_where_uv_cannot_be_had(uv, capsys):
    pip = FakePip(fails=True)
    installer = prepare.UvByPip(pip)
    installer.install("-r", "requirements.txt")
    installer.install("-r", "more.txt")
    assert (pip.asked, uv) == ([prepare.UV, "requirements.txt", "more.txt"], [])
    said = "uv cannot do it here, so pip does, in a few minutes …\n"
    assert capsys.readouterr().out == said


def test_pip_goes_on_where_uv_fails(uv):
    uv.append("broken")
    pip = FakePip()
    prepare.UvByPip(pip).install("-r", "requirements.txt")
    assert pip.asked == [prepare.UV, "requirements.txt"]
