"""A message, from its descriptors to the shared function. Twin of ``native/send.c``."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from mediator.gen9.eu.messages import GATEWAY_FUNCTION, Gateway, SharedFunction
from mediator.softgpu.eu.messages.data_port import Handler, port_0, port_1, read_only_port
from mediator.softgpu.eu.messages.message import GRF_BYTES, Message
from mediator.softgpu.eu.messages.render_target import render_target
from mediator.softgpu.eu.messages.sampler import sampler_port

_SILENT = {SharedFunction.NULL, SharedFunction.THREAD_SPAWNER}


def send(message: Message) -> bytes:
    """Carry ``message`` out; the GRFs that come back."""
    if message.mask and message.sfid not in _SILENT:
        SHARED_FUNCTIONS.get(message.sfid, Message.illegal)(message)
    return bytes(message.response_bytes[: message.response_grfs * GRF_BYTES])


def _gateway(message: Message) -> None:
    match GATEWAY_FUNCTION.get(message.descriptor):
        case Gateway.OPEN | Gateway.CLOSE:
            pass
        case Gateway.GET_TIMESTAMP:
            message.response[0], message.response[1] = message.sender.timestamp
        case Gateway.BARRIER:
            message.sender.arrive()
        case _:
            message.illegal()


SHARED_FUNCTIONS: Final = MappingProxyType[int, Handler](
    {
        SharedFunction.SAMPLER: sampler_port,
        SharedFunction.GATEWAY: _gateway,
        SharedFunction.RENDER_CACHE_PORT: render_target,
        SharedFunction.SAMPLER_CACHE_PORT: read_only_port,
        SharedFunction.CONSTANT_CACHE_PORT: read_only_port,
        SharedFunction.DATA_PORT_0: port_0,
        SharedFunction.DATA_PORT_1: port_1,
    }
)
