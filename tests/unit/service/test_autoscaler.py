"""The autoscaler, as a table."""

import pytest

from wherry_service.pools.autoscaler import Bounds, Demand, wanted_containers


@pytest.mark.parametrize(
    ("demand", "bounds", "wanted"),
    [
        pytest.param(Demand(0, 0), Bounds(), 0, id="nothing to do, nothing there"),
        pytest.param(Demand(0, 0), Bounds(min_containers=2), 2, id="min_containers are kept"),
        pytest.param(Demand(1, 0), Bounds(), 1, id="one input, one container"),
        pytest.param(Demand(5, 3), Bounds(), 8, id="nothing known of the duration: one each"),
        pytest.param(Demand(5, 3), Bounds(slots=4), 2, id="several inputs a container"),
        pytest.param(Demand(40, 0), Bounds(slots=10, target=5), 8, id="the target, not what a container accepts"),
        pytest.param(Demand(0, 5), Bounds(slots=10, target=5), 1, id="at the target"),
        pytest.param(Demand(0, 6), Bounds(slots=10, target=5), 2, id="above the target, within what it accepts"),
        pytest.param(Demand(100, 0, 0.02), Bounds(slots=4, target=2), 3, id="two seconds of work, two at a time"),
        pytest.param(Demand(9, 0), Bounds(slots=10, target=0), 1, id="no target: what a container accepts"),
        pytest.param(Demand(50, 0), Bounds(max_containers=4), 4, id="max_containers"),
        pytest.param(Demand(1, 0), Bounds(buffer_containers=2), 3, id="a buffer while there is work"),
        pytest.param(Demand(0, 0), Bounds(buffer_containers=2), 0, id="no buffer without work"),
        pytest.param(Demand(10_000, 0, 0.00001), Bounds(), 1, id="work that is done before another could start"),
        pytest.param(Demand(100, 0, 0.02), Bounds(), 5, id="two seconds of work, done in 0.4 s"),
        pytest.param(Demand(1, 2, 0.01, taken=2), Bounds(), 3, id="short in the mean, but these run long"),
        pytest.param(Demand(1, 8, 0.01, taken=2), Bounds(slots=4), 3, id="all slots of two run long"),
        pytest.param(Demand(100, 2, 0.02, taken=2), Bounds(), 7, id="two seconds of work beside what runs long"),
        pytest.param(Demand(3, 2, 0.5, taken=2), Bounds(max_containers=4), 4, id="running long, within the limit"),
        pytest.param(Demand(3, 0, 60.0), Bounds(), 3, id="never more containers than inputs"),
        pytest.param(Demand(9, 0, 60.0), Bounds(max_containers=0 + 2, min_containers=1), 2, id="both bounds"),
    ],
)
def test_b62_wanted_containers(demand: Demand, bounds: Bounds, wanted: int) -> None:
    assert wanted_containers(demand, bounds) == wanted
