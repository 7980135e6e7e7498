"""The application: it listens to connections that are opened."""
from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from .._load import load


def _opened(sender: Any, connection: Any, **more: Any) -> None:
    if connection.vendor == "sqlite":
        load(connection.connection)


class Recommend(AppConfig):
    name = "sqlite_recommend.django"
    label = "sqlite_recommend"
    default = True

    def ready(self) -> None:
        connection_created.connect(_opened, dispatch_uid="sqlite_recommend")
