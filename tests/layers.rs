//! The order of the house: a module imports only from layers below it, siblings in one layer do not see each other.
//!
//! The table below is the truth; `src/lib.rs` declares its modules in the same order. Every file in `src/` is parsed, tests
//! included, and what counts as an import is every path that leads out of the module, wherever it stands: in a `use`
//! (grouped, renamed, re-exported), in an expression, a type, a macro's tokens or an attribute's string, whether it is
//! written from `crate` or climbs with `super`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, LineColumn, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The layers from top to bottom. The modules of one row do not see each other.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["server"],
    &["config"],
    &["gateway"],
    &["endpoint", "proxy"],
    &["explain"],
    &["admission", "account"],
    &["authn", "throttle"],
    &["token", "session"],
    &["revocation", "keyring", "mail", "fetch"],
    &[
        "route", "authz", "identity", "headers", "rate", "password", "store", "upstream", "wire", "answer",
    ],
    &["registry", "tls"],
    &["office"],
    &["telemetry"],
    &["problem"],
    &["clock", "secret", "principal", "net", "codes"],
];

/// The longest a file may be, its tests not counted.
const LONGEST_FILE: usize = 450;
/// Files that may be longer, each with its reason beside it.
const MAY_BE_LONGER: &[&str] = &[];
/// `main.rs` parses, runs and prints; what is longer belongs elsewhere.
const LONGEST_MAIN: usize = 40;

