"""Does a live object have what the overlay says? What controllers add to it does not count."""

from typing import Any

from rayops.kube import Obj

_UNITS = {
    "m": 0.001, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def differences(wanted: Any, live: Any, path: str = "") -> list[str]:
    """What is wanted and not so, one line each: `spec.replicas: wanted 2, is 1`. Lists match by name, else by place."""
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return [f"{path}: wanted {wanted!r}, is {live!r}"] if wanted else []
        return [
            line
            for key, value in wanted.items()
            for line in differences(value, live.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(wanted, list):
        return _of_list(wanted, live if isinstance(live, list) else [], path)
    return [] if wanted == live or _same_quantity(wanted, live) else [f"{path}: wanted {wanted!r}, is {live!r}"]


def _of_list(wanted: list[Any], live: list[Any], path: str) -> list[str]:
    lines: list[str] = []
    for index, item in enumerate(wanted):
        key = _key(item)
        at = f"{path}[{item[key] if key else index}]"
        if key:
            found = next((other for other in live if isinstance(other, dict) and other.get(key) == item[key]), None)
        else:
            found = live[index] if index < len(live) else None
        lines += differences(item, found, at) if found is not None else [f"{at}: wanted, is not there"]
    return lines


def _key(item: Any) -> str:
    keys = ("mountPath", "name", "groupName")
    return next((key for key in keys if isinstance(item, dict) and key in item), "")


def _same_quantity(one: object, other: object) -> bool:
    first, second = quantity(one), quantity(other)
    return first is not None and first == second


def quantity(value: object) -> float | None:
    """A Kubernetes quantity as a number, in its base unit: `250m` is 0.25, `2Gi` is 2147483648; None for other text."""
    text = str(value)
    number = text.rstrip("mkKMGTi")
    try:
        return round(float(number) * _UNITS[text[len(number) :]], 6)
    except (ValueError, KeyError):
        return None


def pod_template_differences(template: Obj, pod: Obj) -> list[str]:
    """What a group's pod template wants and a live pod of it lacks.

    The operator writes the Ray containers' start command, so `command` and `args` count for init containers only.
    """
    wanted = {key: value for key, value in template["spec"].items() if key != "containers"}
    ours = ("command", "args")
    wanted["containers"] = [{k: v for k, v in c.items() if k not in ours} for c in template["spec"]["containers"]]
    labels = template.get("metadata", {}).get("labels", {})
    return differences({"metadata": {"labels": labels}, "spec": wanted}, pod)
