"""The chart of staged training: the state of each problem at every stage."""

from pathlib import Path

import plotly.graph_objects as go
import pyarrow as pa

from learnalign.storage import files

#: The states of a problem, from the top of the chart to the bottom.
STATES = ("solved", "solved, kept", "chosen", "has a signal", "never solved", "left out")
_COLOURS = ("#56B4E9", "#009E73", "#0072B2", "#A9B1BA", "#D55E00", "#e6e8eb")


def problem_states(scores: pa.Table, chosen: list[str]) -> dict[str, str]:
    """Return the state of each problem in a stage's pool.

    Args:
        scores: SCORES of the stage's selection.
        chosen: The problems it trained on.
    """
    trained = set(chosen)
    states = {}
    for row in scores.select(["problem_id", "num_correct", "num_rollouts"]).to_pylist():
        name, correct = row["problem_id"], row["num_correct"]
        solved = correct == row["num_rollouts"]
        if name in trained:
            states[name] = "solved, kept" if solved else "chosen"
        elif solved:
            states[name] = "solved"
        else:
            states[name] = "never solved" if correct == 0 else "has a signal"
    return states


def stages_figure(scores: list[pa.Table], chosen: list[list[str]]) -> go.Figure:
    """Draw how problems move between states: one column per stage, one band per path."""
    by_stage = [problem_states(table, names) for table, names in zip(scores, chosen, strict=True)]
    names = sorted(set().union(*by_stage))
    columns = [[states.get(name, "left out") for name in names] for states in by_stage]
    dimensions = [
        {"values": column, "label": f"stage {number}", "categoryorder": "array",
         "categoryarray": [state for state in STATES if state in column]}
        for number, column in enumerate(columns, 1)
    ]  # fmt: skip
    # Coloured by the state at the last stage.
    colours = [STATES.index(state) for state in columns[-1]]
    scale = [
        [edge / len(STATES), colour] for i, colour in enumerate(_COLOURS) for edge in (i, i + 1)
    ]
    figure = go.Figure(
        go.Parcats(
            dimensions=dimensions,
            line={"color": colours, "colorscale": scale, "cmin": -0.5, "cmax": len(STATES) - 0.5},
            hoveron="color",
            hoverinfo="count+probability",
        )
    )
    return figure.update_layout(
        title=f"{len(names)} problems by stage, coloured by their last state",
        font={"family": "system-ui, sans-serif", "size": 14},
        height=520,
        margin={"l": 120, "r": 120},
    )


def write_picture(path: Path, scores: list[pa.Table], chosen: list[list[str]]) -> None:
    """Write the chart as one self-contained page, atomically."""
    figure = stages_figure(scores, chosen)
    files.write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