#[test]
fn modules_import_only_from_layers_below() {
    let complaints: Vec<String> = sources().iter().flat_map(SourceFile::import_complaints).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_is_small() {
    let complaints: Vec<String> = sources().iter().flat_map(SourceFile::shape_complaints).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn lib_declares_the_modules_from_top_to_bottom() {
    let lib = SourceFile::read(&source_root(), Path::new("lib.rs"));
    let complaints = declaration_complaints(&lib.text);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// One file of `src/`.
struct SourceFile {
    /// As messages name it: `src/authz/mod.rs`.
    name: String,
    /// Where its items live: `["authz"]`; empty for `lib.rs`.
    module: Vec<String>,
    text: String,
}

impl SourceFile {
    fn read(root: &Path, relative: &Path) -> Self {
        let path = root.join(relative);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::new(relative, text)
    }

    fn new(relative: &Path, text: String) -> Self {
        let mut module: Vec<String> = relative
            .with_extension("")
            .iter()
            .map(|part| part.to_str().expect("file names are ASCII").to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        Self {
            name: format!("src/{}", relative.display()),
            module,
            text,
        }
    }

    fn is_tests(&self) -> bool {
        self.module.iter().any(|part| part == "tests")
    }

    fn import_complaints(&self) -> Vec<String> {
        match self.module.first() {
            // The root declares modules, `main.rs` is a crate of its own above all of them.
            None => return Vec::new(),
            Some(top) if self.module.len() == 1 && top == "main" => return Vec::new(),
            Some(top) if layer_of(top).is_none() => {
                return vec![format!(
                    "`{top}` is in no layer ({}): add it to the table in tests/layers.rs",
                    self.name
                )];
            }
            Some(_) => {}
        }
        let file = match syn::parse_file(&self.text) {
            Ok(file) => file,
            Err(error) => return vec![format!("{} cannot be parsed: {error}", self.name)],
        };
        let mut imports = Imports::new(&self.module);
        imports.visit_file(&file);
        imports
            .found
            .iter()
            .filter_map(|import| complaint(&self.module, import, &self.name))
            .collect()
    }

    fn shape_complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if !self.text.starts_with("//! ") {
            complaints.push(format!(
                "{}:1 does not begin with a `//!` line that says what the file is for",
                self.name
            ));
        }
        let lines = self.text.lines().count();
        if self.name == "src/main.rs" && lines > LONGEST_MAIN {
            complaints.push(format!("{} has {lines} lines, more than {LONGEST_MAIN}", self.name));
        }
        let own = lines - test_lines(&self.text);
        if !self.is_tests() && own > LONGEST_FILE && !MAY_BE_LONGER.contains(&self.name.as_str()) {
            complaints.push(format!(
                "{} has {own} lines outside tests, more than {LONGEST_FILE}: is there a piece with a name of its own?",
                self.name
            ));
        }
        complaints
    }
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<SourceFile> {
    let root = source_root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(SourceFile::read(&root, path.strip_prefix(&root).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no source files under {}", root.display());
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The row of the table a module stands in, counted from the top.
fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// What is wrong with this import, if anything.
fn complaint(module: &[String], import: &Import, file: &str) -> Option<String> {
    let from = module.first()?;
    let at = format!("({file}:{})", import.line);
    let target = match &import.path {
        Ok(path) => path.first().map_or("*", String::as_str),
        Err(what) => return Some(format!("`{from}`: {what} {at}")),
    };
    if target == from {
        return None;
    }
    let Some(below) = layer_of(target) else {
        return Some(format!(
            "`{from}` uses `crate::{target}`, which is no module of the table: name the module {at}"
        ));
    };
    (below <= layer_of(from)?).then(|| format!("`{from}` may not use `{target}` {at}"))
}

/// How many lines belong to `#[cfg(test)]` items.
fn test_lines(text: &str) -> usize {
    let Ok(file) = syn::parse_file(text) else { return 0 };
    let is_test = |attributes: &[syn::Attribute]| {
        attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
        })
    };
    file.items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(item) if is_test(&item.attrs) => Some(lines_of(item)),
            syn::Item::Fn(item) if is_test(&item.attrs) => Some(lines_of(item)),
            _ => None,
        })
        .map(|lines| lines.end() - lines.start() + 1)
        .sum()
}

fn lines_of(item: &impl Spanned) -> RangeInclusive<usize> {
    let LineColumn { line: first, .. } = item.span().start();
    let LineColumn { line: last, .. } = item.span().end();
    first..=last
}

/// What is wrong with the modules that `lib.rs` declares.
fn declaration_complaints(lib: &str) -> Vec<String> {
    let file = syn::parse_file(lib).expect("lib.rs is Rust");
    let mut complaints = Vec::new();
    let mut lowest = 0;
    for item in &file.items {
        let syn::Item::Mod(declared) = item else { continue };
        let name = declared.ident.to_string();
        let line = declared.ident.span().start().line;
        match layer_of(&name) {
            None => complaints.push(format!(
                "`{name}` is in no layer (src/lib.rs:{line}): add it to the table in tests/layers.rs"
            )),
            Some(layer) if layer < lowest => complaints.push(format!(
                "`{name}` is declared below a lower layer (src/lib.rs:{line}): lib.rs goes from top to bottom"
            )),
            Some(layer) => lowest = layer,
        }
        if declared.content.is_some() {
            complaints.push(format!("`{name}` has its code in lib.rs (src/lib.rs:{line})"));
        }
    }
    complaints
}

/// A path that was found, as seen from the crate's root.
#[derive(Debug, PartialEq)]
struct Import {
    path: Result<Vec<String>, String>,
    line: usize,
}

/// Collects every path of a file that starts at `crate`, `self` or `super`.
///
/// Other paths name external crates, or what the module itself has declared or imported by one of those.
struct Imports {
    /// The module whose code is being read; grows and shrinks with inline modules.
    module: Vec<String>,
    found: Vec<Import>,
}

impl Imports {
    fn new(module: &[String]) -> Self {
        Self {
            module: module.to_vec(),
            found: Vec::new(),
        }
    }

    fn add(&mut self, written: &[String], line: usize) {
        let mut path = self.module.clone();
        let mut rest = written;
        match rest.first().map(String::as_str) {
            Some("crate") => path.clear(),
            Some("self") => {}
            Some("super") => {
                while rest.first().is_some_and(|part| part == "super") {
                    if path.pop().is_none() {
                        return self.refuse("`super` climbs above the crate", line);
                    }
                    rest = &rest[1..];
                }
                path.extend(rest.iter().cloned());
                return self.found.push(Import { path: Ok(path), line });
            }
            _ => return,
        }
        rest = &rest[1..];
        if rest.first().is_some_and(|part| part == "super") {
            return self.add_from(path, rest, line);
        }
        path.extend(rest.iter().cloned());
        self.found.push(Import { path: Ok(path), line });
    }

    /// `self::super::x`: climbs from where the prefix leads.
    fn add_from(&mut self, module: Vec<String>, rest: &[String], line: usize) {
        let here = std::mem::replace(&mut self.module, module);
        self.add(rest, line);
        self.module = here;
    }

    fn refuse(&mut self, what: &str, line: usize) {
        self.found.push(Import {
            path: Err(what.to_owned()),
            line,
        });
    }

    fn add_tree(&mut self, prefix: &mut Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(name_of(&path.ident));
                self.add_tree(prefix, &path.tree);
                prefix.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(prefix, item)),
            syn::UseTree::Name(syn::UseName { ident }) | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                self.add_leaf(prefix, name_of(ident), ident.span());
            }
            syn::UseTree::Glob(glob) => self.add_leaf(prefix, "*".to_owned(), glob.span()),
        }
    }

    fn add_leaf(&mut self, prefix: &mut Vec<String>, leaf: String, span: proc_macro2::Span) {
        // `use a::b::{self}` imports `a::b`.
        let is_group_self = leaf == "self" && !prefix.is_empty();
        if !is_group_self {
            prefix.push(leaf);
        }
        self.add(prefix, span.start().line);
        if !is_group_self {
            prefix.pop();
        }
    }

    /// Paths in tokens that have no syntax tree of their own: what macros are given, and what they are made of.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) if word == "mod" && at + 2 < tokens.len() => {
                    if let (TokenTree::Ident(name), TokenTree::Group(body)) = (&tokens[at + 1], &tokens[at + 2]) {
                        self.module.push(name_of(name));
                        self.scan(body.stream());
                        self.module.pop();
                        at += 3;
                        continue;
                    }
                }
                TokenTree::Ident(word) if word == "crate" || word == "super" || word == "self" => {
                    at = self.scan_path(&tokens, at, &mut Vec::new());
                    continue;
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads the path, or the tree of paths, that begins here; gives back where it ends.
    fn scan_path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &mut Vec<String>) -> usize {
        let depth = prefix.len();
        let line = tokens.get(at).map_or(0, |token| token.span().start().line);
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) => prefix.push(name_of(word)),
                TokenTree::Punct(mark) if mark.as_char() == '*' => prefix.push("*".to_owned()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for piece in inner.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',')) {
                        if !piece.is_empty() {
                            self.scan_path(piece, 0, prefix);
                        }
                    }
                    prefix.truncate(depth);
                    return at + 1;
                }
                // `a::<T>`: the arguments are paths of their own, read by the caller.
                _ => break,
            }
            at += 1;
            if !is_path_separator(tokens, at) {
                break;
            }
            at += 2;
        }
        // `self` alone is a value and `crate` alone a visibility, both without a way out.
        if prefix.len() > 1 {
            let written = prefix.clone();
            self.add(&written, line);
        }
        prefix.truncate(depth);
        at
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    is_colon(at) && is_colon(at + 1)
}

