"""A review for programs: one JSON object, stable in its order."""

import json
from typing import Any

from rayops.fit import Amount, Capacity, Cost
from rayops.fit.capacity import LEVELS
from rayops.review.changes import MISSING
from rayops.review.model import Item, Reason, Review
from rayops.review.report.words import SECRET, hidden
from rayops.versions import pin


def report(review: Review) -> str:
    """The review as JSON, with a newline at its end."""
    return json.dumps(content(review), indent=1, ensure_ascii=False, default=str) + "\n"


def content(review: Review) -> dict[str, Any]:
    """The review as plain data. `items` has every object of Ray, those that nothing changes with the verdict `none`."""
    return {
        "from": review.before,
        "to": review.after,
        "kuberay": pin("KUBERAY_VERSION"),
        "ray": pin("RAY_VERSION"),
        "fails": list(review.fails),
        "items": [_item(item) for item in review.items],
        "others": [
            {
                "source": other.source,
                "environment": other.environment,
                "object": other.obj,
                "change": other.change,
                "reasons": [_reason(each, hide=hidden(other.obj)) for each in other.reasons],
            }
            for other in review.others
        ],
        "problems": list(review.problems),
        "findings": {
            "new": [vars(each) for each in review.new_findings],
            "gone": [vars(each) for each in review.gone_findings],
        },
        "spending": [{**vars(each), "over": each.over} for each in review.spending],
        "inherited": [vars(each) for each in review.inherited],
    }


def _item(item: Item) -> dict[str, Any]:
    during = item.during
    return {
        "verdict": item.verdict.value,
        "kind": item.kind,
        "namespace": item.namespace,
        "name": item.name,
        "source": item.source,
        "environment": item.environment,
        "effect": item.effect.value,
        "why": item.why,
        "reasons": [_reason(each, hide=False) for each in item.reasons],
        "restarts": list(item.restarts),
        "reconfigures": list(item.reconfigures),
        "during": {"pods": during.pods, **_amount(during.amount), "lasts": during.lasts, "beyond_quota": during.quota}
        if during
        else None,
        "failures": item.failures,
        "revert": item.revert,
        "capacity": {"before": _capacity(item.before), "after": _capacity(item.after)},
        "cost": {"before": _cost(item.cost_before), "after": _cost(item.cost_after)},
    }


def _reason(reason: Reason, *, hide: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": reason.path,
        "place": reason.place,
        "verdict": reason.effect.code.value,
        "effect": reason.effect.value,
        "why": reason.why,
    }
    for key, value in (("old", reason.old), ("new", reason.new)):
        if value is not MISSING:
            found[key] = SECRET if hide else value
    return found


def _amount(amount: Amount) -> dict[str, float]:
    return {"cpu": amount.cpus, "memory_bytes": amount.memory, "gpu": amount.gpus}


def _capacity(found: Capacity | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {level: {"pods": found.pods(level), **_amount(found.at(level))} for level in LEVELS}


def _cost(found: Cost | None) -> dict[str, Any] | None:
    if found is None:
        return None
    levels: dict[str, Any] = {
        level: {
            "hour": round(found.hour(level), 4),
            "month": round(found.month(level), 2),
            "gpu_hours_per_hour": found.gpu_hours(level),
        }
        for level in LEVELS
    }
    return {"currency": found.currency, "prices_of": found.date, "unpriced": list(found.unpriced), **levels}
