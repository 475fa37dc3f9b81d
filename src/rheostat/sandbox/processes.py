"""Processes that we start: Python as it is installed, never what lies in the current directory, without secrets.

`python -m` would import the module of that name from the current directory first, and hand it the whole environment,
with every key in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import site
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["environment", "handed", "python_module"]

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

    A module of `rheostat` comes from where this one was imported; everything else from the installation alone
    (`PYTHONPATH`, the directory of the script and the current directory don't count).
    """
    root = Path(__file__).resolve().parents[2]
    isolated = ["-I"] if not _in_user_site(root) else ["-P", "-E"]
    own = str(root) if name.split(".", maxsplit=1)[0] == "rheostat" else ""
    return [str(Path(sys.executable).absolute()), *isolated, "-c", _BOOT, name, own, *arguments]


@contextlib.contextmanager
def handed(what: Any) -> Iterator[int]:
    """A file descriptor to inherit, from which bytes can be read, or JSON of anything else.

    An argument may have 128 kB at most, and everyone can read it.
    """
    with tempfile.TemporaryFile() as file:
        file.write(what if isinstance(what, bytes) else json.dumps(what).encode())
        file.seek(0)
        yield file.fileno()


def environment(*, pip: bool = False) -> dict[str, str]:
    """What such a process gets: an allow-list, in which no key of a provider is.

    Args:
        pip: It downloads: also proxies, certificates and pip's own settings.
    """

    def allowed(name: str) -> bool:
        if name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES):
            return True
        return pip and (name in _FOR_PIP or name.startswith("PIP_"))

    return {name: value for name, value in os.environ.items() if allowed(name)}


def _in_user_site(root: Path) -> bool:
    return bool(site.ENABLE_USER_SITE) and root.is_relative_to(Path(site.getusersitepackages()))
