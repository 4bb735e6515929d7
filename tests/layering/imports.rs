//! No two source files of a crate import each other, so that a file can be read after the files
//! that it uses. Paths from `crate`, `super` and a file's own child modules count, in `use` lines
//! and in code; a parent that only re-exports its children does not import them.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{assert_no_violations, code_lines, text, tracked_files};

/// A path in code: its segments, and whether it stands in a `pub use`.
struct Import {
    segments: Vec<String>,
    is_reexport: bool,
}

/// A source file as a module of its crate.
struct Module {
    file: String,
    /// The names of the modules from the crate's root to this one.
    path: Vec<String>,
    /// The code without comments and tests.
    code: String,
    imports: Vec<Import>,
}

/// The modules of one crate, by their paths.
type Crate = BTreeMap<Vec<String>, Module>;

/// Returns a file's code without comments, without its tests and without strings' contents.
fn plain_code(text: &str) -> String {
    let mut plain = String::new();
    let mut lines = code_lines(text).map(|(_, line)| line);
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            // A module of tests ends the file; anything else for tests is one line.
            match lines.next() {
                Some(next) if next.contains("mod ") && next.trim_end().ends_with('{') => break,
                _ => continue,
            }
        }
        // Odd pieces between quotation marks are inside strings.
        plain.extend(line.split('"').step_by(2));
        plain.push('\n');
    }
    plain
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads the tree of names behind `prefix`, such as `{a::b, c}`, into whole paths.
fn read_tree(code: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let start = code.len() - code.trim_start().len();
    let rest = &code[start..];
    if let Some(group) = rest.strip_prefix('{') {
        let mut at = 0;
        loop {
            at += read_tree(&group[at..], prefix, paths);
            let behind = group[at..].trim_start();
            at = group.len() - behind.len();
            match behind.chars().next() {
                Some(',') => at += 1,
                _ => return start + 1 + at + 1.min(behind.len()),
            }
        }
    }
    let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let name = if rest.starts_with('*') { "*" } else { &rest[..length] };
    let whole = match name {
        "" => return start,
        "self" => prefix.to_vec(),
        name => [prefix, &[name.to_string()]].concat(),
    };
    let end = start + name.len();
    match code[end..].strip_prefix("::") {
        Some(behind) if behind.starts_with(|c: char| is_name(c) || c == '{' || c == '*') => {
            end + 2 + read_tree(behind, &whole, paths)
        }
        _ => {
            paths.push(whole);
            let renamed = code[end..].strip_prefix(" as ");
            end + renamed.map_or(0, |name| 4 + name.find(|c| !is_name(c)).unwrap_or(name.len()))
        }
    }
}

/// Returns the paths in `code` that begin with one of `roots`.
fn read_imports(code: &str, roots: &[String]) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut at = 0;
    while let Some(length) = code[at..].find("::") {
        let behind = at + length + 2;
        let before = code[..at + length].trim_end_matches(is_name);
        let root = &code[before.len()..at + length];
        at = behind;
        if before.ends_with("::") || !roots.iter().any(|name| name == root) {
            continue;
        }
        let statement = before.rfind([';', '}']).map_or(before, |end| &before[end + 1..]);
        // An attribute stands before some statements.
        let statement = statement.rsplit('\n').next().unwrap_or_default().trim_start();
        let mut paths = Vec::new();
        at += read_tree(&code[behind..], &[root.to_string()], &mut paths);
        let is_reexport = statement.starts_with("pub") && statement.contains("use ");
        imports.extend(paths.into_iter().map(|segments| Import { segments, is_reexport }));
    }
    imports
}

/// Reads a crate's files, given by their paths below its `src` folder.
fn read_crate(files: &[(String, String)]) -> Crate {
    let path_of = |below: &str| -> Vec<String> {
        let path = below.trim_end_matches(".rs").split('/').map(String::from);
        path.filter(|name| name != "lib").collect()
    };
    let is_test = |path: &[String]| path.iter().any(|name| name == "tests");
    let named = files.iter().map(|(file, text)| {
        let below = file.split_once("src/").map_or(&file[..], |(_, below)| below);
        (path_of(below), file, text)
    });
    let named: Vec<_> = named.filter(|(path, ..)| !is_test(path)).collect();
    let module = |(path, file, text): &(Vec<String>, &String, &String)| {
        let children =
            named.iter().filter(|(other, ..)| other.split_last().is_some_and(|o| o.1 == path));
        let mut roots: Vec<String> =
            children.map(|(other, ..)| other[path.len()].clone()).collect();
        roots.extend(["crate", "super"].map(String::from));
        let code = plain_code(text);
        let imports = read_imports(&code, &roots);
        (path.clone(), Module { file: file.to_string(), path: path.clone(), code, imports })
    };
    named.iter().map(module).collect()
}

