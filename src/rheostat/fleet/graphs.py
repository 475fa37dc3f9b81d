"""The graph of a fleet: found by its address, and made ready for checkpoints."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any, get_type_hints

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from rheostat.errors import BadInput

__all__ = ["AnyGraph", "checked", "compiled", "input_for", "load_graph"]

AnyGraph = StateGraph[Any, Any, Any, Any] | CompiledStateGraph[Any, Any, Any, Any]
_GRAPHS = (StateGraph, CompiledStateGraph)


def load_graph(address: str) -> AnyGraph:
    """The graph at `FILE.py:NAME` or `package.module:NAME`: a graph, compiled or not, or a function that returns one.

    Raises:
        BadInput: There is no such file, module, name or graph.
    """
    where, found, name = address.rpartition(":")
    if not found or not where or not name:
        raise BadInput(f"a graph's address is FILE.py:NAME or package.module:NAME, not {address!r}")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_name(where)
    try:
        made = getattr(module, name)
    except AttributeError:
        raise BadInput(f"{where} has no {name!r}") from None
    if not isinstance(made, _GRAPHS) and callable(made):
        made = made()
    if not isinstance(made, _GRAPHS):
        raise BadInput(f"{address} is no LangGraph graph, but {type(made).__name__}")
    return checked(made, address)


def checked(graph: AnyGraph, name: str) -> AnyGraph:
    """The same graph, if it can be compiled.

    Raises:
        BadInput: It can't.
    """
    try:
        compiled(graph, None)
    except ValueError as error:
        raise BadInput(f"{name} can't be compiled: {error}") from None
    return graph


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise BadInput(f"no file {path}: a graph's address is FILE.py:NAME")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # at the end: its neighbours can be imported, and hide nothing that is installed
    spec = importlib.util.spec_from_file_location(f"rheostat_fleet_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise BadInput(
                f"no module {name!r} is installed: a graph's address is FILE.py:NAME or module:NAME"
            ) from None
        raise


def compiled(graph: AnyGraph, checkpointer: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph with this checkpointer."""
    if isinstance(graph, StateGraph):
        return graph.compile(checkpointer=checkpointer)
    return graph.copy(update={"checkpointer": checkpointer})


def input_for(graph: CompiledStateGraph[Any, Any, Any, Any], data: dict[str, Any]) -> dict[str, Any]:
    """A task's input as this graph takes it: a question becomes a message where the graph takes only messages.

    Raises:
        BadInput: The graph takes neither.
    """
    schema = getattr(graph.builder, "input_schema", None)
    known = getattr(schema, "model_fields", None) or (get_type_hints(schema) if schema is not None else {})
    if not known or any(name in known for name in data):
        return data
    if "question" in data and "messages" in known:
        return {"messages": [{"role": "user", "content": data["question"]}]}
    raise BadInput(f'the graph takes {", ".join(known)}, and the task has {", ".join(data)}: give it as "input"')
