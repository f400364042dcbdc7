"""Does it fit, what does it take, what does it cost: of an object of Ray, without a cluster."""

from rayops.fit.amounts import GIB, Amount, amount_of, pod_amount, pod_requests
from rayops.fit.capacity import Capacity, GroupCapacity, capacity, surge_of
from rayops.fit.cost import HOURS_PER_MONTH, Cost, GroupCost, cost, over_budget
from rayops.fit.fits import Case, Fit, Unplaced, case, fits
from rayops.fit.prices import Budget, Pool, Prices, find_prices, read_prices

__all__ = [
    "GIB",
    "HOURS_PER_MONTH",
    "Amount",
    "Budget",
    "Capacity",
    "Case",
    "Cost",
    "Fit",
    "GroupCapacity",
    "GroupCost",
    "Pool",
    "Prices",
    "Unplaced",
    "amount_of",
    "capacity",
    "case",
    "cost",
    "find_prices",
    "fits",
    "over_budget",
    "pod_amount",
    "pod_requests",
    "read_prices",
    "surge_of",
]
