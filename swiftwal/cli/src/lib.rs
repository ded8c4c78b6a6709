//! PostgreSQL base backups, WAL archiving and point-in-time recovery to object storage.
