"""What a change of overlays will do: for each object of Ray a verdict, and all that a reviewer wants to know beside it.

with side("main", checkout) as before, side("", checkout) as after:
    review = compare(before, after)
print(FORMATS["markdown"](review))

changes → effects (KubeRay's rules and its own hash) → compare (items, cost, findings, who inherits) → report.
"""

from rayops.review.changes import MISSING, Change, changes
from rayops.review.effects import Code, Effect, Judged, Touch, Verdict, effect, judge

__all__ = [
    "MISSING",
    "Change",
    "Code",
    "Effect",
    "Judged",
    "Touch",
    "Verdict",
    "changes",
    "effect",
    "judge",
]
