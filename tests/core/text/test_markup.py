"""Styled text, and the markup of notification servers."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.text.markup import (
    Span,
    Style,
    change_indentation,
    in_one_line,
    join_spans,
    plain,
    read_markup,
    shorten,
    write_markup,
)

STYLED = st.lists(st.builds(Span, st.text("ab<>&; \n/iu'\""), st.sampled_from([*Style, Style(7)]))).map(join_spans)


def test_text_is_escaped_and_styles_are_tags() -> None:
    styled = (Span("1 < 2 & "), Span("so", Style.BOLD | Style.ITALIC), Span("!", Style.UNDERLINED))
    assert write_markup(styled) == "1 &lt; 2 &amp; <i><b>so</b></i><u>!</u>"


@given(STYLED)
def test_what_was_written_is_read_back(styled: tuple[Span, ...]) -> None:
    assert read_markup(write_markup(styled)) == styled
    ET.fromstring(f"<body>{write_markup(styled)}</body>")


@pytest.mark.parametrize(
    "markup",
    [
        "<b>never closed",
        "</b>closed",
        "<img src='file:///etc/passwd'/>",
        "<a href='x'>y</a>",
        "&bogus;",
        "<<b>>",
        "<B>",
    ],
)
def test_whatever_else_is_read_comes_out_harmless(markup: str) -> None:
    written = write_markup(read_markup(markup))
    tags = {element.tag for element in ET.fromstring(f"<body>{written}</body>").iter()}
    assert tags <= {"body", "b", "i", "u"}


def test_neighbours_of_one_style_are_one_span_and_empty_ones_none() -> None:
    assert join_spans([Span("a"), Span("b"), Span("", Style.BOLD), Span("c", Style.BOLD)]) == (
        Span("ab"),
        Span("c", Style.BOLD),
    )


@given(STYLED, st.integers(1, 12))
def test_a_shortened_text_is_within_its_limit(styled: tuple[Span, ...], limit: int) -> None:
    shortened = plain(shorten(styled, limit))
    assert len(shortened) <= limit
    assert shortened == plain(styled) or shortened.endswith("…")
    assert shorten(shorten(styled, limit), limit) == shorten(styled, limit)


def test_lines_become_one() -> None:
    assert plain(in_one_line((Span("a\n"), Span("b\nc", Style.BOLD)))) == "a b c"
    assert plain(in_one_line((Span("if x:\n    "), Span("  y", Style.BOLD), Span("\n\nz")))) == "if x: y z"


def test_only_blanks_at_the_beginning_of_a_line_are_its_indentation() -> None:
    styled = (Span("  a  "), Span("  b", Style.BOLD), Span("\n c\n"), Span("   d\n\n", Style.ITALIC), Span(" e"))
    assert plain(change_indentation(styled, lambda blanks: "·" * len(blanks))) == "··a    b\n·c\n···d\n\n·e"


@given(STYLED)
def test_the_same_indentation_leaves_a_text_as_it_is(styled: tuple[Span, ...]) -> None:
    assert change_indentation(styled, str) == styled
