//! Tests of the library and the program from outside.
//!
//! Some play recorded or hostile sessions to them. The others drive the program against real servers,
//! and compare it with the original: servers come from `tests/servers.sh`, each test starts its own in
//! a temporary directory, on a Unix socket unless it is about TCP, and takes everything away again,
//! also when it fails.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod support;

mod auth;
mod backup_timelines;
mod backups;
mod bench;
mod checks;
mod codecs;
mod command_line;
mod compression;
mod control;
mod disk;
mod failures;
mod fake_server;
#[cfg(feature = "gssapi")]
mod gss;
mod hostile;
mod hostile_compression;
mod hostile_wal;
mod hosts;
mod kills;
mod layers;
mod memory;
mod packaging;
mod page;
mod power;
mod receive_clock;
mod receive_compressed;
mod receive_damaged;
mod receive_disk;
mod receive_feedback;
mod receive_hostile;
mod receive_kills;
mod receive_network;
mod receive_positions;
mod receive_power;
mod receive_recovery;
mod receive_restarts;
mod receive_signals;
mod receive_silence;
mod receive_slots;
mod receive_start;
mod receive_streams;
mod receive_timelines;
mod receivewal_command_line;
#[path = "../../protocol-fixtures/recording/mod.rs"]
mod recording;
mod replay;
mod service_check;
mod service_disks;
mod service_http;
mod service_ordeal;
mod service_process;
mod service_status;
mod service_supervisor;
mod service_truth;
mod side_by_side;
mod standby;
mod tablespaces;
mod targets;
mod tls;
mod verify_bombs;
mod verify_damage;
mod verify_damage_tar;
mod verify_damage_tar_parts;
mod verify_fuzz;
mod verify_manifest;
mod verify_options;
mod verify_wal;
mod verifybackup_command_line;
mod walrecord;
