"""Write ``verifiers_traces.jsonl`` with the real verifiers (0.4.0), as prime-rl's monitor does.

    python tests/rollouts/imports/write_traces.py PROMPT_IDS RIGHT_IDS WRONG_IDS

Run it where verifiers is installed; the arguments are JSON lists of token ids (the tests' own).
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Write the file beside this one."""
    import verifiers.v1 as vf
    from verifiers.v1.configs.agent import WireAgentConfig
    from verifiers.v1.graph import MessageNode
    from verifiers.v1.trace import Error, ModelCall

    prompt_ids, right, wrong = map(json.loads, sys.argv[1:4])
    question = "How many legs have 3 spiders?"
    task = vf.TraceTask(
        type="Count", data=vf.TaskData(idx=0, prompt=question), key="spiders-0", hash="1a2b"
    )

    def trace(text: str, ids: list[int], score: float, *, trainable: bool = True) -> vf.Trace:
        """A trace of one answer: the scaffold's last token belongs to the answer's node."""
        asked = MessageNode(
            message=vf.UserMessage(content=question),
            token_ids=prompt_ids[:-1],
            mask=[False] * (len(prompt_ids) - 1),
        )
        said = MessageNode(
            parent=0,
            sampled=True,
            message=vf.AssistantMessage(content=text),
            token_ids=[prompt_ids[-1], *ids],
            mask=[False, *[True] * len(ids)],
            logprobs=[-0.5] * len(ids),
        )
        call = ModelCall(
            node=1,
            model="org/policy",
            finish_reason="stop",
            sampling=vf.Sampling(temperature=0.7),
        )
        return vf.Trace(
            task=task,
            agent=vf.AgentInfo(config=WireAgentConfig(), trainable=trainable),
            nodes=[asked, said],
            calls=[call],
            rewards={
                "exact": vf.Reward(score=score),
                "form": vf.Reward(score=1.0, weight=0.0),
            },
            is_completed=True,
            ok=True,
        )

    def episode(traces: list[vf.Trace], *, ok: bool, errors: int, end: int) -> vf.Episode:
        """An episode of training step 5, which began with version 3 of the policy."""
        work = vf.TrainRunInfo(
            id="run",
            work={"type": "train", "step": 5, "policy": vf.PolicySpan(start=3, end=end)},
        )
        return vf.Episode(
            task=task,
            run=work,
            ok=ok,
            errors=[Error(type="Timeout", message="the first attempt")] * errors,
            traces=traces,
        )

    episodes = [
        episode([trace("24 legs", right, 1.0)], ok=True, errors=0, end=3),
        # It succeeded when it was tried again, and the policy changed meanwhile; a judge took part.
        episode(
            [trace("18 legs", wrong, 0.0), trace("24 legs", right, 1.0, trainable=False)],
            ok=True,
            errors=1,
            end=4,
        ),
        episode([], ok=False, errors=2, end=3),
    ]
    lines = [json.dumps(one.to_record()) + "\n" for one in episodes]
    Path(__file__).with_name("verifiers_traces.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
