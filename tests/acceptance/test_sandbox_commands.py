"""What a sandbox runs: its command, or what its image says."""

import pytest

from tests.acceptance.service import OwnService
from wherry import Image, Sandbox
from wherry.exception import NotFoundError

_INIT = r"""printf '#!/bin/sh\necho init\nexec "$@"\n' > /init.sh; chmod +x /init.sh"""


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "command", "printed"),
    [
        ([], ["echo", "of", "the image"], [], "of the image\n"),
        ([], ["echo", "of", "the image"], ["echo", "mine"], "mine\n"),
        (["/init.sh"], ["echo", "of", "the image"], [], "init\nof the image\n"),
        (["/init.sh"], [], ["echo", "mine"], "init\nmine\n"),
    ],
)
def test_b60_the_image_s_entrypoint_and_cmd(
    service: OwnService, entrypoint: list[str], cmd: list[str], command: list[str], printed: str
) -> None:
    image = Image.debian_slim().run_commands(_INIT)
    image = image.entrypoint(entrypoint) if entrypoint else image
    image = image.cmd(cmd) if cmd else image
    sandbox = Sandbox.create(*command, image=image, block_network=True, timeout=30)
    assert sandbox.wait() == 0
    assert sandbox.stdout.read() == printed


def test_one_whose_image_can_not_even_wait_says_so(service: OwnService) -> None:
    image = Image.debian_slim().run_commands("rm /bin/sleep")
    sandbox = Sandbox.create(image=image, block_network=True, timeout=30)
    with pytest.raises(NotFoundError, match=r"has ended: it has nothing to run: .* its image has no sleep"):
        sandbox.exec("true").wait()
