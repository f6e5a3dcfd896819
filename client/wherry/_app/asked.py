"""What is asked of an app that runs or is deployed, and told it, by its id."""

from __future__ import annotations

from wherry._base.blocking import blocking
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._define.names import checked_tags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from wherry._app.roster import Roster
    from wherry._calling.owner import Owner
    from wherry._connection.client import Client
    from wherry.types import AppInfo, AppStats


class AskedApp:
    """Part of an App: what the service knows of it, and notebooks show."""

    __wherry_owner__: Owner
    _roster: Roster

    @blocking
    def get_dashboard_url(self) -> str:
        """Raise InvalidError: `wherry dashboard` opens the dashboard. (reference: App.get_dashboard_url)"""
        from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

        raise refusal("get_dashboard_url", "modal.App.get_dashboard_url")

    @property
    def sandboxes(self) -> Any:
        """Raise InvalidError: what sandboxes cost is nothing that Wherry counts. (reference: App.sandboxes)"""
        from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

        raise refusal("App.sandboxes", "modal.App.sandboxes")

    @blocking
    def stop(self, client: Client | None = None) -> None:
        """Stop the app: its containers and sandboxes end, and nobody can call its functions.

        Raises ExecutionError unless it runs, was deployed here, or comes from `lookup`. (reference: App.stop)
        """
        from wherry._publish.apps import stop  # noqa: PLC0415 - start-up cost: loads the session

        owner = self.__wherry_owner__
        stop(*owner.reached("stop", client))
        owner.stopped()

    @blocking
    def set_tags(self, tags: Mapping[str, str], client: Client | None = None) -> None:
        """Replace the app's tags; those of an app that does not run yet are sent when it does.

        Raises InvalidError unless names and values are strings. (reference: App.set_tags)
        """
        owner, checked = self.__wherry_owner__, checked_tags(tags)
        if owner.app_id is not None:
            from wherry._publish.apps import set_tags  # noqa: PLC0415 - start-up cost: as above

            set_tags(*owner.reached("set_tags", client), checked)
        owner.tags = checked

    @blocking
    def get_tags(self, client: Client | None = None) -> dict[str, str]:
        """Return the app's tags. (reference: App.get_tags)"""
        owner = self.__wherry_owner__
        if owner.app_id is None:
            return dict(owner.tags)
        from wherry._publish.apps import tags_of  # noqa: PLC0415 - start-up cost: as above

        return tags_of(*owner.reached("get_tags", client))

    @blocking
    def info(self, refresh: bool = False) -> AppInfo:
        """Return its id, state, times and functions; fetched each time. (reference: App.info)"""
        from wherry._publish.apps import info_of  # noqa: PLC0415 - start-up cost: as above

        return info_of(*self.__wherry_owner__.reached("info", None))

    @blocking
    def stats(
        self, *, since: datetime | timedelta | None = None, until: datetime | timedelta | None = None
    ) -> AppStats:
        """Return how the app's functions, servers and sandboxes did between two times, in whole minutes.

        By default in the last hour; a `timedelta` is so long ago, a time without a zone is local. Raises InvalidError
        for what is no interval. (reference: App.stats)
        """
        from wherry._calling.app_stats import stats_of_app  # noqa: PLC0415 - start-up cost: as above

        client, app_id = self.__wherry_owner__.reached("stats", None)
        return stats_of_app(client, app_id, self.__wherry_owner__.environment, since, until)

    def _repr_html_(self) -> str:
        from wherry._base.card import card  # noqa: PLC0415 - start-up cost: only notebooks show this

        owner, roster = self.__wherry_owner__, self._roster
        return card(
            repr(self),
            {
                "state": owner.state,
                "id": owner.app_id,
                "environment": owner.environment if owner.app_id else "",
                "functions": list(roster.plain_functions),
                "classes": list(roster.classes),
                "entrypoints": list(roster.entrypoints),
            },
        )
