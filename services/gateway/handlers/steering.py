"""Steering runs: calling one off while it goes on, and trying one again that failed."""

from dataclasses import dataclass

from contracts.events import Asked, RunCommand
from contracts.queries import EnvironmentView, RunView
from services.gateway.domain.admission import fingerprint
from services.gateway.domain.obstacles import standing_of
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import price_of
from services.gateway.domain.refusals import NotFailedError, RunEndedError
from services.gateway.handlers.quotas import Quotas
from services.gateway.handlers.settling import Answered, Draft, Settling
from services.gateway.handlers.wishing import Wishing

_ANOTHER_CAME = "Another run of this environment came after this one. Look at that one."
_DID_NOT_FAIL = "This run did not fail: there is nothing to try again."


@dataclass(frozen=True)
class Steering:
    """Accepts requests about runs. Every deed raises as `Settling.carry_out`."""

    settling: Settling
    wishing: Wishing
    quotas: Quotas

    async def cancel(self, principal: Principal, run_id: str, key: str | None) -> RunView:
        """Call off a run that is under way: it stops at the next safe point and undoes what it did. Returns the run."""
        principal.require("developer")
        mark = fingerprint("cancel", {"run": run_id})
        answered = await self.settling.earlier(principal, key, mark)
        if answered is None:
            run, view = await self._found(principal, run_id)
            if run.called_off_by is not None and run.ended_at is None:
                return run
            if run.ended_at is not None:
                raise RunEndedError("This run is over, and cannot be called off any more.", standing_of(view))

            async def draft() -> Draft:
                return Draft("cancel", view.name, RunCommand(requested_by=principal.person), view, run_id=run.id)

            answered = await self.settling.carry_out(principal, key, mark, draft)
        return await self.wishing.reading.run(principal, run_id, at_least=answered.request.sequence or 0)

    async def retry(self, principal: Principal, run_id: str, key: str | None) -> Answered:
        """Begin a failed run anew, for the same desired state."""
        principal.require("developer")
        mark = fingerprint("retry", {"run": run_id})
        if (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered

        async def draft() -> Draft:
            run, view = await self._found(principal, run_id)
            if run.state in {"succeeded", "running", "undoing"}:
                raise NotFailedError(_DID_NOT_FAIL, standing_of(view))
            before = await self.settling.runs.asked(run)
            if view.run_id != run.id or before is None:
                raise NotFailedError(_ANOTHER_CAME, standing_of(view))
            return await self._again(principal, run, view, before)

        return await self.settling.carry_out(principal, key, mark, draft)

    async def _again(self, principal: Principal, run: RunView, view: EnvironmentView, before: Asked) -> Draft:
        spec, room = before.spec, None
        path = await self.wishing.golden_paths.find(spec.golden_path)
        if run.kind == "update":
            room = self.quotas.room_for_change(spec, path)
        if run.kind == "create":
            room = self.quotas.room_for_new(spec, path)
            # A new life, with all the time before it that was asked for.
            if spec.expires_at is not None:
                ends = self.wishing.clock.now() + (spec.expires_at - run.requested_at)
                spec = spec.model_copy(update={"expires_at": ends})
        previous = view.spec if run.kind == "update" else None
        price = price_of(path, spec.parameters)
        asked = Asked(
            spec=spec,
            previous=previous,
            requested_by=principal.person,
            cause="retry",
            price=price,
            accepts_loss=before.accepts_loss,
        )
        return Draft(run.kind, view.name, asked, view, room=room)

    async def _found(self, principal: Principal, run_id: str) -> tuple[RunView, EnvironmentView]:
        run = await self.wishing.reading.run(principal, run_id)
        view = await self.wishing.reading.environment(principal, run.environment)
        principal.require_in(view, "developer")
        return run, view
