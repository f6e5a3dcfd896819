"""Who has which GPU: the ledger, and all that is given out by it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.engine import FakeEngine
from tests.fakes.host import gpus_of, host_of
from tests.fakes.node import no_buckets, no_guests, no_web
from tests.fakes.sandbox_node import FakeSandboxStore, House, NoLists
from tests.unit.service.test_pool import World, fake, run
from wherry_proto.messages import FunctionSpec, GpuRequest, SandboxState
from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import ContainerSpec, Gpu
from wherry_service.engines.gpus import LABEL, Device, Gpus, GpuSettings, gpu_ids_of, gpu_label, listed, look_for
from wherry_service.errors import InvalidRequest, Unready
from wherry_service.images.functions import BuildFunctions
from wherry_service.logs.masks import Masks
from wherry_service.node.container_files import LABEL as LAYOUT_LABEL
from wherry_service.node.container_files import LAYOUT
from wherry_service.node.events import ContainerExit
from wherry_service.node.local import LocalNode
from wherry_service.node.local_sandboxes import LocalSandboxes
from wherry_service.node.node import FoundContainer
from wherry_service.node.sandbox import FoundSandbox, SandboxOrder
from wherry_service.recovery import Recovery
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore

A100S = tuple(Device(f"GPU-{number}", "NVIDIA A100-SXM4-80GB", 81920) for number in range(2))
T4 = Device("GPU-t", "Tesla T4", 15360)
ANY = Gpu("any", 1)


@pytest.mark.parametrize(
    ("kind", "name", "memory_mib", "is_one"),
    [
        ("any", "Tesla T4", 0, True),
        ("ANY", "Tesla T4", 0, True),
        ("T4", "Tesla T4", 15360, True),
        ("A100", "NVIDIA A100-SXM4-40GB", 40960, True),
        ("A100-40GB", "NVIDIA A100-SXM4-40GB", 40960, True),
        ("A100-80GB", "NVIDIA A100-SXM4-40GB", 40960, False),
        ("A100-80GB", "NVIDIA A100 80GB PCIe", 81920, True),
        ("H100-80GB", "NVIDIA H100 PCIe", 81559, True),
        ("H100!", "NVIDIA H100 80GB HBM3", 81559, True),
        ("H100", "NVIDIA H200", 143771, False),
        ("L4", "NVIDIA L40S", 46068, False),
        ("A10", "NVIDIA A10G", 23028, False),
        ("RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, True),
        ("T4-16GB", "Tesla T4", 15360, True),
        ("T4-16GB", "Tesla T4", 0, False),
    ],
)
def test_types_are_told_by_the_names_of_devices(kind: str, name: str, memory_mib: int, is_one: bool) -> None:
    assert Device("0", name, memory_mib).is_a(kind) is is_one


def test_what_nvidia_smi_lists() -> None:
    text = "GPU-1a, 81920, NVIDIA A100-SXM4-80GB\nGPU-2b, [N/A], Odd, with a comma\n\nNo devices were found\n"
    assert listed(text) == [Device("GPU-1a", "NVIDIA A100-SXM4-80GB", 81920), Device("GPU-2b", "Odd, with a comma", 0)]


def test_a_host_is_asked_by_nvidia_smi_unless_the_settings_name_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU-1a, 15360, Tesla T4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_for(GpuSettings()) == [Device("GPU-1a", "Tesla T4", 15360)]
    assert look_for(GpuSettings((T4,))) == [T4]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert look_for(GpuSettings()) == []
    assert "nvidia-smi does not list the GPUs" in caplog.text
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert look_for(GpuSettings()) == []


def test_settings_name_them() -> None:
    environ = {"WHERRY_GPUS_DEVICES": "0=A100-80GB, GPU-1a=T4,", "WHERRY_GPUS_CONTAINERS_PER_GPU": "4"}
    expected = GpuSettings((Device("0", "A100-80GB"), Device("GPU-1a", "T4")), 4)
    assert GpuSettings.from_environment(environ) == expected
    assert GpuSettings.from_environment({}) == GpuSettings(None, 1)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"WHERRY_GPUS_DEVICES": "A100"}, "write ID=TYPE"),
        ({"WHERRY_GPUS_DEVICES": "0=A100,0=T4"}, "names a GPU twice"),
        ({"WHERRY_GPUS_DEVICES": '0" --privileged=A100'}, "write ID=TYPE"),
        ({"WHERRY_GPUS_DEVICES": "0="}, "write ID=TYPE"),
        ({"WHERRY_GPUS_CONTAINERS_PER_GPU": "0"}, "a whole number from 1 to 64"),
        ({"WHERRY_GPUS_CONTAINERS_PER_GPU": "½"}, "a whole number from 1 to 64"),
    ],
)
def test_settings_that_make_no_sense(environ: dict[str, str], said: str) -> None:
    with pytest.raises(Unready, match=said):
        GpuSettings.from_environment(environ)


# The ledger


def test_each_is_given_out_once() -> None:
    gpus = gpus_of(*A100S, T4)
    assert gpus.take("a", [Gpu("A100", 1)])
    assert gpus.take("b", [ANY])
    assert gpus.take("c", [ANY])
    assert [gpus.ids_of(holder) for holder in "abc"] == [("GPU-0",), ("GPU-1",), ("GPU-t",)]
    assert not gpus.take("d", [ANY])
    assert gpus.lack([ANY]) == "GPUs are wanted (1 of any kind): 0 of 3 of any kind free"
    told: list[str] = []
    gpus.on_free.append(lambda: told.append("free"))
    gpus.give_back("b")
    gpus.give_back("b")
    assert told == ["free"]
    assert gpus.take("d", [ANY])
    assert gpus.ids_of("d") == ("GPU-1",)
    assert gpus.take("e", [])
    assert gpus.ids_of("e") == ()


def test_of_a_list_the_first_that_can_be_had_is_taken() -> None:
    gpus = gpus_of(*A100S, T4)
    wanted = [Gpu("H100", 1), Gpu("A100", 2), Gpu("T4", 1)]
    assert gpus.take("a", wanted)
    assert gpus.ids_of("a") == ("GPU-0", "GPU-1")
    assert gpus.take("b", wanted)
    assert gpus.ids_of("b") == ("GPU-t",)
    assert gpus.lack(wanted) == (
        "GPUs are wanted (1 H100 or 2 A100 or 1 T4): 0 of 0 H100 free, 0 of 2 A100 free, 0 of 1 T4 free"
    )
    gpus.give_back("b")
    assert gpus.lack(wanted) == ""


def test_several_containers_share_one_only_where_the_settings_say_so() -> None:
    gpus = gpus_of(*A100S, per_gpu=2)
    for holder in "abcd":
        assert gpus.take(holder, [ANY])
    # The emptiest first.
    assert [gpus.ids_of(holder)[0] for holder in "abcd"] == ["GPU-0", "GPU-1", "GPU-0", "GPU-1"]
    assert not gpus.take("e", [ANY])
    # Nobody has the same one twice.
    assert not gpus.could_ever_fit([Gpu("any", 3)])


def test_none_is_given_out_before_it_is_known_what_there_is_and_what_an_earlier_life_gave_out() -> None:
    gpus = Gpus(GpuSettings())
    gpus.await_sight("containers")
    assert not gpus.take("a", [ANY])
    assert gpus.could_ever_fit([ANY])
    gpus.know([T4])
    assert not gpus.take("a", [ANY])
    assert "still finding out" in gpus.lack([ANY])
    gpus.claim("old", ("GPU-t",))
    gpus.claim("plain", ())
    gpus.seen("containers")
    assert not gpus.take("a", [ANY])
    assert gpus.lack([ANY]) == "GPUs are wanted (1 of any kind): 0 of 1 of any kind free"
    gpus.give_back("old")
    assert gpus.take("a", [ANY])


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ((), "asks for a GPU (2 T4), and the service sees none on this host: `nvidia-smi` must list them"),
        ((T4,), "asks for a GPU (2 T4), and this host has GPU-t (Tesla T4): ask for what there is"),
    ],
)
def test_what_a_host_can_never_give(devices: tuple[Device, ...], said: str) -> None:
    gpus = gpus_of(*devices)
    assert not gpus.could_ever_fit([Gpu("T4", 2)])
    assert gpus.refusal([Gpu("T4", 2)]).startswith(said)


def test_the_label_of_a_container_keeps_them() -> None:
    assert gpu_ids_of(gpu_label(("GPU-1", "GPU-2"))) == ("GPU-1", "GPU-2")
    assert gpu_label(()) == {}
    assert gpu_ids_of({}) == ()


# Pools


def wanting(world: World, *gpus: GpuRequest) -> Any:
    return world.open(gpus=list(gpus))


def test_containers_of_two_functions_never_have_the_same_one() -> None:
    async def scenario(world: World) -> None:
        first, second = (world.open(f"fu-{n}", gpus=[GpuRequest(type="any", count=1)]) for n in (1, 2))
        first.set_backlog(1)
        await world.until(lambda: len(first.live()) == 1)
        await world.until(lambda: first.live()[0].accepts)
        world.give(first.live()[0])
        first.set_backlog(0)
        second.set_backlog(1)
        assert not second.live()
        assert second.starts.lack == "GPUs are wanted (1 of any kind): 0 of 1 of any kind free"
        # It is told at once when the other ends.
        fake(first.live()[0]).finish()
        await world.until(lambda: len(second.live()) == 1 and not first.live())
        await world.until(lambda: len(world.node.orders) == 2)
        assert [list(order.gpu_ids) for order in world.node.orders.values()] == [["GPU-t"], ["GPU-t"]]

    run(scenario, devices=(T4,))


def test_only_idle_ones_that_have_such_a_gpu_go_for_one_that_wants_it() -> None:
    async def scenario(world: World) -> None:
        plain, other, asking = (
            world.open(f"fu-{number}", gpus=[GpuRequest(type=kind, count=1)] if kind else [])
            for number, kind in enumerate(("", "T4", "A100"))
        )
        blocking = world.open("fu-9", gpus=[GpuRequest(type="A100", count=1)])
        for pool in (plain, other, blocking):
            pool.set_backlog(1)
            await world.until(lambda pool=pool: pool.live() and pool.live()[0].accepts)
            pool.set_backlog(0)
        asking.set_backlog(1)
        await world.until(lambda: len(asking.live()) == 1)
        assert [len(pool.live()) for pool in (plain, other, blocking)] == [1, 1, 0]

    run(scenario, devices=(T4, A100S[0]))


def test_a_function_that_can_never_have_one_fails_once() -> None:
    async def scenario(world: World) -> None:
        pool = wanting(world, GpuRequest(type="H100", count=1))
        pool.set_backlog(1)
        for _ in range(5):
            pool.scale()
        (failed,) = world.listener.of("start failed")
        assert "No container of function 'fu-1' could start: it asks for a GPU (1 H100)" in failed[1].message
        pool.starts.retry_now()
        pool.scale()
        assert len(world.listener.of("start failed")) == 2

    run(scenario, devices=(T4,))


def test_found_containers_keep_theirs_until_they_end() -> None:
    async def scenario(world: World) -> None:
        world.capacity.gpus.claim("co-old", ("GPU-t",))
        pool = wanting(world, GpuRequest(type="T4", count=1))
        pool.adopt(FoundContainer("co-old", "fu-1", pool.plan.load.revision, ("GPU-t",)))
        pool.set_backlog(5)
        assert len(pool.live()) == 1
        fake(pool.containers["co-old"]).exit(ContainerExit(exit_code=0))
        await world.until(lambda: len(pool.live()) == len(world.node.orders) == 1 and "co-old" not in pool.containers)
        (order,) = world.node.orders.values()
        assert order.gpu_ids == ("GPU-t",)

    run(scenario, devices=(T4,))


# What is found of an earlier life


def test_the_ledger_is_made_again_of_containers_that_run(tmp_path: Path) -> None:
    async def main() -> None:
        engine = FakeEngine({"image": {}})
        blobs = BlobStore(tmp_path / "blobs")
        node = LocalNode(
            engine, tmp_path / "run", blobs, SourceStore(tmp_path / "sources", blobs),
            VolumeStore(tmp_path / "volumes"), no_buckets(engine, tmp_path), Masks(), Containment(),
            starts_at_once=4, connect_guest=no_guests, connect_web=no_web,
        )  # fmt: skip
        (node.directory / "co-A").mkdir()
        labels = {**node.labels, "wherry.container": "co-A", LAYOUT_LABEL: LAYOUT, **gpu_label(("GPU-t",))}
        await engine.start(await engine.create(ContainerSpec("co-A", "image", ("sleep", "60"), labels=labels)))
        capacity = host_of(4, 4096, T4)
        machine = SimpleNamespace(node=node, capacity=capacity)
        parts: Any = SimpleNamespace(basics=None, stores=None, machine=machine, work=None, published=None)
        engine.reachable = False
        assert await Recovery(parts).find() is None
        # Nobody knows yet whether it is free.
        assert not capacity.gpus.take("new", [ANY])
        engine.reachable = True
        (found,) = await Recovery(parts).find() or ()
        assert found.gpu_ids == ("GPU-t",)
        assert not capacity.gpus.take("new", [ANY])
        await Recovery(parts)._discard(["co-A"])
        assert capacity.gpus.take("new", [ANY])
        await node.close()
        await engine.close()

    asyncio.run(main())


def test_sandboxes_have_theirs_alone_and_again_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        store = FakeSandboxStore()
        wanted = [GpuRequest(type="T4", count=1)]
        before = House(tmp_path, store, capacity=host_of(4, 4096, T4))
        sandbox_id = await before.create(gpus=wanted)
        assert before.node.orders[sandbox_id].gpu_ids == ("GPU-t",)
        with pytest.raises(InvalidRequest, match=r"the sandbox asks for a GPU \(1 H100\), and this host has GPU-t"):
            await before.create(gpus=[GpuRequest(type="H100", count=1)])

        after = House(tmp_path, store, capacity=host_of(4, 4096, T4))
        await after.sandboxes.restore()
        assert not after.capacity.gpus.is_settled
        after.node.found = [FoundSandbox(sandbox_id, gpu_ids=("GPU-t",)), FoundSandbox("sb-unknown", gpu_ids=("x",))]
        await after.sandboxes.adopt()
        assert after.capacity.gpus.ids_of(sandbox_id) == ("GPU-t",)
        assert after.capacity.gpus.ids_of("sb-unknown") == ()
        waiting = asyncio.ensure_future(after.create(gpus=wanted))
        await asyncio.sleep(0)
        assert not waiting.done()
        info = await after.sandboxes.terminate(sandbox_id)
        assert info.state == SandboxState.TERMINATED
        assert after.node.orders[await waiting].gpu_ids == ("GPU-t",)
        for house in (after, before):
            await house.sandboxes.close("over")

    asyncio.run(main())


def test_the_containers_of_sandboxes_are_labelled_with_theirs() -> None:
    async def main() -> None:
        engine = FakeEngine({"image": {}})
        arguments: Any = (
            engine, "instance", asyncio.Semaphore(1), Path("/nowhere"), None, None, None, Containment(), NoLists()
        )  # fmt: skip
        node = LocalSandboxes(*arguments)
        order = SandboxOrder("sb-1", "", "image", ("python3", "-c", "input()"), gpu_ids=("GPU-1",))
        spec = node._spec(order, order.command, [], {})
        assert (spec.gpu_ids, spec.labels[LABEL]) == (("GPU-1",), "GPU-1")
        await engine.start(await engine.create(ContainerSpec("s", "image", ("sleep", "60"), labels=spec.labels)))
        assert await node.find() == [FoundSandbox("sb-1", gpu_ids=("GPU-1",))]
        await node.close()
        await engine.close()

    asyncio.run(main())


# Builds


def test_a_builds_function_waits_for_its_own_and_gives_it_back() -> None:
    async def main() -> None:
        gpus = gpus_of(T4)
        told: list[str] = []
        assert gpus.take("other", [ANY])

        async def build() -> None:
            async with gpus.lent("build", [ANY], told.append) as ids:
                assert list(ids) == ["GPU-t"]
                assert not gpus.take("third", [ANY])

        building = asyncio.ensure_future(build())
        await asyncio.sleep(0)
        assert told == ["waits: GPUs are wanted (1 of any kind): 0 of 1 of any kind free"]
        gpus.give_back("other")
        await building
        assert gpus.take("third", [ANY])
        with pytest.raises(Unready, match="asks for a GPU"):
            async with gpus.lent("build", [Gpu("H100", 1)], told.append):
                pass
        assert len(gpus.on_free) == 0

    asyncio.run(main())


def test_a_builds_function_is_run_with_them_by_id(tmp_path: Path) -> None:
    functions = BuildFunctions(FakeEngine({}), tmp_path, None, None, {}, Containment(), gpus_of())  # type: ignore[arg-type]
    command = functions._command("docker", "base", "name", tmp_path, FunctionSpec(), [], "none", ("GPU-1", "GPU-2"))
    assert '--gpus="device=GPU-1,GPU-2"' in command
    assert not [
        part for part in functions._command("d", "b", "n", tmp_path, FunctionSpec(), [], "", ()) if "gpus" in part
    ]
