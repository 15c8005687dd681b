// SPDX-License-Identifier: GPL-2.0
//! All inputs that are kept still hold: examples of what there is, and what once failed.

use std::fs;
use std::path::{Path, PathBuf};
use underpass_fuzz::{target, TARGETS};

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn replay(name: &str) {
    let check = target(name).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = files(&here.join("corpus").join(name));
    assert!(!corpus.is_empty(), "no corpus for {name}");
    for path in corpus.iter().chain(&files(&here.join("found").join(name))) {
        let input = fs::read(path).unwrap();
        println!("{}: {}", path.display(), input.escape_ascii());
        check(&input);
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn no_input_is_of_an_unknown_target_and_no_target_is_left_out() {
            let known = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), known);
            let here = Path::new(env!("CARGO_MANIFEST_DIR"));
            for folder in ["corpus", "found"] {
                for path in files(&here.join(folder)) {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    assert!(known.contains(&name), "{folder}/{name} is of no target");
                }
            }
        }
    };
}

replays! { chunked conversation head netlink proxy relay request response }
