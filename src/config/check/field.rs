//! Checks of single values that several tables share. Each reports what is wrong and then gives nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::config::file::{SecretText, Size, Span};
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report, quoted};
use crate::net::{Network, Networks};
use crate::route::{HostPattern, RoutePath};
use crate::secret::Secret;

/// The largest file that is read as a secret.
const LARGEST_SECRET: u64 = 64 << 10;

/// A duration longer than nothing.
pub fn positive(report: &mut Report<'_>, key: &KeyPath, span: Span) -> Option<Duration> {
    if span.0.is_zero() {
        report.error(Fault::at(key, "a duration longer than zero"));
        return None;
    }
    Some(span.0)
}

/// A number within bounds.
pub fn number(report: &mut Report<'_>, key: &KeyPath, number: u32, bounds: RangeInclusive<u32>) -> Option<usize> {
    if !bounds.contains(&number) {
        report.error(Fault::at(
            key,
            format!("a whole number from {} to {}", bounds.start(), bounds.end()),
        ));
        return None;
    }
    usize::try_from(number).ok()
}

/// A size within bounds.
pub fn size(report: &mut Report<'_>, key: &KeyPath, size: Size, bounds: RangeInclusive<u64>) -> Option<usize> {
    if !bounds.contains(&size.0) {
        let show = |bytes: &u64| bytesize::ByteSize(*bytes).display().iec().to_string();
        report.error(Fault::at(
            key,
            format!("a size from {} to {}", show(bounds.start()), show(bounds.end())),
        ));
        return None;
    }
    usize::try_from(size.0).ok()
}

/// A list of networks.
pub fn networks(report: &mut Report<'_>, key: &KeyPath, texts: &[String]) -> Option<Networks> {
    each(texts, |index, text| {
        let network = text.parse::<Network>();
        if let Err(error) = &network {
            let accepted = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or a single address";
            // Only with a slash there is more to say: bits that belong to a host.
            let hint = Some(error.to_string()).filter(|_| text.contains('/'));
            report.error(Fault::at(&key.index(index), accepted).hint_if(hint));
        }
        network.ok()
    })
    .map(Networks::new)
}

/// The networks of a list where an empty one means *anywhere*.
pub fn networks_or_anywhere(report: &mut Report<'_>, key: &KeyPath, texts: &[String]) -> Option<Option<Networks>> {
    networks(report, key, texts).map(|networks| (!networks.is_empty()).then_some(networks))
}

/// Names of roles: they are sent to backends with commas between them.
pub fn roles(report: &mut Report<'_>, key: &KeyPath, names: &[String]) -> Option<Vec<String>> {
    each(names, |index, name| role(report, &key.index(index), name))
}

/// The name of a role.
pub fn role(report: &mut Report<'_>, key: &KeyPath, name: &str) -> Option<String> {
    let bad = |character: char| character == ',' || character.is_control();
    if name.is_empty() || name.trim() != name || name.contains(bad) {
        report.error(
            Fault::at(
                key,
                "the name of a role: not empty, without commas, control characters or white space around it",
            )
            .found(quoted(name)),
        );
        return None;
    }
    Some(name.to_owned())
}

/// A name of ours, as it stands in logs and metrics.
pub fn name(report: &mut Report<'_>, key: &KeyPath, name: &str) -> Option<String> {
    let good = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        report.error(Fault::at(
            key,
            "a name of 1 to 64 letters, digits, \"-\", \"_\" and \".\"",
        ));
        return None;
    }
    Some(name.to_owned())
}

/// A host as requests name it, in the canonical form that routing compares. With `wildcard`, also `*.example.com`.
pub fn host(report: &mut Report<'_>, key: &KeyPath, text: &str, wildcard: bool) -> Option<String> {
    match text.parse::<HostPattern>() {
        Ok(HostPattern::Exact(name)) if name.starts_with('[') || is_host_name(&name) => return Some(name),
        Ok(HostPattern::Wildcard(suffix)) if wildcard && is_host_name(&suffix) => return Some(format!("*.{suffix}")),
        Ok(_) | Err(_) => {}
    }
    let accepted = match wildcard {
        true => "a host such as \"shop.example.com\" or \"*.example.com\"",
        false => "a host such as \"shop.example.com\"",
    };
    let hint = if text.contains("://") {
        "leave the scheme out"
    } else if text == "*" {
        "leave the list out to mean every host"
    } else if text
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        "hosts are compared without a port: leave it out"
    } else if !text.is_ascii() {
        "write an international name in its ASCII form, xn--…"
    } else {
        "letters, digits and \"-\" in parts with dots between them; an IPv6 address in brackets"
    };
    report.error(Fault::at(key, accepted).hint(hint));
    None
}

/// Whether this is a name of the DNS, or an IPv4 address.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(good)
    };
    // A last label of digits only makes it an address (RFC 3696 section 2), and then it must be one.
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && (!numeric || name.parse::<Ipv4Addr>().is_ok())
}

