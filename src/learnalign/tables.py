"""Schemas of the tables between the stages: columns, types and meaning.

Every table is Arrow in memory and Parquet shards on disk, keyed by ``problem_id``. A stage reads
the tables before it and writes its own. If you change a column here, raise ``SCHEMA_VERSION``,
which is stored in the manifest.
"""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.storage.sketch_column import sketch_field

SCHEMA_VERSION = 4

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

#: One row per problem of the pool, without duplicates and unusable rows.
PROBLEMS = pa.schema(
    [
        ("problem_id", pa.string()),  # the user's id column, else a hash of prompt and answer
        ("position", pa.int64()),  # position in the pool as read, across all sources
        ("source_index", pa.int32()),  # a DATA argument, or its files of the same columns
        ("source_row", pa.int64()),  # 0-based row within that source
        ("source", pa.string()),  # display name: data set name, data_source or file stem
        ("difficulty", pa.string()),  # level or difficulty column, as text; null without one
        ("messages", MESSAGES),  # the chat messages before the template
        ("answer", pa.string()),  # gold answer as text; several correct ones: see `golds`
        ("row", pa.string()),  # the user's row as JSON text
        ("prompt", pa.string()),  # exactly the text the model sees, template applied
        ("prompt_ids", pa.list_(pa.int32())),  # exactly the token ids the model sees
    ]
)

#: One row per rollout: sample 0..G-1 of a problem. Of imported counts only the reward is known.
ROLLOUTS = pa.schema(
    [
        ("problem_id", pa.string()),
        ("sample", pa.int32()),
        ("completion", pa.string()),  # decoded, without special tokens and stop string
        ("token_ids", pa.list_(pa.int32())),  # sampled ids, including the end token if sampled
        ("logprobs", pa.list_(pa.float32())),  # log pi(token) at the sampling temperature
        ("finish_reason", pa.string()),  # "stop" (end token or stop string) or "length"
        ("recorded_reward", pa.float64()),  # reward of a recorded rollout; null if sampled here
    ]
)

#: The export column with the scored prompt, for a trainer's reward function: the chat template may
#: open the thinking block in it, and it contains the options of multiple-choice questions.
SCORED_PROMPT = "learnalign_prompt"

#: One row per rollout: the verifier's result.
VERDICTS = pa.schema(
    [
        ("problem_id", pa.string()),
        ("sample", pa.int32()),
        ("verdict", pa.string()),  # one of VERDICT_KINDS
        ("reward", pa.float64()),  # null without a reward (unparsed gold, error)
        ("extracted_answer", pa.string()),  # the text taken as the answer; null if none was found
        ("parsed_answer", pa.string()),  # its parsed value; null if it could not be parsed
        ("detail", pa.string()),  # the verifier's message, if any
    ]
)

#: correct: reward above 0.5, or the verifier's own verdict. unparsed_answer and timed_out have
#: reward 0 (null if a user's function timed out on a group: it is unknown on which rollout);
#: unparsed_gold excludes the whole problem; error (the verifier itself failed) has no reward and
#: its rollout is ignored.
VERDICT_KINDS = ("correct", "wrong", "unparsed_answer", "unparsed_gold", "timed_out", "error")

#: One row per rollout of a round, if rollouts are sampled in rounds.
ROUNDS = pa.schema([*ROLLOUTS, *(field for field in VERDICTS if field.name not in ROLLOUTS.names)])

#: One row per rollout: log-probabilities under the KL term's reference.
REFERENCES = pa.schema(
    [
        ("problem_id", pa.string()),
        ("sample", pa.int32()),
        ("logprobs", pa.list_(pa.float32())),  # as in ROLLOUTS, under the reference
    ]
)

#: One row per problem: its sketched policy gradient.
GRADIENT_STATUSES = ("ok", "no_signal", "nonfinite")


