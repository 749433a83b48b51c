"""HTML from strangers, as the few styles that notification servers show."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.text.html import MAX_DEPTH, MAX_TAGS, read_formatted
from heliograph.core.text.markup import plain, write_markup


def read(source: str, limit: int = 600) -> str:
    return write_markup(read_formatted(source, limit).styled)


@pytest.mark.parametrize(
    ("source", "markup"),
    [
        ("plain", "plain"),
        ("<strong>a</strong> <em>b</em> <u>c</u> <del>d</del>", "<b>a</b> <i>b</i> <u>c</u> d"),
        ("<h1>Title</h1>text", "<b>Title</b>\ntext"),
        ("<B>loud</B>", "<b>loud</b>"),
        ("a <b>bold <i>both</i></b>", "a <b>bold </b><i><b>both</b></i>"),
        ("<p>one</p>\n<p>two</p>", "one\ntwo"),
        ("one<br>two<br/><br />three", "one\ntwo\nthree"),
        ("<ul><li>a</li><li><p>b</p></li></ul>after", "• a\n• b\nafter"),
        ("<ol><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ol>", "1. a\n2. b\n• c\n3. d"),
        ("<li>of no list</li></ul>", "• of no list"),
        ("<blockquote>q<br>r</blockquote>answer", "&gt; q\n&gt; r\nanswer"),
        ("<pre><code>\na  b\n  c\n</code></pre>done", "a b\n  c\ndone"),
        ("<pre>if x:\n\ty\n\n    \n    z</pre>", "if x:\n    y\n    z"),
        ("<pre><code>  if x:\n    y\n</code></pre>", "if x:\n  y"),
        ("so:<pre><b>if</b> x:\n<span>  </span><span>  <i>y</i> </span> z</pre>", "so:\n<b>if</b> x:\n    <i>y</i> z"),
        ("<ul><li><pre>  a\n  b</pre></ul>", "• a\n  b"),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>", "<b>A</b> <b>B</b>\n1 2"),
        ('<a href="https://matrix.to/#/@a:b">Alice</a>: hi', "Alice: hi"),
        ('<a href="file:///etc/passwd">click</a>', "click"),
        ('<img src="mxc://x/y" alt=":cat:" title="no">', ":cat:"),
        ("<img src='mxc://x/y' title='a &gt; b'>", "a &gt; b"),
        ("<img src=file:///etc/passwd>", "[image]"),
        ("<img alt='a > b'>", "a &gt; b"),
        ("<script>alert('x')</script><style>b{}</style>text", "text"),
        ("<svg><text>x</text></svg>y", "y"),
        ("a<!-- hidden -->b<!DOCTYPE x>c<?php x ?>d", "abcd"),
        ("a<!-- never closed", "a"),
        ("a<!never closed", "a"),
        ("2 < 3 > 1 <3 </3>", "2 &lt; 3 &gt; 1 &lt;3 &lt;/3&gt;"),
        ("&lt;b&gt;no tag&lt;/b&gt; &amp;amp;", "&lt;b&gt;no tag&lt;/b&gt; &amp;amp;"),
        ("<b <i>odd</i>", "&lt;b <i>odd</i>"),
        ('<b title="never closed>x', '&lt;b title="never closed&gt;x'),
        ("x <b", "x &lt;b"),
        ("</b>x</p>", "x"),
        ("<b>never closed", "<b>never closed</b>"),
        ("<i><b>crossed</i> over</b>", "<i><b>crossed</b></i> over"),
        ("  many \n  blanks  ", "many blanks"),
        ("evil\u202etxt", "eviltxt"),
        ("", ""),
        ("<b> </b>", ""),
        ("a<b> </b>", "a"),
    ],
)
def test_a_few_styles_lines_and_lists_remain(source: str, markup: str) -> None:
    assert read(source) == markup


@pytest.mark.parametrize(
    ("source", "markup"),
    [
        ("It was <span data-mx-spoiler>the <b>butler</b></span>!", "It was [spoiler]!"),
        ('<span data-mx-spoiler="the &amp; end">x</span>', "[spoiler: the &amp; end]"),
        ("<span class='a' data-mx-spoiler=why>x<span>y</span>z</span> w", "[spoiler: why] w"),
        ("<div data-mx-spoiler><p>x</p></div>y", "[spoiler]\ny"),
        ("<span data-mx-spoiler>never closed", "[spoiler]"),
        ("<span data-mx-spoiler>" + "<span>" * 70 + "x" + "</span>" * 70 + "y</span>", "[spoiler]"),
    ],
)
def test_a_spoiler_is_not_told(source: str, markup: str) -> None:
    found = read_formatted(source, 600)
    assert write_markup(found.styled) == markup
    assert found.is_hiding


@pytest.mark.parametrize(
    "source",
    [
        "<mx-reply><blockquote>quoted</blockquote></mx-reply>answer",
        "<mx-reply><blockquote>" + "long " * 10_000 + "</blockquote></mx-reply>answer",
        " <MX-REPLY>quoted</MX-REPLY>answer",
        "answer<mx-reply>quoted",
    ],
)
def test_a_reply_says_the_answer_and_not_the_quote(source: str) -> None:
    assert read(source) == "answer"


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert read("<b>" + "x" * 700, 20) == f"<b>{'x' * 19}…</b>"
    assert read("<li>1" * 20).split("\n")[-1] == "• 1…"
    assert read("<pre>" + "1\n" * 20).count("\n") == 9
    assert read("<p>Bring <b>the folder.</b></p>" * 20).endswith("Bring <b>the folder.</b> …")
    assert read("Lunch is <b>at noon.</b> Bring the <i>folder</i>", 26) == "Lunch is <b>at noon. …</b>"


def test_what_says_nothing_is_empty() -> None:
    assert read_formatted("<p> </p>", 600).is_empty
    assert not read_formatted("<p>x</p>", 600).is_empty


def test_only_so_many_tags_and_so_deep_are_looked_at() -> None:
    assert read("<b></b>" * MAX_TAGS + "late") == ""
    assert read("<i>" * (MAX_DEPTH - 1) + "seen") == "<i>seen</i>"
    assert read("<i>" * (MAX_DEPTH + 1) + "too deep") == ""


HOSTILE = {
    "ten thousand tags": "<b>x</b>" * 10_000,
    "open brackets": "<" * 65_000,
    "open quotes": '<a "' * 16_000,
    "crossed quotes": "<a \"<a '" * 8_000,
    "many attributes": ("<span" + " b='c'" * 100 + ">") * 100,
    "blanks in attributes": ("<span a" + " " * 900 + ">") * 70,
    "open comments": "<!--" * 16_000,
    "references": "&amp;" * 13_000,
    "bare ampersands": "&" * 65_000,
    "open replies": "<mx-reply" * 7_000,
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_html_is_bounded(source: str) -> None:
    # Python's own html.parser takes four seconds for a quarter of "open quotes"; this takes four milliseconds.
    assert len(plain(read_formatted(source, 600).styled)) <= 600


@given(st.text("<>/bi'\"=& \n-!pul"), st.integers(1, 40))
def test_whatever_comes_the_markup_is_sound_and_within_its_limit(source: str, limit: int) -> None:
    styled = read_formatted(source, limit).styled
    assert len(plain(styled)) <= limit
    ET.fromstring(f"<body>{write_markup(styled)}</body>")
