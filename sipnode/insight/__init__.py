"""Insight: what happened to a call, why it failed, and how it looks: recorder, explanation, ladders, exports."""
