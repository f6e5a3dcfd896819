"""From a definition to what is built one after the other: Dockerfiles, and functions that run between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images import dockerfiles
from wherry_service.images.borrowing import check_reader
from wherry_service.images.definition import image_id, prefix
from wherry_service.images.packages import PACKAGES, base_instructions
from wherry_service.images.render import Instruction, Lent, Renderer

_COPYING = frozenset({"COPY", "ADD"})


@dataclass(slots=True)
class Stage:
    """A part of a chain that is built in one go, into an image of its own."""

    image_id: str
    # The step that says what it is built on; None: the stage before.
    base: ImageStep | None
    # The steps, each with its position in the chain.
    steps: list[tuple[int, ImageStep]] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    # Files for the root of the build's context; those of other steps are in s<position>.
    context: ImageStep | None = None
    # What a Dockerfile of the user's tells the builder in its first lines.
    directives: list[str] = field(default_factory=list)
    # A function that makes the stage, instead of instructions.
    function: ImageStep | None = None
    # Steps are to run even if they have run before.
    forced: bool = False
    # The whole chain up to here, base and all: what the stage's image is made by.
    definition: ImageDefinition = field(default_factory=ImageDefinition)

    @property
    def num_steps(self) -> int:
        """How many steps are told of while it is made."""
        layers = [one for one in self.instructions if one.is_layer and not one.title.upper().startswith("FROM ")]
        return 1 if self.function is not None else len(layers)

    @property
    def titles(self) -> list[str]:
        """What a person calls those instructions that BuildKit reports."""
        return [instruction.title for instruction in self.instructions if instruction.is_layer]

    @property
    def titles_by_place(self) -> dict[tuple[str, int], str]:
        """The same by the name that BuildKit gives a stage of a Dockerfile, and the place in it; FROM is at 1."""
        found: dict[tuple[str, int], str] = {}
        names: list[str] = []
        place = 0
        for instruction in self.instructions:
            words = instruction.title.split()
            if words[0].upper() == "FROM":
                named = len(words) > 2 and words[-2].upper() == "AS"
                names.append(words[-1].lower() if named else f"stage-{len(names)}")
                place = 1
            elif instruction.is_layer and names:
                place += 1
                found[names[-1], place] = instruction.title
        # An only stage may go without a name.
        return found if len(names) != 1 else found | {("", place): title for (_, place), title in found.items()}

    @property
    def text(self) -> str:
        """A Dockerfile of the user's, with what is lent to its commands."""
        return "\n".join([*self.directives, *(instruction.text for instruction in self.instructions)])


def stages(definition: ImageDefinition, lent: Lent) -> list[Stage]:
    """Return the stages in order; the last one has the image's id. Raises `InvalidRequest` for what can't be built.

    A Dockerfile of the user's, lines that copy from a context of their own, and functions each make a stage.
    """
    renderer = Renderer(lent)
    found = [Stage("", definition.steps[0], instructions=base_instructions(renderer, definition.steps[0]))]
    if definition.steps[0].kind == "dockerfile":
        found[0].steps.append((0, definition.steps[0]))
        found[0].context = definition.steps[0]
        found[0].instructions = _users_dockerfile(renderer, definition.steps[0])
        found[0].directives = dockerfiles.directives(definition.steps[0].args[0])
    for number, step in enumerate(definition.steps[1:], 1):
        alone = step.kind == "run_function" or (step.kind == "dockerfile_commands" and _copies(step))
        if alone or found[-1].function is not None or found[-1].context is not None:
            _finish(found[-1], definition, number)
            found.append(Stage("", None))
        stage = found[-1]
        stage.steps.append((number, step))
        if step.kind == "run_function":
            stage.function = step
        else:
            if alone:
                stage.context = step
            stage.instructions += _instructions(renderer, step, number)
    _finish(found[-1], definition, len(definition.steps))
    forced = False
    for stage in found:
        forced = stage.forced = forced or any(step.force_build for _, step in stage.steps) or _is_forced(stage.base)
    return found


def stage_ids(definition: ImageDefinition) -> list[str]:
    """Return the ids of the images that a chain is built by way of, without its own; none of what can't be built."""
    try:
        return [stage.image_id for stage in stages(definition, Lent())[:-1]]
    except InvalidRequest:
        return []


def _instructions(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    package = PACKAGES.get(step.kind)
    return package(renderer, step, number) if package is not None else renderer.own(step, number)


def _users_dockerfile(renderer: Renderer, step: ImageStep) -> list[Instruction]:
    lines = dockerfiles.split(step.args[0]) if step.args else []
    if not any(line.word == "FROM" for line in lines):
        raise InvalidRequest("from_dockerfile: the file has no FROM, so it says not what the image begins with")
    check_reader(dockerfiles.directives(step.args[0]), step.options)
    return [renderer.raw(line, step, 0) for line in lines]


def _copies(step: ImageStep) -> bool:
    # What comes from another image or stage needs no files of ours.
    lines: Sequence[dockerfiles.Line] = dockerfiles.split("\n".join(step.args))
    return any(line.word in _COPYING and "--from=" not in line.flags for line in lines) or bool(step.files)


def _finish(stage: Stage, definition: ImageDefinition, length: int) -> None:
    stage.definition = prefix(definition, length)
    stage.image_id = image_id(stage.definition)


def _is_forced(base: ImageStep | None) -> bool:
    return base is not None and base.force_build
