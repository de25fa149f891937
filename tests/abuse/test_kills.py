"""A run that is killed loses nothing that it had finished."""

from abuse import kills


def test_a_run_killed_at_random_moments_ends_with_the_bytes_of_an_undisturbed_one():
    figures = kills.run(20, seed=0)
    assert figures["kills"] == 20
    assert figures["lost"] == 0
    assert figures["units"] >= 12
