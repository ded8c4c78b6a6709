//! The storage registry, the repository and the flows: backup, restore, archive, fetch, prune.
