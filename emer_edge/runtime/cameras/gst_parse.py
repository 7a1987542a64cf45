"""What gst-launch-1.0 does and prints, for a pipeline that holds secrets, as every user can read a command line."""

from __future__ import annotations

import ctypes
import signal
import sys
from ctypes import byref, c_char_p, c_uint32, c_uint64, c_void_p
from typing import Final

_NULL, _PLAYING = 1, 4  # GstState
_EOS, _ERROR, _NOTIFY = 1, 2, 0x80000003  # GstMessageType
_TYPE_AT, _TEXT_AT = 64, 8  # in a GstMessage, behind its GstMiniObject, and in a GError; on 64 bits
_POLL_NS: Final = c_uint64(50_000_000)


def main() -> None:
    """Run the pipeline in the arguments until it ends or fails, or a signal ends it."""
    over: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: over.append(number))
    gst, text_of = ctypes.CDLL("libgstreamer-1.0.so.0"), ctypes.CDLL("libgobject-2.0.so.0").g_value_get_string
    text_of.restype = c_char_p
    for function in (gst.gst_parse_launchv, gst.gst_element_get_bus, gst.gst_bus_timed_pop):
        function.restype = c_void_p
    gst.gst_init(None, None)
    words = [*(word.encode("utf-8", "surrogateescape") for word in sys.argv[1:]), None]
    it = c_void_p()
    pipeline = c_void_p(gst.gst_parse_launchv((c_char_p * len(words))(*words), byref(it)))
    if it.value:
        _print("ERROR:", c_char_p.from_address(it.value + _TEXT_AT).value)
        return
    gst.gst_element_add_property_deep_notify_watch(pipeline, b"last-message", 1)
    bus = c_void_p(gst.gst_element_get_bus(pipeline))
    gst.gst_element_set_state(pipeline, _PLAYING)
    while not over:
        message = c_void_p(gst.gst_bus_timed_pop(bus, _POLL_NS))
        kind = c_uint32.from_address(message.value + _TYPE_AT).value if message.value else 0
        if kind == _NOTIFY:
            gst.gst_message_parse_property_notify(message, None, None, byref(it))
            _print("last-message =", text_of(it))
        elif kind == _ERROR:
            gst.gst_message_parse_error(message, byref(it), None)
            _print("ERROR:", c_char_p.from_address((it.value or 0) + _TEXT_AT).value)
        over += [kind] if kind in (_EOS, _ERROR) else []
        gst.gst_clear_mini_object(byref(message))
    gst.gst_element_set_state(pipeline, _NULL)


def _print(what: str, text: bytes | None) -> None:
    print(what, (text or b"").decode(errors="replace").replace("\n", " "), flush=True)  # noqa: T201  data
