"""Rows for agents: the columns in which trainers name tools, an agent or an environment."""

from collections.abc import Mapping
from typing import Any

from learnalign.problems.nested import empty, parsed

#: Columns of tools and environments, by the trainers that read them.
_COLUMNS = (
    *("tools", "oai_tools"),  # chat templates; verifiers, in `info`
    *("tools_kwargs", "interaction_kwargs", "tool_selection", "need_tools_kwargs"),  # verl
    *("env_config", "env_configs"),  # open-instruct
)
#: Objects of a row in which trainers nest these columns.
_PARENTS = ("extra_info", "info", "metadata", "responses_create_params")
#: verl's names of an agent that answers in one turn without tools.
_PLAIN_AGENTS = ("", "single_turn_agent")


def agent_column(row: Mapping[str, Any]) -> str | None:
    """Return the first column that makes a row one for an agent; None for other rows.

    Columns that are empty, or whose objects contain only empty values (as in a Parquet file of
    several tasks), do not count.

    Example:
        >>> agent_column({"agent_name": "tool_agent"})
        'agent_name'
        >>> agent_column({"extra_info": {"need_tools_kwargs": True, "tools_kwargs": None}})
        'extra_info.need_tools_kwargs'
        >>> agent_column({"agent_name": "single_turn_agent", "tools": "[]"}) is None
        True
    """
    agent = row.get("agent_name")
    if isinstance(agent, str) and agent not in _PLAIN_AGENTS:
        return "agent_name"
    for name in _COLUMNS:
        if name in row and _filled(row[name]):
            return name
    for parent in _PARENTS:
        content: Any = row.get(parent)
        content = parsed(content) if isinstance(content, str) else content
        for name in _COLUMNS if isinstance(content, Mapping) else ():
            if name in content and _filled(content[name]):
                return f"{parent}.{name}"
    return None


def _filled(content: Any) -> bool:
    """Return whether a value contains anything other than nulls, false and empty values."""
    if isinstance(content, str):
        literal = parsed(content)
        content = content.strip() if literal is None else literal
    if isinstance(content, Mapping):
        return any(map(_filled, content.values()))
    if isinstance(content, list):
        return any(map(_filled, content))
    return not (empty(content) or content is False)
