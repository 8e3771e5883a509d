"""Ways to reach people: one file each, and one line in the table."""

from collections.abc import Callable, Mapping

from services.notifier.channels.channel import Channel
from services.notifier.channels.console import Console
from services.notifier.channels.email import Email
from services.notifier.channels.webhook import Webhook
from services.shared.fields import Fields

#: Channel → how it is made from the settings of a target.
CHANNELS: Mapping[str, Callable[[Fields], Channel]] = {
    "console": Console.read,
    "email": Email.read,
    "webhook": Webhook.read,
}
