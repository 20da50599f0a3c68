import pickle
import warnings

import pytest

from pipelines.errors import LabelError
from pipelines.labels.expressions import MAX_CHARACTERS, parse_condition

COLUMNS = {"area_px": "number", "contrast": "number", "touches_edge": "condition"}


def parse(text):
    return parse_condition(text, COLUMNS, where="r.toml: rule 'x'")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("area_px < 3", ("area_px",)),
        ("1 < area_px <= 2e4 and not touches_edge", ("area_px", "touches_edge")),
        ("touches_edge", ("touches_edge",)),
        ("True", ()),
        ("area_px > quantile(contrast, 0.9)", ("area_px", "contrast")),
        (
            "max(area_px, 2, contrast) ** -0.5 != clip(abs(contrast), 0, 1) % 2",
            ("area_px", "contrast"),
        ),
        ("  area_px < 3\n  or contrast > 1\n", ("area_px", "contrast")),
    ],
)
def test_a_condition_knows_which_columns_it_reads(text, columns):
    assert parse(text).columns == columns


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("area_pxx < 3", "character 1: unknown column 'area_pxx'; did you mean 'area_px'?"),
        ("area_px < 3 and colour > 1", "character 17: unknown column 'colour'"),
        ("sqr(area_px) > 1", "character 1: unknown function 'sqr'; did you mean 'sqrt'?"),
        ("area_px.real > 1", "character 1: not allowed: the attribute .real"),
        ("area_px.__class__ > 1", "character 1: not allowed: the attribute .__class__"),
        ("area_px.sum() > 1", "character 1: not allowed: the attribute .sum"),
        ("__import__('os')", "character 1: unknown function '__import__'"),
        ("(lambda: 1)() > 1", "character 1: not allowed: lambda"),
        ("[x for x in (1, 2)] > 1", "character 1: not allowed: listcomp"),
        ("area_px[0] > 1", "character 1: not allowed: subscript"),
        ("f'{area_px}' == 1", "character 1: not allowed: joinedstr"),
        ("'right' == 1", "character 1: not allowed: the value 'right'"),
        ("1j == 1", "character 1: not allowed: the value 1j"),
        ("None", "character 1: not allowed: the value None"),
        ("(a := 1) > 0", "character 2: not allowed: namedexpr"),
        ("area_px in (1, 2)", "character 1: not allowed: compare"),
        ("area_px is 1", "character 1: not allowed: compare"),
        ("area_px @ 2 > 1", "character 1: not allowed: binop"),
        ("touches_edge & touches_edge", "not allowed: & and |; write 'and' and 'or'"),
        ("~touches_edge", "not allowed: ~; write 'not'"),
        ("area_px + 1", "an expression must be a condition, got the number 'area_px + 1'"),
        ("area_px and touches_edge", "character 1: a condition is needed, got 'area_px'"),
        ("touches_edge > 0", "character 1: a number is needed, got 'touches_edge'"),
        ("not area_px", "character 5: a condition is needed, got 'area_px'"),
        ("True + 1 > 0", "character 1: a number is needed, got 'True'"),
        ("sqrt(1, 2) > 0", "sqrt takes 1 arguments, got 2"),
        ("min(area_px) > 0", "min takes 2 to 20 arguments, got 1"),
        ("sqrt(x=1) > 0", "sqrt takes no named arguments"),
        ("min(*area_px) > 0", "min takes 2 to 20 arguments, got 1"),
        ("clip(1, *area_px, 3) > 0", "character 9: not allowed: starred"),
        ("quantile(area_px) > 0", "quantile takes 2 arguments, got 1"),
        ("quantile(area_px, 1.1) > 0", "quantile takes a share from 0 to 1"),
        ("quantile(area_px, contrast) > 0", "quantile takes a share from 0 to 1"),
        ("quantile(area_px, True) > 0", "quantile takes a share from 0 to 1"),
        ("median(quantile(area_px, 0.1)) > 0", "quantile inside another statistic"),
        ("1e999 > area_px", "a number must be at most 1e300"),
        ("area_px < 3 # small", "character 13: not allowed: a comment"),
        ("area_px < ", "not an expression (invalid syntax)"),
        ("", "not an expression"),
        ("area_px = 3", "not an expression"),
        ("import os", "not an expression"),
        ("area_px < 3; touches_edge", "not an expression"),
        ("area_px < 3\x00", "not an expression"),
        ("area_px < 1" + " + 1" * 200, "nested more than 40 deep"),
        ("not " * 100 + "touches_edge", "nested more than 40 deep"),
        ("(" * 300 + "area_px" + ")" * 300 + " > 1", "not an expression"),
        ("-" * 1900 + "1 > 0", "deep"),
        ("touches_edge or " * 200, f"at most {MAX_CHARACTERS} characters"),
    ],
)
def test_whatever_is_not_a_plain_condition_is_refused_with_its_place(text, problem):
    with pytest.raises(LabelError) as caught:
        parse(text)

    assert str(caught.value).startswith("r.toml: rule 'x': ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_runs_into_a_word_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse("area_px > 1and contrast > 2")


def test_a_condition_survives_the_way_to_a_worker():
    condition = parse("area_px > median(contrast)")

    copied = pickle.loads(pickle.dumps(condition))

    assert (copied.text, copied.columns, copied.n_statistics) == (
        condition.text,
        condition.columns,
        1,
    )
