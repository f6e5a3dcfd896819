"""Ray's task and actor calls, run as a script by the bench inside an environment of Ray's own."""

import json
import sys
import time


def main() -> None:
    import ray  # noqa: PLC0415 - in its own environment: the bench's has none

    rounds, many = int(sys.argv[1]), int(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    @ray.remote
    def noop(data: bytes) -> None:
        return None

    @ray.remote
    class Actor:
        def noop(self, data: bytes) -> None:
            return None

    data = b"x" * 64
    actor = Actor.remote()

    def times(work) -> list[float]:
        for _ in range(50):
            work()
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            work()
            found.append(time.perf_counter() - began)
        return found

    task_times = times(lambda: ray.get(noop.remote(data)))
    actor_times = times(lambda: ray.get(actor.noop.remote(data)))
    many_times = []
    for _ in range(3):
        began = time.perf_counter()
        ray.get([noop.remote(data) for _ in range(many)])
        many_times.append(time.perf_counter() - began)
    print(json.dumps({"version": ray.__version__, "task": task_times, "actor": actor_times, "many": many_times}))
    ray.shutdown()


if __name__ == "__main__":
    main()