def gradients_schema(sketch_size: int) -> pa.Schema:
    """Return the schema of the gradients table, for sketches of ``sketch_size`` float16 values.

    ``sketch`` is the sketch of the gradient divided by ``gradient_norm``, its Euclidean norm (exact
    with ``gradients.input_width`` 0, otherwise an unbiased estimate from projected inputs), so that
    float16 neither under- nor overflows; null unless status is "ok". ``resampled_sketch`` is the
    same for one bootstrap resample of the problem's rollouts (``resampled_counts[g]`` = how often
    rollout g was sampled), computed for a seeded subset of problems: stability estimates the noise
    of a direction from it. It is null for other problems and if the resample has no signal.

    Both are fixed-size binary, ``2 * sketch_size`` bytes of little-endian float16, as described in
    the fields' metadata (``{"dtype": "<f2", "size": "8192"}``). `learnalign.storage.sketch_column`
    converts rows to such a column and back; ``numpy.frombuffer(value, "<f2")`` decodes one value.
    On disk they are plain and uncompressed (`files.write_table`): float16 noise does not compress,
    and uncompressed it is read at disk speed.
    """
    return pa.schema(
        [
            ("problem_id", pa.string()),
            ("status", pa.string()),  # one of GRADIENT_STATUSES
            ("gradient_norm", pa.float64()),  # 0 without signal, null if not finite
            ("num_rollouts", pa.int32()),  # number of rollouts with a reward
            ("num_tokens", pa.int64()),  # response tokens of the group
            sketch_field("sketch", sketch_size),
            ("resampled_counts", pa.list_(pa.int32())),
            sketch_field("resampled_sketch", sketch_size),
        ]
    )


def features_schema(width: int) -> pa.Schema:
    """Return the schema of the features table, for hidden states of ``width`` values.

    A mean negative log-likelihood (nll) is in nats per token; its exponential is the perplexity. It
    is null without a token to predict, for a text longer than the model's context, and if it is
    not finite.

    ``hidden`` is divided by its Euclidean norm, so that float16 cannot overflow; the inner product
    of two rows is their cosine. It is fixed-size binary, as described in `gradients_schema`.

    Example:
        >>> schema = features_schema(16)
        >>> str(schema.field("hidden").type), schema.field("hidden").metadata[b"size"]
        ('fixed_size_binary[32]', b'16')
    """
    return pa.schema(
        [
            ("problem_id", pa.string()),
            ("num_prompt_tokens", pa.int64()),
            ("prompt_nll", pa.float64()),  # of the prompt's tokens except the first
            ("answer_nll", pa.float64()),  # of the gold answer's tokens after the prompt
            ("answer_alone_nll", pa.float64()),  # of the gold answer's tokens without the prompt
            ("rating", pa.float64()),  # SelectIT's, 0 to 5; null if it was not computed
            sketch_field("hidden", width),  # the head's input at the prompt's last token
        ]
    )


#: One row per rollout of a training, in the order of the steps.
HISTORY = pa.schema(
    [
        ("step", pa.int64()),  # 0-based; the rollout was sampled just before this step
        *(field for field in ROLLOUTS if field.name != "recorded_reward"),
        ("verdict", pa.string()),  # as in VERDICTS
        ("reward", pa.float64()),  # null without a reward
        ("trained", pa.bool_()),  # false in a group that the curriculum dropped
        ("expected_success", pa.float64()),  # by the curriculum, before the step; null without one
        ("noise", pa.float64()),  # chance that its gradient is noise, before the step; or null
    ]
)

#: One row per step of a training.
STEPS = pa.schema(
    [
        ("step", pa.int64()),
        ("num_problems", pa.int64()),  # trained on
        ("num_sampled", pa.int64()),  # sampled, groups that the curriculum dropped included
        ("num_signal", pa.int64()),  # sampled groups whose rewards differ
        ("coverage", pa.float64()),  # share of the problems sampled at least once so far
        ("mean_reward", pa.float64()),
        ("mean_tokens", pa.float64()),  # response tokens per rollout
        ("share_truncated", pa.float64()),
        ("kl", pa.float64()),  # mean over tokens, to the reference; null without a reference
        ("gradient_norm", pa.float64()),  # before clipping
        ("learning_rate", pa.float64()),
        ("sampling_s", pa.float64()),
        ("verifying_s", pa.float64()),
        ("learning_s", pa.float64()),
    ]
)

#: One row per problem, in the order of the ranking (rank 1 first).
SCORES = pa.schema(
    [
        ("problem_id", pa.string()),
        ("rank", pa.int64()),  # 1 is best
        ("selected", pa.bool_()),
        ("score", pa.float64()),  # the chosen method's score; learnalign: learnability * alignment
        ("learnability", pa.float64()),  # p(1-p), or the variance of real-valued rewards
        ("alignment", pa.float64()),  # unit gradient · mean z of the pool (or the target)
        ("success_rate", pa.float64()),  # mean reward
        ("success_rate_low", pa.float64()),  # 95 % Jeffreys interval; null for real-valued rewards
        ("success_rate_high", pa.float64()),
        ("num_rollouts", pa.int64()),  # number of rollouts with a reward
        ("num_correct", pa.int64()),
        ("num_truncated", pa.int64()),
        ("gradient_norm", pa.float64()),
        ("mean_response_tokens", pa.float64()),
        ("stability", pa.float64()),  # share of bootstrap resamples in which it is selected
        ("source", pa.string()),
        ("difficulty", pa.string()),
        ("position", pa.int64()),
    ]
)

