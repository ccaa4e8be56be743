"""SkyRL's rows: `prompt`, `env_class`, and `reward_spec`, whose gold its environments assert.

Built rows are for its environment aime, which reads the number in the last box.
"""

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, at, is_prompt


def _build(problem: Problem) -> Row:
    return {
        "data_source": problem.source,
        "prompt": problem.messages,
        "env_class": "aime",
        "reward_spec": {"method": "rule", "ground_truth": problem.gold},
    }


SKYRL = RowFormat(
    trainer="SkyRL",
    recognises=lambda row: (
        isinstance(row.get("prompt"), list)
        and is_prompt(row["prompt"])
        and at(row, ("reward_spec", "ground_truth")) is not None
    ),
    build=_build,
    prompt=("prompt",),
    gold=("reward_spec", "ground_truth"),
    read_with="data.train_data=['FILE']; `env_class` names the environment, here aime",
    proof="its `PromptDataset`, 08-2026",
)
