"""Hypothesis strategies for recorded feeds; they need Hypothesis, which the package does not bring."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from syft_flwr.recording.reader import Recording

_SENDERS = ("ann@example.org", "bob@example.org", "eve@example.net")


def feeds(
    account: str = "owner@example.com",
    *,
    app: str = "flwr/app",
    endpoints: Sequence[str] = ("messages",),
    senders: Sequence[str] = _SENDERS,
    bodies: st.SearchStrategy[bytes] | None = None,
    max_requests: int = 10,
) -> st.SearchStrategy[Recording]:
    """Return feeds that bring requests: one by one or many with a poll, and some that are taken back.

    Args:
        account: Whose feeds they are.
        app: The app that is asked.
        endpoints: Its endpoints.
        senders: Who asks.
        bodies: What they ask; up to a hundred bytes by default.
        max_requests: How many requests a feed has at most.
    """
    gaps = st.sampled_from([0.0, 0.5, 60.0])
    asked = st.tuples(
        st.sampled_from(senders), st.sampled_from(endpoints), bodies or st.binary(max_size=100), gaps, st.booleans()
    )

    def build(steps: list[tuple[str, str, bytes, float, bool]]) -> Recording:
        builder, at = Recording.build(account), 1.0
        for number, (sender, endpoint, body, gap, is_taken_back) in enumerate(steps):
            at += gap
            builder.request(sender, app, endpoint, body, at=at)
            if is_taken_back:
                builder.delete(builder.future_id(number), at=at + gap)
                at += gap
        return builder.recording()

    return st.lists(asked, max_size=max_requests).map(build)
