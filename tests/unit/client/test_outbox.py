"""What waits to go out."""

import threading

from wherry._connection.outbox import Outbox
from wherry_proto.messages import CallCancel, SessionUp


def test_acknowledgements_of_reader_and_consumer_go_out_together() -> None:
    outbox = Outbox(lambda: False)
    outbox.put(SessionUp(taken=["in-consumed"]))
    outbox.take_note(["in-arrived"])
    outbox.close()

    taken = [input_id for message in outbox for input_id in message.taken]

    assert sorted(taken) == ["in-arrived", "in-consumed"]


def test_what_is_put_while_acknowledgements_are_sent_is_sent_too() -> None:
    sent: list[SessionUp] = []

    def send(message: SessionUp | None) -> None:
        assert message is not None
        sent.append(message)
        if message.taken:
            other = threading.Thread(target=outbox.put, args=(SessionUp(cancels=[CallCancel(call_id="fc-1")]),))
            other.start()
            other.join()

    outbox = Outbox(lambda: True)
    outbox.attach(send, lambda: None)
    outbox.take_note(["in-1"])
    outbox.flush()
    assert [(list(message.taken), [cancel.call_id for cancel in message.cancels]) for message in sent] == [
        (["in-1"], []),
        ([], ["fc-1"]),
    ]
