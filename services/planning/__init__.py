"""What a verb would do: how much, where, how long, at which price; nothing is run or written."""
