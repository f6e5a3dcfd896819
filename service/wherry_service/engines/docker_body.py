"""How Docker is asked for a container: what isolates it is said here."""

from typing import Any

from wherry_service.engines.engine import ContainerSpec, Mount

PIDS_LIMIT = 4096
# Where the host itself has no memory left, the kernel ends containers before the service and the engine.
OOM_SCORE = 500
# The home of the user that containers have by the settings.
USER_HOME = "/home/wherry"
# Of the engine's default set, these serve no function's code: device nodes, raw sockets, file capabilities, audit.
DROPPED_CAPABILITIES = ("MKNOD", "NET_RAW", "SETFCAP", "AUDIT_WRITE")


def create_body(spec: ContainerSpec, with_disk_limit: bool = True) -> dict[str, Any]:
    """Return the request that creates a container."""
    host: dict[str, Any] = {
        "Init": True,
        "AutoRemove": False,
        "NetworkMode": spec.network,
        "Binds": [f"{mount.source}:{mount.target}{_mount_mode(mount)}" for mount in spec.mounts],
        "CapDrop": [*DROPPED_CAPABILITIES, *spec.dropped_capabilities],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": spec.pids_limit or PIDS_LIMIT,
        "OomScoreAdj": OOM_SCORE,
        "LogConfig": _log_config(spec.log_mib),
    }
    if spec.devices:
        host["Devices"] = [
            {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"} for path in spec.devices
        ]
    if spec.added_capabilities:
        host["CapAdd"] = list(spec.added_capabilities)
    if spec.unconfined:
        host["SecurityOpt"] += ["apparmor=unconfined", "label=disable"]
    if spec.runtime:
        host["Runtime"] = spec.runtime
    if spec.cpu_limit:
        host["NanoCpus"] = int(spec.cpu_limit * 1e9)
    if spec.cpu_request:
        host["CpuShares"] = max(2, int(spec.cpu_request * 1024))
    if spec.memory_limit_mib:
        host["Memory"] = host["MemorySwap"] = spec.memory_limit_mib << 20
    if spec.memory_request_mib:
        host["MemoryReservation"] = spec.memory_request_mib << 20
    if spec.disk_limit_mib and with_disk_limit:
        host["StorageOpt"] = {"size": f"{spec.disk_limit_mib}M"}
    if spec.gpu_ids:
        # By id: where Docker is given a number of them, all containers get the same first ones.
        host["DeviceRequests"] = [
            {"Driver": "nvidia", "DeviceIDs": list(spec.gpu_ids), "Capabilities": [["gpu"]], "Options": {}}
        ]
    body: dict[str, Any] = {
        "Image": spec.image,
        # An image's own ENTRYPOINT would swallow the runner.
        "Entrypoint": [],
        "Cmd": list(spec.command),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": dict(spec.labels),
        "HostConfig": host,
        "StopSignal": "SIGTERM",
        # For the server that the image was made for; nobody here asks how it is.
        "Healthcheck": {"Test": ["NONE"]},
    }
    if spec.address:
        body["NetworkingConfig"] = {"EndpointsConfig": {spec.network: {"IPAMConfig": {"IPv4Address": spec.address}}}}
    if spec.name_servers:
        host["Dns"] = list(spec.name_servers)
    if spec.network == "host":
        # Only the service's own programs are; an engine with `userns-remap` has none otherwise.
        host["UsernsMode"] = "host"
    if spec.user:
        uid, _, gid = spec.user.partition(":")
        body["User"] = spec.user
        # The engine makes it root's own; nothing else in an image is sure to be writable.
        host["Tmpfs"] = {USER_HOME: f"rw,exec,nosuid,nodev,mode=0700,uid={uid},gid={gid}"}
        if "HOME" not in spec.env:
            body["Env"].append(f"HOME={USER_HOME}")
    if spec.workdir:
        body["WorkingDir"] = spec.workdir
    if spec.stdin:
        body |= {"OpenStdin": True, "StdinOnce": True}
    if spec.tty:
        body["Tty"] = True
        # Without one it has no size. Engines before API 1.42 take no notice.
        host["ConsoleSize"] = [24, 80]
    return body


def _mount_mode(mount: Mount) -> str:
    modes = [word for word, wanted in (("ro", mount.read_only), ("rshared", mount.shared)) if wanted]
    return f":{','.join(modes)}" if modes else ""


def _log_config(mib: int) -> dict[str, Any]:
    # The engine's own log keeps what the runner can't send: the last words of a crash.
    options = {"max-size": "1m", "max-file": "1"} if mib <= 1 else {"max-size": f"{mib}m", "max-file": "2"}
    return {"Type": "json-file", "Config": options}
