"""Which images the hardware has saved: what is kept, and for how long."""

from __future__ import annotations

import pytest

from mediator.workload import saved_images
from mediator.workload.saved_images import SavedImages, digest


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> SavedImages:
    monkeypatch.setattr(saved_images, "MOST_CONTEXTS", 4)
    monkeypatch.setattr(saved_images, "MOST_OTHERS", 3)
    return SavedImages()


def save(images: SavedImages, lrca: int, *numbers: int, first: bool = False) -> None:
    for number in numbers:
        images.note(lrca, bytes([number]), first=first)


def test_a_digest_is_of_all_parts_in_their_order() -> None:
    assert digest(b"ab", b"c") == digest(b"abc") != digest(b"c", b"ab")
    assert len(digest(b"")) == 16


def test_nothing_is_known_at_first(images: SavedImages) -> None:
    assert not images.knows(1, bytes([1]))


def test_the_last_save_of_a_context_is_known_however_often_others_save(
    images: SavedImages,
) -> None:
    save(images, 0x1000, 1)
    save(images, 0x2000, *range(2, 100))
    assert images.knows(0x1000, bytes([1]))
    assert images.knows(0x3000, bytes([1]))


def test_earlier_saves_are_known_for_a_while(images: SavedImages) -> None:
    save(images, 0x1000, *range(1, 7))
    assert images.knows(0x1000, bytes([5]))
    assert not images.knows(0x1000, bytes([2]))


def test_a_first_save_outlives_other_earlier_ones(images: SavedImages) -> None:
    """i915 copies it into every context that it makes."""
    save(images, 0x1000, 1, first=True)
    save(images, 0x1000, *range(2, 100))
    assert images.knows(0x5000, bytes([1]))


def test_what_was_found_again_outlives_what_was_not(images: SavedImages) -> None:
    save(images, 0x1000, 1, 2)
    assert images.knows(0x5000, bytes([1]))
    save(images, 0x1000, *range(3, 100))
    assert images.knows(0x6000, bytes([1]))


def test_all_of_it_is_bounded(images: SavedImages) -> None:
    for lrca in range(50):
        save(images, lrca, *range(lrca, lrca + 10), first=bool(lrca % 2))
        images.knows(99, bytes([lrca]))
    assert (len(images.latest), len(images.earlier), len(images.copied)) == (4, 3, 3)
