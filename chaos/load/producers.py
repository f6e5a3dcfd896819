"""Items put into queues: numbered, one by one and many together."""

import wherry
from chaos.client import Client

QUEUES = ("single", "shared")  # with one consumer, where order can be told, and with several


def run(client: Client) -> None:
    """Put until told to stop. An item is [producer, number]; a number is used once, also over several lives."""
    queues = {name: wherry.Queue.from_name(f"chaos-{name}", create_if_missing=True) for name in QUEUES}
    numbers = [0]
    for operation in client.before:
        numbers.append(int(operation.asked["numbers"][1]))
    number = max(numbers)
    while not client.stopping:
        name = client.random.choice(QUEUES)
        count = client.random.choice([1, 1, 1, client.random.randint(2, 20)])
        items = [[client.number, n] for n in range(number, number + count)]
        with client.asking("put", queue=name, numbers=[number, number + count]) as answer:
            if count == 1:
                queues[name].put(items[0])
            else:
                queues[name].put_many(items)
        number += count
        client.rest(answer)
        client.pause(0.06)
