//! pgsiphon takes online base backups of PostgreSQL servers over the replication protocol, checks
//! every byte while it arrives and leaves nothing half written under a final name.
//!
//! # Layers
//!
//! Imports only go down this list; modules of one layer do not import each other.
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | 6 | [`cli`] | arguments, terminal, signals, exit codes: the only place that prints |
//! | 5 | [`service`] | WAL receiving for many servers, for months: configuration, supervision, metrics |
//! | 4 | [`backup`] | a base backup: prepare, receive, finish |
//! | 4 | [`receive`] | continuous WAL receiving: where to start, reconnecting, timelines |
//! | 4 | [`verify`] | a stored backup: files, pages and WAL against its manifest |
//! | 4 | [`benchmark`] | this program beside the originals, in one run |
//! | 3 | [`wal`] | streaming WAL: session driver, segments, history files |
//! | 2 | [`net`] | connecting, TLS and GSSAPI, authentication, framed reads (tokio) |
//! | 2 | [`storage`] | files: direct and buffered writers, compression, extraction, durable names, clean-up |
//! | 2 | [`pipeline`] | threads, queues, blocking work beside a future; knows nothing of PostgreSQL |
//! | 1 | [`protocol`] | frames, start-up and authentication, replication commands, sub-protocols |
//! | 1 | [`archive`] | tar and compressed streams as push streams |
//! | 1 | [`manifest`] | `backup_manifest`: reading it and comparing it with what was received |
//! | 1 | [`page`] | pages of relations: header and checksum |
//! | 1 | [`control`] | the control file and the backup label |
//! | 1 | [`walrecord`] | WAL pages and records: proving the log while it passes |
//! | 0 | [`pg`] | vocabulary: positions, timelines, segments, versions, checksums, tablespaces |
//!
//! # Invariants
//!
//! - Layers 0 and 1 are pure: bytes and time in, values out. No socket, file, environment or clock.
//! - Every queue and buffer has a named bound; backpressure reaches the server through its socket.
//! - A file name without a suffix means complete; `backup_manifest` gets its name last.
//! - Nothing that this program did not create is ever deleted.

pub mod archive;
pub mod backup;
pub mod benchmark;
pub mod cli;
pub mod control;
pub mod manifest;
pub mod net;
pub mod page;
pub mod pg;
pub mod pipeline;
pub mod protocol;
pub mod receive;
pub mod service;
pub mod storage;
pub mod verify;
pub mod wal;
pub mod walrecord;
