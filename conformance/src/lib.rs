//! What a backend must do, and the whole backup, WAL and prune semantics, run against any backend.
