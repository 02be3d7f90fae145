//! The sources keep the rules that no compiler checks.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The core is pure: time, randomness and datagrams are its arguments.
const NOT_IN_THE_CORE: [&str; 16] = [
    "std::thread",
    "std::sync",
    "std::io",
    "std::fs",
    "std::env",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "Instant::now",
    "SystemTime",
    "crossbeam",
    "socket2",
    "rand::rng(",
    "RandomState",
    "SysRng",
    "println!",
];

/// Put together here, so that this file does not contain them.
const UNFINISHED: [&str; 3] = [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!")];

/// A file beyond this holds two ideas.
const LINES_MAX: usize = 700;

/// A folder beyond this has no shape that a newcomer could see.
const FILES_MAX: usize = 20;

/// They belong together: a configuration takes listeners and discoveries, which are given the member that it makes.
const CIRCLE: [&str; 4] = ["config", "discovery", "listener", "member"];

/// The parts of the protocol, each a folder, …
const PARTS: [&str; 9] = [
    "admission",
    "broadcast",
    "detection",
    "dissemination",
    "identity",
    "messages",
    "sealing",
    "state",
    "sync",
];
/// … and what all of them are handed.
const SHARED: [&str; 5] = ["api", "core", "membership", "rules", "time"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below these directories, with their text.
fn sources(dirs: &[&str]) -> Vec<(PathBuf, String)> {
    let mut waiting: Vec<PathBuf> = dirs.iter().map(|dir| root().join(dir)).collect();
    let mut found = Vec::new();
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {dirs:?}");
    found
}

/// Tests stand beside their code as `tests.rs`, or as files below `tests/`.
fn is_tests(path: &Path) -> bool {
    let inside = path.strip_prefix(root()).unwrap_or(path);
    inside.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Where code, not a comment, holds one of these words. An `Arc` shares memory and nothing else: it is fine.
fn lines_with(text: &str, words: &[&str]) -> Vec<String> {
    let is_bad = |line: &str| {
        let code = line.split("//").next().unwrap_or("").replace("std::sync::Arc", "");
        words.iter().any(|word| code.contains(word))
    };
    let numbered = text.lines().enumerate();
    numbered.filter(|(_, line)| is_bad(line)).map(|(i, line)| format!("{}: {}", i + 1, line.trim())).collect()
}

/// The dependencies of a manifest that no comment explains.
fn unexplained_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut above = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.contains('=') && !above.starts_with('#') {
            found.push(line.to_owned());
        }
        above = line;
    }
    found
}

/// The folders that have more than so many files in them, with how many.
fn full_folders(files: &[&Path], files_max: usize) -> BTreeMap<PathBuf, usize> {
    let mut counts = BTreeMap::new();
    for folder in files.iter().filter_map(|file| file.parent()) {
        *counts.entry(folder.to_owned()).or_default() += 1;
    }
    counts.retain(|_, count| *count > files_max);
    counts
}

/// Circles that are not a part of the one that may be.
fn unwanted_circles(files: &[(String, String)]) -> Vec<imports::Circle> {
    let may_be = |module: &String| module.split("::").nth(1).is_some_and(|top| CIRCLE.contains(&top));
    let circles = imports::circles(files);
    circles.into_iter().filter(|circle| !circle.iter().all(may_be)).collect()
}

/// Imports by which a part of the protocol knows another part or the router, or by which what all parts are handed knows
/// one of them.
fn breaches(files: &[(String, String)]) -> Vec<String> {
    let room = |module: &str| {
        let inside = module.strip_prefix("crate::protocol")?;
        Some(inside.trim_start_matches("::").split("::").next().unwrap_or("").to_owned())
    };
    let mut found = Vec::new();
    for (from, tos) in imports::imported(files) {
        let Some(own) =
            room(&from).filter(|own| PARTS.contains(&own.as_str()) || SHARED.contains(&own.as_str()))
        else {
            continue;
        };
        let is_breach = |to: &&String| room(to).is_some_and(|to| to != own && !SHARED.contains(&to.as_str()));
        found.extend(tos.iter().filter(is_breach).map(|to| format!("{from} imports {to}")));
    }
    found
}

/// The library's files without tests, by their paths below `src/`.
fn library() -> Vec<(String, String)> {
    sources(&["src"])
        .into_iter()
        .filter(|(path, _)| !is_tests(path))
        .map(|(path, text)| (path.strip_prefix(root().join("src")).unwrap().display().to_string(), text))
        .map(|(path, text)| (path.replace('\\', "/"), text))
        .collect()
}

#[track_caller]
fn expect_none(findings: &[(PathBuf, Vec<String>)]) {
    let report: Vec<String> = findings
        .iter()
        .filter(|(_, lines)| !lines.is_empty())
        .map(|(path, lines)| format!("{}\n    {}", path.display(), lines.join("\n    ")))
        .collect();
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

#[test]
fn the_core_holds_no_socket_thread_lock_clock_or_entropy() {
    // Tests may read the environment and print: they are what drives the core.
    let findings: Vec<_> = sources(&["src/protocol", "src/wire"])
        .into_iter()
        .filter(|(path, _)| !is_tests(path))
        .map(|(path, text)| (path, lines_with(&text, &NOT_IN_THE_CORE)))
        .collect();
    expect_none(&findings);
}

#[test]
fn nothing_is_unfinished() {
    let findings: Vec<_> = sources(&["src", "examples", "benches", "tests"])
        .into_iter()
        .map(|(path, text)| (path, lines_with(&text, &UNFINISHED)))
        .collect();
    expect_none(&findings);
}

#[test]
fn no_file_holds_two_ideas() {
    for (path, text) in sources(&["src", "examples", "benches", "tests"]) {
        let lines = text.lines().count();
        assert!(is_tests(&path) || lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_folder_holds_more_files_than_one_sees_at_a_glance() {
    let sources = sources(&["src"]);
    let files: Vec<&Path> = sources.iter().map(|(path, _)| path.as_path()).collect();
    assert_eq!(full_folders(&files, FILES_MAX), BTreeMap::new());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    assert_eq!(unwanted_circles(&library()), []);
}

#[test]
fn no_part_of_the_protocol_knows_another_one() {
    let files = library();
    let folder = |(path, _): &(String, String)| {
        let (folder, _) = path.strip_prefix("protocol/")?.split_once('/')?;
        Some(folder.to_owned())
    };
    for folder in files.iter().filter_map(folder) {
        let is_known = PARTS.contains(&folder.as_str()) || SHARED.contains(&folder.as_str());
        assert!(is_known, "whether {folder} is a part or handed to all is not said here");
    }
    assert_eq!(breaches(&files), [""; 0]);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert_eq!(unexplained_dependencies(&manifest), [""; 0]);
}

#[test]
fn tests_are_told_from_code_by_where_they_stand() {
    let is_tests = |path: &str| is_tests(&root().join(path));
    for path in ["src/wire/tests.rs", "src/protocol/tests/mod.rs", "src/protocol/tests/hostile/names.rs"] {
        assert!(is_tests(path), "{path}");
    }
    for path in ["src/protocol/mod.rs", "src/protocol/contests.rs"] {
        assert!(!is_tests(path), "{path}");
    }
}

#[test]
fn the_search_for_words_can_fail() {
    let text =
        "use std::sync::Arc;\n// std::thread is not for us\nlet x = std::thread::spawn;\nstd::sync::Mutex";
    assert_eq!(lines_with(text, &NOT_IN_THE_CORE), ["3: let x = std::thread::spawn;", "4: std::sync::Mutex"]);
}

#[test]
fn the_search_for_unexplained_dependencies_can_fail() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Why.\na = \"1\"\nb = \"2\"\n\
                    [target.'cfg(unix)'.dev-dependencies]\nc = \"3\"\n[lints]\nd = \"4\"";
    assert_eq!(unexplained_dependencies(manifest), ["b = \"2\"", "c = \"3\""]);
}

#[test]
fn the_search_for_full_folders_can_fail() {
    let files = ["src/a.rs", "src/b/c.rs", "src/b/d.rs", "src/b/e/f.rs"].map(Path::new);
    assert_eq!(full_folders(&files, 1), BTreeMap::from([(PathBuf::from("src/b"), 2)]));
}

/// The circles of a made-up library.
fn circles(files: &[(&str, &str)]) -> BTreeSet<imports::Circle> {
    let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    imports::circles(&files)
}

fn circle(modules: &[&str]) -> BTreeSet<imports::Circle> {
    BTreeSet::from([modules.iter().map(|module| format!("crate::{module}")).collect()])
}

#[test]
fn the_search_for_circles_can_fail() {
    let a = ("a.rs", "use std::fmt;\nuse crate::b::{B, c::C};\nstruct A;");
    let c = ("b/c.rs", "struct C;\nfn f() {\n    let a = crate::d::A;\n}");
    let d = ("d/mod.rs", "//! Hands on.\npub(crate) use crate::a::A;");
    assert_eq!(circles(&[a, ("b/mod.rs", "mod c;\nstruct B;"), c, d]), circle(&["a", "b::c"]));
    let b = ("b/mod.rs", "mod c;\nuse self::c::C;\nfn f(c: &C) {}");
    assert_eq!(
        circles(&[b, ("b/c.rs", "use super::d::D;"), ("b/d.rs", "use super::c;")]),
        circle(&["b::c", "b::d"])
    );
    let known =
        [("config.rs", "use crate::member::Member;"), ("member.rs", "use crate::{config::Config, e};")];
    let with = |text: &str| {
        let files = known.into_iter().chain([("e.rs", text)]);
        unwanted_circles(&files.map(|(path, text)| (path.to_owned(), text.to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(with("struct E;"), []);
    assert_eq!(with("use crate::config::Config;").len(), 1);
}

#[test]
fn the_search_for_breaches_can_fail() {
    let breaches = |path: &str, text: &str| {
        let rest = [("protocol/mod.rs", "struct Protocol;"), ("protocol/sync/mod.rs", "struct Sync;")];
        let files = rest.into_iter().chain([("protocol/core/mod.rs", "struct Core;"), (path, text)]);
        breaches(&files.map(|(path, text)| (path.to_owned(), text.to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(breaches("protocol/state/mod.rs", "use super::core::Core;\n// super::sync::Sync"), [""; 0]);
    assert_eq!(breaches("protocol/news.rs", "use super::sync::Sync;"), [""; 0]);
    for (path, text) in [
        ("protocol/state/mod.rs", "use super::sync::Sync;"),
        ("protocol/state/budget.rs", "fn f(sync: &crate::protocol::sync::Sync) {}"),
        ("protocol/state/mod.rs", "use super::Protocol;"),
        ("protocol/membership/mod.rs", "use super::sync::Sync;"),
    ] {
        assert_eq!(breaches(path, text).len(), 1, "{path} {text}");
    }
}

#[test]
fn what_is_no_circle_is_none() {
    let parts = [("a/mod.rs", "mod b;\nuse self::b::B;\nstruct A;"), ("a/b.rs", "use super::A;")];
    assert_eq!(circles(&parts), BTreeSet::new());
    let tests = [
        ("a.rs", "use crate::b::B;"),
        (
            "b.rs",
            "// crate::a::A\n#[cfg(doc)]\nuse crate::a::A;\n\
                 #[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
        ),
    ];
    assert_eq!(circles(&tests), BTreeSet::new());
}
