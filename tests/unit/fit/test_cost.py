"""Prices of pods, by hand; the repository's own price file."""

from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.fit import Prices, capacity, cost, find_prices, over_budget, read_prices
from rayops.paths import ROOT
from tests.unit.fit.objects import group, pod, service

PRICES = """
currency: EUR
date: 2026-01-01
source: a test
pools:
- {name: small, allocatable: {cpu: 4, memory: 16Gi, pods: 100}, price_per_hour: 0.4}
- name: gpu
  labels: {gpu: "true"}
  taints: [gpu]
  allocatable: {cpu: 16, memory: 64Gi, nvidia.com/gpu: 2, pods: 100}
  price_per_hour: 8
budgets: {prod: {month: 100}, dev: {month: 10000, at: surge}}
"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    (tmp_path / "prices.yaml").write_text(PRICES)
    found = find_prices(tmp_path)
    assert found
    return found


def test_a_pod_costs_the_largest_part_of_a_node_that_it_takes(prices: Prices) -> None:
    found = cost(capacity(service(group(most=3, template=pod(cpu="1", memory="8Gi")))), prices)
    head, workers = found.groups
    assert (head.pod, workers.pod) == (0.1, 0.2)
    assert found.hour("max") == pytest.approx(0.7)
    assert found.month("surge") == pytest.approx(1.4 * 730)
    assert (found.currency, found.date, found.unpriced) == ("EUR", "2026-01-01", ())


def test_a_gpu_is_paid_by_its_part_and_only_where_a_pod_may_go(prices: Prices) -> None:
    template = pod(**{"nvidia.com_gpu": "1"})
    found = cost(capacity(service(group("gpu", most=3, template=template))), prices)
    assert found.unpriced == ("gpu",)
    template["spec"] |= {"nodeSelector": {"gpu": "true"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    found = cost(capacity(service(group("gpu", most=3, template=template))), prices)
    assert found.groups[1].pool == "gpu"
    assert (found.groups[1].hour("max"), found.gpu_hours("max"), found.unpriced) == (12, 3, ())


def test_required_node_affinity_chooses_the_pool(prices: Prices) -> None:
    template = pod()
    terms = [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["true"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    template["spec"] |= {"affinity": {"nodeAffinity": required}, "tolerations": [{"operator": "Exists"}]}
    assert cost(capacity(service(group(template=template))), prices).groups[1].pool == "gpu"


def test_budgets_are_found_by_the_path_of_a_source(prices: Prices) -> None:
    found = cost(capacity(service(group(most=3))), prices)
    assert over_budget([found], prices, "overlays/prod/rag") == ("prod", found.month("max"), 100)
    assert over_budget([found], prices, "overlays/dev/rag") is None
    assert over_budget([found], prices, "overlays/local/rag") is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("price_per_hour: 8", "price_per_hour: -1", "pools.1.price_per_hour"),
        ("price_per_hour: 8", "price: 8", "pools.1.price: Extra"),
        ("memory: 16Gi", "memory: much", "pools.0.allocatable"),
        ("at: surge", "at: sometimes", "budgets.dev.at"),
        ("currency: EUR", "currency: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_one_line_with_the_field(tmp_path: Path, old: str, new: str, fault: str) -> None:
    (tmp_path / "prices.yaml").write_text(PRICES.replace(old, new))
    with pytest.raises(RayopsError, match=f"^prices.yaml.*{fault}"):
        find_prices(tmp_path)


def test_the_repositorys_own_prices_say_that_they_are_examples() -> None:
    found = read_prices(ROOT / "overlays/prices.yaml")
    assert "examples" in found.source
    assert set(found.budgets) == {"dev", "staging", "prod"}
