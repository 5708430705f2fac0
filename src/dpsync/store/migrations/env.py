"""Runs migrations on the engine that `store.database` hands over, in one transaction."""

from alembic import context

from dpsync.store.database import writing
from dpsync.store.tables import metadata

engine = context.config.attributes["engine"]

with writing(engine) as connection:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    context.run_migrations()