/// Returns the path of a module's import from the crate's root.
fn absolute(module: &Module, import: &Import) -> Option<Vec<String>> {
    let mut base = module.path.clone();
    let mut rest = &import.segments[..];
    if rest[0] == "crate" {
        (base, rest) = (Vec::new(), &rest[1..]);
    }
    while rest.first().is_some_and(|name| name == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    Some([&base, rest].concat())
}

/// Returns the file that a path from the root leads to, through re-exports.
fn resolve<'a>(all: &'a Crate, path: &[String], depth: usize) -> Option<&'a Module> {
    let length = (0..=path.len()).rev().find(|&length| all.contains_key(&path[..length]))?;
    let module = &all[&path[..length]];
    let Some(item) = path.get(length).filter(|_| depth < 8) else { return Some(module) };
    let reexports = || module.imports.iter().filter(|import| import.is_reexport);
    let named = reexports().filter(|import| import.segments.last() == Some(item));
    let defines = |module: &Module| {
        let kinds = ["fn", "struct", "enum", "trait", "type", "const", "static", "macro_rules!"];
        kinds.iter().any(|kind| {
            let start = format!("{kind} {item}");
            let ends = module.code.match_indices(&start).map(|(at, _)| at + start.len());
            ends.into_iter().any(|end| !module.code[end..].starts_with(is_name))
        })
    };
    let from_glob = |import: &Import| {
        let path = absolute(module, import)?;
        let (_, parent) = path.split_last().filter(|(last, _)| *last == "*")?;
        resolve(all, parent, depth + 1).filter(|target| defines(target))
    };
    for import in named {
        let target = absolute(module, import)?;
        if target != path {
            return resolve(all, &target, depth + 1);
        }
    }
    if defines(module) { Some(module) } else { reexports().find_map(from_glob).or(Some(module)) }
}

/// Returns the pairs of files that import each other, in their alphabetical order.
fn circular_pairs(all: &Crate) -> Vec<(String, String)> {
    let mut edges = BTreeSet::new();
    for module in all.values() {
        for import in &module.imports {
            let Some(path) = absolute(module, import) else { continue };
            let is_own_child = path.len() > module.path.len() && path.starts_with(&module.path);
            let target = resolve(all, &path, 0).filter(|target| target.file != module.file);
            if let Some(target) = target.filter(|_| !(import.is_reexport && is_own_child)) {
                edges.insert((module.file.clone(), target.file.clone()));
            }
        }
    }
    let is_mutual = |(a, b): &&(String, String)| a < b && edges.contains(&(b.clone(), a.clone()));
    edges.iter().filter(is_mutual).cloned().collect()
}

/// Returns the circular pairs of every crate of the workspace.
fn all_circular_pairs() -> Vec<(String, String)> {
    let mut crates: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in tracked_files() {
        let Some((name, below)) = file.split_once("src/") else { continue };
        // A program's own modules do not take part in its library's.
        if file.ends_with(".rs") && !below.starts_with("bin/") && below != "main.rs" {
            let text = text(&file).unwrap_or_default();
            crates.entry(name.to_string()).or_default().push((file, text));
        }
    }
    crates.values().flat_map(|files| circular_pairs(&read_crate(files))).collect()
}

#[test]
fn no_two_files_import_each_other() {
    let pairs = all_circular_pairs().into_iter();
    let broken = pairs.map(|(a, b)| format!("{a} and {b}")).collect();
    assert_no_violations(broken, "a file is read after the files that it uses");
}

#[test]
fn circular_imports_are_found_and_reexports_are_not_imports() {
    let pairs = |sources: &[(&str, &str)]| {
        let sources: Vec<_> = sources
            .iter()
            .map(|(file, text)| (format!("src/{file}.rs"), text.to_string()))
            .collect();
        circular_pairs(&read_crate(&sources)).len()
    };
    let lib = ("lib", "mod a;\npub mod b;\npub use a::{A, f};\npub use b::B;");
    let a = ("a", "use crate::B;\npub struct A;");
    assert_eq!(pairs(&[lib, a, ("b", "pub struct B;\nuse crate::{\n    A,\n};")]), 1);
    assert_eq!(pairs(&[lib, a, ("b", "pub struct B;\nfn f() { crate::f() }")]), 1);
    assert_eq!(pairs(&[lib, a, ("b", "pub struct B;\n// crate::A")]), 0);
    let tests = "pub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::A;\n}";
    assert_eq!(pairs(&[lib, a, ("b", tests)]), 0);
    // A parent and its child.
    let child = ("b/c", "use super::helper;\npub struct C;");
    assert_eq!(pairs(&[lib, ("b", "mod c;\npub use c::C;\nfn helper() {}"), child]), 0);
    assert_eq!(pairs(&[lib, ("b", "mod c;\nuse c::C;\nfn helper() {}"), child]), 1);
    assert_eq!(pairs(&[lib, ("b", "mod c;\nfn helper() { c::C }"), child]), 1);
    // Siblings, through their parent's re-exports.
    let parent = ("b", "mod c;\nmod d;\npub use c::C;\npub use d::*;");
    let c = ("b/c", "use super::D;\npub struct C;");
    assert_eq!(pairs(&[lib, parent, c, ("b/d", "use super::C;\npub struct D;")]), 1);
    assert_eq!(pairs(&[lib, parent, c, ("b/d", "pub struct D;")]), 0);
}
