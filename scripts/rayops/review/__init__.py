"""What a change of overlays will do: per object the fields, and for Ray's kinds what KubeRay does with them.

verdicts = judge(before, after)          # objects of one overlay at two revisions
print(markdown.report([Reviewed("overlays/prod/rag", verdicts)], "main"))
"""

from rayops.review.changes import MISSING, Change, changes
from rayops.review.effects import Effect, Judged, Verdict, effect, judge
from rayops.review.resources import Amount, cluster_amounts

__all__ = [
    "MISSING",
    "Amount",
    "Change",
    "Effect",
    "Judged",
    "Verdict",
    "changes",
    "cluster_amounts",
    "effect",
    "judge",
]
