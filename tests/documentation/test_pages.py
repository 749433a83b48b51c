"""How pages are read."""

from __future__ import annotations

import pytest

from documentation.pages import Page

TEXT = """\
# A program: what is it?

See <host> or `<code>`, [the other](other.md#a-part), ![a picture](images/one.png) and `[no link](nowhere.md)`.

## Try it

Type `make it`, or

    make all

    make more
        deeper
[a link](third.md)

| what | why |
|---|:---:|
| `a\\|b` | because |

### Try it

    last
"""


@pytest.fixture
def page() -> Page:
    return Page(TEXT)


def test_anchors_are_the_headings_in_small_letters_and_numbered_where_they_repeat(page: Page) -> None:
    assert page.anchors == {"a-program-what-is-it", "try-it", "try-it-1"}


def test_links_and_pictures_are_found_and_code_is_none(page: Page) -> None:
    assert page.links == ["other.md#a-part", "images/one.png", "third.md"]


def test_tags_are_those_outside_of_code(page: Page) -> None:
    assert page.tags == ["<host>"]


def test_a_block_goes_on_over_empty_lines_and_ends_where_nothing_is_indented(page: Page) -> None:
    assert page.blocks("Try it") == [["make all", "", "make more", "    deeper"]]
    assert page.blocks() == [["make all", "", "make more", "    deeper"], ["last"]]


def test_an_unknown_heading_is_an_error(page: Page) -> None:
    with pytest.raises(ValueError, match="not in list"):
        page.blocks("Try that")


def test_code_is_what_stands_between_backticks_or_is_indented(page: Page) -> None:
    assert page.code[:3] == ["<code>", "[no link](nowhere.md)", "make it"]
    assert page.code[-1] == "last"


def test_rows_are_those_of_the_tables_without_their_heads(page: Page) -> None:
    assert page.rows("Try it") == [["`a\\|b`", "because"]]