/// A prefix of paths, decoded, as routing compares it: without a slash at its end, but for `/` itself.
pub fn path(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<String> {
    let hint = match text.parse::<RoutePath>() {
        _ if text.is_empty() => "\"/\" means every path".to_owned(),
        // A star would be taken literally, and that is never what is meant.
        _ if text.ends_with('*') => "a path holds for everything below it; leave the \"*\" out".to_owned(),
        _ if !text.starts_with('/') => format!("write {}", quoted(&format!("/{text}"))),
        Ok(path) if text.contains('%') => format!("write it decoded: {}", quoted(path.as_str())),
        Err(error) => error.to_string(),
        Ok(path) => {
            let path = path.as_str();
            let bare = path.strip_suffix('/').unwrap_or(path);
            return Some(if bare.is_empty() { "/" } else { bare }.to_owned());
        }
    };
    let accepted = "a path that starts with \"/\", without \"//\", dot segments, \"%\", \";\", \"?\" and \"#\"";
    report.error(Fault::at(key, accepted).hint(hint));
    None
}

/// Whether `path` is `prefix` or lies below it.
pub fn lies_within(path: &str, prefix: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Methods; case matters (RFC 9110 section 9.1).
pub fn methods(report: &mut Report<'_>, key: &KeyPath, names: &[String]) -> Option<Vec<Method>> {
    each(names, |index, name| {
        let upper = name.to_ascii_uppercase();
        let fault = Fault::at(&key.index(index), "a method such as \"GET\" or \"POST\"");
        match Method::from_bytes(name.as_bytes()) {
            Ok(Method::CONNECT) => report.error(fault.hint("CONNECT is always refused")),
            Ok(_) if *name != upper => report.error(fault.hint(format!("methods are in capitals: {upper:?}"))),
            Ok(method) => return Some(method),
            Err(_) => report.error(fault),
        }
        None
    })
}

/// The name of a header.
pub fn header_name(report: &mut Report<'_>, key: &KeyPath, name: &str) -> Option<HeaderName> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => Some(name),
        Err(_) => {
            report.error(Fault::at(key, "the name of a header, such as \"X-Env\"").found(quoted(name)));
            None
        }
    }
}

/// The value of a header. It may be a secret of a backend: it is not shown.
pub fn header_value(report: &mut Report<'_>, key: &KeyPath, value: &str) -> Option<HeaderValue> {
    match HeaderValue::from_str(value) {
        Ok(value) if value.as_bytes().trim_ascii().len() == value.len() => Some(value),
        _ => {
            report.error(
                Fault::at(
                    key,
                    "the value of a header, without control characters or white space around it",
                )
                .found("a value that is not shown"),
            );
            None
        }
    }
}

/// A file that must be set, exist and be readable; a relative path starts from the folder of the file that names it.
pub fn file(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<PathBuf> {
    if text.is_empty() {
        report.error(Fault::at(key, "the path of a file"));
        return None;
    }
    let path = resolved(report, key, text);
    match readable(&path) {
        Ok(()) => Some(path),
        Err(error) => {
            report.error(unreadable(key, &path, &error));
            None
        }
    }
}

/// The same, where it need not be set.
pub fn optional_file(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<Option<PathBuf>> {
    match text.is_empty() {
        true => Some(None),
        false => file(report, key, text).map(Some),
    }
}

/// The path that a text in this place means.
pub fn resolved(report: &Report<'_>, key: &KeyPath, text: &str) -> PathBuf {
    report.layers().folder(key).join(text)
}

fn readable(path: &Path) -> io::Result<()> {
    // Opening a pipe would wait for its other end: look first.
    match fs::metadata(path)?.is_file() {
        true => File::open(path).map(drop),
        false => Err(io::Error::other("this is not a file")),
    }
}

fn unreadable(key: &KeyPath, path: &Path, error: &io::Error) -> Fault {
    Fault::at(key, "the path of a file that can be read").hint(format!("{}: {error}", path.display()))
}

/// The bytes of a file that holds a secret, without one line break at their end.
pub fn secret_file(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<Secret<Vec<u8>>> {
    let path = file(report, key, text)?;
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(LARGEST_SECRET + 1).read_to_end(&mut bytes));
    let error = match read.map(u64::try_from) {
        Ok(Ok(read)) if read <= LARGEST_SECRET => {
            let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| bytes.ends_with(end));
            bytes.truncate(bytes.len() - end.map_or(0, <[u8]>::len));
            if !bytes.is_empty() {
                return Some(Secret::new(bytes));
            }
            io::Error::other("the file is empty")
        }
        Ok(_) => io::Error::other("the file has more than 64 KiB"),
        Err(error) => error,
    };
    report.error(unreadable(key, &path, &error));
    None
}

/// A secret text that may be given itself or as a file. Where both are, the later layer counts.
pub fn secret_text(
    report: &mut Report<'_>,
    (key, text): (&KeyPath, &SecretText),
    (file_key, file): (&KeyPath, &str),
) -> Option<Option<Secret<String>>> {
    let by_file = match (text.is_empty(), file.is_empty()) {
        (true, true) => return Some(None),
        (false, true) => false,
        (true, false) => true,
        (false, false) => match (report.layers().rank(key), report.layers().rank(file_key)) {
            (Some(text), Some(file)) if text != file => file > text,
            _ => {
                report.error(
                    Fault::at(file_key, format!("nothing, as {key} is set beside it")).hint("keep one of the two"),
                );
                return None;
            }
        },
    };
    if !by_file {
        return Some(Some(text.0.clone()));
    }
    let bytes = secret_file(report, file_key, file)?;
    match std::str::from_utf8(bytes.expose()) {
        Ok(text) => Some(Some(Secret::new(text.to_owned()))),
        Err(_) => {
            report.error(Fault::at(file_key, "a file that holds UTF-8"));
            None
        }
    }
}

/// Checks every item, so that each wrong one is reported; all of them or nothing.
pub fn each<T, U>(items: &[T], mut check: impl FnMut(usize, &T) -> Option<U>) -> Option<Vec<U>> {
    let checked: Vec<Option<U>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| check(index, item))
        .collect();
    checked.into_iter().collect()
}
