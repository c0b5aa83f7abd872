"""The words of a rule name it in one way, or are refused with a sentence."""

import pytest

from muskox.errors import CallerError
from muskox.store.partition.rules import ByHash, ByRandom, ByRange, ByRows, BySha256, Rule, key_columns, needs_sample, parse_by

COLUMNS = ["a", "b", "c:d", "e,f"]


@pytest.mark.parametrize(
    ("by", "rule", "keys", "sampled"),
    [
        ("rows", ByRows(), (), False),
        ("hash:a", ByHash(("a",)), ("a",), False),
        ("hash:b,a", ByHash(("b", "a")), ("b", "a"), False),
        ("sha256:b", BySha256("b"), ("b",), False),
        ("range:a", ByRange("a"), ("a",), True),
        ("random", ByRandom(0), (), False),
        ("random:0", ByRandom(0), (), False),
        ("random:18446744073709551615", ByRandom(2**64 - 1), (), False),
        ("hash:c:d", ByHash(("c:d",)), ("c:d",), False),
        ("hash:e,f", ByHash(("e,f",)), ("e,f",), False),
        ("range:e,f", ByRange("e,f"), ("e,f",), True),
        ("hash:a,c:d", ByHash(("a", "c:d")), ("a", "c:d"), False),
    ],
)
def test_each_rule_has_its_words(by: str, rule: Rule, keys: tuple[str, ...], sampled: bool) -> None:
    found = parse_by(by, COLUMNS)
    assert (found, key_columns(found), needs_sample(found)) == (rule, keys, sampled)


@pytest.mark.parametrize("by", ["", ":", "hash", "hash:", "sha256", "range:", "rows:", "rows:a", "md5:a", "Hash:a", "randomly"])
def test_what_is_no_rule_is_answered_with_those_that_are(by: str) -> None:
    with pytest.raises(CallerError, match=r"'rows', 'hash:COLUMN'.*'random:SEED'"):
        parse_by(by, COLUMNS)


@pytest.mark.parametrize("by", ["hash:nope", "hash:a,nope", "hash:a,", "hash:a, b", "sha256:A", "range:a;b", "hash:a,e,f"])
def test_an_unknown_column_is_answered_with_those_that_are_there(by: str) -> None:
    with pytest.raises(CallerError, match=r"no column .* this data has a, b, c:d, e,f"):
        parse_by(by, COLUMNS)


@pytest.mark.parametrize("by", ["random:", "random:-1", "random:1.5", "random:x", "random:1_0", "random:²", f"random:{2**64}"])
def test_a_seed_is_a_whole_number_of_64_bits(by: str) -> None:
    with pytest.raises(CallerError, match="seed is a whole number from 0 to 18446744073709551615"):
        parse_by(by, COLUMNS)


def test_only_hash_takes_several_columns_and_each_once() -> None:
    for by in ("sha256:a,b", "range:a,b"):
        with pytest.raises(CallerError, match="takes one; only hash takes several"):
            parse_by(by, COLUMNS)
    with pytest.raises(CallerError, match="'a' stands there twice"):
        parse_by("hash:a,b,a", COLUMNS)


def test_words_that_could_mean_two_things_are_refused() -> None:
    with pytest.raises(CallerError, match="may mean the column 'a,b' or the columns a, b"):
        parse_by("hash:a,b", ["a", "b", "a,b"])
