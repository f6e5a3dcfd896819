"""What Modal has and Wherry lacks, as it means nothing on one's own machines: the reason, and what happens instead.

`docs/from-modal.md` is made from this table, and `tests/unit/parity` holds Wherry to it.
"""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from typing import Literal

    How = Literal["accepted", "ignored", "refused", "differs", "inner"]


class Row:
    """Some names that have one reason.

    `names` are patterns of facts as `tests/unit/parity/facts.py` names them: "modal.Workspace*", "*(cloud=)".
    `how`: "accepted" (it is so anyway), "ignored" (with one warning), "refused" (an error with `sentence`), "differs"
    (a parameter that has another default here), "inner" (a part of Modal's own client that programs do not use; there
    is no such name).
    """

    __slots__ = ("how", "instead", "names", "title", "why")

    def __init__(self, title: str, how: How, names: tuple[str, ...], why: str, instead: str) -> None:
        self.title = title
        self.how = how
        self.names = names
        self.why = why
        self.instead = instead

    @property
    def sentence(self) -> str:
        """What an error or a warning says after the name."""
        return f"{self.why}; {self.instead}" if self.instead else self.why


ROWS = (
    # Parameters
    Row(
        "`cloud=`, `region=`, `routing_region=`, `compute_region=`",
        "ignored",
        ("*(cloud=)", "*(region=)", "*(routing_region=)", "*(compute_region=)", "modal shell --cloud",
         "modal shell --region", "modal server deploy --region"),
        "your own machines are in no cloud and no region",
        "containers run where the service runs",
    ),
    Row(
        "`nonpreemptible=`",
        "accepted",
        ("*(nonpreemptible=)",),
        "no container is taken away to make room for another customer",
        "",
    ),
    Row(
        "`proxy=`",
        "ignored",
        ("*(proxy=)",),
        "containers reach the network from the address of their machine, which does not change",
        "allow that address where a static one is needed",
    ),
    Row(
        "`enable_memory_snapshot=`",
        "ignored",
        ("*(enable_memory_snapshot=)",),
        "containers are not restored from an image of their memory",
        "each one starts from the beginning, and runs all its enter hooks, those with `snap=True` first",
    ),
    Row(
        "`experimental_options=`",
        "ignored",
        ("*(experimental_options=)",),
        "experiments are the cloud's own",
        "",
    ),
    Row(
        "`runtime=` of sandboxes",
        "ignored",
        ("*(runtime=)", "modal shell --runtime"),
        "all sandboxes of a service have one runtime",
        "set `containers.runtime` or WHERRY_SANDBOX_RUNTIME for the service",
    ),
    Row(
        "`custom_domain=`",
        "ignored",
        ("*(custom_domain=)",),
        "tunnels of sandboxes have no domain of their own",
        "use the address that `tunnels()` gives",
    ),
    Row(
        "`include_oidc_identity_token=`",
        "ignored",
        ("*(include_oidc_identity_token=)",),
        "Wherry issues no identity tokens",
        "put credentials into a Secret",
    ),
    Row(
        "`i6pn=`",
        "refused",
        ("*(i6pn=)",),
        "containers have no private network between them",
        "let them exchange data with a Queue, a Dict or a Volume",
    ),
    Row(
        "`restrict_modal_access=`",
        "refused",
        ("*(restrict_modal_access=)",),
        "code in a container may always use the objects of its own environment",
        "give code that you do not trust a sandbox, or an environment of its own",
    ),
    Row(
        "`version=` and `create_options=` of volumes",
        "accepted",
        ("modal.Volume.*(version=)", "modal.volume.VolumeManager.create(version=)", "*(create_options=)",
         "modal.types.VolumeCreateOptions", "modal volume create --version"),
        "volumes have one format, and what one container writes all others see at once",
        "",
    ),
    Row(
        "`progress_cb=`",
        "ignored",
        ("*(progress_cb=)",),
        "it is a hook of Modal's own command line",
        "`wherry volume put` and `get` show how far they are",
    ),
    Row(
        "`partition_ttl=` of `Queue.put` and `put_many`",
        "differs",
        ("modal.Queue.put(partition_ttl=)", "modal.Queue.put_many(partition_ttl=)"),
        "a partition is kept until its items are taken, where Modal empties it after a day without a put",
        "give `partition_ttl=86400` to have that here",
    ),
    Row(
        "`registry_secret=` of `Image.from_dockerfile`",
        "refused",
        ("modal.Image.from_dockerfile(registry_secret=)",),
        "images that a Dockerfile names are pulled with the credentials of the service's machine",
        "run `docker login` there, or begin with `Image.from_registry(secret=…)`",
    ),
    Row(
        "`volumes=` of `Image.run_commands`",
        "refused",
        ("modal.Image.run_commands(volumes=)",),
        "a build's commands see nothing but the image",
        "use `Image.run_function(volumes=…)`",
    ),
    Row(
        "`h2_enabled=`",
        "ignored",
        ("*(h2_enabled=)", "modal server deploy --h2"),
        "requests reach a server as HTTP/1.1",
        "let a proxy in front speak HTTP/2 with clients (docs/web.md)",
    ),
    Row(
        "`interactive=` of `App.run`",
        "refused",
        ("modal.App.run(interactive=)", "modal.runner.run_app(interactive=)", "modal.runner.interactive_shell*"),
        "a program's own terminal is not handed to containers",
        "use `wherry run -i` or `wherry shell`",
    ),
    Row(
        "`staged=` of `deploy_app`, and `app promote`",
        "refused",
        ("modal.runner.deploy_app(staged=)", "modal app promote*"),
        "a version serves as soon as its containers are warm",
        "try it under another name first, and go back with `wherry app rollback`",
    ),
    Row(
        "`stream_output=` and `deployment_strategy=` of `run_app`",
        "accepted",
        ("modal.runner.run_app(stream_output=)", "modal.runner.run_app(deployment_strategy=)"),
        "what containers print is shown within `wherry.enable_output()`",
        "",
    ),
    Row(
        "`order_outputs=` of `map` and `starmap`",
        "differs",
        ("modal.Function.map(order_outputs=)", "modal.Function.starmap(order_outputs=)"),
        "it is True for functions, and False for generators, whose values can't be ordered",
        "",
    ),
    # Names
    Row(
        "Billing",
        "refused",
        ("modal.billing*", "modal billing *", "modal environment billing *", "modal.Environment.billing",
         "modal.types.BillingReportItem*", "modal.types.EnvironmentBillingSummary*", "modal.types.SandboxStats*",
         "modal.types.SandboxGroupStats*", "modal.types.WorkspaceBillingSummary*", "modal.App.sandboxes",
         "modal.app.AppSandboxesManager*"),
        "nobody sends you a bill for your own machines",
        "",
    ),
    Row(
        "Suffixes of URLs",
        "refused",
        ("modal environment update --set-web-suffix",),
        "the URL of a web endpoint has the name of its environment in it",
        "give the environment another name with `--set-name`",
    ),
    Row(
        "`--set-image-builder-version`",
        "refused",
        ("modal environment update --set-image-builder-version",),
        "images are built in one way",
        "WHERRY_IMAGE_BUILDER_VERSION=2023.12 puts FastAPI into images, as they once had it",
    ),
    Row(
        "Signing up, and tokens of an account",
        "refused",
        ("modal setup", "modal token set*", "modal token rotate*", "modal token new --*"),
        "there is no account: the service on your machine needs no token, and another one has an admin who makes them",
        "write yours down with `wherry profile add`",
    ),
    Row(
        "Workspaces, members and service users",
        "refused",
        ("modal.Workspace*", "modal.workspace*", "modal.types.Workspace*", "modal.types.MemberTokenInfo*",
         "modal.types.ProxyTokenInfo*", "modal.types.ServiceUserInfo*", "modal.types.TokenData*",
         "modal workspace *", "modal environment members *",
         "modal environment roles *", "modal.Environment.members", "modal.Environment.roles",
         "modal environment create --restricted", "modal environment create --default-role"),
        "there are no accounts: tokens say who may do what",
        "create one for each person or program with `wherry token new`",
    ),
    Row(
        "Clusters of containers",
        "refused",
        ("modal.Cluster*", "modal.cluster*", "modal.partial_function.clustered", "modal.experimental.clustered*",
         "modal.experimental.Cluster*", "modal.experimental.get_cluster_info*", "modal.experimental.get_fabric_peers*",
         "modal.experimental.list_cluster_reservations*"),
        "containers have no private network between them, so several can't work on one input",
        "use one container with more GPUs, or `map` over parts",
    ),
    Row(
        "`Proxy`",
        "refused",
        ("modal.Proxy*", "modal.proxy*"),
        "containers reach the network from the address of their machine, which does not change",
        "allow that address where a static one is needed",
    ),
    Row(
        "Memory snapshots of sandboxes",
        "refused",
        ("modal.SandboxSnapshot*",),
        "the memory of a sandbox is not kept",
        "keep its files with `Sandbox.snapshot_filesystem`, and start another one from that image",
    ),
    Row(
        "Hosted model endpoints",
        "refused",
        ("modal endpoint *",),
        "the models are the cloud's own service",
        "serve a model with `@app.server()` or `@wherry.web_server`",
    ),
    Row(
        "Sidecars of sandboxes",
        "refused",
        ("modal.sandbox.Sidecar*",),
        "a sandbox is one container",
        "start a second sandbox, or run the other program in the same one with `exec`",
    ),
    Row(
        "Modal's pages on the web",
        "refused",
        ("*.get_dashboard_url*", "modal app dashboard*", "modal volume dashboard*"),
        "the dashboard is opened by a link that works once, so objects have no address in it to keep",
        "open it with `wherry dashboard`",
    ),
    Row(
        "Modal's helpers for its own web site",
        "refused",
        ("modal changelog*", "modal skills *", "modal curl*"),
        "they read pages of Modal's web site, or send its tokens along",
        "see CHANGELOG.md, and ask web endpoints with any HTTP client",
    ),
    Row(
        "Signing in with another service's account",
        "refused",
        ("modal.Client.from_oauth_credentials*",),
        "Wherry is no identity provider, and uses none",
        "give a token, or put credentials into a Secret",
    ),
    Row(
        "`SchedulerPlacement`",
        "accepted",
        ("modal.SchedulerPlacement*", "modal.scheduler_placement*"),
        "your own machines are in no region, and none of them is a spot instance",
        "it can be made, and has no effect",
    ),
    Row(
        "`modal server …` commands",
        "refused",
        ("modal server deploy*", "modal server info*", "modal server autoscaler *", "modal server metrics --since",
         "modal server metrics --until", "modal server metrics --group", "modal server metrics --bucket-size",
         "modal server metrics --json", "modal server metrics --csv",
         "modal server requests*", "modal server stats*"),
        "the commands of `wherry server` manage the service itself",
        "use `wherry deploy`, and `wherry function info|logs|stats|autoscaler` with the name of a server",
    ),
    Row(
        "Mounts by name",
        "refused",
        ("modal.mount.Mount.from_name*",),
        "files of this machine are sent with the function that names them",
        "use `Image.add_local_dir`, or a Volume",
    ),
    Row(
        "Steering a container's inputs from inside it",
        "refused",
        ("modal.experimental.stop_fetching_inputs*", "modal.experimental.get_local_input_concurrency*",
         "modal.experimental.set_local_input_concurrency*"),
        "how many inputs a container takes is decided outside of it",
        "use `@wherry.concurrent`, or `single_use_containers=True`",
    ),
    Row(
        "`image_delete`",
        "refused",
        ("modal.experimental.image_delete*",),
        "images that nothing uses are removed by themselves",
        "`wherry image prune` removes them now",
    ),
    Row(
        "Experiments",
        "refused",
        ("modal.experimental.Stream*", "modal.experimental.AppendResult*", "modal.experimental.Entry*",
         "modal.experimental.IdempotencyConflict*", "modal.experimental.OutboundPolicy*",
         "modal.experimental.flash_*", "modal.experimental.server_forward*",
         "modal.experimental.ServerManager*", "modal.experimental.DockerfileSpec*"),
        "Modal calls these experiments, and they depend on servers of its own",
        "use a Queue or a Dict for data, and `@app.server()` or `@wherry.web_server` for HTTP",
    ),
    # What only Modal's own client uses
    Row(
        "Parts of Modal's own client",
        "inner",
        ("modal.app.check_sequence*", "modal.cloud_bucket_mount.cloud_bucket_mounts_to_proto*",
         "modal.cls.is_parameter*",
         "modal.functions.synchronize_api*", "modal.partial_function.synchronize_api*", "modal.parallel_map*",
         "modal.mount.client_mount_name*", "modal.mount.python_standalone_mount_name*", "modal.mount.module_mount_*",
         "modal.mount.create_client_*", "modal.network_file_system.network_file_system_mount_protos*",
         "modal.retries.RetryManager*", "modal.runner.serve_update*", "modal.running_app*", "modal.token_flow*",
         "modal.serving*", "modal.Client.get_stub*", "modal.Client.stub", "modal.Client.get_input_plane_metadata*",
         "modal.Client.anonymous*", "modal.Client.verify*",
         "modal.Client(*", "modal.io_streams.StreamReader(*", "modal.io_streams.StreamWriter(*",
         "modal.container_process.ContainerProcess(*", "modal.cls.Obj(*", "modal.schedule.Schedule(*",
         "modal.partial_function.PartialFunction.stack*", "modal.partial_function.PartialFunction.validate_*",
         "modal.web_endpoint([*]*", "*.__iter__.aio", "*.__next__.aio", "*.__getattr__(k=)",
         "modal.app.LocalEntrypoint.info", "modal.app.LocalEntrypoint.app", "modal.mount.Mount.entries",
         "modal.mount.Mount.is_local", "modal.mount.Mount.object_id", "modal.mount.Mount.hydrate*",
         "modal.mount.Mount < Object", "modal.mount.Mount.get_dashboard_url*",
         "modal.volume.*VolumeUploadContextManager.resolve*", "modal.volume.VolumeUploadContextManager <*",
         "modal.container_process.ContainerProcess.attach*",
         "modal.*.client", "modal.Image.from_registry([*][*])", "modal.Image.from_aws_ecr([*][*])",
         "modal.Image.from_gcp_artifact_registry([*][*])",
         "modal.experimental.deprecation_warning*", "modal.partial_function.PartialFunction(*",
         "modal.app.LocalEntrypoint(*", "modal.app.AppSandboxesManager(*",
         "modal.functions.FunctionAutoscalerManager(*",
         "modal.server.ServerAutoscalerManager(*", "modal.volume.VolumeUploadContextManager2*",
         "modal.volume.VolumeUploadContextManager(*"),
        "programs do not use it, or do not make it themselves",
        "",
    ),
)  # fmt: skip


