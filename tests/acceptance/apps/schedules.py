"""Functions that run by themselves."""

import wherry

app = wherry.App("schedules")
ran = wherry.Queue.from_name("schedules-ran", create_if_missing=True)


@app.function(schedule=wherry.Period(seconds=1), min_containers=1, max_containers=1)
def tick(first: int = 1) -> None:
    print("tick")
    ran.put(wherry.current_function_call_id())


@app.function(schedule=wherry.Cron("0 0 1 1 *", timezone="Europe/Berlin"))
def yearly() -> None:
    raise ValueError("no year")
