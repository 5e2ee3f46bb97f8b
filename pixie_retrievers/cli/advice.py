"""What an error advises in Python, as the same advice on the command line."""

from __future__ import annotations

__all__ = ["for_command_line"]

ADVICE = {
    "PixieEncoder.bundled()": "--model bundled",
    "open the index with the encoder that it was built with": (
        "the commands load models alone, so search it in Python with that encoder, or build another with `pixie index`"
    ),
    "open the index with the encoder it was built with, or build a new one": (
        "leave --model out, or build another index with `pixie index`"
    ),
    "open it with what it was built with, or build a new one": (
        "leave --model and --weights out, or name a new file with -o"
    ),
    "build the index with weights='float32'": "build the index with --weights float32",
    "try again, or let programs wait longer with lock_timeout_s": "try again when it is done",
    "device='auto'": "--device auto",
    "device='cpu'": "--device cpu",
    "leave text_fields out, or build a new index": "leave --template out, or name a new file with -o",
    "text_fields is ": "--template is ",
    "pass field names with 'text' among them once, as in ('title', 'text'), or a template such as": (
        "pass fields with {text} among them once, as in"
    ),
}


def for_command_line(message: str) -> str:
    """An error's message with what a person at a terminal can do, wherever its advice was a line of Python."""
    for python, option in ADVICE.items():
        message = message.replace(python, option)
    return message
