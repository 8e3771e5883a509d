"""What travels on the input topics, as people name it: "orders" for puntual.orders.v1."""

from typing import TypeAlias

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from services.shared.topics import APPOINTMENTS, CALLBACKS, CONTACTS, ORDERS, Topic

Event: TypeAlias = OrderEvent | CallbackEvent | AppointmentEvent | ContactEvent

#: Short name of an input topic → the topic and its message.
INPUTS: dict[str, tuple[Topic, type[Event]]] = {
    "orders": (ORDERS, OrderEvent),
    "callbacks": (CALLBACKS, CallbackEvent),
    "appointments": (APPOINTMENTS, AppointmentEvent),
    "contacts": (CONTACTS, ContactEvent),
}
