"""Ways to reach people: one file each, and one line in the table."""

from collections.abc import Callable, Mapping

from services.notifier.channels.alertmanager import Alertmanager
from services.notifier.channels.channel import Channel
from services.notifier.channels.console import Console
from services.notifier.channels.email import Email
from services.notifier.channels.pagerduty import PagerDuty
from services.notifier.channels.slack import Slack
from services.notifier.channels.sms import Sms
from services.notifier.channels.teams import Teams
from services.notifier.channels.webhook import Webhook
from services.notifier.throttle import Rate
from services.shared.fields import Fields

#: Channel → how it is made from the settings of a target.
CHANNELS: Mapping[str, Callable[[Fields], Channel]] = {
    "alertmanager": Alertmanager.read,
    "console": Console.read,
    "email": Email.read,
    "pagerduty": PagerDuty.read,
    "slack": Slack.read,
    "sms": Sms.read,
    "teams": Teams.read,
    "webhook": Webhook.read,
}
#: Channels whose receivers know a copy by its id, so that people need not be told of it.
KNOWING_COPIES = frozenset({"alertmanager", "email", "pagerduty", "webhook"})
#: Channels that close, by its id, what a message raised: no message of theirs can stand for others.
CLOSING = frozenset({"alertmanager", "pagerduty"})
#: What a target can bear where the document does not say; the others bear anything.
RATES: Mapping[str, Rate] = {"slack": Rate(60, 60.0), "sms": Rate(10, 60.0)}
