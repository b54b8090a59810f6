//! What tests do to the files of a backup.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::scratch::{names, run};
use crate::fake_server::synthetic::file;

/// Returns the identifier of the cluster that the manifest names; nothing in one of version 1.
pub fn identifier(backup: &Path) -> String {
    let manifest = fs::read_to_string(backup.join("backup_manifest")).unwrap();
    let rest = manifest.split_once("\"System-Identifier\": ").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split(',').next()).unwrap_or_default().to_owned()
}

/// Makes a control file that of the cluster with the identifier 1, with a good checksum of itself.
pub fn forge_identifier(control: &mut [u8]) {
    let checksum = |control: &[u8], at: usize| crc32c::crc32c(&control[..at]).to_le_bytes();
    let is_there = |at: &usize| control[*at..at + 4] == checksum(control, *at);
    let at = (8..512).find(is_there).expect("a control file has a checksum");
    control[..8].copy_from_slice(&1_u64.to_le_bytes());
    let right = checksum(control, at);
    control[at..at + 4].copy_from_slice(&right);
}

/// Changes the bytes of a file.
pub fn edit(path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Flips a bit in a file.
pub fn flip(path: impl AsRef<Path>, at: usize) {
    edit(path, |bytes| bytes[at] ^= 4);
}

/// Cuts a file.
pub fn truncate(path: impl AsRef<Path>, size: u64) {
    File::options().write(true).open(path).unwrap().set_len(size).unwrap();
}

/// Replaces a file or link by a link.
pub fn relink(path: &Path, target: &str) {
    fs::remove_file(path).unwrap();
    symlink(target, path).unwrap();
}

/// Takes all permissions away.
pub fn forbid(path: impl AsRef<Path>) {
    fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
}

/// Makes a named pipe.
pub fn make_fifo(path: impl AsRef<Path>) {
    run(Command::new("mkfifo").arg(path.as_ref()));
}

/// Replaces a text in the manifest, where it comes first after another one, and lets the manifest's
/// checksum of itself be right again.
pub fn forge_manifest(backup: &Path, after: &str, from: &str, to: &str) {
    let path = backup.join("backup_manifest");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_at(text.find(after).expect("the manifest has it"));
    assert!(rest.contains(from), "no {from} after {after}");
    fs::write(path, sealed(&format!("{before}{}", rest.replacen(from, to, 1)))).unwrap();
}

/// Returns a manifest's text with the right checksum of itself.
pub fn sealed(manifest: &str) -> String {
    let body = manifest.rfind("\"Manifest-Checksum\"").unwrap_or(manifest.len());
    let body = &manifest[..body];
    let digits: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{body}\"Manifest-Checksum\": \"{digits}\"}}\n")
}

/// Returns the last segment in a directory with WAL.
pub fn last_segment(directory: &Path) -> PathBuf {
    let segments: BTreeSet<_> =
        names(directory).into_iter().filter(|name| name.len() == 24).collect();
    directory.join(segments.last().expect("a backup has WAL"))
}

/// The size of headers in archives, and what contents are filled up to.
const BLOCK_SIZE: usize = 512;

/// Changes the first member of an archive whose name is meant; nothing stays of it if `change` returns nothing.
pub fn edit_member(
    archive: impl AsRef<Path>,
    is_meant: fn(&str) -> bool,
    change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
) {
    edit(archive, |bytes| {
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let named = |entry: tar::Entry<'_, &[u8]>| {
            let name = entry.path().unwrap().display().to_string();
            is_meant(&name)
                .then(|| (name, entry.raw_file_position() as usize, entry.size() as usize))
        };
        let (name, start, size) = entries.find_map(named).expect("the archive has it");
        let contents = bytes[start..start + size].to_vec();
        let member = change(contents).map(|contents| file(&name, &contents)).unwrap_or_default();
        bytes.splice(start - BLOCK_SIZE..start + size.next_multiple_of(BLOCK_SIZE), member);
    });
}
