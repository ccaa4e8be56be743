"""Warnings about imported rollouts: left out, corrected, or another policy's."""

from collections.abc import Mapping

_TEXTS = {
    "unmatched": "match no problem of the pool and were left out",
    "older": "are from earlier steps: only each problem's newest are used",
    "disagreed": "have the id of one problem and the prompt of another: the prompt decided",
    "other_chat": "were asked in a chat with another template or system message than the run's "
    "prompts, from which gradients are computed",
    "by_id": "have a prompt that is in no problem: their id decided",
    "ambiguous": "have a prompt that several problems share and were left out",
    "normalised": "match a problem by their prompt if case, blanks and punctuation are ignored",
    "repeated": "are counts of problems whose rollouts are recorded too, and were left out",
    "surplus": "are more than --num-rollouts of their problem: only the first ones are used",
    "repeated_counts": "are in a second, equal count of the same problem, and were left out",
    "resumed": "are of a step that another file has, too, of the same problem (a resumed "
    "training?), and are used",
    "stale": "are used though a later step is recorded: it did not sample their problems",
    "other_model": "were sampled by a model of another name than the run's",
    "other_sampling": "were sampled with another temperature or top_p than the run's",
    "reasons_apart": "have their thinking apart from the text, and no token ids: only the text is "
    "used, so that lengths and gradients are those of the answer alone",
    "mixed": "were sampled while the policy was updated",
    "only_rewards": "have several turns or use tools: only their rewards are used, by methods "
    "without gradients",
    "unrewarded": "have no reward: a verifier judges them, and a history leaves them out",
    "nonfinite": "have a reward that is NaN or Inf, which is ignored",
    "rescaled": "have a reward of open-instruct's scale, which was divided by 10",
    "penalised": "have a penalty below 0 for a reward, which was read as 0",
    "longer": "are longer than --max-tokens: they were sampled with another limit, and are used "
    "whole",
    "tokenised": "have text without token ids: it was tokenised, and a gradient is that of these "
    "tokens, not of those that were sampled",
    "inseparable": "have a reward that mixes the verifier's score and a format reward: it was "
    "dropped, and the verifier judges them",
}


def warnings(counts: Mapping[str, int]) -> list[str]:
    """Return warnings about recorded rollouts.

    Example:
        >>> warnings({"recorded": 640, "recorded_older": 320})
        ["320 of 640 recorded rollouts are from earlier steps: only each problem's newest are used"]
    """
    total = counts.get("recorded", 0)
    messages = [
        f"{count:,} of {total:,} recorded rollouts {text}"
        for name, text in _TEXTS.items()
        if (count := counts.get(f"recorded_{name}"))
    ]
    others = {
        "small_groups": "problems have fewer recorded rollouts than --num-rollouts, which are used",
        "repeated_rows": "recorded rollouts are copies (the same step or rollout twice) and were "
        "left out",
        "equal_rows": "recorded rollouts equal another in every column, a long text included (a "
        "copy, or a policy that repeats itself?), and are used",
        "replaced": "recorded rows have half a character (a lone surrogate), which was replaced by "
        "U+FFFD",
        "empty": "recorded completions are empty or null and were left out: they are no wrong "
        "answers",
        "multi_turn": "recorded rollouts have several turns or use tools and were left out: they "
        "are no single response to a prompt",
        "failed": "recorded attempts failed and were left out: they are no wrong answers",
        "repeated_files": "files are copies of others, byte for byte, and were left out",
        "blank_files": "files have no rows",
        "other_files": "files of the folder have no column of completions and were left out: name "
        "one to see why",
        "pickle_files": "pickles were not read: loading one can run arbitrary code",
        "validation_files": "files of validation rollouts were not read: name their folder to use "
        "them",
    }
    return messages + [
        f"{count:,} {text}"
        for name, text in others.items()
        if (count := counts.get(f"recorded_{name}"))
    ]
