"""What waits to go out."""

from wherry._outbox import Outbox
from wherry_proto.messages import SessionUp


def test_acknowledgements_of_reader_and_consumer_go_out_together() -> None:
    outbox = Outbox(lambda: False)
    outbox.put(SessionUp(taken=["in-consumed"]))
    outbox.take_note(["in-arrived"])
    outbox.close()

    taken = [input_id for message in outbox for input_id in message.taken]

    assert sorted(taken) == ["in-arrived", "in-consumed"]
