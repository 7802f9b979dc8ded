"""The tables as the library's Django migrations make them.

Usage: django_tables.py migrate URL    migrates, then tries the library of the same version on its own tables; prints what it said
       django_tables.py events URL KEY writes the life of a key through the migrations' own event model
"""

import json
import sys

import psycopg
from psycopg.conninfo import conninfo_to_dict


def configure(url):
    """Sets Django up for this database, with nothing else installed."""
    import django
    from django.conf import settings

    parts = conninfo_to_dict(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts["user"],
        "HOST": parts["host"],
        "PORT": parts["port"],
    }
    settings.configure(DATABASES={"default": database}, INSTALLED_APPS=["sentinel.integrations"], USE_TZ=True)
    django.setup()


def attempt(act):
    try:
        return {"success": act().success}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error).splitlines()[0]}


def migrate(url):
    from django.core.management import call_command
    from sentinel import Sentinel
    from sentinel.integrations import DjangoSentinel

    call_command("migrate", verbosity=0)
    plain = Sentinel(lambda: psycopg.connect(url))
    return {
        "once": attempt(lambda: plain.once("tried", lambda: None, ttl_ms=1)),
        # Django's connection commits every statement, so this one leaves its claim behind.
        "django_once": attempt(lambda: DjangoSentinel().once("tried-django", lambda: None, ttl_ms=1)),
    }


def events(key):
    from django.utils import timezone
    from sentinel.integrations.models import SentinelEvent

    for event, token in (("acquired", 1), ("executing", 1), ("expired", 1), ("reconciling", None)):
        owner = "host:1-1" if token else None
        SentinelEvent.objects.create(key=key, event=event, fencing_token=token, owner_id=owner, occurred_at=timezone.now())
    return {"written": SentinelEvent.objects.filter(key=key).count()}


def main():
    what, url, *rest = sys.argv[1:]
    configure(url)
    print(json.dumps(migrate(url) if what == "migrate" else events(*rest)))


if __name__ == "__main__":
    main()
