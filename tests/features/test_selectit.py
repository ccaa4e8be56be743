"""SelectIT's arithmetic by hand, by a plain loop and by its algebra; the tokens that say scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from learnalign.errors import LearnAlignError
from learnalign.features.selectit import (
    NUM_SCORES,
    RATING_PROMPTS,
    rating_text,
    score_ids,
    sentence_rating,
    token_rating,
)

PROBABILITIES = arrays(np.float64, (3, 5), elements=st.floats(1e-6, 1.0))
RATINGS = arrays(np.float64, (3, 5), elements=st.floats(0.0, 5.0))


def slow_token_rating(row):
    """The definition, a score at a time."""
    total = sum(row)
    shares = [value / total for value in row]
    best = max(range(len(row)), key=lambda k: shares[k])
    gaps = [shares[best] - share for share in shares]
    return (best + 1) * sum(gaps) / (len(row) - 1)


def has_one_best(values):
    """Whether no rounding can make another score the best one."""
    ordered = np.sort(values, axis=1)
    return ordered[:, -1] > ordered[:, -2] * (1 + 1e-9)


def test_token_ratings_by_hand():
    found = token_rating(
        [
            [0.0, 0.0, 0.0, 0.0, 1.0],  # certain of 5: 5 * (4 * 1) / 4
            [0.1, 0.2, 0.4, 0.2, 0.1],  # 3 * (0.3 + 0.2 + 0 + 0.2 + 0.3) / 4
            [0.04, 0.0, 0.0, 0.01, 0.0],  # shares 0.8 and 0.2: 1 * (0.8 * 3 + 0.6) / 4
            [0.2, 0.2, 0.2, 0.2, 0.2],
            [0.0, 0.4, 0.2, 0.0, 0.4],  # of 2 and 5 the lower: 2 * (0.4 + 0.2 + 0.4) / 4
        ]
    )
    np.testing.assert_allclose(found, [5.0, 0.75, 0.75, 0.0, 0.5], atol=1e-12)


def test_sentence_ratings_by_hand():
    # mean 2, variance (1 + 1 + 0 + 1 + 1) / 5
    found = sentence_rating([[1.0, 3.0, 2.0, 1.0, 3.0]])
    np.testing.assert_allclose(found, [2.0 / (1.0 + 0.2 * np.sqrt(0.8))], rtol=1e-12)
    np.testing.assert_allclose(sentence_rating([[1.0, 3.0]], alpha=1.0), [1.0], rtol=1e-12)


def test_rows_without_probabilities_have_no_rating():
    found = token_rating([[0.0] * 5, [np.nan, 1, 1, 1, 1], [0, 1, 0, 0, 0]])
    assert np.isnan(found).tolist() == [True, True, False]


@given(PROBABILITIES)
def test_token_rating_is_its_definition(values):
    truth = np.array([slow_token_rating(row) for row in values.tolist()])
    clear = has_one_best(values)
    np.testing.assert_allclose(token_rating(values)[clear], truth[clear], rtol=1e-9, atol=1e-12)


@given(PROBABILITIES, st.floats(0.01, 100.0))
def test_token_rating_asks_only_for_shares_and_stays_between_0_and_the_best_score(values, scale):
    found = token_rating(values)
    clear = has_one_best(values)
    np.testing.assert_allclose(
        token_rating(values * scale)[clear], found[clear], rtol=1e-9, atol=1e-12
    )
    assert (found >= 0.0).all()
    assert (found[clear] <= values[clear].argmax(axis=1) + 1 + 1e-12).all()


@given(RATINGS, st.floats(0.0, 2.0))
def test_disagreement_only_ever_costs(ratings, alpha):
    found = sentence_rating(ratings, alpha)
    assert (found <= ratings.mean(axis=1) + 1e-12).all()
    assert (found >= 0.0).all()
    np.testing.assert_allclose(sentence_rating(ratings, 0.0), ratings.mean(axis=1))
    np.testing.assert_allclose(sentence_rating(ratings[:, ::-1], alpha), found, atol=1e-12)


@given(st.floats(0.0, 5.0), st.integers(1, 6))
def test_wordings_that_agree_cost_nothing(rating, count):
    np.testing.assert_allclose(sentence_rating([[rating] * count]), [rating], atol=1e-12)


def bytes_tokenizer(merges=(), without="", **options):
    """A byte-level tokenizer with some merges; characters in ``without`` are unknown."""
    alphabet = [c for c in sorted(pre_tokenizers.ByteLevel.alphabet()) if c not in without]
    vocabulary = ["<unk>", "<s>", *alphabet, *("".join(pair) for pair in merges)]
    model = models.BPE(
        {token: i for i, token in enumerate(vocabulary)}, list(merges), unk_token="<unk>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **options)


def texts_of(tokenizer, before="Rating:\n"):
    return [sorted(tokenizer.decode([i]) for i in ids) for ids in score_ids(tokenizer, before)]


def test_digits_that_are_tokens_in_one_form_and_in_both():
    assert texts_of(bytes_tokenizer()) == [["1"], ["2"], ["3"], ["4"], ["5"]]
    with_spaces = bytes_tokenizer(merges=[("Ġ", "3"), ("Ġ", "5")])
    assert texts_of(with_spaces, "Rating:") == [["1"], ["2"], [" 3", "3"], ["4"], [" 5", "5"]]


def test_a_digit_that_swallows_what_stands_before_it_is_none():
    joined = bytes_tokenizer(merges=[(":", "4")])
    with pytest.raises(LearnAlignError, match="no single token for the score 4"):
        score_ids(joined, "Rating:")
    assert texts_of(joined, "Rating: ")[3] == ["4"]


def test_digits_that_the_tokenizer_does_not_know():
    with pytest.raises(LearnAlignError, match="no single token for the score 2"):
        score_ids(bytes_tokenizer(without="2"), "Rating:\n")


def test_a_text_is_wrapped_as_the_model_expects_it():
    plain = bytes_tokenizer(bos_token="<s>")
    text = rating_text(plain, "How good?", "1 + 1", "2")
    assert text == "How good?\n\nProblem:\n1 + 1\n\nAnswer:\n2\n\nRating:\n"
    plain.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<model>"
    text = rating_text(plain, "How good?", "1 + 1", "2")
    assert text == "<user>How good?\n\nProblem:\n1 + 1\n\nAnswer:\n2<model>"
    plain.chat_template += "{% if not thinking %}</think>{% endif %}"
    text = rating_text(plain, "How good?", "1 + 1", "2", {"thinking": False})
    assert text.endswith("2<model></think>")


def test_a_plain_text_begins_as_the_tokenizer_begins_texts():
    begins = bytes_tokenizer(bos_token="<s>")
    begins.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", begins.bos_token_id)]
    )
    assert rating_text(begins, "How good?", "1 + 1", "2").startswith("<s>How good?")
    assert len(score_ids(begins, rating_text(begins, "How good?", "", ""))) == NUM_SCORES


def test_the_wordings_differ_and_name_the_scale():
    assert len(set(RATING_PROMPTS)) == len(RATING_PROMPTS) == 5
    assert all("1" in wording and "5" in wording for wording in RATING_PROMPTS)