def meet(parameter: str, stacklevel: int) -> None:
    """Do what the table says of a parameter that was given: nothing, a warning, or raise InvalidError."""
    row = next(row for row in ROWS if f"*({parameter}=)" in row.names)
    if row.how == "refused":
        raise InvalidError(f"{parameter} is not in Wherry: {row.sentence}")
    if row.how == "ignored":
        warnings.warn(
            f"{parameter} means nothing on your own machines, and is ignored: {row.sentence}",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def row_of(name: str) -> Row | None:
    """Return the row that a fact stands in."""
    inner_first = sorted(ROWS, key=lambda row: row.how != "inner")
    return next((row for row in inner_first if any(fnmatchcase(name, pattern) for pattern in row.names)), None)


def refusal(name: str, fact: str) -> InvalidError:
    """Return what is raised where a name is used whose fact the table refuses."""
    row = row_of(fact)
    return InvalidError(f"{name} is not in Wherry: {row.sentence if row is not None else ''}")


class Refused(type):
    """The type of a class that can be imported, and refuses all else."""

    __fact__: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # tools look for such
        raise refusal(cls.__name__, cls.__fact__)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        raise refusal(cls.__name__, cls.__fact__)

    def __repr__(cls) -> str:
        return f"<{cls.__name__}, which Wherry has not>"


def refused(fact: str) -> Any:
    """Return what stands for a name such as "modal.proxy.Proxy": it can be imported, and refuses to be used."""
    module, _, name = fact.removeprefix("modal.").rpartition(".")
    row = row_of(fact)
    told = f"Not in Wherry: {row.sentence if row is not None else ''}."
    return Refused(name, (), {"__module__": f"wherry.{module}", "__doc__": told, "__fact__": fact})
