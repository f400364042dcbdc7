"""Does it fit, what does it take, what does it cost: of an object of Ray, without a cluster."""

from rayops.fit.amounts import GIB, Amount, amount_of, pod_amount, pod_requests
from rayops.fit.capacity import Capacity, GroupCapacity, capacity, surge_of
from rayops.fit.cost import HOURS_PER_MONTH, Cost, GroupCost, cost, over_budget
from rayops.fit.prices import Budget, Pool, Prices, find_prices, read_prices

__all__ = [
    "GIB",
    "HOURS_PER_MONTH",
    "Amount",
    "Budget",
    "Capacity",
    "Cost",
    "GroupCapacity",
    "GroupCost",
    "Pool",
    "Prices",
    "amount_of",
    "capacity",
    "cost",
    "find_prices",
    "over_budget",
    "pod_amount",
    "pod_requests",
    "read_prices",
    "surge_of",
]
