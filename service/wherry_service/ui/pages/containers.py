"""Containers as lanes over time: one lane each, coloured by its state, with the inputs it ran as bars on it."""

from wherry_proto.messages import ContainerHistoryRequest, ContainerListRequest
from wherry_service.ui.page import Asked, Data, Feed, Page
from wherry_service.ui.pages.calls import state_word
from wherry_service.ui.rows import Row, Table, code, number, size, state, text, when
from wherry_service.ui.web import Response, as_json

# Lanes and bars of one picture, and minutes that it may span.
LANES = 200
BARS = 100
SPANS = {"2": "2 minutes", "10": "10 minutes", "60": "an hour", "360": "6 hours"}
DEFAULT_SPAN = "10"
# Seconds that the engine's figures are shown again.
USAGE_S = 3.0


def span_of(asked: Asked) -> str:
    """Return the minutes of the picture."""
    chosen = asked.query.get("span", "")
    return chosen if chosen in SPANS else DEFAULT_SPAN


async def data(asked: Asked) -> Data:
    """Return what the page shows: a table of those that are there; the picture fetches its own."""
    app = asked.query.get("app", "")[:64]
    answer = await asked.known.get(
        asked.session.token_id,
        f"containers {asked.environment} {app}",
        USAGE_S,
        lambda: asked.ask(
            "Containers.List", ContainerListRequest(environment=asked.environment, app_id=app, with_usage=True)
        ),
    )
    now = await asked.ask("Containers.List", ContainerListRequest(environment=asked.environment, app_id=app))
    memory = {one.container_id: one.memory_bytes for one in answer.containers}
    function = asked.query.get("function", "")
    found = [one for one in now.containers if not function or function in (one.function_id, one.function_name)]
    rows = [
        Row(
            one.container_id,
            (
                code(one.container_id, f"/containers/{one.container_id}"),
                text(f"{one.app_name}/{one.function_name}", f"/functions/{one.function_id}"),
                state(one.state),
                number(one.num_inputs),
                number(one.num_execs),
                size(memory.get(one.container_id, 0)),
                when(one.created_at_ms),
            ),
        )
        for one in found[:LANES]
    ]
    titles = ("Container", "Function", "State", "Inputs#", "Commands#", "Memory#", "Created")
    more = f"The latest {LANES} of {len(found):,}." if len(found) > LANES else ""
    return {
        "table": Table(titles, rows, "No container is running.", "", more),
        "span": span_of(asked),
        "spans": SPANS,
        "filters": {"app": app, "function": function},
    }


async def lanes(asked: Asked) -> Response:
    """Return the picture's data: of each lane its id, function, app, states, bars, and how it ended (see lanes.js)."""
    now_ms = asked.now_ms
    since_ms = now_ms - int(span_of(asked)) * 60_000
    request = ContainerHistoryRequest(
        environment=asked.environment,
        app=asked.query.get("app", "")[:256],
        function=asked.query.get("function", "")[:256],
        container_id=asked.query.get("container", "")[:64],
        since_ms=since_ms,
        limit=LANES,
        bars=BARS,
    )
    answer = await asked.ask("Records.Containers", request)
    rows = [
        [
            lane.container_id,
            lane.function_name,
            lane.app_name,
            [[one.state, one.at_ms] for one in lane.transitions],
            [
                [bar.input_id, bar.begin_ms, bar.end_ms, state_word(bar.outcome)]
                for bar in lane.bars
                if (bar.end_ms or now_ms) >= since_ms
            ],
            lane.ended,
        ]
        for lane in answer.containers
    ]
    return as_json({"since": since_ms, "now": now_ms, "lanes": rows})


PAGE = Page("/containers", "containers.html", data, live=("rows",), section="Containers")
FEED = Feed("/containers/lanes.json", lanes)
