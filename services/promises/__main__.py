"""`python -m services.promises`."""

from services.promises.app import app
from services.promises.settings import PromiseSettings
from services.shared.service import main

if __name__ == "__main__":
    main("promises", PromiseSettings, app)