#: One row per benchmark problem and sampling mode.
EVALUATION = pa.schema(
    [
        ("benchmark", pa.string()),
        ("mode", pa.string()),  # "pass@1" (greedy) or "mean@k"
        ("problem_id", pa.string()),
        ("score", pa.float64()),  # mean reward of its rollouts
        ("num_rollouts", pa.int64()),
        ("num_truncated", pa.int64()),
    ]
)

#: One row per problem that was read but excluded from the pool, and why.
EXCLUDED = pa.schema(
    [
        ("problem_id", pa.string()),
        ("source_index", pa.int32()),
        ("source_row", pa.int64()),
        ("stage", pa.string()),  # problems, verdicts, gradients
        ("reason", pa.string()),  # duplicate, near_duplicate, contaminated, unparsed_gold, ...
        ("detail", pa.string()),
    ]
)


ANSWER_COUNT = pa.struct([("answer", pa.string()), ("count", pa.int64())])

#: One row per finding of an audit, in the order of its kind's ranking.
FINDINGS = pa.schema(
    [
        ("kind", pa.string()),  # as in --drop
        ("rank", pa.int64()),  # 1 is the strongest evidence of its kind
        ("problem_id", pa.string()),
        ("group", pa.string()),  # what findings that belong together share; null without one
        ("score", pa.float64()),  # from 0 to 1; what it is depends on the kind
        ("evidence", pa.string()),  # one sentence with the counts
        ("in_pool", pa.bool_()),  # false if the problem has left the pool
        ("source", pa.string()),  # this and the following are null outside the pool
        ("question", pa.string()),  # its beginning
        ("gold", pa.string()),  # as in the problems' `answer`
        ("success_rate", pa.float64()),  # share of rewards above 0.5; null without rewards
        ("answers", pa.list_(ANSWER_COUNT)),  # the most frequent that could be read
        ("sample", pa.int32()),  # the rollout that shows it; null if none does
        ("excerpt", pa.string()),  # the end of that rollout's completion
    ]
)

_ANY_OF = "any of "


def gold_text(texts: Sequence[str]) -> str:
    """Encode the gold answers of a problem, any of which is correct, as one ``answer``.

    Example:
        >>> gold_text(["7"]), gold_text(["7", "7.0"])
        ('7', 'any of ["7", "7.0"]')
    """
    alone = len(texts) == 1 and golds(texts[0]) == [texts[0]]
    return texts[0] if alone else _ANY_OF + json.dumps(list(texts), ensure_ascii=False)


def golds(answer: str) -> list[str]:
    """Decode a problem's ``answer`` to its gold answers, any of which is correct.

    The inverse of `gold_text`. Text that is not exactly in its format is a single gold answer.

    Example:
        >>> golds("7"), golds('any of ["7", "7.0"]'), golds("any of these")
        (['7'], ['7', '7.0'], ['any of these'])
    """
    if answer.startswith(_ANY_OF + "["):
        try:
            texts = json.loads(answer[len(_ANY_OF) :])
        except ValueError:
            return [answer]
        if texts and all(isinstance(text, str) for text in texts):
            return list(texts)
    return [answer]


def in_order(table: pa.Table, problem_ids: list[str]) -> pa.Table:
    """Sort a table of rollouts by the given order of problems, then by sample.

    Example:
        >>> table = pa.table({"problem_id": ["b", "a", "b"], "sample": [1, 0, 0]})
        >>> in_order(table, ["b", "a"]).to_pydict()
        {'problem_id': ['b', 'b', 'a'], 'sample': [0, 1, 0]}
    """
    index = {name: i for i, name in enumerate(problem_ids)}
    rank = pa.array([index[name] for name in table["problem_id"].to_pylist()], pa.int64())
    keys = pa.table({"rank": rank, "sample": table["sample"]})
    order = [("rank", "ascending"), ("sample", "ascending")]
    return table.take(pc.sort_indices(keys, sort_keys=order))
