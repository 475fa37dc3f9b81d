"""Scorers: what tells how good an answer is, without telling whether it is right.

`Judge`, `Decision`, `OutcomeReward`, `ProcessReward`, `Confidence`, `Verified`, and `AllOf`, `AnyOf`, `FirstOf`,
`Weighted` of several. A scorer is pure: it says what to send, and reads the reply. The gate pays, and the spend shows
it by name.
"""

from rheostat.evidence.scorers.base import (
    ChatRequest,
    DecisionRequest,
    HttpRequest,
    Ranker,
    Request,
    Scorer,
    Scoring,
    Work,
    abstains,
)
from rheostat.evidence.scorers.decision import Decision
from rheostat.evidence.scorers.judge import Judge
from rheostat.evidence.scorers.plain import Confidence, Verified
from rheostat.evidence.scorers.reward import OutcomeReward, ProcessReward
from rheostat.evidence.scorers.reward_formats import RewardFormat, StepFormat
from rheostat.evidence.scorers.together import AllOf, AnyOf, FirstOf, Weighted

__all__ = [
    "AllOf", "AnyOf", "ChatRequest", "Confidence", "Decision", "DecisionRequest", "FirstOf", "HttpRequest", "Judge",
    "OutcomeReward", "ProcessReward", "Ranker", "Request", "RewardFormat", "Scorer", "Scoring", "StepFormat",
    "Verified", "Weighted", "Work", "abstains",
]  # fmt: skip