/// The name without the `r#` of a raw identifier.
fn name_of(ident: &syn::Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            self.refuse(
                "`#[path]` moves a module out of its place",
                item.ident.span().start().line,
            );
        }
        self.module.push(name_of(&item.ident));
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        if item.ident == "self" {
            self.refuse(
                "`extern crate self` hides where paths lead",
                item.ident.span().start().line,
            );
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(in path)` names an ancestor by the language's own rule.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<String> = path.segments.iter().map(|segment| name_of(&segment.ident)).collect();
        if written.len() > 1 {
            self.add(&written, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("include") {
            self.refuse(
                "`include!` brings code that is not read here",
                item.path.span().start().line,
            );
        }
        self.visit_path(&item.path);
        self.scan(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("doc") {
            return; // A link in prose is no import.
        }
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
            self.scan_strings(list.tokens.clone());
        }
    }
}

impl Imports {
    /// `#[serde(with = "crate::x::y")]`: a path in a string is a path.
    fn scan_strings(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.scan_strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    let path = syn::parse_str::<syn::LitStr>(&literal.to_string())
                        .ok()
                        .and_then(|text| syn::parse_str::<syn::Path>(&text.value()).ok());
                    if let Some(path) = path {
                        let written: Vec<String> = path.segments.iter().map(|part| name_of(&part.ident)).collect();
                        self.add(&written, line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

/// The guard itself: snippets it must refuse, and snippets it must let pass.
mod the_guard {
    use super::{SourceFile, declaration_complaints};
    use std::path::Path;

    fn complaints(file: &str, text: &str) -> Vec<String> {
        SourceFile::new(Path::new(file), text.to_owned()).import_complaints()
    }

    /// Fails unless this snippet is refused once, for this reason.
    fn refused(file: &str, text: &str, because: &str) {
        let found = complaints(file, text);
        assert_eq!(found.len(), 1, "{text}\n{found:#?}");
        assert!(found[0].contains(because), "{text}\n{found:#?}");
    }

    fn passes(file: &str, text: &str) {
        assert_eq!(complaints(file, text), Vec::<String>::new(), "{text}");
    }

    #[test]
    fn refuses_imports_upwards_and_sideways_and_says_where() {
        assert_eq!(
            complaints("authz/mod.rs", "//! Rules.\n\nuse crate::proxy::forward;\n"),
            ["`authz` may not use `proxy` (src/authz/mod.rs:3)"]
        );
        refused(
            "authz/mod.rs",
            "use crate::route::Table;",
            "`authz` may not use `route`",
        );
        refused(
            "gateway/mod.rs",
            "use crate::config::file;",
            "`gateway` may not use `config`",
        );
        passes(
            "authz/mod.rs",
            "use crate::principal::Principal; use crate::authz::Rule;",
        );
        passes("server/assemble.rs", "use crate::config::Config;");
        passes("cli/check.rs", "use crate::{config::Config, server, codes::Code};");
    }

    #[test]
    fn sees_through_groups_renames_and_re_exports() {
        refused("authz/mod.rs", "use crate::{net::Network, {proxy::Body}};", "`proxy`");
        refused(
            "authz/mod.rs",
            "use crate::{net::Network, proxy::{self}};",
            "may not use `proxy`",
        );
        refused("authz/mod.rs", "use crate::proxy as innocent;", "may not use `proxy`");
        refused("authz/mod.rs", "pub(crate) use crate::proxy::*;", "may not use `proxy`");
        refused(
            "authz/mod.rs",
            "fn f() { use crate::proxy::forward; }",
            "may not use `proxy`",
        );
        refused("authz/mod.rs", "use crate::r#proxy::X;", "may not use `proxy`");
    }

    #[test]
    fn climbs_with_super() {
        refused("authz/mod.rs", "use super::proxy::forward;", "may not use `proxy`");
        refused(
            "authz/rule.rs",
            "use super::super::proxy::forward;",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "#[cfg(test)] mod tests { use super::super::proxy; }",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "use self::super::proxy::forward;",
            "may not use `proxy`",
        );
        refused("authz/mod.rs", "use super::super::proxy;", "above the crate");
        passes("authz/rule.rs", "use super::Rule; use super::super::net::Network;");
        passes("authz/mod.rs", "#[cfg(test)] mod tests { use super::*; }");
    }

    #[test]
    fn reads_expressions_types_macros_and_attributes() {
        refused(
            "authz/mod.rs",
            "fn f() { crate::proxy::forward(); }",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "type X = Option<Vec<crate::proxy::Body>>;",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "impl From<super::proxy::Error> for X {}",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "fn f() { println!(\"{}\", crate::proxy::NAME); }",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "macro_rules! m { () => { use $crate::{net::Network, proxy::Body}; } }",
            "may not use `proxy`",
        );
        refused(
            "authz/mod.rs",
            "m! { mod inner { use super::super::proxy; } }",
            "may not use `proxy`",
        );
        refused("authz/mod.rs", "crate::proxy::define!();", "may not use `proxy`");
        refused(
            "authz/mod.rs",
            "#[serde(with = \"crate::proxy::text\")] struct X;",
            "may not use `proxy`",
        );
        passes("authz/mod.rs", "/// See [`crate::proxy`].\npub(crate) struct X;");
        passes(
            "authz/mod.rs",
            "fn f(&self) { vec![self, crate::net::any()]; self.proxy() }",
        );
        passes("authz/mod.rs", "pub(in crate::authz) struct X; pub(super) struct Y;");
    }

    #[test]
    fn refuses_ways_around() {
        refused("authz/mod.rs", "use crate::*;", "no module of the table");
        refused("authz/mod.rs", "use crate::Forward;", "no module of the table");
        refused("authz/mod.rs", "use crate as all;", "no module of the table");
        refused("authz/mod.rs", "use super::{self as all};", "no module of the table");
        refused("authz/mod.rs", "extern crate self as doorward;", "hides");
        refused("authz/mod.rs", "#[path = \"../proxy/mod.rs\"] mod p;", "`#[path]`");
        refused("authz/mod.rs", "include!(\"../proxy/mod.rs\");", "`include!`");
        refused("helpers/mod.rs", "use std::fmt;", "`helpers` is in no layer");
        refused("authz/mod.rs", "use crate::{", "cannot be parsed");
    }

    #[test]
    fn refuses_long_and_unexplained_files() {
        let shape = |file: &str, text: String| SourceFile::new(Path::new(file), text).shape_complaints();
        let long = "fn f() {}\n".repeat(451);
        assert_eq!(shape("authz/mod.rs", "use std::fmt;\n".to_owned()).len(), 1);
        assert_eq!(shape("authz/mod.rs", format!("//! Rules.\n{long}")).len(), 1);
        assert_eq!(shape("authz/tests.rs", format!("//! Rules.\n{long}")).len(), 0);
        let tested = format!("//! Rules.\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(shape("authz/mod.rs", tested), Vec::<String>::new());
        assert_eq!(shape("main.rs", format!("//! Main.\n{}", "\n".repeat(40))).len(), 1);
    }

    #[test]
    fn refuses_modules_out_of_order_or_out_of_the_table() {
        let none = Vec::<String>::new();
        assert_eq!(
            declaration_complaints("pub mod cli; pub mod proxy; pub mod endpoint; mod net;"),
            none
        );
        assert_eq!(declaration_complaints("mod net; mod cli;").len(), 1);
        assert_eq!(declaration_complaints("mod helpers;").len(), 1);
        assert_eq!(declaration_complaints("mod net { }").len(), 1);
    }
}
