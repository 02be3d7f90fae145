//! Which module of the library imports which, read from the text of its files, and where that goes round in a circle.
//!
//! A module imports another one if it names something that is *defined* there: what is re-exported on the way is
//! followed to its origin. Two things do not count: a module's use of what one that contains it defines, since a whole
//! and its parts belong together, and what is there for tests or docs only.

use std::collections::{BTreeMap, BTreeSet};

/// All modules, by paths such as `crate::wire::cursor`.
type Modules = BTreeMap<String, Vec<Import>>;
/// Modules that import each other.
pub(super) type Circle = BTreeSet<String>;

struct Import {
    path: Vec<String>,
    /// Under which name it is known in the module; empty if it is not brought in.
    name: String,
    is_reexport: bool,
}

/// What each module imports, as modules. Files are given by their paths below `src/` and their texts.
pub(super) fn imported(files: &[(String, String)]) -> BTreeMap<String, Circle> {
    let modules: Modules = files.iter().map(|(file, text)| (module(file), imports(text))).collect();
    let used = |from: &String, imports: &[Import]| {
        let used = imports.iter().filter(|import| !import.is_reexport);
        used.filter_map(|import| origin(&modules, from, &import.path)).filter(|to| to != from).collect()
    };
    modules.iter().map(|(from, imports)| (from.clone(), used(from, imports))).collect()
}

/// The circles among files.
pub(super) fn circles(files: &[(String, String)]) -> BTreeSet<Circle> {
    let mut reached = imported(files);
    for (from, tos) in &mut reached {
        tos.retain(|to| !contains(to, from));
    }
    // As far as the longest way may be.
    for _ in 0..reached.len().ilog2() + 1 {
        let before = reached.clone();
        for tos in reached.values_mut() {
            let further: Circle = tos.iter().filter_map(|to| before.get(to)).flatten().cloned().collect();
            tos.extend(further);
        }
    }
    let round = reached.iter().filter(|(from, tos)| tos.contains(*from));
    round
        .map(|(from, tos)| {
            tos.iter()
                .filter(|to| reached.get(*to).is_some_and(|back| back.contains(from)))
                .cloned()
                .collect()
        })
        .collect()
}

fn module(file: &str) -> String {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    if path == "lib" { "crate".to_owned() } else { format!("crate::{path}") }
}

fn contains(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"))
}

fn parent(module: &str) -> String {
    module.rsplit_once("::").map_or(module, |(parent, _)| parent).to_owned()
}

/// The module in which what `path` names in `from` is defined; none if that is in another crate.
fn origin(modules: &Modules, from: &str, path: &[String]) -> Option<String> {
    let mut at = match path[0].as_str() {
        "crate" => "crate".to_owned(),
        "super" => parent(from),
        "self" => from.to_owned(),
        name => Some(format!("{from}::{name}")).filter(|module| modules.contains_key(module))?,
    };
    for name in &path[1..] {
        let inner = format!("{at}::{name}");
        if name == "super" {
            at = parent(&at);
        } else if modules.contains_key(&inner) {
            at = inner;
        } else {
            let through = modules.get(&at)?.iter().find(|import| import.name == *name && import.path != path);
            return through.and_then(|import| origin(modules, &at, &import.path)).or(Some(at));
        }
    }
    Some(at)
}

/// All paths in a file: those of `use`, and those that stand in the code.
fn imports(text: &str) -> Vec<Import> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
    let mut is_gated = false;
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or("").trim()).filter(|line| {
        let was_gated = std::mem::replace(&mut is_gated, ["#[cfg(test)]", "#[cfg(doc)]"].contains(line));
        !was_gated
    });
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut found = Vec::new();
    // How far something can be seen is no import.
    let code = code.replace("(in crate::protocol)", "");
    for statement in code.split(';') {
        let import = statement.rsplit_once("use ").filter(|(head, _)| {
            let visibility = head.rsplit('\n').next().unwrap_or("");
            visibility.is_empty() || visibility.starts_with("pub")
        });
        if let Some((head, tree)) = import {
            let is_reexport = head.ends_with(' ');
            found.extend(leaves(tree).iter().map(|leaf| Import::new(leaf, is_reexport)));
        } else {
            let words = statement.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let paths = words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::"));
            found.extend(paths.map(|path| Import { name: String::new(), ..Import::new(path, false) }));
        }
    }
    found
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, inner)) = tree.trim().trim_end_matches('}').split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.flat_map(leaves).filter(|leaf| !leaf.is_empty()).map(|leaf| format!("{before}{leaf}")).collect()
}

impl Import {
    fn new(path: &str, is_reexport: bool) -> Self {
        let (path, name) = path.split_once(" as ").unwrap_or((path, path.trim_end_matches("::self")));
        let path = path.trim_end_matches("::self").split("::").map(ToOwned::to_owned).collect();
        Self { path, name: name.rsplit("::").next().unwrap_or(name).to_owned(), is_reexport }
    }
}
