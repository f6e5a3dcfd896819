"""The table of all rpcs: which classes serve them, and so by which rules."""

from collections.abc import Mapping

from wherry_service.api.apps import AppApi
from wherry_service.api.blobs import BlobApi
from wherry_service.api.calls import CallApi
from wherry_service.api.containers import ContainerApi
from wherry_service.api.dashboard import DashboardApi
from wherry_service.api.deployments import DeploymentApi
from wherry_service.api.dicts import DictApi
from wherry_service.api.disk import DiskApi
from wherry_service.api.environments import EnvironmentApi
from wherry_service.api.execs import ExecApi
from wherry_service.api.image_names import ImageNameApi
from wherry_service.api.images import ImageApi
from wherry_service.api.info import ServerApi
from wherry_service.api.logs import LogApi
from wherry_service.api.objects import ObjectApi, VolumeNames
from wherry_service.api.queues import QueueApi
from wherry_service.api.records import RecordApi
from wherry_service.api.replays import ReplayApi
from wherry_service.api.rpc import rules_of
from wherry_service.api.rules import Rule
from wherry_service.api.sandboxes import SandboxApi
from wherry_service.api.schedules import ScheduleApi
from wherry_service.api.secrets import SecretApi
from wherry_service.api.sessions import SessionApi
from wherry_service.api.team import TeamApi
from wherry_service.api.terminals import Terminals
from wherry_service.api.volumes import VolumeApi

# Those of which there is one each, and those that serve several groups of rpcs.
_APIS: tuple[type, ...] = (
    AppApi, BlobApi, CallApi, ContainerApi, DashboardApi, DeploymentApi, DictApi, DiskApi, EnvironmentApi, ExecApi,
    ImageApi, ImageNameApi, LogApi, QueueApi, RecordApi, SandboxApi, ScheduleApi, SecretApi, ServerApi, SessionApi,
    ReplayApi, TeamApi, Terminals, VolumeApi,
)  # fmt: skip
_GROUPS: Mapping[str, type] = {
    "Dicts": ObjectApi,
    "Queues": ObjectApi,
    "Volumes": VolumeNames,
    "NetworkFileSystems": VolumeNames,
}


def _rules() -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for found in (*(rules_of(api) for api in _APIS), *(rules_of(api, group) for group, api in _GROUPS.items())):
        if twice := rules.keys() & found.keys():
            raise ValueError(f"{sorted(twice)[0]} is served twice")
        rules |= found
    return rules


RULES: Mapping[str, Rule] = _rules()
"""Who may call what, by an rpc's name; one that is not here is refused everywhere."""
