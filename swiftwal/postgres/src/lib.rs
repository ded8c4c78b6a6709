//! What PostgreSQL says and how it names things: LSNs, WAL file names, timelines, labels, headers, base backups.
