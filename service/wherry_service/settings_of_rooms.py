"""The settings that rooms of the service read themselves: they know best what is allowed."""

from wherry_service.settings_key import Key

ROOMS = (
    Key(
        "workspace", "wherry", "The first word of the URLs of web endpoints: `http://WORKSPACE--LABEL.localhost:8720`."
    ),
    Key("http.host", "127.0.0.1", "Where web endpoints listen."),
    Key("http.port", "", "The port of web endpoints. Unset: 8720, or any other if that is taken.", "whole"),
    Key("http.url", "", "The address of web endpoints behind a proxy: `https://apps.example.com`."),
    Key("http.trusted_proxies", "", "Addresses or networks whose `X-Forwarded-*` headers are believed.", "list"),
    Key(
        "http.response_timeout",
        150.0,
        "Seconds without a response after which a request is redirected to a result URL; 0: never.",
        "number",
    ),
    Key("http.head_timeout", 20.0, "Seconds that a request's head may take.", "number"),
    Key("http.body_timeout", 60.0, "Seconds between two pieces of a request's body.", "number"),
    Key("http.write_timeout", 120.0, "Seconds that a client may go without reading its response.", "number"),
    Key("http.keep_alive", 65.0, "Seconds that an idle connection stays open.", "number"),
    Key("http.max_header_kib", 64, "KiB of a request's head, at most.", "whole"),
    Key("http.max_body_mib", 4096, "MiB of a request's body, at most; 0: no limit.", "whole"),
    Key(
        "http.api",
        "on",
        "Whether the HTTP API answers at the port of web endpoints; each of its requests has a token.",
        choices=("on", "off"),
    ),
    Key("http.queue_limit", 0, "Requests that may wait for one function; 0: no limit of its own.", "whole"),
    Key(
        "http.proxy_tokens",
        "",
        "`ID:SECRET` of those whom `requires_proxy_auth` lets through in every environment, beside tokens that may "
        "invoke; best as a variable.",
        "list",
        variable="WHERRY_PROXY_TOKENS",
    ),
    Key(
        "blobs.url",
        "",
        "`s3://BUCKET/FOLDER`: where large values and source files are kept. Unset: in the state directory.",
    ),
    Key("blobs.endpoint", "", "Where that bucket's service is, `https://HOST:PORT`. Unset: Amazon's."),
    Key("blobs.region", "", "Its region."),
    Key(
        "blobs.access_key",
        "",
        "The access key for the bucket. Unset: that of the `AWS_…` variables or the machine's role.",
    ),
    Key("blobs.secret_key", "", "The secret key for the bucket; best as a variable."),
    Key("blobs.cache_mib", 10240, "MiB of what is in the bucket that stay on this host's disk, too.", "whole"),
    Key("images.registry", "", "`HOST:PORT/FOLDER` that built images are pushed to, and pulled from before building."),
    Key("images.registry_username", "", "The user name for that registry."),
    Key("images.registry_password", "", "The password for that registry; best as a variable."),
    Key("images.keep_days", 30.0, "Days that an image is kept which nothing uses; 0 keeps all.", "number"),
    Key("images.python", "", "Where `debian_slim` finds Pythons that Debian lacks: `python:{version}-slim`."),
    Key(
        "images.base",
        "auto",
        "How `debian_slim`'s base is made: `registry` pulls a Debian and puts Python into it; `debootstrap` makes "
        "it from Debian's packages, in a container unless as root; `auto` does the first where a registry answers.",
        choices=("auto", "registry", "debootstrap"),
    ),
    Key(
        "images.base_image",
        "debian:{suite}-slim",
        "The registry's image that it is made of. `{suite}` is Debian's release, `{version}` is Python's.",
    ),
    Key("images.apt_mirror", "", "A mirror of Debian's packages for builds; it is not part of any image."),
    Key(
        "images.add_urls",
        "refuse",
        "What happens with `ADD https://…` in a Dockerfile: `refuse`, or `allow`. The engine fetches the URL from the "
        "host's network, where it also reaches servers on 127.0.0.1.",
        choices=("refuse", "allow"),
    ),
    Key(
        "network.isolate",
        "auto",
        "Separates containers from each other, from this host and from the cloud's metadata. `auto`: as far as this "
        "host allows. `require`: if this host does not allow all of it, no container with a network starts. `off`: "
        "containers share the engine's own bridge.",
        choices=("auto", "require", "off"),
    ),
    Key(
        "network.allow",
        "",
        "What containers may reach all the same: IPv4 addresses or networks, with a port to allow only that port, such "
        "as `10.0.0.5:5432`.",
        "list",
    ),
    Key(
        "network.block",
        "",
        "What containers may not reach in addition: IPv4 addresses or networks, such as `10.0.0.0/8`.",
        "list",
    ),
    Key(
        "containers.runtime",
        "",
        "The OCI runtime of all containers that run code of users, such as `runsc` (gVisor): functions, builds' "
        "functions, shells, sandboxes. Unset: the engine's default.",
    ),
    Key(
        "containers.memory_limit",
        "",
        "The memory limit of a function's container, a sandbox or a build's function that sets none itself, such as "
        "`4GiB`; `0`: all of the host's memory. Unset: 80 % of it, the share of all containers.",
        "size",
    ),
    Key(
        "containers.user",
        "",
        "`UID:GID`, in numbers: the user that functions, shells and sandboxes run as. Its home is in memory; `pip "
        "install` puts packages there. Unset: root, or the `USER` of the image.",
    ),
    Key(
        "gpus.devices",
        "",
        "The GPUs that containers may have, `ID=TYPE`, such as `0=A100-80GB`. The id is a number or UUID as in "
        "`nvidia-smi -L`. Unset: all that `nvidia-smi` lists where the service runs.",
        "list",
    ),
    Key("gpus.containers_per_gpu", 1, "Containers that may have the same GPU at the same time.", "whole"),
    Key("sandbox.runtime", "", "The OCI runtime of sandboxes alone. Unset: `containers.runtime`."),
    Key("sandbox.pids", 1024, "Processes and threads that one sandbox may have.", "whole"),
    Key(
        "sandbox.from_functions",
        64,
        "Sandboxes of one app that may run when code inside its functions creates another; 0: functions create none.",
        "whole",
    ),
    Key("sandbox.log_mib", 32, "MiB of each sandbox's output that are kept at least; twice that at most.", "whole"),
    Key("sandbox.tunnel_host", "127.0.0.1", "Where tunnels into sandboxes listen."),
    Key(
        "replay.max_inputs",
        10_000,
        "Spawned and scheduled inputs that failed and are kept with their arguments, to be [run again](replay.md); the "
        "oldest are dropped first. 0: none is kept.",
        "whole",
    ),
    Key("replay.max_bytes", 1 << 30, "Disk for their arguments, such as `200MB` or `2GiB`.", "size"),
    Key("replay.keep_days", 30.0, "Days after which one is dropped; 0: none is for its age.", "number"),
    Key(
        "notify.url",
        "",
        "A webhook, `https://HOST/PATH`, that is told of what went wrong; best as a variable. "
        "[What it gets](server.md#notifications).",
    ),
    Key(
        "notify.events",
        "",
        "Which events it gets: `schedule_failed`, `inputs_failed`, `deploy_failed`, `crash_loop`, `disk_low`, "
        "`service_restarted`. Unset: all.",
        "list",
    ),
    Key(
        "notify.disk_free",
        10.0,
        "Percent of the state directory's disk that are free, below which the disk counts as low; 0: never.",
        "number",
    ),
    Key(
        "records.keep",
        10_000,
        "Records of calls that are kept in memory of each function, of inputs that have ended; 0: none.",
        "whole",
    ),
    Key(
        "records.keep_days",
        30.0,
        "Days that counts of calls by the minute, later by the hour, and records on disk are kept.",
        "number",
    ),
    Key(
        "records.max_rows",
        100_000,
        "Records of calls on disk: of inputs that failed, were spawned or scheduled, and of the sample; 0: none.",
        "whole",
    ),
    Key(
        "records.sample",
        0.01,
        "The part of all other inputs of which there are records on disk, too: a number from 0 to 1. At most 10 inputs "
        "a second are written for it.",
        "number",
    ),
    Key(
        "logs.forward",
        "",
        "Where lines of logs are sent, too: `otlp`, `syslog`, `file`, or several of them. "
        "[What is sent](observability.md#forwarding-logs).",
        "list",
    ),
    Key("logs.forward_otlp", "http://127.0.0.1:4318", "The receiver of OpenTelemetry's protocol over HTTP."),
    Key(
        "logs.forward_headers",
        "",
        "`NAME=VALUE` headers for that receiver, such as a token; best as a variable.",
        "list",
    ),
    Key("logs.forward_syslog", "unix:///dev/log", "The syslog: `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix:///PATH`."),
    Key("logs.forward_file", "", "The file for `logs.forward: file`, a line of JSON each."),
    Key(
        "metrics.listen",
        "",
        "`HOST:PORT` where Prometheus fetches metrics; `on`: 127.0.0.1:9464. At an address that is not this machine's "
        "own, with a token alone. Unset: there are none. [Which ones](observability.md#metrics).",
        "switch",
    ),
    Key(
        "metrics.max_series",
        10_000,
        "Series that metrics have, about. 100 are counted for each function; functions beyond are one, `other`.",
        "whole",
    ),
    Key(
        "ui.enabled",
        "on",
        "Whether there is a dashboard (`wherry dashboard`): the port of web endpoints is open from the start then.",
        choices=("on", "off"),
    ),
    Key(
        "ui.remote",
        "off",
        "Whether the dashboard answers browsers on other machines too, over TLS alone: a proxy in front has that.",
        choices=("on", "off"),
    ),
    Key("ui.session_hours", 24.0, "Hours after which one signs in to the dashboard again.", "number"),
    Key(
        "schedule.catch_up",
        "newest",
        "Which ticks run that a schedule missed while the service was down: `newest`, or `none`.",
        choices=("newest", "none"),
    ),
)
