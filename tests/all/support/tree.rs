//! Comparing directory trees: names, kinds, modes, sizes, contents, targets of links.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What is at a path, but for a file's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The kind.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
}

/// What kind of thing is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file of a size.
    File(u64),
    /// A link to a target.
    Link(PathBuf),
    /// A socket, a device, a pipe.
    Special,
}

/// Lists what is below a directory, without following links.
pub fn walk(root: &Path) -> BTreeMap<PathBuf, Node> {
    let mut nodes = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let node = node(&path);
            if node.kind == Kind::Directory {
                directories.push(path.clone());
            }
            nodes.insert(path.strip_prefix(root).unwrap().to_owned(), node);
        }
    }
    nodes
}

/// Returns what is at a path, without following links.
pub fn node(path: &Path) -> Node {
    let metadata = fs::symlink_metadata(path).unwrap();
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_file() => Kind::File(metadata.len()),
        kind if kind.is_symlink() => Kind::Link(fs::read_link(path).unwrap()),
        kind => {
            assert!(kind.is_socket() || kind.is_fifo(), "{}: {kind:?}", path.display());
            Kind::Special
        }
    };
    Node { kind, mode: metadata.permissions().mode() & 0o7777 }
}

/// Lists how two trees differ, one line a path, in order. Only modes and kinds are compared where
/// `contents_may_differ` says so.
pub fn differences(
    left: &Path,
    right: &Path,
    contents_may_differ: impl Fn(&Path) -> bool,
) -> Vec<String> {
    let (left_nodes, right_nodes) = (walk(left), walk(right));
    let mut found = Vec::new();
    for (path, node) in &left_nodes {
        let Some(other) = right_nodes.get(path) else {
            found.push(format!("{} is only in the first", path.display()));
            continue;
        };
        let may_differ = contents_may_differ(path);
        let is_same_kind = node.kind == other.kind
            || may_differ && matches!((&node.kind, &other.kind), (Kind::File(_), Kind::File(_)));
        if !is_same_kind || node.mode != other.mode {
            found.push(format!("{}: {node:?} and {other:?}", path.display()));
        } else if matches!(node.kind, Kind::File(_))
            && !may_differ
            && fs::read(left.join(path)).unwrap() != fs::read(right.join(path)).unwrap()
        {
            found.push(format!("{} differs", path.display()));
        }
    }
    let only_right = right_nodes.keys().filter(|path| !left_nodes.contains_key(*path));
    found.extend(only_right.map(|path| format!("{} is only in the second", path.display())));
    found
}
