"""Faust's assignor, made fit for static members that come back at another address."""

from typing import Any, cast

from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor


class LaneAssignor(PartitionAssignor):
    """Accepts the assignment Kafka kept for a static member although its gRPC address has changed since.

    Faust asserts that the address is the same, and the assertion would leave the worker without partitions for ever.
    """

    def on_assignment(self, assignment: Any) -> None:  # noqa: ANN401 - a struct that aiokafka makes at run time
        """Take over an assignment."""
        metadata = cast(ClientMetadata, ClientMetadata.loads(self._decompress(assignment.user_data)))
        self._assignment = metadata.assignment
        self._topic_groups = dict(metadata.topic_groups)
        self._active_tps = self._assignment.active_tps
        self._standby_tps = self._assignment.standby_tps
        self.changelog_distribution = metadata.changelog_distribution
        self.external_topic_distribution = metadata.external_topic_distribution
