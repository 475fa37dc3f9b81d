"""A process of its own that spends from a shared account until it is refused: `ADDRESS SEED ROUNDS`.

Prints what it settled and how many of its calls it left open, as a JSON line at the end.
"""

from __future__ import annotations

import json
import random
import sys

from rheostat import Account, BudgetExceeded, Spend, open_ledger


def main(address: str, seed: int, rounds: int) -> None:
    dice = random.Random(seed)
    ledger = open_ledger(address)
    own = f"worker-{seed}"
    ledger.open(Account(own, parent="shared"))
    settled = calls = refused = 0
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(rounds):
        amount = Spend(usd_nanos=dice.randint(1, 1000), output_tokens=dice.randint(1, 100), calls=1)
        try:
            [held] = ledger.hold(own, [amount], {"model": "m", "node": own})
        except BudgetExceeded:
            refused += 1
            continue
        if dice.random() < 0.1:
            ledger.void(held.id)
            continue
        assert ledger.begin(held.id) is not None
        cost = Spend(usd_nanos=dice.randint(0, amount.usd_nanos or 0), output_tokens=amount.output_tokens, calls=1)
        assert ledger.settle(held.id, cost)
        assert not ledger.settle(held.id, cost)
        settled += cost.usd_nanos or 0
        calls += 1
    ledger.close()
    print(json.dumps({"settled": settled, "calls": calls, "refused": refused}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
