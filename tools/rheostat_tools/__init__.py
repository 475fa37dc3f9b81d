"""Tools for agents: a sandboxed Python, a calculator, a confined workspace, and a test runner.

Each tool is a LangChain tool that works by `invoke` and `ainvoke`. Bad arguments and failures raise a `ToolException`
that says what to do next. `metadata["rheostat"]` has the declared terms of each tool: the price of a call, its time
limit, and whether it may be repeated without another effect.
"""

from rheostat_tools.calculator import calculator
from rheostat_tools.python import python_tool
from rheostat_tools.runner import test_runner
from rheostat_tools.workspace import Workspace

__all__ = ["Workspace", "calculator", "python_tool", "test_runner"]
