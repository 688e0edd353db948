"""What people told the platform team, and what became of it. Pure.

Invariants
- A ticket belongs to the feedback that it was opened for: whoever else names that feedback says nothing of it.
- Of a ticket counts what was said of its latest state, in whichever order it was heard.
"""

from collections.abc import Iterable, Sequence

from contracts.feedback import FeedbackView, Survey, TicketView
from contracts.signals import FeedbackGiven, SurveyAnswered, SurveyDeclined, TicketChanged, TicketOpened


def feedback_view(
    sequence: int, given: FeedbackGiven, opened: TicketOpened | None, changes: Iterable[TicketChanged]
) -> FeedbackView:
    """What somebody said, stored at `sequence`, with its ticket and whatever was told of that."""
    said = given.data
    return FeedbackView(
        id=given.id,
        sequence=sequence,
        at=given.time,
        person=said.person,
        text=said.text,
        page=said.page,
        run_id=said.run_id,
        ticket=_ticket(opened, changes) if opened is not None else None,
    )


def survey_view(said: Sequence[SurveyAnswered | SurveyDeclined]) -> Survey:
    """What somebody made of the survey: the first answer, and the first refusal to give one."""
    answers = [one.time for one in said if isinstance(one, SurveyAnswered)]
    refusals = [one.time for one in said if isinstance(one, SurveyDeclined)]
    return Survey(answered_at=min(answers, default=None), declined_at=min(refusals, default=None))


def _ticket(opened: TicketOpened, changes: Iterable[TicketChanged]) -> TicketView:
    named = opened.data
    view = TicketView(ticket=named.ticket, title=named.title, url=str(named.url), opened_at=opened.time)
    of_it = [one for one in changes if one.data.ticket == named.ticket]
    if not of_it:
        return view
    last = max(of_it, key=lambda one: one.time)
    news = last.data
    return view.model_copy(
        update={
            "title": news.title,
            "url": str(news.url),
            "state": news.state,
            "outcome": news.outcome,
            "changed_at": last.time,
            "replies": news.replies,
            "reply": news.reply,
        }
    )
