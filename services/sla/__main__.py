"""`python -m services.sla`."""

from services.shared.service import main
from services.sla.app import app
from services.sla.settings import SlaSettings

if __name__ == "__main__":
    main("sla", SlaSettings, app)
