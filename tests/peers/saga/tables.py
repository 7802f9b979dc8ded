"""The library's models under whatever names, for 0.1.1, 0.1.4, 0.2.4 and 0.7.3."""

import uuid
from importlib.metadata import version

from sqlalchemy import Enum, ForeignKey, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import saga_orchestrator
from saga_orchestrator import SagaStateMixin, SagaStatus

VERSION = version("python-saga-orchestrator")
HAS_HISTORY = hasattr(saga_orchestrator, "SagaStepHistoryMixin")
HAS_EVENTS = hasattr(saga_orchestrator, "StepAwaitEvent")

NAMES = {
    "schema": None,
    "state": "order_saga",
    "history": "order_saga_history",
    "outbox": "order_outbox",
    "inbox": "order_inbox",
    "enum": None,
}


class Tables:
    """One set of models. `outbox` and `inbox` may be None: programs need not have them."""

    def __init__(self, names=None):
        names = {**NAMES, **(names or {})}
        schema = names["schema"]

        class Base(DeclarativeBase):
            metadata = MetaData(schema=schema)

        self.base = Base
        self.schema = schema
        own_enum = {}
        if names["enum"]:
            kind = Enum(SagaStatus, name=names["enum"], schema=schema)
            own_enum = {
                "status": mapped_column(kind, default=SagaStatus.RUNNING, index=True),
                "__annotations__": {"status": Mapped[SagaStatus]},
            }
        self.history = self.outbox = self.inbox = None
        state = {"__tablename__": names["state"], **own_enum}
        if HAS_HISTORY:
            self.history = self.make_history(names)
            history = self.history
            state["step_history"] = relationship(
                history, cascade="all, delete-orphan", order_by=history.id
            )
            state["__annotations__"] = {**state.get("__annotations__", {}), "step_history": Mapped[list[history]]}
        self.state = type("State", (Base, SagaStateMixin), state)
        if HAS_EVENTS:
            from saga_orchestrator.inbox.models import InboxMessageMixin
            from saga_orchestrator.outbox.models import OutboxMessageMixin

            if names["outbox"]:
                self.outbox = type("Outbox", (Base, OutboxMessageMixin), {"__tablename__": names["outbox"]})
            if names["inbox"]:
                # The mixin's constraint has one name for all tables: a second inbox in a schema needs another.
                unique = UniqueConstraint("event_id")
                inbox = {"__tablename__": names["inbox"], "__table_args__": (unique,)}
                self.inbox = type("Inbox", (Base, InboxMessageMixin), inbox)

    def make_history(self, names):
        from saga_orchestrator import SagaStepHistoryMixin

        target = f"{names['schema']}.{names['state']}.id" if names["schema"] else f"{names['state']}.id"
        return type(
            "History",
            (self.base, SagaStepHistoryMixin),
            {
                "__tablename__": names["history"],
                "saga_id": mapped_column(ForeignKey(target, ondelete="CASCADE"), index=True),
                "__annotations__": {"saga_id": Mapped[uuid.UUID]},
            },
        )
