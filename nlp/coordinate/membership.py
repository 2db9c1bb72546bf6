"""How probable it is that an account belongs to a group, from how many of its members it is tied to.

A core of a large population takes in accounts at its edge that chance has tied to a few of the many members. Two accounts of which one
does not belong are tied with probability r = 1 - prod(1 - p_t), where p_t is the p below which trace t keeps a pair; so an account
beside a group of s has Bin(s, r) ties. A member has a beta-binomial number of ties, whose mean and spread are those of the accounts of
the core, because members differ in how much they act. With the share of the population that the core takes as prior odds, Bayes' rule
gives the probability; accounts below ``member`` are not listed as members.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.groups import Group, Network

SMALLEST_CONCENTRATION = 2.0
"""Least a + b of the beta law of members: below, it would have its mass at no tie and all ties, and say nothing about what is between."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A group with what is known of each of its accounts.

    Parameters
    ----------
    group
        Its accounts are those that belong to it more likely than not.
    probability
        (s,) float64, of membership.
    strength
        (s,) float64, share of the other members that an account has a kept tie with in any trace.
    """

    group: Group
    probability: Doubles
    strength: Doubles


def tie_counts(networks: list[Network], accounts: Ints) -> Ints:
    """Return with how many of the others each account has a kept tie in any of the networks.

    Parameters
    ----------
    networks
        Traces that show the group.
    accounts
        (s,) int64 rows of `Corpus.names`, ascending.

    Returns
    -------
    ndarray
        (s,) int64.
    """
    size = len(accounts)
    keys = [np.empty(0, dtype=np.int64)]
    for network in networks:
        ends = [network.trace.accounts[side] for side in (network.pairs.a, network.pairs.b)]
        places = [np.minimum(np.searchsorted(accounts, end), size - 1) for end in ends]
        inside = (accounts[places[0]] == ends[0]) & (accounts[places[1]] == ends[1])
        keys.append(places[0][inside] * size + places[1][inside])
    low, high = np.divmod(np.unique(np.concatenate(keys)), size)
    return np.bincount(low, minlength=size) + np.bincount(high, minlength=size)


def membership(ties: Ints, chance: float, population: int) -> Doubles:
    """Return the probability that each account of a core belongs to the group.

    Parameters
    ----------
    ties
        (s,) int64 ties with the others.
    chance
        Probability r of a tie with an account that does not belong.
    population
        Accounts that could have been in the core.

    Returns
    -------
    ndarray
        (s,) float64.
    """
    others = len(ties) - 1
    share = ties / others
    mean = float(np.clip(share.mean(), 1e-9, 1 - 1e-9))
    spread = max(float(share.var()) - mean * (1 - mean) / others, 0.0)
    # Moments of the beta law; without any spread beyond the binomial one it is a point.
    concentration = max(mean * (1 - mean) / spread - 1 if spread else np.inf, SMALLEST_CONCENTRATION)
    if np.isfinite(concentration):
        a, b = mean * concentration, (1 - mean) * concentration
        log_member = special.betaln(ties + a, others - ties + b) - special.betaln(a, b)
    else:
        log_member = special.xlogy(ties, mean) + special.xlog1py(others - ties, -mean)
    log_chance = special.xlogy(ties, chance) + special.xlog1py(others - ties, -chance)
    prior = np.log(len(ties) / max(population - len(ties), 1))
    # An account with fewer ties than chance gives is no more a member than one with as many as chance gives.
    odds = np.where(share <= chance, np.minimum(log_member - log_chance, 0.0), log_member - log_chance)
    return np.asarray(special.expit(prior + odds), dtype=np.float64)


def settle(group: Group, networks: list[Network], least: float) -> Membership:
    """Leave out the accounts whose membership is less probable than `least`."""
    shown = [network for network in networks if network.trace.name in group.traces]
    chance = 1 - float(np.prod([1 - min(network.threshold, 1.0) for network in shown]))
    population = max(len(network.trace.accounts) for network in shown)
    ties = tie_counts(shown, group.accounts)
    probability = membership(ties, chance, population)
    kept = probability >= least
    settled = replace(group, accounts=group.accounts[kept])
    return Membership(settled, probability[kept], tie_counts(shown, settled.accounts) / max(int(kept.sum()) - 1, 1))
