"""Runs the calls of a request and gives the answer in pieces.

The invariant: what a method raises becomes an error object; the traceback goes to the log, never to the caller.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from sipnode.errors import RpcError, SipnodeError
from sipnode.rpc import dispatch
from sipnode.rpc.dispatch import Batch, Call

if TYPE_CHECKING:
    from sipnode.rpc.registry import Registry


class Endpoint:
    """The receiver of the transports' requests.

    Args:
        registry: The methods.
    """

    log = Logger(namespace="sipnode.rpc")

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def handle(self, body: bytes, caller: str) -> Deferred[Iterator[bytes] | None]:
        """Run a request.

        Args:
            body: As it came.
            caller: Who asks, for the log.

        Returns:
            The answer in pieces that are made when they are asked for; None where none is wanted. It never fails.
        """
        return self.run(dispatch.read(body), caller)

    @inlineCallbacks
    def run(self, batch: Batch, caller: str) -> Generator[Deferred[Any], Any, Iterator[bytes] | None]:
        """Run the calls one after the other, so that a later one sees what an earlier one has changed."""
        answers = []
        for call in batch.calls:
            answer = yield self._answer(call, caller)
            if not call.notification:
                answers.append(answer)
        if not answers:
            return None
        return dispatch.encoded(answers[0] if batch.single else answers)

    @inlineCallbacks
    def _answer(self, call: Call, caller: str) -> Generator[Deferred[Any], Any, dict[str, Any]]:
        if call.fault is not None:
            return dispatch.error_of(call, call.fault)
        try:
            method = self.registry.get(call.method)
            arguments = method.bind(call.params)
            if method.changes:
                self.log.info("{caller}: {method} {arguments}", caller=caller, method=method.name, arguments=method.logged(arguments))
            result = method.call(*arguments)
            if isinstance(result, Deferred):
                result = yield result
            return dispatch.result_of(call, result)
        except RpcError as error:
            return dispatch.error_of(call, dispatch.error_object(error.code, error.message))
        except SipnodeError as error:
            return dispatch.error_of(call, dispatch.error_object(500, str(error)))
        except Exception:
            self.log.failure("{method} failed", method=call.method)
            return dispatch.error_of(call, dispatch.error_object(dispatch.INTERNAL_ERROR, "Internal error"))
