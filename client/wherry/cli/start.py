"""Begins the `wherry` command: what is pressed while its modules are loaded ends it without a word."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C while it is loaded ends the process as it ends any program."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        # A KeyboardInterrupt within an import would be a traceback through half of the standard library.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from wherry.cli.main import main as run  # noqa: PLC0415 - it is what takes the time

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        if heard:
            # What ends connections now may be ended at once.
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
