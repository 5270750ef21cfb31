"""Says what to change, changes it once a second person agrees, and proves whether it paid.

Knows levers, simulations, approvals, rollouts and targets. Refuses to keep the books: amounts are
the ledger's, in finops. Nothing imports this package.
"""
