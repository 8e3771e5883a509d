"""The input topics as people name them: "orders" for puntual.orders.v1."""

from collections.abc import Mapping

from services.shared import topics
from services.shared.topics import Topic

INPUTS: Mapping[str, Topic] = {topic.name.partition(".")[0]: topic for topic in topics.INPUTS}
#: With those that are of customers.
EVENTS: Mapping[str, Topic] = {topic.name.partition(".")[0]: topic for topic in topics.EVENTS}
