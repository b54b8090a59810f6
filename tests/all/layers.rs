//! The layer map of `src/lib.rs` is true: imports only go down, and the pure layers stay pure.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules and their layers, as in the map.
const LAYERS: [(&str, u32); 17] = [
    ("cli", 6),
    ("service", 5),
    ("backup", 4),
    ("receive", 4),
    ("verify", 4),
    ("benchmark", 4),
    ("wal", 3),
    ("net", 2),
    ("storage", 2),
    ("pipeline", 2),
    ("protocol", 1),
    ("archive", 1),
    ("manifest", 1),
    ("page", 1),
    ("control", 1),
    ("walrecord", 1),
    ("pg", 0),
];

/// What layers 0 and 1 may not touch.
const IMPURE: [&str; 6] =
    ["tokio", "std::fs", "std::net", "std::env", "Instant::now", "SystemTime::now"];

fn layer(module: &str) -> u32 {
    let found = LAYERS.iter().find(|(name, _)| *name == module);
    found.unwrap_or_else(|| panic!("module {module} is not in the layer map")).1
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Calls `check` with each source file of a module and its code up to the unit tests.
fn each_source(mut check: impl FnMut(&str, &Path, &str)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (module, _) in LAYERS {
        let mut found = Vec::new();
        sources(&root.join(module), &mut found);
        assert!(!found.is_empty(), "module {module} has no files");
        for path in found {
            let text = fs::read_to_string(&path).expect("a source file in UTF-8");
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            check(module, &path, code);
        }
    }
}

#[test]
fn imports_only_go_down() {
    each_source(|module, path, code| {
        for after in code.split("crate::").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let imported = &after[..end.unwrap_or(after.len())];
            if imported.is_empty() || imported == module {
                continue;
            }
            let below = layer(imported) < layer(module);
            assert!(below, "{}: {module} imports {imported}", path.display());
        }
    });
}

#[test]
fn layers_0_and_1_touch_neither_files_nor_sockets_nor_clocks() {
    each_source(|module, path, code| {
        for impure in IMPURE {
            let found = layer(module) <= 1 && code.contains(impure);
            assert!(!found, "{} mentions {impure}", path.display());
        }
    });
}

#[test]
fn the_layer_map_of_the_crate_says_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(root).expect("src/lib.rs");
    for (module, layer) in LAYERS {
        let row = format!("//! | {layer} | [`{module}`] |");
        assert!(text.contains(&row), "src/lib.rs has no row {row:?}");
    }
}
