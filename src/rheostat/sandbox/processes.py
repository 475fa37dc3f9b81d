"""Start processes with the installed Python, isolated from the current directory and without secrets.

`python -m` would first look for the module in the current directory, and pass on the whole environment, with every key
in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import site
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["environment", "handed", "program_path", "python_module"]

_ALLOWED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "WINDIR",
    "APPDATA", "LOCALAPPDATA", "USERPROFILE", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "RHEOSTAT_HOME",
}  # fmt: skip
_ALLOWED_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_", "OMP_", "VK_")
_FOR_PIP = {
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC",
}  # fmt: skip
_BOOT = """\
import runpy, sys
name, root = sys.argv[1], sys.argv[2]
if root:
    sys.path.insert(0, root)
    __import__("rheostat")
    sys.path.remove(root)
sys.argv[:] = [name, *sys.argv[3:]]
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs an installed module as `python -m` does, isolated from the current directory.

    A module of `rheostat` comes from the place of this one, every other module only from the installation:
    `PYTHONPATH`, the directory of the script and the current directory are ignored.
    """
    root = Path(__file__).resolve().parents[2]
    isolated = ["-I"] if not _in_user_site(root) else ["-P", "-E"]
    own = str(root) if name.split(".", maxsplit=1)[0] == "rheostat" else ""
    return [str(Path(sys.executable).absolute()), *isolated, "-c", _BOOT, name, own, *arguments]


def program_path(name: str) -> str | None:
    """The path of an installed program, not looked for in folders that depend on the current directory."""
    return shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, os.get_exec_path())))


@contextlib.contextmanager
def handed(what: Any) -> Iterator[int]:
    """A file descriptor to inherit, from which bytes can be read, or any other data as JSON.

    An argument would be limited to 128 kB, and visible to all users.
    """
    with tempfile.TemporaryFile() as file:
        file.write(what if isinstance(what, bytes) else json.dumps(what).encode())
        file.seek(0)
        yield file.fileno()


def environment(*, pip: bool = False) -> dict[str, str]:
    """The environment of such a process, by an allow-list without any provider's key.

    Args:
        pip: Also pass proxies, certificates and pip's own settings, for downloads.
    """

    def allowed(name: str) -> bool:
        if name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES):
            return True
        return pip and (name in _FOR_PIP or name.startswith("PIP_"))

    return {name: value for name, value in os.environ.items() if allowed(name)}


def _in_user_site(root: Path) -> bool:
    return bool(site.ENABLE_USER_SITE) and root.is_relative_to(Path(site.getusersitepackages()))
