"""What everything else rests on: errors of use, ids, waiting, sync and async faces."""
