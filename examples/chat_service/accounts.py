"""The accounts: each user has a budget a day, beneath the team's a month, in one ledger that all workers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rheostat import Account, Budget, BudgetExceeded, Window, usd
from rheostat.money.ledger.durable import DurableLedger

TEAM = "team"


class Accounts:
    """The team's account and those of its users.

    Args:
        ledger: In SQLite, shared by the processes of one machine; in Postgres, by machines.
        team: The team's limits, each month.
        user: Each user's limits, each day.
        zone: The time zone in which days and months begin.
    """

    def __init__(self, ledger: DurableLedger, *, team: Budget, user: Budget, zone: str) -> None:
        self.ledger, self._user_budget = ledger, user
        self._day, self._month = Window("day", zone), Window("month", zone)
        ledger.open(Account(TEAM, team, window=self._month))

    async def of(self, user: str) -> str:
        """The user's account, opened at the first question. Opening it again changes nothing."""
        account = f"user/{user}"
        await self.ledger.aopen(Account(account, self._user_budget, parent=TEAM, window=self._day))
        return account

    def _renewal(self) -> datetime:
        """When a user's limits start anew."""
        now = int(datetime.now(UTC).timestamp() * 1000)
        return datetime.fromtimestamp(self._day.around(now)[1] / 1000, ZoneInfo(self._day.zone))

    def refusal(self, refused: BudgetExceeded) -> dict[str, Any]:
        """What a user is told when a question doesn't fit: whose budget it is, and when it renews."""
        renews = refused.renews_at  # `None`: it is a single run's account
        if renews is None:
            return {
                "error": "question_too_large",
                "message": f"One answer has a budget of its own: {refused.plainly}. Ask for less at once.",
            }
        whose = "The team's budget for this month" if refused.account == TEAM else "Your budget for today"
        renews = renews.astimezone(ZoneInfo(self._day.zone))
        when = f"{renews:%Y-%m-%d %H:%M %Z}"
        return {
            "error": "budget_used_up",
            "account": refused.account,
            "message": f"{whose} doesn't hold another answer: {refused.plainly}. It renews at {when}.",
            "renews_at": renews.isoformat(),
        }

    async def report(self, user: str) -> dict[str, Any]:
        """What a user has spent, and may still spend before the limits start anew."""
        account = await self.of(user)
        spent, room = await self.ledger.areading(account), await self.ledger.aroom(account)
        renews = self._renewal()
        return {
            "user": user,
            "limit_per_day": str(self._user_budget),
            "left_now": usd(room.usd_nanos),  # of the day's limit or, if that is less, of the team's
            "renews_at": renews.isoformat(),
            "spent": usd(spent["usd_nanos"]),  # since the account was opened
            "in_flight": usd(spent["held_usd_nanos"]),
            "unknown": usd(spent["unknown_usd_nanos"]),  # calls that were cut, charged at an estimate
            **{name: spent[name] for name in ("calls", "input_tokens", "output_tokens", "usd_nanos")},
            "by_model": {name: usd(each["usd_nanos"]) for name, each in spent["by_model"].items()},
        }
